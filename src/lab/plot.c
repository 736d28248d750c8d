/*
 * Runs gnuplot without a shell: fork, change into the folder, exec. A picture appears under its
 * name only when gnuplot succeeded.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lab/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

enum { MISSING = 127 }; /* the child's exit status when there is no such program */

static const char prologue[] =
    "# `gnuplot %s.gp` in this folder draws %s.svg; `gnuplot -e \"kind='png'\" %s.gp` the png, "
    "kind='pdf' a pdf.\n"
    "if (!exists(\"kind\")) kind = \"svg\"\n"
    "if (!exists(\"to\")) to = \"%s.\" . kind\n"
    "width = %g; height = %g # inches\n"
    "if (kind eq \"svg\") set terminal svg size 96 * width, 96 * height font \"Helvetica,12\" "
    "background rgb \"white\"\n"
    "if (kind eq \"png\") set terminal pngcairo size 192 * width, 192 * height fontscale 2 "
    "linewidth 2 pointscale 2 font \"Helvetica,9\"\n"
    "if (kind eq \"pdf\") set terminal pdfcairo size width, height font \"Helvetica,9\"\n"
    "set output to\n"
    "set encoding utf8\n"
    "set datafile separator comma\n"
    "set key below\n"
    "set grid linecolor rgb \"#dddddd\" linewidth 0.5\n"
    "set style line 1 linecolor rgb \"#000000\" linewidth 1.6 dashtype 1 pointtype 7 pointsize "
    "0.6\n"
    "set style line 2 linecolor rgb \"#0072b2\" linewidth 1.6 dashtype 2 pointtype 5 pointsize "
    "0.6\n"
    "set style line 3 linecolor rgb \"#d55e00\" linewidth 1.6 dashtype 4 pointtype 9 pointsize "
    "0.7\n"
    "set style line 4 linecolor rgb \"#009e73\" linewidth 1.6 dashtype 3 pointtype 13 pointsize "
    "0.8\n"
    "set style line 5 linecolor rgb \"#cc79a7\" linewidth 1.6 dashtype 5 pointtype 6 pointsize "
    "0.7\n"
    "set style line 6 linecolor rgb \"#8c6d1f\" linewidth 1.6 dashtype 1 pointtype 4 pointsize "
    "0.7\n"
    "set style line 9 linecolor rgb \"#888888\" linewidth 1 dashtype 3\n";

static hora_status write_script(const hora_plot *p) {
    hora_str s = {0};
    char *file = hora_format("%s.gp", p->name);
    hora_str_printf(&s, prologue, p->name, p->name, p->name, p->name, p->width, p->height);
    hora_str_puts(&s, p->body);
    hora_status st = hora_outdir_write(p->out, file, s.s, s.n);
    hora_str_release(&s);
    hora_free(file);
    return st;
}

/* In the child: only what is safe between fork and exec. */
static HORA_NORETURN void become_gnuplot(const char *dir, const char *const argv[], int errors) {
    const int nothing = open("/dev/null", O_RDWR);
    if (nothing >= 0 && dup2(nothing, 0) >= 0 && dup2(nothing, 1) >= 0 && dup2(errors, 2) >= 0 &&
        !chdir(dir))
        execvp(argv[0], (char *const *)argv);
    _exit(errno == ENOENT ? MISSING : MISSING - 1);
}

/* Exit status of the command; what it said on stderr into `said`. -1: it could not be run. */
static int run_in(const char *dir, const char *const argv[], hora_str *said) {
    int fd[2], state = 0;
    char chunk[512];
    if (pipe2(fd, O_CLOEXEC))
        return -1;
    const pid_t child = fork();
    if (child == 0)
        become_gnuplot(dir, argv, fd[1]);
    close(fd[1]);
    for (ssize_t got; child > 0 && (got = read(fd[0], chunk, sizeof chunk)) != 0;) {
        if (got < 0 && errno != EINTR)
            break;
        if (got > 0 && said->n < 4096)
            hora_str_add(said, chunk, (size_t)got);
    }
    close(fd[0]);
    if (child < 0)
        return -1;
    while (waitpid(child, &state, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

/* One picture. Returns gnuplot's exit status. */
static int draw_kind(const hora_plot *p, const char *kind, hora_str *said) {
    char *part = hora_format(".%s.%s.part", p->name, kind);
    char *code = hora_format("kind = '%s'; to = '%s'", kind, part);
    char *script = hora_format("%s.gp", p->name), *file = hora_format("%s.%s", p->name, kind);
    const char *dir = hora_outdir_path(p->out);
    char *from = hora_path_join(dir, part), *to = hora_path_join(dir, file);
    const char *const argv[] = {"gnuplot", "-e", code, script, NULL};
    int rc = -1;
    const bool free =
        hora_outdir_claim(p->out, part) == HORA_OK && hora_outdir_claim(p->out, file) == HORA_OK;
    if (free) {
        unlink(to);
        rc = run_in(dir, argv, said);
    } else {
        hora_str_puts(said, hora_errmsg());
    }
    if (rc == 0 && hora_file_size(from) > 0)
        rc = hora_rename(from, to) == HORA_OK ? 0 : -1;
    else if (rc == 0)
        rc = -1;
    if (free)
        unlink(from);
    hora_free(part);
    hora_free(code);
    hora_free(script);
    hora_free(file);
    hora_free(from);
    hora_free(to);
    return rc;
}

hora_status hora_plot_draw(const hora_plot *p, bool *drawn) {
    static const char *const kinds[] = {"svg", "png"};
    *drawn = false;
    HORA_TRY(write_script(p));
    for (size_t i = 0; i < HORA_COUNT(kinds); i++) {
        hora_str said = {0};
        const int rc = draw_kind(p, kinds[i], &said);
        if (rc == MISSING)
            hora_warn("gnuplot is not here, so there is no %s.svg; install it (Debian: apt-get "
                      "install gnuplot-nox) and run `gnuplot %s.gp` in %s",
                      p->name, p->name, hora_outdir_path(p->out));
        else if (rc)
            hora_warn("gnuplot could not draw %s/%s.%s; run `gnuplot -e \"kind='%s'\" %s.gp` there "
                      "to see why: %s",
                      hora_outdir_path(p->out), p->name, kinds[i], kinds[i], p->name,
                      said.s ? said.s : "no message");
        hora_str_release(&said);
        if (rc)
            return HORA_OK;
    }
    *drawn = true;
    return HORA_OK;
}
