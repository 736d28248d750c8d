/* What the commands share: printing, opening a model with its adapter, Ctrl-C. */
#include <math.h>
#include <signal.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/text.h"
#include "tool/tool.h"

/* --- printing --------------------------------------------------------------------------------- */
static void print_json(hora_json *own_v) {
    hora_str s = {0};
    hora_json_dump(own_v, 0, false, &s);
    hora_json_free(own_v);
    puts(s.s ? s.s : "null");
    hora_str_release(&s);
}

void hora_cli_show(const hora_cli *c, hora_json *own_r, void (*print)(const hora_json *r)) {
    if (own_r && c->json) {
        print_json(own_r);
        return;
    }
    if (own_r)
        print(own_r);
    hora_json_free(own_r);
}

void hora_cli_result(const hora_cli *c, hora_json *own_r, const hora_str *text) {
    if (own_r && !c->json)
        fputs(text->s ? text->s : "", stdout);
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

hora_status hora_cli_open(hora_model **m, hora_settings *s) {
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
            st = hora_open_settle(&(*m)->opened, NULL, NULL, false, 0);
        if (st == HORA_OK && c.adapter)
            st = hora_model_load_adapters(*m, c.adapter, prefer[c.prefer]);
    }
    if (st == HORA_OK)
        st = hora_open_trained(&(*m)->opened, (*m)->adapters, (*m)->n);
    hora_options_release(&hora_cli_source_options, &c);
    return st;
}

hora_status hora_cli_required(const char *flag, const char *value, const char *what) {
    return value ? HORA_OK : hora_fail(HORA_EUSAGE, "--%s is missing; give %s", flag, what);
}

/* --- Ctrl-C ----------------------------------------------------------------------------------- */
static volatile int stop; /* a signal handler has no other way to say something */

static void on_signal(int signum) {
    stop = 1;
    signal(signum, SIG_DFL);
}

volatile int *hora_cli_interrupts(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    return &stop;
}
