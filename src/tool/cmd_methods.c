/* hora methods: the table of methods, from the registry; one of them; what each trains. */
#include "base/text.h"
#include "peft/peft.h"
#include "run/open.h"
#include "tool/tool.h"

typedef struct config {
    char *model;
    bool table;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(model, "model", NULL, NULL, "DIR",
               "say what each trains in this model, with its default options"),
    OPT_BOOL(table, "table", NULL, "false", "as a Markdown table"),
};
static const hora_options own = {"Methods", rows, HORA_COUNT(rows)};

static hora_json *options_json(const hora_options *t) {
    hora_json *list = hora_json_new_array();
    for (int i = 0; t && i < t->n; i++) {
        hora_json *o = hora_json_push(list, hora_json_new_object());
        hora_json_set(o, "name", hora_json_new_string(t->rows[i].name));
        hora_json_set(o, "aliases", hora_cli_text_or_null(t->rows[i].aliases));
        hora_json_set(o, "default", hora_cli_text_or_null(t->rows[i].def));
        hora_json_set(o, "choices", hora_cli_text_or_null(t->rows[i].choices));
        hora_json_set(o, "help", hora_cli_text_or_null(t->rows[i].help));
    }
    return list;
}

/* Trained numbers with the defaults; or why there are none. */
static void put_model(hora_json *o, const hora_method *m, const hora_base *b) {
    hora_settings none = {0};
    hora_adapter *a = NULL;
    const hora_status s = hora_peft_attach(&a, b, m->name, &none, 0);
    hora_json_set(o, "trained",
                  s ? hora_json_new_null() : hora_json_new_int(hora_adapter_trainable(a)));
    hora_json_set(o, "refused", s ? hora_json_new_string(hora_errmsg()) : hora_json_new_null());
    hora_peft_detach(a);
    hora_settings_release(&none);
}

static hora_json *method_json(const hora_method *m, const hora_base *b) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "name", hora_json_new_string(m->name));
    hora_json_set(o, "summary", hora_json_new_string(m->summary));
    hora_json_set(o, "form", hora_json_new_string(m->form));
    hora_json_set(o, "paper", hora_cli_text_or_null(m->paper));
    hora_json_set(o, "alias", hora_cli_text_or_null(m->alias));
    hora_json_set(o, "alias_options", hora_cli_text_or_null(m->alias_options));
    hora_json_set(o, "default_lr", hora_json_new_real(m->default_lr));
    hora_json_set(o, "merges", hora_json_new_bool(m->merge != NULL));
    hora_json_set(o, "saved_as", hora_json_new_string(hora_method_export(m)));
    if (b)
        put_model(o, m, b);
    hora_json_set(o, "options", options_json(m->options));
    return o;
}

static bool merges(const hora_json *m) {
    bool yes = false;
    hora_json_bool(hora_json_get(m, "merges"), &yes);
    return yes;
}

static void print_model(const hora_json *m) {
    int64_t n;
    if (hora_json_int(hora_json_get(m, "trained"), &n))
        printf("  trains %lld numbers of this model\n", (long long)n);
    else if (*hora_cli_text(m, "refused"))
        printf("  not on this model as it stands: %s\n", hora_cli_text(m, "refused"));
}

static void print(const hora_json *m) {
    char lr[32];
    const hora_json *options = hora_json_get(m, "options");
    printf("%s: %s\n", hora_cli_text(m, "name"), hora_cli_text(m, "summary"));
    printf("  %s\n", hora_cli_text(m, "form"));
    if (*hora_cli_text(m, "paper"))
        printf("  paper %s\n", hora_cli_text(m, "paper"));
    if (*hora_cli_text(m, "alias"))
        printf("  also %s: with %s\n", hora_cli_text(m, "alias"),
               hora_cli_text(m, "alias_options"));
    printf("  saved as %s; %s\n", hora_cli_text(m, "saved_as"),
           merges(m) ? "merges" : "does not merge: use it beside its base");
    print_model(m);
    printf("  default learning rate %s\n", hora_format_real(lr, hora_cli_number(m, "default_lr")));
    for (size_t i = 0; i < hora_json_len(options); i++) {
        const hora_json *o = hora_json_at(options, i);
        printf("  %-22s %-12s %s", hora_cli_text(o, "name"), hora_cli_text(o, "default"),
               hora_cli_text(o, "help"));
        if (*hora_cli_text(o, "choices"))
            printf(" (%s)", hora_cli_text(o, "choices"));
        if (*hora_cli_text(o, "aliases"))
            printf(" [also %s]", hora_cli_text(o, "aliases"));
        putchar('\n');
    }
}

static void print_row(const hora_json *m) {
    int64_t n;
    const char *name = hora_cli_text(m, "name"), *paper = hora_cli_text(m, "paper");
    printf("| [%s](%s.md) | %s |", name, name, hora_cli_text(m, "summary"));
    if (hora_json_int(hora_json_get(m, "trained"), &n))
        printf(" %lld |", (long long)n);
    else if (hora_json_get(m, "trained"))
        printf(" - |");
    printf(" %s | %s | %s |\n", merges(m) ? "yes" : "no", hora_cli_text(m, "saved_as"),
           *paper ? paper : "-");
}

static void print_head(bool model) {
    printf("| method | what it does |%s merges | folder | paper |\n|---|---|%s---|---|---|\n",
           model ? " trained numbers |" : "", model ? "---:|" : "");
}

static hora_status show(hora_cli *c, const config *o, const hora_base *b, const hora_method *one) {
    if (o->table && !c->json)
        print_head(b != NULL);
    for (int i = 0, shown = 0; i < hora_method_count(); i++) {
        const hora_method *m = hora_method_at(i);
        if (one && m != one)
            continue;
        if (shown++ && !c->json && !o->table)
            putchar('\n');
        hora_cli_show(c, method_json(m, b), o->table ? print_row : print);
    }
    return HORA_OK;
}

static hora_status run(hora_cli *c) {
    config o;
    hora_base *b = NULL;
    const hora_method *one = NULL;
    HORA_TRY(hora_options_take(&own, &o, &c->settings));
    hora_status s = HORA_OK;
    if (c->nrest && !(one = hora_method_named(c->rest[0])))
        s = hora_method_unknown(c->rest[0]);
    if (!s && o.model)
        s = hora_base_open(
            &b, o.model,
            &(hora_base_options){.dtype = HORA_F32, .headers_only = true, .config_alone = true});
    if (!s)
        s = show(c, &o, b, one);
    hora_base_close(b);
    hora_options_release(&own, &o);
    return s;
}

const hora_command hora_command_methods = {.name = "methods",
                                           .summary =
                                               "Methods with their equations, options and defaults",
                                           .usage = "[NAME] [--model DIR] [--table] [--json]",
                                           .tables = {&own},
                                           .most = 1,
                                           .run = run};
