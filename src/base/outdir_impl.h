#ifndef HORA_BASE_OUTDIR_IMPL_H
#define HORA_BASE_OUTDIR_IMPL_H
/* Inside of output folders. mark.c: the mark and what is ours by it; protect.c: what may not be
 * touched; outdir.c: the life of a folder; outdir_entries.c: what stands in it. */
#include <stdint.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/outdir.h"

#define HORA_MARK       ".hora"
#define HORA_ASIDE      ".hora-old"
#define HORA_STAGE      ".hora-new"
#define HORA_GONE       ".hora-gone" /* a folder that is being removed */
#define HORA_UNFINISHED ".tmp"       /* NAME.tmp and NAME.old.tmp: folders that are being written */

typedef struct hora_names {
    char **at; /* owned; a folder's ends in "/" */
    int n, cap;
} hora_names;
bool hora_names_has(const hora_names *v, const char *name);
void hora_names_add(hora_names *v, const char *name); /* once */
void hora_names_remove(hora_names *v, const char *name);
void hora_names_release(hora_names *v);

/* --- the mark --------------------------------------------------------------------------------- */
typedef struct hora_mark {
    bool there; /* false: no mark, or none that hora wrote */
    uint64_t id;
    hora_names names;
    /* What small files held when they were put in place; a name may have two while one replaces the
     * other. A file that holds something else was edited, and is foreign. */
    struct hora_sum {
        char *name;
        uint64_t sum;
    } * sums;
    int nsums, csums;
    bool replacing; /* `aside` lies in .hora-old.tmp and comes back when the run fails */
    hora_names aside;
} hora_mark;
/* What is no mark is none. Returns 0, or the errno of a file that could not be read. */
int hora_mark_load(hora_mark *m, int dir);
hora_status hora_mark_save(const hora_mark *m, const char *dir);
void hora_mark_add_sum(hora_mark *m, const char *name, uint64_t sum);
void hora_mark_drop_sums(hora_mark *m, const char *name);
/* A file whose sum is known holds something else now; *error when it cannot be read. */
bool hora_mark_edited(const hora_mark *m, int dir, const char *name, int *error);
/* Of a small file in `dir`; false for a large one, and *error when it cannot be read. */
bool hora_mark_sum(int dir, const char *name, uint64_t *sum, int *error);
void hora_mark_new(hora_mark *m); /* there, with an id of its own */
void hora_mark_release(hora_mark *m);

/* Visits what lies in a folder, and in those of its folders that are ours. `rel` is the path below
 * the folder, of kind as in the mark. */
typedef struct hora_visit {
    void (*fn)(void *arg, const char *rel, const struct stat *st, bool ours);
    void *arg;
    dev_t device; /* of the folder: a mount is foreign */
} hora_visit;
hora_status hora_mark_walk(int dir, const hora_mark *m, const hora_visit *v);
/* The same for one entry. */
hora_status hora_mark_walk_entry(int dir, const hora_mark *m, const char *name,
                                 const hora_visit *v);
/* The mark itself, or a temporary file of hora's whose target is ours. */
bool hora_mark_is_bookkeeping(const hora_mark *m, const char *rel);

/* --- protection ------------------------------------------------------------------------------- */
typedef struct hora_guard hora_guard; /* inputs with every folder above them */
hora_guard *hora_guard_new(const hora_input *in, int n);
void hora_guard_free(hora_guard *g);
/* Refuses when it could not be found out where an input lies. */
hora_status hora_guard_sure(const hora_guard *g);
/* The input that is, or lies in, the file or folder `st`; NULL: none. */
const hora_input *hora_guard_holds(const hora_guard *g, const struct stat *st);
/* The input that is the file or folder itself. */
const hora_input *hora_guard_is(const hora_guard *g, const struct stat *st);
/* The input (a folder) that `path` lies in or is; the working folder does not count. */
const hora_input *hora_guard_around(const hora_guard *g, const char *path);

/* --- the folder ------------------------------------------------------------------------------- */
struct hora_outdir {
    char *dir, *advice, *stage;
    hora_out_mode mode;
    hora_input *in; /* strings are copies */
    int n;
    int fd;                  /* the folder, locked; -1: not there yet */
    bool made, first, begun; /* by this process: the folder; its mark */
    hora_mark mark;
};
hora_status hora_outdir_save_mark(hora_outdir *o);
char *hora_outdir_in(const hora_outdir *o, const char *name); /* its path; new string */
/* FROM/NAME becomes TO/NAME. */
hora_status hora_outdir_rename(const char *from, const char *to, const char *name);
#endif
