/*
 * The front door: models and adapters. Handles are thin: they hold the rooms' own objects together,
 * turn option text into settings and refuse what nobody took.
 */
#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "infer/forward.h"
#include "task/task.h"

/* --- models ----------------------------------------------------------------------------------- */
typedef struct model_config {
    int dtype;    /* choice */
    int quantize; /* choice */
    bool double_quant, quantize_cache;
    char *device; /* NULL: as hora_device_open has it */
    char *task;
    int64_t frames;
    int frame_attention; /* HORA_FRAMES_AUTO .. */
} model_config;
#define OPT_OF model_config
static const hora_option model_rows[] = {
    OPT_CHOICE(dtype, "dtype", NULL, "auto", "auto f32 f64 bf16",
               "of weights and activations; auto is f32"),
    OPT_CHOICE(quantize, "quantize", NULL, "none", HORA_QUANTIZE_NAMES,
               "frozen matrices become blocks of this type as the model is opened"),
    OPT_BOOL(double_quant, "double_quant", "bnb_4bit_use_double_quant", "false",
             "nf4: its scales rounded to 8 bits too, as QLoRA's double quantization does",
             .with = "quantize=nf4"),
    OPT_BOOL(quantize_cache, "quantize_cache", NULL, "false",
             "keep those blocks beside the model, in hora-TYPE.safetensors, and take them from "
             "there the next time"),
    OPT_STRING(device, "device", NULL, NULL, "NAME",
               "where it is computed: host (or cpu) or cuda; unset: the host"),
    OPT_STRING(task, "task", "task_type", NULL, "NAME",
               "what the model is used for: " HORA_TASK_NAMES
               "; unset: what its class or the adapter is made for"),
    OPT_INT(frames, "frames", NULL, NULL, 2, HORA_FRAMES_MOST,
            "clips, folders of frames, for a model of pictures: so many frames of each; unset: "
            "what model or adapter says, else pictures"),
    OPT_CHOICE(frame_attention, "frame_attention", NULL, "auto", HORA_FRAMES_NAMES,
               "apart: each frame is a picture, and logits their mean; joint: tokens see the "
               "pieces of all frames; auto: what model or adapter says, else apart"),
};
const hora_options hora_model_options = {"Model", model_rows, HORA_COUNT(model_rows)};

hora_status hora_model_open_with(hora_model **out, const char *dir, hora_settings *s,
                                 const char *adapter) {
    static const hora_dtype dtypes[] = {HORA_F32, HORA_F32, HORA_F64, HORA_BF16};
    model_config c;
    HORA_TRY(hora_options_take(&hora_model_options, &c, s));
    const hora_open_options o = {.dtype = dtypes[c.dtype],
                                 .quantize = hora_quantize_type(c.quantize),
                                 .double_quant = c.double_quant,
                                 .quantize_cache = c.quantize_cache,
                                 .task = c.task,
                                 .frames = c.frames,
                                 .frame_attention = c.frame_attention,
                                 .adapter = adapter};
    hora_model *m = hora_calloc(1, sizeof *m);
    hora_status st = hora_device_open(&m->device, c.device);
    if (!st)
        st = hora_open_model(&m->opened, dir, &o);
    if (!st && m->opened.objective.own_classes)
        st = hora_open_settle(&m->opened, NULL, NULL, false, 0);
    hora_options_release(&hora_model_options, &c);
    if (st) {
        hora_open_close(&m->opened);
        hora_device_free(m->device);
        hora_free(m);
        return st;
    }
    m->base = m->opened.base;
    *out = m;
    return HORA_OK;
}

hora_status hora_model_open(hora_model **out, const char *dir, const char *options) {
    hora_settings s;
    hora_model *m = NULL;
    hora_status st = hora_settings_of(&s, options);
    if (st == HORA_OK)
        st = hora_model_open_with(&m, dir, &s, NULL);
    st = hora_settings_done(st, &s, (const hora_options *[]){&hora_model_options}, 1);
    if (st != HORA_OK)
        hora_model_close(m);
    else
        *out = m;
    return st;
}

void hora_model_close(hora_model *m) {
    if (!m)
        return;
    while (m->n)
        hora_adapter_detach(m->adapters[m->n - 1]);
    hora_device_free(m->device);
    hora_open_close(&m->opened);
    for (int i = 0; i < m->nmerged; i++)
        hora_free(m->merged[i]);
    hora_free(m->merged);
    hora_list_free(m->loaded, m->nloaded);
    hora_free(m->adapters);
    hora_free(m);
}

hora_status hora_model_info(const hora_model *m, const char *key, double *value) {
    const hora_base *b = m->base;
    int64_t trainable = 0;
    for (int i = 0; i < m->n; i++)
        trainable += hora_adapter_trainable(m->adapters[i]);
    const struct {
        const char *key;
        int64_t value;
    } facts[] = {{"parameters", hora_base_parameters(b)},
                 {"trainable", trainable},
                 {"vocab", b->vocab},
                 {"hidden", b->hidden},
                 {"layers", b->layers},
                 {"heads", b->heads},
                 {"kv_heads", b->kv_heads},
                 {"head_dim", b->head_dim},
                 {"max_positions", b->max_positions}};
    for (size_t i = 0; i < HORA_COUNT(facts); i++)
        if (hora_eq(key, facts[i].key)) {
            *value = (double)facts[i].value;
            return HORA_OK;
        }
    return hora_fail(HORA_ENOTFOUND,
                     "a model has no `%s`; ask for parameters, trainable, vocab, hidden, layers, "
                     "heads, kv_heads, head_dim or max_positions",
                     key ? key : "");
}

hora_status hora_model_tokenizer(hora_model *m, const hora_tokenizer **tok,
                                 const hora_template **tmpl) {
    HORA_TRY(tmpl ? hora_open_chat(&m->opened, NULL) : hora_open_tokenizer(&m->opened));
    *tok = m->opened.tokenizer;
    if (tmpl)
        *tmpl = m->opened.chat;
    return HORA_OK;
}

/* --- adapters --------------------------------------------------------------------------------- */
static void enlist(hora_model *m, hora_adapter *a) {
    a->owner = m;
    HORA_PUSH(m->adapters, m->n, m->cap, a);
}

static void delist(hora_adapter *a) {
    hora_model *m = a->owner;
    int at = 0;
    while (at < m->n && m->adapters[at] != a)
        at++;
    for (m->n -= at < m->n; at < m->n; at++)
        m->adapters[at] = m->adapters[at + 1];
}

hora_status hora_model_attach(hora_adapter **out, hora_model *m, const char *method,
                              hora_settings *s) {
    struct config {
        int64_t seed;
    } c;
#undef OPT_OF
#define OPT_OF struct config
    static const hora_option rows[] = {
        OPT_INT(seed, "seed", NULL, "42", 0, 0, "of the initial values"),
    };
    static const hora_options table = {"Adapter", rows, 1};
    hora_adapter *a = NULL;
    HORA_TRY(hora_options_take(&table, &c, s));
    HORA_TRY(hora_open_settle(&m->opened, NULL, NULL, true, (uint64_t)c.seed));
    m->base->head_trains = true; /* of this adapter; one that is loaded says for itself */
    hora_status st = hora_peft_attach(&a, m->base, method, s, (uint64_t)c.seed);
    m->base->head_trains = false;
    HORA_TRY(st);
    st = hora_adapter_allocate(a);
    if (st != HORA_OK) {
        hora_peft_detach(a);
        return st;
    }
    enlist(m, a);
    *out = a;
    return HORA_OK;
}

hora_status hora_adapter_attach(hora_adapter **out, hora_model *m, const char *method,
                                const char *options) {
    hora_settings s;
    hora_adapter *a = NULL;
    hora_status st = hora_settings_of(&s, options);
    if (st == HORA_OK)
        st = hora_model_attach(&a, m, method, &s);
    const hora_method *row = hora_method_named(method);
    st = hora_settings_done(
        st, &s, (const hora_options *[]){&hora_adapter_options, row ? row->options : NULL},
        row && row->options ? 2 : 1);
    if (st == HORA_OK)
        *out = a;
    else
        hora_adapter_detach(a);
    return st;
}

hora_status hora_model_load_adapter(hora_adapter **out, hora_model *m, const char *dir,
                                    const char *prefer) {
    char *folder;
    HORA_TRY(hora_adapters_one(&folder, dir, NULL));
    const hora_status bad = hora_peft_load(out, m->base, folder, prefer);
    if (bad) {
        hora_free(folder);
        return bad;
    }
    for (int i = 0; i < m->n; i++)
        if (hora_eq(m->adapters[i]->name, (*out)->name)) {
            hora_adapters_name(*out, dir, m->adapters, m->n);
            break;
        }
    enlist(m, *out);
    const hora_status s = hora_adapters_check(m->adapters, m->n);
    if (s) {
        hora_free(folder);
        hora_adapter_detach(*out);
        return s;
    }
    HORA_PUSH(m->loaded, m->nloaded, m->cloaded, folder);
    return HORA_OK;
}

/* What is on for all records comes along with each adapter of its folder, and counts once. */
static bool is_here(const hora_model *m, const char *dir, const hora_adapter *a) {
    bool open = false, named = false;
    for (int i = 0; i < m->nloaded; i++)
        open |= hora_eq(m->loaded[i], dir);
    for (int i = 0; i < m->n; i++)
        named |= hora_eq(m->adapters[i]->name, a->name);
    return open && named && !a->task;
}

hora_status hora_model_load_adapters(hora_model *m, const hora_adapter_source *from,
                                     const char *prefer, bool several) {
    hora_adapter **at;
    const char *dir = from->dir;
    int n;
    HORA_TRY(hora_adapters_load(&at, &n, m->base, dir, from->only, prefer));
    int kept = 0;
    bool twice = false;
    for (int i = 0; i < n; i++)
        if (from->only && is_here(m, dir, at[i])) {
            twice |= hora_eq(at[i]->name, from->only);
            hora_peft_detach(at[i]);
        } else {
            at[kept++] = at[i];
        }
    n = kept;
    if (twice) {
        hora_free(at);
        return hora_fail(HORA_EUSAGE,
                         "adapter `%s` of %s is here already, by itself or with one of a task; "
                         "leave it out",
                         from->only, dir);
    }
    for (int i = 0; i < n; i++)
        enlist(m, at[i]);
    for (int i = 0; i < n && several; i++)
        hora_adapters_name(at[i], i || from->only ? at[i]->name : dir, m->adapters, m->n);
    hora_status s = m->apart ? HORA_OK : hora_adapters_check(m->adapters, m->n);
    for (int i = 0; i < n && s == HORA_OK; i++)
        s = hora_peft_weigh(at[i], from->weight);
    HORA_PUSH(m->loaded, m->nloaded, m->cloaded, hora_strdup(dir));
    hora_free(at);
    return s;
}

hora_status hora_adapter_load(hora_adapter **out, hora_model *m, const char *dir,
                              const char *options) {
    typedef struct config {
        int prefer;
        double weight;
        bool any_base;
    } config;
#undef OPT_OF
#define OPT_OF config
    static const hora_option rows[] = {
        OPT_CHOICE(prefer, "prefer", NULL, "none", "none native materialised",
                   "which one counts when native state and adapter differ"),
        OPT_REAL(weight, "weight", NULL, "1", -1e6, 1e6, "how much of what it changes counts"),
        OPT_BOOL(any_base, "any_base", NULL, "false",
                 "one that was trained on another base is used with a warning"),
    };
    static const hora_options table = {"Adapter", rows, HORA_COUNT(rows)};
    static const char *const names[] = {NULL, "native", "materialised"};
    hora_settings s;
    config c = {0};
    hora_status st = hora_settings_of(&s, options);
    if (st == HORA_OK)
        st = hora_options_take(&table, &c, &s);
    st = hora_settings_done(st, &s, (const hora_options *[]){&table}, 1);
    if (st == HORA_OK)
        m->base->any_base = c.any_base;
    if (st == HORA_OK)
        st = hora_model_load_adapter(out, m, dir, names[c.prefer]);
    if (st == HORA_OK && (st = hora_peft_weigh(*out, c.weight)))
        hora_adapter_detach(*out);
    return st;
}

hora_status hora_adapter_save(hora_adapter *a, const char *dir) {
    const hora_input in[] = {{"model", a->base->dir}};
    const hora_outdir_how how = {.mode = HORA_OUT_ADD, .in = in, .n = 1};
    hora_outdir *o;
    const char *stage;
    HORA_TRY(hora_outdir_open(&o, dir, &how));
    hora_status s;
    HORA_TRY_OUT(s, hora_outdir_begin(o));
    HORA_TRY_OUT(s, hora_outdir_stage(o, &stage));
    HORA_TRY_OUT(s, hora_adapters_save(&a, 1, stage, NULL));
    s = hora_outdir_take(o);
out:
    hora_outdir_close(o);
    return s;
}

/* Folds every enabled adapter into one set of weights. *out has an entry per weight, NULL where
 * nothing changes. */
static hora_status merge_all(hora_model *m, float ***out) {
    HORA_TRY(hora_base_finite(m->base));
    float **all = hora_calloc((size_t)m->base->nweights + 1, sizeof *all);
    hora_adapter **on = hora_calloc((size_t)m->n + 1, sizeof *on);
    int n = 0;
    for (int i = 0; i < m->n; i++)
        if (hora_adapter_on(m->adapters[i]))
            on[n++] = m->adapters[i];
    hora_status s = hora_peft_merge(on, n, all);
    hora_free(on);
    if (s != HORA_OK)
        hora_base_free_merged(m->base, all);
    else
        *out = all;
    return s;
}

/* A head that got values of its own is tied no more, for whoever saves the model. */
static void forget_tie(hora_base *b) {
    if (!b->tied || b->weights[b->head].tied)
        return;
    b->tied = false;
    hora_json_set(b->config, "tie_word_embeddings", hora_json_new_bool(false));
}

hora_status hora_adapter_merge(hora_adapter *a) {
    hora_model *m = a->owner;
    hora_base *b = m->base;
    if (b->dtype != HORA_F32)
        return hora_fail(HORA_EUNSUPPORTED,
                         "merging in memory works in f32; open the model with dtype=f32");
    float **merged = hora_calloc((size_t)b->nweights + 1, sizeof *merged);
    hora_status s = hora_peft_merge(&a, 1, merged);
    if (s != HORA_OK) {
        hora_base_free_merged(b, merged);
        return s;
    }
    for (int w = 0; w < b->nweights; w++) {
        if (!merged[w])
            continue;
        hora_device_drop(m->device, b->weights[w].view.data);
        HORA_PUSH(m->merged, m->nmerged, m->cmerged, merged[w]);
    }
    hora_base_put_merged(b, merged, NULL);
    forget_tie(b);
    b->hash = 0;
    hora_free(merged);
    hora_adapter_detach(a);
    return HORA_OK;
}

hora_status hora_adapter_weigh(hora_adapter *a, double weight) {
    return hora_peft_weigh(a, weight);
}

void hora_adapter_enable(hora_adapter *a, bool on) {
    a->enabled = on;
}

void hora_adapter_detach(hora_adapter *a) {
    if (!a)
        return;
    delist(a);
    hora_peft_detach(a);
}

/* --- whole models ----------------------------------------------------------------------------- */
typedef struct export_config {
    int dtype;
    bool overwrite;
} export_config;
#undef OPT_OF
#define OPT_OF export_config
static const hora_option export_rows[] = {
    OPT_CHOICE(dtype, "dtype", NULL, "f32", "f32 bf16 source",
               "of the written weights; source: each as it is, and in the source's shards"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace a directory that exists"),
};
static const hora_options export_options = {"Export", export_rows, HORA_COUNT(export_rows)};

static hora_status fill(const char *stage, const hora_base *b, float *const *replace,
                        hora_dtype dtype, const char *companions) {
    HORA_TRY(dtype == HORA_DTYPE_OTHER ? hora_base_save_like(b, stage, replace)
                                       : hora_base_save(b, stage, replace, dtype));
    return companions ? hora_copy_companions(companions, stage) : HORA_OK;
}

hora_status hora_write_model(const hora_base *b, const char *dir, float *const *replace,
                             hora_dtype dtype, const char *companions, bool overwrite,
                             const hora_input *in, int n) {
    const hora_outdir_how how = {.mode = overwrite ? HORA_OUT_REPLACE : HORA_OUT_NEW,
                                 .advice = "choose another or say overwrite",
                                 .in = in,
                                 .n = n};
    hora_outdir *o;
    const char *stage;
    HORA_TRY(hora_outdir_open(&o, dir, &how));
    const hora_dtype size = dtype == HORA_DTYPE_OTHER ? b->dtype : dtype;
    hora_status s =
        hora_check_writable(dir, (uint64_t)hora_base_parameters(b) * hora_dtype_size(size));
    if (s == HORA_OK)
        s = hora_outdir_enter(o, &stage);
    if (s == HORA_OK)
        s = hora_outdir_leave(o, fill(stage, b, replace, dtype, companions));
    hora_outdir_close(o);
    return s;
}

/* Model and loaded adapters: what an export must not touch. */
static int inputs_of(const hora_model *m, hora_input **out) {
    int n = 0;
    *out = hora_calloc((size_t)m->nloaded + 1, sizeof **out);
    (*out)[n++] = (hora_input){"model", m->base->dir};
    for (int i = 0; i < m->nloaded; i++)
        (*out)[n++] = (hora_input){"adapter", m->loaded[i]};
    return n;
}

static bool was_merged(const hora_model *m, const void *data) {
    for (int i = 0; i < m->nmerged; i++)
        if (m->merged[i] == data)
            return true;
    return false;
}

/* Weights that were merged in memory are new to the files, whatever is attached now. */
static void add_merged(const hora_model *m, float **all) {
    for (int w = 0; w < m->base->nweights; w++) {
        const hora_view *v = &m->base->weights[w].view;
        if (all[w] || !was_merged(m, v->data))
            continue;
        all[w] = hora_malloc(hora_view_bytes(v));
        memcpy(all[w], v->data, hora_view_bytes(v));
    }
}

hora_status hora_model_export(hora_model *m, const char *dir, const char *options) {
    static const hora_dtype dtypes[] = {HORA_F32, HORA_BF16, HORA_DTYPE_OTHER};
    hora_settings s;
    export_config c = {0};
    float **merged = NULL;
    hora_status st = hora_settings_of(&s, options);
    if (st == HORA_OK)
        st = hora_options_take(&export_options, &c, &s);
    st = hora_settings_done(st, &s, (const hora_options *[]){&export_options}, 1);
    if (st == HORA_OK)
        st = merge_all(m, &merged);
    if (st == HORA_OK)
        add_merged(m, merged);
    hora_input *in;
    const int n = inputs_of(m, &in);
    if (st == HORA_OK)
        st = hora_write_model(m->base, dir, merged, dtypes[c.dtype], hora_base_words(m->base),
                              c.overwrite, in, n);
    hora_free(in);
    hora_base_free_merged(m->base, merged);
    return st;
}

/* Logits of the batch with the given adapters, on a device of their own. */
static hora_status logits_of(hora_model *m, hora_forward_batch *batch, bool adapters,
                             float *logits) {
    hora_forward f = hora_model_forward(m);
    f.nadapters = adapters ? m->n : 0;
    f.device = hora_device_new();
    f.logits = logits;
    hora_status s = hora_forward_run(&f, batch);
    hora_device_free(f.device);
    return s;
}

hora_forward hora_model_forward(const hora_model *m) {
    return (hora_forward){.base = m->base,
                          .objective = &m->opened.objective,
                          .adapters = m->adapters,
                          .nadapters = m->n,
                          .device = m->device};
}

hora_status hora_model_verify(hora_model *m, int tokens, double *difference) {
    hora_base *b = m->base;
    float **merged = NULL;
    hora_forward_batch batch = {.b = 1, .t = hora_max(tokens, 1)};
    const hora_forward shaped = {.base = b, .objective = &m->opened.objective};
    const hora_shape shape = hora_forward_logits(&shaped, &batch);
    const size_t n = (size_t)hora_shape_elems(&shape);
    hora_rng r = hora_rng_new(42, "verify");
    hora_view *old = hora_calloc((size_t)b->nweights + 1, sizeof *old);
    float *x = hora_calloc(2 * n, sizeof *x), *y = x + n;
    batch.ids = hora_calloc((size_t)batch.t, sizeof *batch.ids);
    for (int64_t i = 0; i < batch.t; i++)
        batch.ids[i] = (int32_t)hora_rng_below(&r, b->vocab);
    hora_status s = logits_of(m, &batch, true, x);
    if (s == HORA_OK)
        s = merge_all(m, &merged);
    if (s == HORA_OK) {
        hora_base_put_merged(b, merged, old);
        s = logits_of(m, &batch, false, y);
        hora_base_take_merged(b, merged, old);
        hora_base_free_merged(b, merged);
    }
    double worst = 0;
    for (size_t i = 0; i < n && s == HORA_OK; i++) {
        double d = (double)x[i] - (double)y[i];
        worst = d > worst ? d : -d > worst ? -d : worst;
    }
    if (s == HORA_OK)
        *difference = worst;
    hora_free(x);
    hora_free(old);
    hora_forward_batch_release(&batch);
    return s;
}
