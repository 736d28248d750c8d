/* hora methods: the table of methods, from the registry; one of them; what each trains, and what a
 * step of it costs by the plan. */
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "model/family.h"
#include "nn/recording.h"
#include "peft/peft.h"
#include "run/open.h"
#include "tool/step_times.h"
#include "tool/tool.h"

typedef struct config {
    char *model, *families, *times;
    bool table;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(
        model, "model", NULL, NULL, "DIR",
        "say what each trains in this model, with its default options, and what a step costs "
        "against LoRA's; several: A,B,..; the step is that of the first"),
    OPT_STRING(families, "families", NULL, NULL, "DIRS",
               "say of which of these models' families each can train one: A,B,.."),
    OPT_STRING(
        times, "times", NULL, NULL, "FILES",
        "say what a step took against LoRA's: runs of bench/methods, a file of each set: A,B"),
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

/* --- on models -------------------------------------------------------------------------------- */
enum { MODELS = 16, SEQUENCES = 8, TOKENS = 128, TIMES = 4 };

typedef struct cost {
    double flops, bytes; /* of a step; of activations, gradients and moments */
} cost;
typedef struct models {
    hora_base *at[MODELS];
    int n;
    cost lora; /* on the first; flops 0: not there */
} models;

typedef struct source { /* what is said of every method */
    models models, families;
    hora_step_times times[TIMES];
    int ntimes;
} source;

/* The loss of a head, where there is one; else one on what the blocks give. */
static void outputs(hora_net *n, hora_t hidden, void *user) {
    const hora_base *b = user;
    const hora_head head = b->head >= 0 ? hora_net_head(n, hidden) : (hora_head){0};
    hora_graph_loss(n->g, b->head >= 0 ? hora_net_xent(n, &head, hidden) : hora_mse(n->g, hidden),
                    1);
}

/* A step over a few sequences, or pictures, nothing recomputed. The plan is that of the reference
 * kernels: what the fast ones take beside differs from processor to processor. */
static hora_status plan_cost(hora_base *b, hora_adapter *a, cost *out) {
    hora_device *d = NULL;
    hora_recording r = {0};
    const int64_t slots = hora_adapters_slots(&a, 1);
    if (b->vision)
        b->vision->slots = slots;
    const int64_t tokens = b->vision ? hora_vision_rows(b->vision) : TOKENS + slots;
    double work[HORA_WORKS] = {0};
    hora_status s;
    HORA_TRY(hora_device_open(&d, "host"));
    const hora_recording_parts parts = {.base = b,
                                        .adapters = &a,
                                        .nadapters = 1,
                                        .device = d,
                                        .backends = "ref",
                                        .rows = hora_round_up(SEQUENCES * tokens, 64),
                                        .mode = HORA_NET_TRAIN,
                                        .model = hora_model_record,
                                        .outputs = outputs,
                                        .user = b};
    hora_recording_init(&r, &parts);
    s = hora_graph_plan(r.g, &(hora_plan_options){.backward = true});
    if (!s) {
        const hora_full_work full = {SEQUENCES, tokens, tokens, b->family->encoder || b->vision};
        hora_graph_add_full_work(r.g, &full, work);
        *out = (cost){hora_graph_flops(r.g, work), (double)hora_graph_info(r.g)->arena +
                                                       12.0 * (double)hora_adapter_trainable(a)};
    }
    hora_recording_release(&r);
    hora_device_free(d);
    if (b->vision)
        b->vision->slots = 0;
    return s;
}

/* Trained numbers with the defaults; or why there are none. */
static hora_json *on_model(const hora_method *m, const models *all, int i) {
    hora_json *o = hora_json_new_object();
    hora_settings none = {0};
    hora_adapter *a = NULL;
    cost c = {0};
    hora_status s = hora_peft_attach(&a, all->at[i], m->name, &none, 0);
    hora_json_set(o, "model", hora_json_new_string(hora_path_base(all->at[i]->dir)));
    hora_json_set(o, "trained",
                  s ? hora_json_new_null() : hora_json_new_int(hora_adapter_trainable(a)));
    hora_json_set(o, "refused", s ? hora_json_new_string(hora_errmsg()) : hora_json_new_null());
    const bool asked = !i && all->lora.flops > 0 && !s;
    if (asked && plan_cost(all->at[0], a, &c)) {
        hora_json_set(o, "unplanned", hora_json_new_string(hora_errmsg()));
    } else if (asked) {
        hora_json_set(o, "step_against_lora", hora_json_new_real(c.flops / all->lora.flops));
        hora_json_set(o, "memory_against_lora", hora_json_new_real(c.bytes / all->lora.bytes));
    }
    hora_peft_detach(a);
    hora_settings_release(&none);
    return o;
}

/* It can be attached and recorded: a step of it can be planned. */
static bool works(const hora_method *m, hora_base *b) {
    hora_settings none = {0};
    hora_adapter *a = NULL;
    cost c;
    const bool yes = !hora_peft_attach(&a, b, m->name, &none, 0) && !plan_cost(b, a, &c);
    hora_peft_detach(a);
    hora_settings_release(&none);
    return yes;
}

/* Each family once, though several of its models may be there: one that works will do. */
static hora_json *family_names(const hora_method *m, const models *all) {
    hora_json *list = hora_json_new_array();
    const char *last = NULL;
    for (int i = 0; i < all->n; i++) {
        const char *name = all->at[i]->family->name;
        if (hora_eq(name, last) || !works(m, all->at[i]))
            continue;
        hora_json_push(list, hora_json_new_string(last = name));
    }
    return list;
}

static void measure_lora(models *all) {
    hora_settings none = {0};
    hora_adapter *a = NULL;
    if (all->n && !hora_peft_attach(&a, all->at[0], "lora", &none, 0) &&
        plan_cost(all->at[0], a, &all->lora))
        all->lora = (cost){0};
    hora_peft_detach(a);
    hora_settings_release(&none);
}

static hora_status open_model(hora_base **b, const char *dir, bool heads) {
    hora_base_options o = {.dtype = HORA_F32, .headers_only = true, .config_alone = true};
    hora_status s = hora_base_open(b, dir, &o);
    if (!s && (!heads || (*b)->head >= 0))
        return HORA_OK;
    if (!s)
        hora_base_close(*b);
    o.bare = true; /* an encoder, which writes no text */
    HORA_TRY(hora_base_open(b, dir, &o));
    if (heads &&
        (s = hora_base_head(*b, (*b)->vision ? "IMAGE_CLS" : "TOKEN_CLS", 3, false, false, 0))) {
        hora_base_close(*b);
        return s;
    }
    return HORA_OK;
}

/* heads: a model without one is there for a task, and gets one. */
static hora_status open_models(models *all, const char *list, bool heads) {
    hora_status s = HORA_OK;
    for (char *dir; !s && list && (dir = hora_list_word(&list, ",")); hora_free(dir)) {
        hora_base **b = &all->at[all->n];
        if (all->n == MODELS)
            s = hora_fail(HORA_EUSAGE, "more than %d models; give fewer", MODELS);
        else
            s = open_model(b, dir, heads);
        all->n += !s;
    }
    return s;
}

static hora_status read_times(source *from, const char *list) {
    hora_status s = HORA_OK;
    for (char *path; !s && list && (path = hora_list_word(&list, ",")); hora_free(path))
        s = from->ntimes == TIMES
                ? hora_fail(HORA_EUSAGE, "more than %d files of times; give fewer", TIMES)
                : hora_step_times_read(&from->times[from->ntimes++], path);
    return s;
}

static hora_status open_source(source *from, const config *o) {
    HORA_TRY(open_models(&from->models, o->model, false));
    measure_lora(&from->models);
    HORA_TRY(open_models(&from->families, o->families, true));
    return read_times(from, o->times);
}

static void release_source(source *from) {
    for (int i = 0; i < from->models.n; i++)
        hora_base_close(from->models.at[i]);
    for (int i = 0; i < from->families.n; i++)
        hora_base_close(from->families.at[i]);
    for (int i = 0; i < from->ntimes; i++)
        hora_step_times_release(&from->times[i]);
}

/* --- showing ---------------------------------------------------------------------------------- */
static hora_json *times_json(const hora_method *m, const source *from) {
    hora_json *o = hora_json_new_object();
    double ratio;
    for (int i = 0; i < from->ntimes; i++)
        hora_json_set(o, from->times[i].set,
                      hora_step_times_ratio(&from->times[i], m->name, &ratio)
                          ? hora_json_new_real(ratio)
                          : hora_json_new_null());
    return o;
}

static hora_json *method_json(const hora_method *m, const source *from) {
    const models *all = &from->models;
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "name", hora_json_new_string(m->name));
    hora_json_set(o, "summary", hora_json_new_string(m->summary));
    hora_json_set(o, "form", hora_json_new_string(m->form));
    hora_json_set(o, "paper", hora_cli_text_or_null(m->paper));
    hora_json_set(o, "alias", hora_cli_text_or_null(m->alias));
    hora_json_set(o, "alias_options", hora_cli_text_or_null(m->alias_options));
    hora_json_set(o, "default_lr", hora_json_new_real(m->default_lr));
    hora_json_set(o, "merges", hora_json_new_bool(m->merge != NULL));
    const char *rank = m->factors && !m->factors_rank ? "the rank" : m->factors_rank;
    hora_json_set(o, "plain_lora",
                  hora_cli_text_or_null(rank       ? "exact"
                                        : m->merge ? "nearest"
                                                   : NULL));
    hora_json_set(o, "plain_lora_rank", hora_cli_text_or_null(rank));
    hora_json_set(o, "exports", hora_json_new_bool(rank != NULL));
    hora_json_set(o, "unrouted", hora_cli_text_or_null(m->unrouted));
    hora_json_set(o, "saved_as", hora_json_new_string(hora_method_export(m)));
    if (all->n) {
        hora_json *list = hora_json_set(o, "models", hora_json_new_array());
        for (int i = 0; i < all->n; i++)
            hora_json_push(list, on_model(m, all, i));
    }
    if (from->families.n)
        hora_json_set(o, "families", family_names(m, &from->families));
    if (from->ntimes)
        hora_json_set(o, "time_against_lora", times_json(m, from));
    hora_json_set(o, "options", options_json(m->options));
    return o;
}

static bool says(const hora_json *m, const char *key) {
    bool yes = false;
    hora_json_bool(hora_json_get(m, key), &yes);
    return yes;
}

static bool merges(const hora_json *m) {
    return says(m, "merges");
}

/* How far it is a LoRA to others. */
static void print_lora(const hora_json *m) {
    const char *rank = hora_cli_text(m, "plain_lora_rank");
    if (says(m, "exports"))
        printf("  exports as a plain LoRA, exact; its rank: %s\n", rank);
    else if (merges(m))
        printf("  no plain LoRA; `hora convert --to lora:N` makes the nearest of rank N where it "
               "changes projections alone\n");
}

static void print_model(const hora_json *m) {
    int64_t n;
    double step;
    if (hora_json_int(hora_json_get(m, "trained"), &n))
        printf("  trains %lld numbers of %s\n", (long long)n, hora_cli_text(m, "model"));
    else if (*hora_cli_text(m, "refused"))
        printf("  not on %s as it stands: %s\n", hora_cli_text(m, "model"),
               hora_cli_text(m, "refused"));
    if (hora_json_real(hora_json_get(m, "step_against_lora"), &step))
        printf("  a step computes %.2f and takes %.2f of what LoRA's does\n", step,
               hora_cli_number(m, "memory_against_lora"));
    else if (*hora_cli_text(m, "unplanned"))
        printf("  no step of it could be planned: %s\n", hora_cli_text(m, "unplanned"));
}

static void put_families(const hora_json *list, hora_str *out) {
    for (size_t i = 0; i < hora_json_len(list); i++)
        hora_str_printf(out, "%s%s", i ? ", " : "", hora_json_string(hora_json_at(list, i), NULL));
    if (!out->n)
        hora_str_puts(out, "-");
}

static void print_more(const hora_json *m) {
    const hora_json *times = hora_json_get(m, "time_against_lora");
    const hora_json *list = hora_json_get(m, "families");
    hora_str text = {0};
    put_families(list, &text);
    if (list)
        printf("  trains models of %s\n", text.s);
    hora_str_release(&text);
    for (void *it = hora_json_iter(times); it; it = hora_json_next(times, it)) {
        double ratio;
        if (hora_json_real(hora_json_iter_value(it), &ratio))
            printf("  a step on %s took %.2f of the time of LoRA's\n", hora_json_iter_key(it),
                   ratio);
    }
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
    print_lora(m);
    if (*hora_cli_text(m, "unrouted"))
        printf("  not for one task of several: %s\n", hora_cli_text(m, "unrouted"));
    for (size_t i = 0; i < hora_json_len(hora_json_get(m, "models")); i++)
        print_model(hora_json_at(hora_json_get(m, "models"), i));
    print_more(m);
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

static void print_ratio(const hora_json *model, const char *name) {
    double x;
    if (hora_json_real(hora_json_get(model, name), &x))
        printf(" %.2f |", x);
    else
        printf(" - |");
}

static void print_row(const hora_json *m) {
    const hora_json *list = hora_json_get(m, "models");
    const char *name = hora_cli_text(m, "name"), *paper = hora_cli_text(m, "paper");
    const hora_json *times = hora_json_get(m, "time_against_lora");
    const hora_json *families = hora_json_get(m, "families");
    printf("| [%s](%s.md) | %s |", name, name, hora_cli_text(m, "summary"));
    for (size_t i = 0; i < hora_json_len(list); i++) {
        int64_t n;
        if (hora_json_int(hora_json_get(hora_json_at(list, i), "trained"), &n))
            printf(" %lld |", (long long)n);
        else
            printf(" - |");
    }
    if (hora_json_len(list)) {
        print_ratio(hora_json_at(list, 0), "step_against_lora");
        print_ratio(hora_json_at(list, 0), "memory_against_lora");
    }
    for (void *it = hora_json_iter(times); it; it = hora_json_next(times, it))
        print_ratio(times, hora_json_iter_key(it));
    if (families) {
        hora_str text = {0};
        put_families(families, &text);
        printf(" %s |", text.s);
        hora_str_release(&text);
    }
    printf(" %s | %s | %s |\n", merges(m) ? "yes" : "no", hora_cli_text(m, "saved_as"),
           *paper ? paper : "-");
}

static void print_head(const source *from) {
    const models *all = &from->models;
    printf("| method | what it does |");
    for (int i = 0; i < all->n; i++)
        printf(" %s |", hora_path_base(all->at[i]->dir));
    printf("%s", all->n ? " step | memory |" : "");
    for (int i = 0; i < from->ntimes; i++)
        printf(" time, %s |", from->times[i].set);
    printf("%s merges | folder | paper |\n|---|---|", from->families.n ? " families |" : "");
    for (int i = 0; i < all->n + from->ntimes + (all->n ? 2 : 0); i++)
        printf("---:|");
    printf("%s---|---|---|\n", from->families.n ? "---|" : "");
}

static hora_status show(hora_cli *c, const config *o, const source *from, const hora_method *one) {
    if (o->table && !c->json)
        print_head(from);
    for (int i = 0, shown = 0; i < hora_method_count(); i++) {
        const hora_method *m = hora_method_at(i);
        if (one && m != one)
            continue;
        if (shown++ && !c->json && !o->table)
            putchar('\n');
        hora_cli_show(c, method_json(m, from), o->table ? print_row : print);
    }
    return HORA_OK;
}

static void nowhere(void *user, int level, const char *text) {
    (void)user;
    (void)level;
    (void)text;
}

static hora_status run(hora_cli *c) {
    config o;
    source from = {0};
    const hora_method *one = NULL;
    HORA_TRY(hora_options_take(&own, &o, &c->settings));
    hora_status s = HORA_OK;
    if (c->nrest && !(one = hora_method_named(c->rest[0])))
        s = hora_method_unknown(c->rest[0]);
    if (!s)
        s = open_source(&from, &o);
    if (!one || from.families.n) /* what an attach remarks has no place in a list */
        hora_log_sink(nowhere, NULL);
    if (!s)
        s = show(c, &o, &from, one);
    hora_log_sink(NULL, NULL);
    release_source(&from);
    hora_options_release(&own, &o);
    return s;
}

const hora_command hora_command_methods = {
    .name = "methods",
    .summary = "Methods with their equations, options and defaults",
    .usage = "[NAME] [--model DIR] [--families DIRS] [--times FILES] "
             "[--table] [--json]",
    .tables = {&own},
    .most = 1,
    .run = run};
