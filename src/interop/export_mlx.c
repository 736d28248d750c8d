/*
 * An adapter for MLX-LM: adapters.safetensors with both factors transposed against PEFT, and one
 * rank and one multiplicative scale for all modules in adapter_config.json. Ours is 1: each site's
 * scale is in its lora_b, smaller ranks are padded.
 * Source: github.com/ml-explore/mlx-lm, tuner/lora.py, tuner/dora.py, tuner/utils.py.
 */
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "interop/interop.h"

static float *transposed(const float *from, int64_t rows, int64_t columns) {
    float *to = hora_calloc((size_t)(rows * columns), sizeof *to);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            to[c * rows + r] = from[r * columns + c];
    return to;
}

/* Some of the updates stretch rows: all must, one fine_tune_type is all that a folder can say. */
static hora_status check_kinds(const hora_flat *f, const hora_base *b, bool *dora) {
    int with = 0, without = 0;
    for (int i = 0; i < hora_flat_sites(b); i++) {
        with += f[i].rank && f[i].magnitude;
        without += f[i].rank && !f[i].magnitude;
    }
    *dora = with > 0;
    return with && without
               ? hora_fail(HORA_EUNSUPPORTED,
                           "some modules have a magnitude (DoRA) and some have none, which MLX "
                           "cannot say; fold the adapter into the model with `hora merge`")
               : HORA_OK;
}

static hora_status write_tensors(const hora_flat *f, const hora_base *b, const char *dir) {
    hora_st_entry *e = hora_calloc((size_t)(3 * hora_flat_sites(b)) + 1, sizeof *e);
    int n = 0;
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const hora_site *s = &b->sites[i];
        if (!f[i].rank)
            continue;
        e[n++] = (hora_st_entry){
            hora_format("%s.lora_a", s->module),
            {transposed(f[i].a, f[i].rank, s->in), HORA_F32, HORA_SHAPE2(s->in, f[i].rank)},
            HORA_F32};
        e[n++] = (hora_st_entry){
            hora_format("%s.lora_b", s->module),
            {transposed(f[i].b, s->out, f[i].rank), HORA_F32, HORA_SHAPE2(f[i].rank, s->out)},
            HORA_F32};
        if (f[i].magnitude)
            e[n++] = (hora_st_entry){
                hora_format("%s.m", s->module),
                {transposed(f[i].magnitude, s->out, 1), HORA_F32, HORA_SHAPE1(s->out)},
                HORA_F32};
    }
    char *path = hora_path_join(dir, "adapters.safetensors");
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    for (int i = 0; i < n; i++) {
        hora_free((char *)e[i].name);
        hora_free(e[i].view.data);
    }
    hora_free(e);
    return s;
}

/* The module as MLX-LM names keys: relative to a block, "self_attn.q_proj". */
static const char *key_of(const hora_site *s) {
    char *block = hora_format(".layers.%d.", s->layer);
    const char *at = strstr(s->module, block);
    const char *key = at ? at + strlen(block) : s->module;
    hora_free(block);
    return key;
}

/* MLX adapts the last `num_layers` blocks, so the first one with an update says how many. */
static hora_json *config_of(const hora_flat *f, const hora_base *b, bool dora) {
    hora_json *o = hora_json_new_object();
    int64_t first = b->layers;
    hora_json_set(o, "fine_tune_type", hora_json_new_string(dora ? "dora" : "lora"));
    hora_json *p = hora_json_set(o, "lora_parameters", hora_json_new_object());
    hora_json_set(p, "rank", hora_json_new_int(hora_flat_rank(f, b)));
    hora_json_set(p, "scale", hora_json_new_real(1));
    hora_json_set(p, "dropout", hora_json_new_real(0));
    hora_json *keys = hora_json_set(p, "keys", hora_json_new_array());
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const char *key = key_of(&b->sites[i]);
        bool there = !f[i].rank;
        for (size_t k = 0; k < hora_json_len(keys); k++)
            there |= hora_eq(hora_json_string(hora_json_at(keys, k), NULL), key);
        if (!there)
            hora_json_push(keys, hora_json_new_string(key));
        if (f[i].rank && b->sites[i].layer >= 0)
            first = hora_min(first, b->sites[i].layer);
    }
    hora_json_set(o, "num_layers", hora_json_new_int(b->layers - first));
    hora_json_set(o, "model", hora_json_new_string(b->dir));
    return o;
}

/* Sites without an update get zeros where MLX will put an adapter all the same. */
static void fill(hora_flat *f, const hora_base *b) {
    const int64_t rank = hora_flat_rank(f, b);
    bool kinds[HORA_SITE_NONE] = {0};
    int first = (int)b->layers;
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (f[i].rank) {
            kinds[b->sites[i].kind] = true;
            if (b->sites[i].layer >= 0)
                first = (int)hora_min(first, b->sites[i].layer);
        }
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (kinds[b->sites[i].kind] && (b->sites[i].layer < 0 || b->sites[i].layer >= first))
            hora_flat_pad(&f[i], &b->sites[i], rank);
}

static hora_status flatten(hora_flat **out, const hora_export *x, bool *dora) {
    HORA_TRY(hora_flat_of(out, x));
    hora_status s = check_kinds(*out, x->base, dora);
    if (s == HORA_OK) {
        fill(*out, x->base);
        s = check_kinds(*out, x->base, dora); /* zeros have no magnitude */
    }
    if (s) {
        hora_flat_free(*out, x->base);
        *out = NULL;
    }
    return s;
}

static hora_status check(const hora_export *x) {
    hora_flat *f;
    bool dora;
    HORA_TRY(flatten(&f, x, &dora));
    hora_flat_free(f, x->base);
    return HORA_OK;
}

static hora_status write(const hora_export *x, const char *dir) {
    hora_flat *f;
    bool dora;
    HORA_TRY(flatten(&f, x, &dora));
    hora_json *config = config_of(f, x->base, dora);
    hora_status s = write_tensors(f, x->base, dir);
    if (s == HORA_OK)
        s = hora_json_save(config, 2, true, dir, "adapter_config.json");
    hora_json_free(config);
    hora_flat_say(f, x);
    hora_flat_free(f, x->base);
    return s;
}

const hora_exporter hora_exporter_mlx = {
    .name = "mlx", .summary = "adapter folder of MLX-LM", .check = check, .write = write};
