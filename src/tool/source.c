/* --model and --adapter: what they name, and opening it. */
#include <math.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tool/tool.h"

typedef struct source {
    char *model, *adapter;
    int prefer;
    bool any_base;
} source;
#define OPT_OF source
static const hora_option rows[] = {
    OPT_STRING(model, "model", NULL, NULL, "DIR",
               "model directory as Hugging Face writes it, or a GGUF file"),
    OPT_FILES(adapter, "adapter", NULL, NULL, "DIR[:X]",
              "adapter directory: an OUT of train, a checkpoint, or PEFT's; may be given several "
              "times, DIR:0.5 counts half"),
    OPT_CHOICE(prefer, "prefer", NULL, "none", "none native materialised",
               "which one counts when an adapter's native state and its PEFT file differ"),
    OPT_BOOL(any_base, "any_base", NULL, "false",
             "an adapter that was trained on another base is used with a warning"),
};
const hora_options hora_cli_source_options = {"Model and adapter", rows, HORA_COUNT(rows)};

/* --- what they name --------------------------------------------------------------------------- */
/* "DIR" or "DIR:X"; a folder whose name ends in such a number is meant as it is. */
static hora_status parse(hora_adapter_source *from, const char *text) {
    const char *colon = strrchr(text, ':');
    double weight;
    bool there;
    *from = (hora_adapter_source){.dir = hora_strdup(text), .weight = 1};
    if (!colon || colon == text || !hora_parse_double(colon + 1, &weight))
        return HORA_OK;
    HORA_TRY(hora_path_is_there(text, &there));
    if (there)
        return HORA_OK;
    from->dir[colon - text] = 0;
    from->weight = weight;
    return HORA_OK;
}

/* OUT/NAME: one of the adapters of OUT. */
static hora_status find_home(hora_adapter_source *from) {
    char *home;
    HORA_TRY(hora_adapters_home(from->dir, &home, &from->only));
    hora_free(from->dir);
    from->dir = home;
    return HORA_OK;
}

hora_status hora_cli_sources_of(hora_cli_sources *c, const hora_settings *s) {
    *c = (hora_cli_sources){0};
    int cap = 0;
    hora_status st = HORA_OK;
    for (int i = 0; i < s->n && !st; i++) {
        if (!hora_eq(s->at[i].key, "adapter"))
            continue;
        const char *p = s->at[i].value, *one;
        size_t n;
        while (!st && hora_list_next(&p, "\n", &one, &n)) {
            char *text = hora_strndup(one, n);
            HORA_PUSH(c->adapters, c->n, cap, ((hora_adapter_source){0}));
            st = parse(&c->adapters[c->n - 1], text);
            if (!st)
                st = find_home(&c->adapters[c->n - 1]);
            hora_free(text);
        }
    }
    c->in = hora_calloc((size_t)c->n + 1 + HORA_CLI_MORE_INPUTS, sizeof *c->in);
    c->in[c->nin++] = (hora_input){"model", hora_settings_get(s, "model")};
    for (int i = 0; i < c->n; i++)
        c->in[c->nin++] = (hora_input){"adapter", c->adapters[i].dir};
    return st;
}

void hora_cli_sources_free(hora_cli_sources *c) {
    for (int i = 0; i < c->n; i++) {
        hora_free(c->adapters[i].dir);
        hora_free(c->adapters[i].only);
    }
    hora_free(c->adapters);
    hora_free(c->in);
    *c = (hora_cli_sources){0};
}

hora_status hora_cli_sources_adapters(const hora_cli_sources *c) {
    HORA_TRY(hora_cli_required("adapter", c->n ? c->adapters[0].dir : NULL,
                               "an OUT of train, a checkpoint, or PEFT's"));
    for (int i = 0; i < c->n; i++)
        if (hora_peft_is_model(c->adapters[i].dir))
            return hora_fail(HORA_EUSAGE,
                             "%s is a whole model (method full), no adapter: there is nothing to "
                             "merge or to write as one, use it with --model",
                             c->adapters[i].dir);
    return HORA_OK;
}

hora_status hora_cli_out(hora_outdir **o, const char *dir, bool overwrite,
                         const hora_cli_sources *from) {
    const hora_outdir_how how = {.mode = overwrite ? HORA_OUT_REPLACE : HORA_OUT_NEW,
                                 .advice = "give another --out or --overwrite",
                                 .in = from->in,
                                 .n = from->nin};
    return hora_outdir_open(o, dir, &how);
}

/* --- opening ---------------------------------------------------------------------------------- */
/* What is asked of a model: its answers, which records may choose an adapter for (ROUTED), the
 * features under its head, or adapters that never work together. */
typedef enum { ANSWERS, ROUTED, FEATURES, APART } opening;

/* What adapters of several folders do that each alone does not; first: of each folder. */
static void say_together(const hora_model *m, const int *first, const hora_cli_sources *from,
                         opening how) {
    int tasks = 0;
    for (int i = 0; i < m->n; i++)
        tasks += m->adapters[i]->task != NULL;
    for (int f = 0; f < from->n && tasks; f++)
        for (int i = first[f]; i < first[f + 1]; i++)
            if (how == ROUTED && !m->adapters[i]->task)
                hora_warn("--adapter %s: `%s` is for all records, those of the other folders too",
                          from->adapters[f].dir, m->adapters[i]->name);
            else if (how != ROUTED && m->adapters[i]->task)
                hora_warn("--adapter %s: `%s` is for task `%s`; here no record names one, so it is "
                          "on in all, together with the others",
                          from->adapters[f].dir, m->adapters[i]->name, m->adapters[i]->task);
}

/* A folder of several tasks says whose each adapter is; nobody asks that of those that are taken
 * one by one, by their names. */
static hora_status load(hora_model *m, const hora_cli_sources *from, int prefer, opening how) {
    static const char *const names[] = {NULL, "native", "materialised"};
    for (int i = 0; i < from->n; i++)
        for (int k = 0; k < i; k++)
            if (hora_eq(from->adapters[k].dir, from->adapters[i].dir) &&
                hora_eq(from->adapters[k].only, from->adapters[i].only))
                hora_warn("--adapter %s is given twice: it counts twice, each time by its weight",
                          from->adapters[i].dir);
    const bool named = how == APART && (from->n > 1 || (from->n && from->adapters[0].only));
    int *first = hora_calloc((size_t)from->n + 1, sizeof *first);
    hora_status s = HORA_OK;
    for (int i = 0; i < from->n && !s; i++) {
        s = hora_model_load_adapters(m, &from->adapters[i], names[prefer], from->n > 1);
        first[i + 1] = m->n;
    }
    if (!s && from->n > 1 && !named)
        say_together(m, first, from, how);
    for (int i = 0; i < from->n && !s && how != ROUTED && !named; i++)
        s = hora_adapters_one_task(m->adapters + first[i], first[i + 1] - first[i],
                                   from->adapters[i].dir);
    hora_free(first);
    if (!s && how == ROUTED)
        s = hora_adapters_route(m->adapters, m->n); /* those of all folders */
    return !s && !m->apart ? hora_adapters_check(m->adapters, m->n) : s;
}

/* A whole model in the place of an adapter stands for itself, and alone. */
static hora_status open_from(hora_model **m, hora_settings *s, const hora_cli_sources *from,
                             const source *c, opening how) {
    const char *first = from->n ? from->adapters[0].dir : NULL;
    if (from->n == 1 && from->adapters[0].weight == 1 && hora_peft_is_model(first))
        return hora_model_open_with(m, first, s, NULL);
    if (from->n)
        HORA_TRY(hora_cli_sources_adapters(from));
    HORA_TRY(hora_model_open_with(m, from->in[0].path, s, first));
    HORA_TRY(how == FEATURES ? hora_open_features(&(*m)->opened)
                             : hora_open_settle(&(*m)->opened, NULL, NULL, false, 0));
    (*m)->apart = how == APART;
    (*m)->base->any_base = c->any_base;
    return load(*m, from, c->prefer, how);
}

static hora_status open_source(hora_model **m, hora_settings *s, opening how) {
    source c = {0};
    hora_cli_sources from;
    hora_status st = hora_cli_sources_of(&from, s);
    if (st == HORA_OK)
        st = hora_options_take(&hora_cli_source_options, &c, s);
    if (st == HORA_OK)
        st = hora_cli_required("model", c.model, "a model directory");
    if (st == HORA_OK)
        st = open_from(m, s, &from, &c, how);
    if (st == HORA_OK && how != FEATURES)
        st = hora_open_trained(&(*m)->opened, (*m)->adapters, (*m)->n);
    hora_options_release(&hora_cli_source_options, &c);
    hora_cli_sources_free(&from);
    return st;
}

hora_status hora_cli_open(hora_model **m, hora_settings *s) {
    return open_source(m, s, ANSWERS);
}

hora_status hora_cli_open_routed(hora_model **m, hora_settings *s) {
    return open_source(m, s, ROUTED);
}

hora_status hora_cli_open_apart(hora_model **m, hora_settings *s) {
    return open_source(m, s, APART);
}

hora_status hora_cli_open_features(hora_model **m, hora_settings *s) {
    return open_source(m, s, FEATURES);
}

/* Settings without `dtype`, which meant what is written, and with another. */
static hora_status open_in(hora_model **m, const hora_settings *s, const char *dtype) {
    hora_settings as = {0};
    for (int i = 0; i < s->n; i++)
        if (!hora_eq(s->at[i].key, "dtype"))
            hora_settings_put(&as, s->at[i].key, s->at[i].value, s->at[i].origin);
    hora_settings_put(&as, "dtype", dtype, "program");
    const hora_status bad = hora_cli_open(m, &as);
    hora_settings_release(&as);
    return bad;
}

hora_status hora_cli_open_f32(hora_model **m, hora_settings *s) {
    return open_in(m, s, "f32");
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
    return open_in(m, s, bf16 ? "bf16" : "f32");
}
