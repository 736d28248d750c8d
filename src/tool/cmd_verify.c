/*
 * hora verify: the model with its adapters attached, as it was trained, against the same merged and
 * against what was exported: logits on given or random prompts, the first layer where they part,
 * what rounding takes of the update.
 */
#include <math.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/gguf.h"
#include "infer/differ.h"
#include "interop/interop.h"
#include "tool/tool.h"

typedef struct config {
    char *against, *prompt;
    int64_t tokens, rows, seed;
    double tolerance;
    int dtype;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_FILES(against, "against", NULL, NULL, "PATH",
              "what was made of it: a model folder, a GGUF model or LoRA, PEFT's or MLX's adapter "
              "folder; may be given several times"),
    OPT_FILES(prompt, "prompt", NULL, NULL, "TEXT",
              "text to compare on; may be given several times; unset: random tokens"),
    OPT_INT(tokens, "tokens", NULL, "48", 1, 1 << 20, "random tokens in a row"),
    OPT_INT(rows, "rows", NULL, "2", 1, 4096, "rows of random tokens (or pictures)"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of the random tokens"),
    OPT_REAL(tolerance, "tolerance", NULL, "-1", 0, 1e30,
             "fail where logits differ by more than that; unset: report alone"),
    OPT_CHOICE(dtype, "dtype", "torch_dtype", "source", "f32 bf16 f16 source",
               "of the merged weights; source: each as the model's files have it, as `hora merge` "
               "writes them"),
};
static const hora_options options = {"Verify", rows, HORA_COUNT(rows)};

typedef struct check {
    const config *c;
    hora_model *m;
    hora_forward_batch batch;
    hora_outcome want;
    hora_json *results, *rounding;
    int compared;
    bool passed;
} check;

/* --- what is compared on ---------------------------------------------------------------------- */
static hora_status random_batch(check *k) {
    hora_rng r = hora_rng_new((uint64_t)k->c->seed, "verify");
    const hora_vision *v = k->m->base->vision;
    k->batch.b = k->c->rows;
    if (v) {
        const int64_t n = k->batch.b * hora_vision_values(v);
        k->batch.pixels = (hora_pixels){
            .frames = v->frames, .channels = v->channels, .height = v->height, .width = v->width};
        k->batch.pixels.at = hora_malloc((size_t)n * sizeof *k->batch.pixels.at);
        for (int64_t i = 0; i < n; i++)
            k->batch.pixels.at[i] = (float)hora_rng_normal(&r);
        return HORA_OK;
    }
    const hora_model *m = k->m;
    const int64_t most = m->base->max_positions - hora_adapters_front(m->adapters, m->n);
    k->batch.t = most > 0 ? hora_min(k->c->tokens, most) : k->c->tokens;
    k->batch.ids = hora_malloc((size_t)(k->batch.b * k->batch.t) * sizeof *k->batch.ids);
    for (int64_t i = 0; i < k->batch.b * k->batch.t; i++)
        k->batch.ids[i] = (int32_t)hora_rng_below(&r, k->m->base->vocab);
    return HORA_OK;
}

static hora_status encode(const hora_tokenizer *t, const char *text, size_t n, hora_ids *ids) {
    HORA_TRY(hora_tokenizer_encode(t, text, n, true, ids));
    return ids->n ? HORA_OK : hora_fail(HORA_EUSAGE, "a --prompt has no tokens; give some text");
}

/* Padded behind; the mask says where each ends. */
static hora_status prompt_batch(check *k) {
    const hora_tokenizer *t;
    const char *p = k->c->prompt, *one;
    size_t n;
    hora_ids *ids = NULL;
    int count = 0, cap = 0;
    if (k->m->base->vision)
        return hora_fail(HORA_EUSAGE, "--prompt: this model reads pictures; leave it out");
    HORA_TRY(hora_model_tokenizer(k->m, &t, NULL));
    hora_status s = HORA_OK;
    while (s == HORA_OK && hora_list_next(&p, "\n", &one, &n)) {
        HORA_PUSH(ids, count, cap, ((hora_ids){0}));
        s = encode(t, one, n, &ids[count - 1]);
        k->batch.t = hora_max(k->batch.t, (int64_t)ids[count - 1].n);
    }
    k->batch.b = count;
    k->batch.ids = hora_calloc((size_t)(count * k->batch.t) + 1, sizeof *k->batch.ids);
    k->batch.mask = hora_calloc((size_t)(count * k->batch.t) + 1, sizeof *k->batch.mask);
    for (int i = 0; i < count; i++) {
        for (size_t j = 0; j < ids[i].n; j++) {
            k->batch.ids[i * k->batch.t + (int64_t)j] = ids[i].at[j];
            k->batch.mask[i * k->batch.t + (int64_t)j] = 1;
        }
        hora_ids_release(&ids[i]);
    }
    hora_free(ids);
    return s;
}

/* --- one pass --------------------------------------------------------------------------------- */
/* A device of its own: what it packs is of these weights alone. */
static hora_status run_on(check *k, hora_model *m, hora_adapter *const *at, int n,
                          hora_outcome *out) {
    hora_forward f = hora_model_forward(m);
    f.adapters = at;
    f.nadapters = n;
    f.device = hora_device_new();
    const hora_status s = hora_outcome_run(out, &f, &k->batch);
    hora_device_free(f.device);
    return s;
}

static void put(hora_json *o, const hora_difference *d) {
    hora_json_set(o, "largest", hora_json_new_real(d->largest));
    hora_json_set(o, "mean", hora_json_new_real(d->mean));
    hora_json_set(o, "kl", hora_json_new_real(d->kl));
    hora_json_set(o, "agree", hora_json_new_real(d->agree));
    hora_json_set(o, "rows", hora_json_new_int(d->rows));
    hora_json_set(o, "layer", d->layer < 0 ? hora_json_new_null() : hora_json_new_int(d->layer));
}

/* Compares with what was wanted, and says so under `name`. */
static hora_status compare(check *k, const char *name, const hora_outcome *got) {
    const double apart = k->c->tolerance >= 0 ? k->c->tolerance : 1e-4;
    hora_difference d;
    HORA_TRY(hora_differ(&d, &k->want, got, &k->batch, apart));
    hora_json *o = hora_json_push(k->results, hora_json_new_object());
    hora_json_set(o, "name", hora_json_new_string(name));
    put(o, &d);
    hora_json *blocks = hora_json_set(o, "blocks", hora_json_new_array());
    for (int64_t l = 0; d.blocks && l < k->want.layers; l++)
        hora_json_push(blocks, hora_json_new_real(d.blocks[l]));
    k->compared++;
    k->passed &= k->c->tolerance < 0 || d.largest <= k->c->tolerance;
    hora_free(d.blocks);
    return HORA_OK;
}

/* The same weights, `w` where it has some, and no adapter. */
static hora_status compare_weights(check *k, const char *name, float *const *w) {
    hora_base *b = k->m->base;
    hora_outcome got = {0};
    hora_view *old = hora_calloc((size_t)b->nweights + 1, sizeof *old);
    hora_base_put_merged(b, w, old);
    hora_status s = run_on(k, k->m, NULL, 0, &got);
    hora_base_take_merged(b, w, old);
    if (s == HORA_OK)
        s = compare(k, name, &got);
    hora_outcome_release(&got);
    hora_free(old);
    return s;
}

/* --- merged ----------------------------------------------------------------------------------- */
/* The dtype that weight w is written in. */
static hora_dtype written(const check *k, const hora_st *st, int w) {
    static const hora_dtype fixed[] = {HORA_F32, HORA_BF16, HORA_F16};
    if (k->c->dtype < (int)HORA_COUNT(fixed))
        return fixed[k->c->dtype];
    const hora_spelling s = hora_weight_spelling(&k->m->base->weights[w]);
    const hora_st_tensor *t = st ? hora_st_find(st, s.name) : NULL;
    return t && !t->parts && hora_dtype_is_float(t->view.dtype) ? t->view.dtype : HORA_F32;
}

/* Rounds v as a file of that dtype does, and says how much of the update that takes. */
static void round_weight(check *k, int w, float *v, hora_dtype t) {
    const hora_view *was = &k->m->base->weights[w].view;
    const int64_t n = hora_elems(was);
    double largest = 0, lost = 0, update = 0;
    void *file = hora_malloc((size_t)n * hora_dtype_size(t) + 1);
    float *back = hora_malloc((size_t)n * sizeof *back + 1);
    if (hora_convert(file, t, v, HORA_F32, n) || hora_convert(back, HORA_F32, file, t, n))
        memcpy(back, v, (size_t)n * sizeof *back);
    for (int64_t i = 0; i < n; i++) {
        const double off = (double)back[i] - (double)v[i],
                     d = (double)v[i] - hora_value_at(was->data, was->dtype, i);
        largest = fmax(largest, fabs(off));
        lost += off * off;
        update += d * d;
    }
    memcpy(v, back, (size_t)n * sizeof *back);
    hora_json *o = hora_json_push(k->rounding, hora_json_new_object());
    hora_json_set(o, "name", hora_json_new_string(k->m->base->weights[w].name));
    hora_json_set(o, "dtype", hora_json_new_string(hora_dtype_name(t)));
    hora_json_set(o, "largest", hora_json_new_real(largest));
    hora_json_set(o, "share", hora_json_new_real(update > 0 ? sqrt(lost / update) : 0));
    hora_free(file);
    hora_free(back);
}

static hora_status merged(check *k) {
    const hora_base *b = k->m->base;
    float **w = hora_calloc((size_t)b->nweights + 1, sizeof *w);
    hora_st *st = NULL;
    bool rounded = false;
    hora_status s = hora_peft_merge(k->m->adapters, k->m->n, w);
    if (s == HORA_EUNSUPPORTED) { /* a method that changes no weight: said, and no failure */
        hora_json *o = hora_json_push(k->results, hora_json_new_object());
        hora_json_set(o, "name", hora_json_new_string("merged"));
        hora_json_set(o, "refused", hora_json_new_string(hora_errmsg()));
        hora_base_free_merged(b, w);
        return HORA_OK;
    }
    if (s == HORA_OK)
        s = compare_weights(k, "merged, f32", w);
    if (s == HORA_OK && !hora_gguf_is(b->dir))
        s = hora_st_open_model(&st, b->dir);
    for (int i = 0; i < b->nweights && s == HORA_OK; i++)
        if (w[i]) {
            const hora_dtype t = written(k, st, i);
            rounded |= t != HORA_F32;
            round_weight(k, i, w[i], t);
        }
    if (s == HORA_OK && rounded)
        s = compare_weights(k, "merged, as written", w);
    hora_st_close(st);
    hora_base_free_merged(b, w);
    return s;
}

/* --- what was written ------------------------------------------------------------------------- */
static hora_status as_flat(check *k, const char *path, bool mlx) {
    const hora_base *b = k->m->base;
    hora_flat *f;
    HORA_TRY(mlx ? hora_flat_read_mlx(&f, b, path) : hora_flat_read_gguf(&f, b, path));
    float **w = hora_calloc((size_t)b->nweights + 1, sizeof *w);
    hora_status s = hora_flat_apply(f, b, w);
    if (s == HORA_OK)
        s = compare_weights(k, path, w);
    hora_base_free_merged(b, w);
    hora_flat_free(f, b);
    return s;
}

static hora_status as_model(check *k, const char *path) {
    hora_model *m = NULL;
    hora_settings s = {0};
    hora_outcome got = {0};
    hora_settings_put(&s, "dtype", "f32", "program");
    if (k->m->opened.objective.task->head)
        hora_settings_put(&s, "task", k->m->opened.objective.task->name, "program");
    hora_status st;
    HORA_TRY_OUT(st, hora_model_open_with(&m, path, &s, NULL));
    HORA_TRY_OUT(st, hora_open_settle(&m->opened, NULL, NULL, false, 0));
    HORA_TRY_OUT(st, run_on(k, m, NULL, 0, &got));
    st = compare(k, path, &got);
out:
    hora_outcome_release(&got);
    hora_settings_release(&s);
    hora_model_close(m);
    return st;
}

static hora_status as_adapter(check *k, const char *path) {
    hora_adapter **at;
    hora_outcome got = {0};
    char *home, *only;
    int n;
    HORA_TRY(hora_adapters_home(path, &home, &only));
    hora_status s = hora_adapters_load(&at, &n, k->m->base, home, only, NULL);
    hora_free(home);
    hora_free(only);
    HORA_TRY(s);
    s = hora_adapters_one_task(at, n, path);
    if (s == HORA_OK)
        s = run_on(k, k->m, at, n, &got);
    if (s == HORA_OK)
        s = compare(k, path, &got);
    hora_outcome_release(&got);
    for (int i = 0; i < n; i++)
        hora_peft_detach(at[i]);
    hora_free(at);
    return s;
}

static hora_status is_gguf_adapter(const char *path, bool *yes) {
    hora_gguf *g;
    char *type = NULL;
    HORA_TRY(hora_gguf_open(&g, path));
    hora_gguf_get_text(g, "general.type", false, &type);
    *yes = hora_eq(type, "adapter");
    hora_free(type);
    hora_gguf_close(g);
    return HORA_OK;
}

static hora_status against(check *k, const char *path) {
    bool adapter = false;
    if (!hora_path_exists(path))
        return hora_fail(HORA_ENOTFOUND, "--against %s: there is nothing; check the path", path);
    if (hora_gguf_is(path)) {
        HORA_TRY(is_gguf_adapter(path, &adapter));
        return adapter ? as_flat(k, path, false) : as_model(k, path);
    }
    if (hora_path_has(path, "adapters.safetensors"))
        return as_flat(k, path, true);
    bool folder;
    HORA_TRY(hora_path_is_folder(path, &folder));
    if (!folder)
        return hora_fail(HORA_EUSAGE,
                         "--against %s: this file is no GGUF file; give what was exported: the "
                         "folder of a merged model or of an adapter, or a GGUF file",
                         path);
    return hora_peft_is_model(path) ? as_model(k, path) : as_adapter(k, path);
}

/* --- all -------------------------------------------------------------------------------------- */
static hora_status all(check *k) {
    const char *p = k->c->against, *one;
    size_t n;
    HORA_TRY(k->c->prompt ? prompt_batch(k) : random_batch(k));
    HORA_TRY(run_on(k, k->m, k->m->adapters, k->m->n, &k->want));
    if (k->m->n)
        HORA_TRY(merged(k));
    while (hora_list_next(&p, "\n", &one, &n)) {
        char *path = hora_strndup(one, n);
        const hora_status s = against(k, path);
        hora_free(path);
        HORA_TRY(s);
    }
    return HORA_OK;
}

static void print_worst(const hora_json *list) {
    const hora_json *most = NULL;
    double share = -1;
    for (size_t i = 0; i < hora_json_len(list); i++)
        if (hora_cli_number(hora_json_at(list, i), "share") > share) {
            most = hora_json_at(list, i);
            share = hora_cli_number(most, "share");
        }
    if (most)
        printf("rounding the merge: at most %.3g of a tensor's update, in %s (%s, by %.3g)\n",
               share, hora_cli_text(most, "name"), hora_cli_text(most, "dtype"),
               hora_cli_number(most, "largest"));
}

static void print(const hora_json *r) {
    const hora_json *list = hora_json_get(r, "results");
    printf("%-34s %10s %10s %10s %8s %7s\n", "against the adapters attached", "largest", "mean",
           "KL", "agree", "parts");
    for (size_t i = 0; i < hora_json_len(list); i++) {
        const hora_json *o = hora_json_at(list, i);
        char layer[16] = "-";
        if (hora_json_get(o, "refused")) {
            printf("%-34s %s\n", hora_cli_text(o, "name"), hora_cli_text(o, "refused"));
            continue;
        }
        if (hora_cli_number(o, "layer") >= 0)
            hora_snprintf(layer, sizeof layer, "%.0f", hora_cli_number(o, "layer"));
        printf("%-34s %10.3g %10.3g %10.3g %7.2f%% %7s\n", hora_cli_text(o, "name"),
               hora_cli_number(o, "largest"), hora_cli_number(o, "mean"), hora_cli_number(o, "kl"),
               100 * hora_cli_number(o, "agree"), layer);
    }
    print_worst(hora_json_get(r, "rounding"));
}

static hora_status verify(const config *c, hora_settings *s, hora_json **out) {
    check k = {.c = c, .passed = true};
    hora_status st = hora_cli_open_f32(&k.m, s);
    hora_json *r = hora_json_new_object();
    k.results = hora_json_set(r, "results", hora_json_new_array());
    k.rounding = hora_json_set(r, "rounding", hora_json_new_array());
    if (st == HORA_OK && !k.m->n && !c->against)
        st = hora_fail(HORA_EUSAGE, "there is nothing to compare; give --adapter, --against or "
                                    "both");
    if (st == HORA_OK)
        st = all(&k);
    if (st == HORA_OK) {
        const bool nothing = c->tolerance >= 0 && !k.compared;
        k.passed &= !nothing;
        hora_json_set(r, "tolerance",
                      c->tolerance < 0 ? hora_json_new_null() : hora_json_new_real(c->tolerance));
        hora_json_set(r, "passed", hora_json_new_bool(k.passed));
        *out = r;
        if (nothing)
            st = hora_fail(HORA_EUNSUPPORTED,
                           "nothing can be compared with the adapters attached, so no tolerance "
                           "is kept; give --against another folder of the same, or leave out "
                           "--tolerance");
        else if (!k.passed)
            st = hora_fail(HORA_EMISMATCH, "logits differ by more than the tolerance of %g",
                           c->tolerance);
    } else {
        hora_json_free(r);
    }
    hora_outcome_release(&k.want);
    hora_forward_batch_release(&k.batch);
    hora_model_close(k.m);
    return st;
}

static hora_status run(hora_cli *cli) {
    config c = {0};
    hora_json *r = NULL;
    hora_status s = hora_options_take(&options, &c, &cli->settings);
    if (s == HORA_OK)
        s = verify(&c, &cli->settings, &r);
    if (r)
        hora_cli_show(cli, r, print);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_verify = {
    .name = "verify",
    .summary = "Adapters attached against merged and exported: logits, rounding",
    .usage = "--model DIR [--adapter OUT[:X] ..] [--against PATH ..] [--prompt TEXT ..] "
             "[--tolerance X]",
    .more =
        "Everything is computed in f32. `parts` is the first layer whose result differs by more "
        "than the\n"
        "tolerance (1e-4 without one) of its largest number. GGUF and MLX files are read back "
        "as their\n"
        "programs read them. Beyond the tolerance the exit code is 10; 5 where nothing can be "
        "compared.",
    .tables = {&hora_cli_source_options, &options},
    .run = run};
