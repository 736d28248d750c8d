#ifndef HORA_BASE_OUTDIR_H
#define HORA_BASE_OUTDIR_H
/*
 * Output folders, and the rule that nothing of a user's is ever deleted. Every command that writes
 * a folder goes through here. docs/formats/mark.md is the specification.
 *
 * The mark `.hora` in a folder lists the entries that hora wrote there. An entry is ours when the
 * mark lists it and it is still of that kind (a file, or a folder that is marked itself); all else
 * is foreign. Only what is ours is removed or replaced; it is moved aside first and comes back when
 * its successor fails. Names are listed before they are written, so a kill at any moment leaves
 * nothing of hora's that looks foreign.
 *
 *   hora_outdir *o;
 *   hora_outdir_open(&o, dir, &how);     refuses; locks a folder that is there; writes nothing new
 *   hora_outdir_begin(o);                makes and marks it, moves aside what makes room
 *   hora_outdir_claim(o, "log.jsonl");   then write there; or _stage, write, _take
 *   hora_outdir_whole(o);                something whole is there: what was aside goes
 *   hora_outdir_close(o);                without _whole: what was aside comes back
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"

/* What must survive: it may not be, hold or lie in what would be removed or replaced. Compared by
 * device and inode along the whole path, so links, `..` and bind mounts do not matter. */
typedef struct hora_input {
    const char *what; /* "model", "data", ..; named in the refusal */
    const char *path; /* NULL, or not there: nothing to protect */
} hora_input;

typedef enum {
    HORA_OUT_NEW,     /* absent or empty, else HORA_EEXISTS */
    HORA_OUT_REPLACE, /* what hora wrote there makes room; anything foreign: HORA_EEXISTS */
    HORA_OUT_ADD      /* what is there stays; claimed names that are ours may be replaced */
} hora_out_mode;

typedef struct hora_outdir_how {
    hora_out_mode mode;
    const char *advice;   /* HORA_OUT_NEW: what stands behind "DIR exists; " */
    const hora_input *in; /* borrowed for the call; the working folder is always protected */
    int n;
} hora_outdir_how;

typedef struct hora_outdir hora_outdir;

/* Refuses before the work. Whoever holds the folder already is named (HORA_EEXISTS). A replacement
 * that an earlier process left half done is taken back here. */
hora_status hora_outdir_open(hora_outdir **out, const char *dir, const hora_outdir_how *how);
/* Makes the folder, checks again under the lock, moves aside, writes the mark. */
hora_status hora_outdir_begin(hora_outdir *o);
/* Puts back what is still aside and gives the lock free; accepts NULL. The thread's error text
 * stays. */
void hora_outdir_close(hora_outdir *o);

/* For readers of a folder that found in it nothing of theirs (`s` and the error text): the same,
 * with what to do where a writer was killed. */
hora_status hora_outdir_missing(const char *dir, hora_status s);

const char *hora_outdir_path(const hora_outdir *o); /* as given */
bool hora_outdir_marked(const hora_outdir *o);      /* the folder has a mark */
/* The entry is there and ours, with all that it holds. An error when that cannot be found out. */
hora_status hora_outdir_owns(const hora_outdir *o, const char *name, bool *ours);

/* The entry will be written now. HORA_EEXISTS when a foreign one has the name. Folders end in "/"
 * and own NAME.tmp and NAME.old.tmp too, the names of unfinished ones. */
hora_status hora_outdir_claim(hora_outdir *o, const char *name);
/* Takes what is there as hora's, as found in folders from before the mark. A name that is not of
 * its kind is passed over. */
hora_status hora_outdir_adopt(hora_outdir *o, const char *name);
/* Refuses foreign entries whose names begin with one of the words (separated by blanks): what will
 * be written at the end is free before the work begins. */
hora_status hora_outdir_expect(const hora_outdir *o, const char *words);
bool hora_outdir_begins(const char *name, const char *words);
/* Removes an entry with all that it holds; HORA_EEXISTS, and nothing is touched, when any of it is
 * foreign. OK when it is not there. */
hora_status hora_outdir_drop(hora_outdir *o, const char *name);
/* Claims and writes one file. */
hora_status hora_outdir_write(hora_outdir *o, const char *name, const void *data, size_t n);

/* An empty folder to write into; _take claims what lies there and renames it into place, `config`
 * files last. The path is owned by `o`. */
hora_status hora_outdir_stage(hora_outdir *o, const char **path);
hora_status hora_outdir_take(hora_outdir *o);

hora_status hora_outdir_whole(hora_outdir *o);

/* All of a folder at once: begins, and gives what _stage does; then the caller writes there, and
 * says how that went. A failure of any of it leaves what was there before, and is returned. */
hora_status hora_outdir_enter(hora_outdir *o, const char **stage);
hora_status hora_outdir_leave(hora_outdir *o, hora_status written);

/* Marks a folder that hora made and filled, and the folders in it. */
hora_status hora_outdir_seal(const char *dir);
/* The same for a folder from before the mark: only these entries (as in the mark) are ours. */
hora_status hora_outdir_seal_only(const char *dir, char *const *names, int n);

/* How a kind of single file is known again as one that hora wrote. */
typedef struct hora_outfile {
    const char *kind; /* as in the file's mark; named in the refusal */
    /* *yes: whole, and marked as of this kind. What cannot be read is an error. */
    hora_status (*ours)(const char *path, const char *kind, bool *yes);
    const char *option; /* that names the file, for people; NULL: --out */
} hora_outfile;
/* A single file as output: refuses what is no regular file, what exists without `overwrite`, what
 * an input is or holds, and what is not of the kind (NULL: nothing is replaced). Then removes what
 * killed runs left of it: temporaries of this very name that no living process holds. */
hora_status hora_outfile_check(const char *path, bool overwrite, const hora_outfile *kind,
                               const hora_input *in, int n);
/* Text files end in a comment with a sum of what stands above it, so an edited one is not ours. */
void hora_outfile_seal_text(hora_str *text, const char *kind);
hora_status hora_outfile_text_ours(const char *path, const char *kind, bool *yes);
/* The mark in the metadata of a binary file: its kind and its bytes, of the same length for every
 * size. A file that was cut, or that another program made of ours, has another size. */
#define HORA_OUTFILE_KEY "hora.file"
void hora_outfile_mark(char out[64], const char *kind, uint64_t bytes);
#endif
