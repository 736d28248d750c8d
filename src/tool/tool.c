/* What the commands share: printing, opening a model with its adapter, Ctrl-C. */
#include <math.h>
#include <signal.h>
#include <unistd.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tool/tool.h"

/* --- printing --------------------------------------------------------------------------------- */
/* What came from a file never reaches a terminal as it is: it could clear the screen or hide text.
 * JSON escapes C0 itself; here are DEL and C1, which only strings can hold. */
static void print_json(hora_json *own_v) {
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
        print_json(own_r);
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
        print_json(own_r);
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

/* --- a model with its adapter ----------------------------------------------------------------- */
typedef struct source {
    char *model, *adapter;
    int prefer;
} source;
#define OPT_OF source
static const hora_option rows[] = {
    OPT_STRING(model, "model", NULL, NULL, "DIR", "model directory as Hugging Face writes it"),
    OPT_STRING(adapter, "adapter", NULL, NULL, "DIR",
               "adapter directory: an OUT of train, a checkpoint, or PEFT's"),
    OPT_CHOICE(prefer, "prefer", NULL, "none", "none native materialised",
               "which one counts when an adapter's native state and its PEFT file differ"),
};
const hora_options hora_cli_source_options = {"Model and adapter", rows, HORA_COUNT(rows)};

bool hora_cli_is_model(const char *dir) {
    static const char *const adapter_files[] = {"adapter_config.json", "delta_config.json",
                                                "hora_adapters.json"};
    bool found = false;
    for (size_t i = 0; i < sizeof adapter_files / sizeof *adapter_files; i++) {
        char *path = hora_path_join(dir, adapter_files[i]);
        found |= hora_path_exists(path);
        hora_free(path);
    }
    char *config = hora_path_join(dir, "config.json");
    const bool model = !found && hora_path_exists(config);
    hora_free(config);
    return model;
}

static hora_status open_source(hora_model **m, hora_settings *s, bool features) {
    static const char *const prefer[] = {NULL, "native", "materialised"};
    source c;
    hora_status st = hora_options_take(&hora_cli_source_options, &c, s);
    if (st == HORA_OK)
        st = hora_cli_required("model", c.model, "a model directory");
    if (st == HORA_OK && c.adapter && hora_cli_is_model(c.adapter)) {
        st = hora_model_open_with(m, c.adapter, s, NULL);
    } else if (st == HORA_OK) {
        st = hora_model_open_with(m, c.model, s, c.adapter);
        if (st == HORA_OK)
            st = features ? hora_open_features(&(*m)->opened)
                          : hora_open_settle(&(*m)->opened, NULL, NULL, false, 0);
        if (st == HORA_OK && c.adapter)
            st = hora_model_load_adapters(*m, c.adapter, prefer[c.prefer]);
    }
    if (st == HORA_OK && !features)
        st = hora_open_trained(&(*m)->opened, (*m)->adapters, (*m)->n);
    hora_options_release(&hora_cli_source_options, &c);
    return st;
}

hora_status hora_cli_open(hora_model **m, hora_settings *s) {
    return open_source(m, s, false);
}

hora_status hora_cli_open_features(hora_model **m, hora_settings *s) {
    return open_source(m, s, true);
}

void hora_cli_say(hora_status s) {
    if (s != HORA_OK && s != HORA_DONE && *hora_errmsg())
        fprintf(stderr, "hora: %s\n", hora_errmsg());
    fflush(stderr);
}

hora_status hora_cli_required(const char *flag, const char *value, const char *what) {
    return value ? HORA_OK : hora_fail(HORA_EUSAGE, "--%s is missing; give %s", flag, what);
}

/* --- Ctrl-C ----------------------------------------------------------------------------------- */
/* a signal handler has no other way to say something */
static volatile int stop, deaf;

static void on_signal(int signum) {
    signal(signum, SIG_DFL);
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

/* Its tables' values are taken already; `dtype` among them meant what is written. */
hora_status hora_cli_open_as_stored(hora_model **m, hora_settings *s) {
    hora_st *st = NULL;
    bool bf16 = true;
    HORA_TRY(hora_cli_required("model", hora_settings_get(s, "model"), "a model directory"));
    HORA_TRY(hora_st_open_model(&st, hora_settings_get(s, "model")));
    for (int i = 0; i < hora_st_count(st); i++)
        bf16 &= hora_st_at(st, i)->view.dtype == HORA_BF16;
    hora_st_close(st);
    hora_settings as = {0};
    for (int i = 0; i < s->n; i++)
        if (!hora_eq(s->at[i].key, "dtype"))
            hora_settings_put(&as, s->at[i].key, s->at[i].value, s->at[i].origin);

    hora_settings_put(&as, "dtype", bf16 ? "bf16" : "f32", "program");
    const hora_status bad = hora_cli_open(m, &as);
    hora_settings_release(&as);
    return bad;
}
