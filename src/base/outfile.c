/*
 * Single files as output. Owns the rule that one is replaced only when it is hora's own and of the
 * same kind, the marks by which that is known, and what is done with leftovers of killed runs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file_impl.h"
#include "base/outdir_impl.h"
#include "base/rng.h"
#include "base/text.h"

/* --- marks ------------------------------------------------------------------------------------ */
void hora_outfile_mark(char out[64], const char *kind, uint64_t bytes) {
    hora_snprintf(out, 64, "%s %016" PRIx64, kind, bytes);
}

static char *last_line(const char *text, size_t n, const char *kind) {
    return hora_format("# Written by hora, %s %016" PRIx64 "\n", kind, hora_hash64(text, n, 0));
}

void hora_outfile_seal_text(hora_str *text, const char *kind) {
    char *line = last_line(text->s, text->n, kind);
    hora_str_puts(text, line);
    hora_free(line);
}

hora_status hora_outfile_text_ours(const char *path, const char *kind, bool *yes) {
    hora_map m;
    *yes = false;
    HORA_TRY(hora_map_open(&m, path));
    const char *text = (const char *)m.data;
    size_t n = m.n ? m.n - 1 : 0; /* bytes above the last line */
    while (n && text[n - 1] != '\n')
        n--;
    char *line = last_line(text, n, kind);
    *yes = m.n - n == strlen(line) && !memcmp(text + n, line, m.n - n);
    hora_free(line);
    hora_map_release(&m);
    return HORA_OK;
}

/* --- leftovers -------------------------------------------------------------------------------- */
/* A writer holds a lock on its temporary until that has its name; what can be locked is stale. */
static void remove_stale(int dir, const char *name, const hora_guard *g) {
    struct stat st;
    const int fd = hora_open_at(dir, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid() &&
        !hora_guard_holds(g, &st) && !flock(fd, LOCK_EX | LOCK_NB))
        unlinkat(dir, name, 0);
    close(fd);
}

static void sweep(const char *path, const hora_guard *g) {
    char *real = realpath(path, NULL); /* the temporary lies beside what a link points at */
    const char *base = hora_path_base(real ? real : path);
    char *above = hora_path_dir(real ? real : path);
    DIR *d = opendir(above);
    int error;
    for (struct dirent *e; d && (e = hora_next_entry(d, &error));) {
        const size_t n = hora_temporary_stem(e->d_name);
        if (n && n == strlen(base) && !memcmp(e->d_name, base, n))
            remove_stale(dirfd(d), e->d_name, g);
    }
    if (d)
        closedir(d);
    hora_free(above);
    free(real);
}

/* --- what is there ---------------------------------------------------------------------------- */
static hora_status check_kind(const char *path, const hora_outfile *kind) {
    bool yes = false;
    if (kind)
        HORA_TRY(kind->ours(path, kind->kind, &yes));
    if (yes)
        return HORA_OK;
    return hora_fail(HORA_EEXISTS,
                     "%s is not marked as hora's own output (%s): it is another file, was changed "
                     "or cut since, or is of an earlier hora, which set no mark; give another name "
                     "or remove it yourself",
                     path, kind ? kind->kind : "none");
}

static hora_status check(const char *path, bool overwrite, const hora_outfile *kind,
                         const hora_guard *g) {
    const char *option = kind && kind->option ? kind->option : "--out";
    struct stat st;
    if (stat(path, &st))
        return hora_means_absent(errno) ? HORA_OK : hora_file_error(errno, "cannot be used", path);
    if (!overwrite)
        return hora_fail(HORA_EEXISTS, "%s exists; give another %s or --overwrite", path, option);
    if (!S_ISREG(st.st_mode))
        return hora_fail(HORA_EEXISTS, "%s is no regular file; give another %s", path, option);
    HORA_TRY(hora_guard_sure(g));
    const hora_input *hit = hora_guard_holds(g, &st);
    if (!hit)
        hit = hora_guard_around(g, path);
    if (hit)
        return hora_fail(HORA_EEXISTS, "%s is part of the %s (%s); give another %s", path,
                         hit->what, hit->path, option);
    return check_kind(path, kind);
}

hora_status hora_outfile_check(const char *path, bool overwrite, const hora_outfile *kind,
                               const hora_input *in, int n) {
    hora_guard *g = hora_guard_new(in, n);
    hora_status s = check(path, overwrite, kind, g);
    if (!s && hora_guard_sure(g) == HORA_OK)
        sweep(path, g);
    hora_guard_free(g);
    return s;
}
