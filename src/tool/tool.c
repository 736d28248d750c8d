/* What the commands share: printing, Ctrl-C. */
#include <math.h>
#include <signal.h>
#include <unistd.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "comm/comm.h"
#include "tool/tool.h"

/* --- printing --------------------------------------------------------------------------------- */
/* What came from a file never reaches a terminal as it is: it could clear the screen or hide text.
 * JSON escapes C0 itself; here are DEL and C1, which only strings can hold. */
void hora_cli_put(hora_json *own_v) {
    hora_str s = {0};
    hora_json_dump(own_v, 0, false, &s);
    hora_json_free(own_v);
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.s[i];
        const unsigned char next = i + 1 < s.n ? (unsigned char)s.s[i + 1] : 0;
        if (c == 0x7f)
            fputs("\\u007f", stdout);
        else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
            printf("\\u%04x", (unsigned)(unsigned char)s.s[++i]);
        else
            putchar(c);
    }
    putchar('\n');
    hora_str_release(&s);
}

/* lines: breaks and tabs are kept. */
static void add_escaped(hora_str *out, const char *s, size_t n, bool lines) {
    const size_t cap = 6 * n + 1;
    char *clean = hora_malloc(cap);
    for (size_t i = 0; i < n;) {
        size_t k = 0;
        while (i + k < n && !(lines && (s[i + k] == '\n' || s[i + k] == '\t')))
            k++;
        hora_str_add(out, clean, hora_escape(clean, cap, s + i, k));
        i += k;
        if (i < n)
            hora_str_putc(out, s[i++]);
    }
    hora_str_add(out, "", 0);
    hora_free(clean);
}

bool hora_cli_write(const char *text, size_t n, bool exact) {
    hora_str clean = {0};
    if (exact && !isatty(STDOUT_FILENO))
        return fwrite(text, 1, n, stdout) == n;
    add_escaped(&clean, text, n, true);
    const bool ok = fwrite(clean.s, 1, clean.n, stdout) == clean.n;
    hora_str_release(&clean);
    return ok;
}

/* A copy with every name and text escaped, for printing to people. */
static hora_json *escaped(const hora_json *v, bool lines) {
    const hora_jtype t = hora_json_type(v);
    hora_str text = {0};
    size_t n;
    const char *s = hora_json_string(v, &n);
    if (t != HORA_JOBJECT && t != HORA_JARRAY && !s)
        return v ? hora_json_copy(v) : hora_json_new_null();
    hora_json *copy = NULL;
    if (s) {
        add_escaped(&text, s, n, lines);
        copy = hora_json_new_string_n(text.s, text.n);
    } else {
        copy = t == HORA_JOBJECT ? hora_json_new_object() : hora_json_new_array();
    }
    for (size_t i = 0; t == HORA_JARRAY && i < hora_json_len(v); i++)
        hora_json_push(copy, escaped(hora_json_at(v, i), lines));
    for (void *it = t == HORA_JOBJECT ? hora_json_iter(v) : NULL; it; it = hora_json_next(v, it)) {
        text.n = 0;
        add_escaped(&text, hora_json_iter_key(it), strlen(hora_json_iter_key(it)), false);
        hora_json_set(copy, text.s, escaped(hora_json_iter_value(it), lines));
    }
    hora_str_release(&text);
    return copy;
}

static void show(const hora_cli *c, hora_json *own_r, void (*print)(const hora_json *r),
                 bool lines) {
    if (own_r && c->json) {
        hora_cli_put(own_r);
        return;
    }
    hora_json *safe = own_r ? escaped(own_r, lines) : NULL;
    if (safe)
        print(safe);
    hora_json_free(safe);
    hora_json_free(own_r);
}

void hora_cli_show(const hora_cli *c, hora_json *own_r, void (*print)(const hora_json *r)) {
    show(c, own_r, print, false);
}

void hora_cli_show_lines(const hora_cli *c, hora_json *own_r, void (*print)(const hora_json *r)) {
    show(c, own_r, print, true);
}

void hora_cli_result(const hora_cli *c, hora_json *own_r, const hora_str *text) {
    if (own_r && !c->json)
        hora_cli_write(text->s ? text->s : "", text->n, false);
    if (own_r && c->json)
        hora_cli_put(own_r);
    else
        hora_json_free(own_r);
}

hora_status hora_cli_report(hora_cli *c,
                            hora_status (*make)(hora_settings *s, hora_json **r, hora_str *text)) {
    hora_json *r = NULL;
    hora_str text = {0};
    const hora_status s = make(&c->settings, &r, &text);
    hora_cli_result(c, r, &text);
    hora_str_release(&text);
    return s;
}

const char *hora_cli_text(const hora_json *o, const char *key) {
    const char *s = hora_json_string(hora_json_get(o, key), NULL);
    return s ? s : "";
}

double hora_cli_number(const hora_json *o, const char *key) {
    double v = NAN;
    hora_json_real(hora_json_get(o, key), &v);
    return v;
}

hora_json *hora_cli_text_or_null(const char *s) {
    return s ? hora_json_new_string(s) : hora_json_new_null();
}

hora_status hora_cli_flush(void) {
    return fflush(stdout) || ferror(stdout)
               ? hora_fail(HORA_EIO, "cannot write to stdout; check the disk or the pipe")
               : HORA_OK;
}

void hora_cli_say(hora_status s) {
    if (s != HORA_OK && s != HORA_DONE && *hora_errmsg())
        fprintf(stderr, "hora: %s\n", hora_errmsg());
    fflush(stderr);
}

/* --- Ctrl-C ----------------------------------------------------------------------------------- */
/* a signal handler has no other way to say something */
static volatile int stop, deaf, one_of_many;

static void on_signal(int signum) {
    signal(signum, SIG_DFL);
    /* Where a rank has died, the launcher asks the others to go, and kills them a second later:
     * time for the thread that looks after the processes to say which one it was. */
    if (deaf && one_of_many)
        nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    if (deaf)
        raise(signum); /* on return */
    stop = 1;
}

void hora_cli_interrupts_end(bool yes) {
    deaf = yes;
}

volatile int *hora_cli_interrupts(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (signal(SIGHUP, on_signal) == SIG_IGN) /* nohup */
        signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* who read the progress may leave; the work goes on */
    return &stop;
}

/* --- ranks ------------------------------------------------------------------------------------ */
hora_status hora_cli_ranks(hora_cli *c, hora_status (*work)(hora_cli *c, hora_comm *comm)) {
    hora_comm *comm;
    HORA_TRY(hora_comm_open(&comm));
    hora_comm_speaker(comm, hora_cli_say);
    one_of_many = hora_comm_size(comm) > 1;
    if (!hora_comm_leads(comm))
        hora_log_threshold(HORA_LOG_ERROR);
    const hora_status s = work(c, comm);
    if (!hora_comm_close(comm, s))
        hora_error_restore(""); /* another rank says it */
    return s;
}

hora_status hora_cli_required(const char *flag, const char *value, const char *what) {
    return value ? HORA_OK : hora_fail(HORA_EUSAGE, "--%s is missing; give %s", flag, what);
}
