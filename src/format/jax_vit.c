/*
 * Names and layouts of a JAX checkpoint of ViT. A row of `arrays` is one kind of array; what an
 * archive holds beside them (optimizer's state in front of `opt/target/`) belongs to no model.
 */
#include "format/jax_vit.h"

#include "base/log.h"
#include "base/text.h"
#include "format/safetensors_impl.h"

typedef enum { AS_IS, VECTOR, LAST, FIRST, CONV } layout;

/* '#' is the layer. LAST: (.., out) becomes (out, all others); FIRST: (in, ..) becomes (all others,
 * in), which is the same for two dimensions; VECTOR: one dimension. */
static const struct array {
    const char *theirs, *ours;
    layout layout;
    int dims;
} arrays[] = {
    {"cls", "vit.embeddings.cls_token", AS_IS, 3},
    {"embedding/kernel", "vit.embeddings.patch_embeddings.projection.weight", CONV, 4},
    {"embedding/bias", "vit.embeddings.patch_embeddings.projection.bias", VECTOR, 1},
    {"Transformer/posembed_input/pos_embedding", "vit.embeddings.position_embeddings", AS_IS, 3},
    {"Transformer/encoder_norm/scale", "vit.layernorm.weight", VECTOR, 1},
    {"Transformer/encoder_norm/bias", "vit.layernorm.bias", VECTOR, 1},
    {"head/kernel", "classifier.weight", LAST, 2},
    {"head/bias", "classifier.bias", VECTOR, 1},
#define BLOCK(theirs, ours, layout, dims)                                                          \
    { "Transformer/encoderblock_#/" theirs, "vit.layers.#." ours, layout, dims }
    BLOCK("LayerNorm_0/scale", "layernorm_before.weight", VECTOR, 1),
    BLOCK("LayerNorm_0/bias", "layernorm_before.bias", VECTOR, 1),
    BLOCK("LayerNorm_2/scale", "layernorm_after.weight", VECTOR, 1),
    BLOCK("LayerNorm_2/bias", "layernorm_after.bias", VECTOR, 1),
    BLOCK("MlpBlock_3/Dense_0/kernel", "mlp.fc1.weight", LAST, 2),
    BLOCK("MlpBlock_3/Dense_0/bias", "mlp.fc1.bias", VECTOR, 1),
    BLOCK("MlpBlock_3/Dense_1/kernel", "mlp.fc2.weight", LAST, 2),
    BLOCK("MlpBlock_3/Dense_1/bias", "mlp.fc2.bias", VECTOR, 1),
#define HEADS "MultiHeadDotProductAttention_1/"
    BLOCK(HEADS "query/kernel", "attention.q_proj.weight", FIRST, 3),
    BLOCK(HEADS "query/bias", "attention.q_proj.bias", VECTOR, 2),
    BLOCK(HEADS "key/kernel", "attention.k_proj.weight", FIRST, 3),
    BLOCK(HEADS "key/bias", "attention.k_proj.bias", VECTOR, 2),
    BLOCK(HEADS "value/kernel", "attention.v_proj.weight", FIRST, 3),
    BLOCK(HEADS "value/bias", "attention.v_proj.bias", VECTOR, 2),
    BLOCK(HEADS "out/kernel", "attention.o_proj.weight", LAST, 3),
    BLOCK(HEADS "out/bias", "attention.o_proj.bias", VECTOR, 1),
};
#define QUERY "Transformer/encoderblock_#/" HEADS "query/kernel"

/* The layer of a name that `pattern` makes, -1 for one without; -2: it makes another. */
static int64_t layer_of(const char *pattern, const char *name) {
    const char *hash = strchr(pattern, '#');
    const size_t n = hash ? (size_t)(hash - pattern) : 0;
    int64_t layer = 0;
    if (!hash)
        return hora_eq(pattern, name) ? -1 : -2;
    if (strncmp(pattern, name, n))
        return -2;
    const char *p = name + n, *digits = p;
    for (; *p >= '0' && *p <= '9' && p - digits < 5; p++)
        layer = layer * 10 + (*p - '0');
    const bool number = p > digits && (*digits != '0' || p == digits + 1);
    return number && hora_eq(p, hash + 1) ? layer : -2;
}

static char *put_layer(const char *pattern, int64_t layer) {
    const char *hash = strchr(pattern, '#');
    return hash ? hora_format("%.*s%lld%s", (int)(hash - pattern), pattern, (long long)layer,
                              hash + 1)
                : hora_strdup(pattern);
}

static const struct array *row_of(const char *name, int64_t *layer) {
    for (size_t i = 0; i < HORA_COUNT(arrays); i++) {
        *layer = layer_of(arrays[i].theirs, name);
        if (*layer > -2)
            return &arrays[i];
    }
    return NULL;
}

/* --- the archive ------------------------------------------------------------------------------ */
typedef struct checkpoint {
    hora_npz *z;
    const char *path, *prefix; /* of the model's arrays */
    bool headless;             /* its head reads a layer that is not computed here */
} checkpoint;

static const hora_npz_array *array(const checkpoint *c, const char *name) {
    char *full = hora_format("%s%s", c->prefix, name);
    const hora_npz_array *a = hora_npz_find(c->z, full);
    hora_free(full);
    return a;
}

static hora_status no_vit(const char *path, const char *why) {
    return hora_fail(HORA_EUNSUPPORTED,
                     "%s: %s; read are the checkpoints of google-research/vision_transformer whose "
                     "arrays are called Transformer/encoderblock_0/..",
                     path, why);
}

static hora_status open_checkpoint(checkpoint *c, const char *path) {
    static const char *const prefixes[] = {"", "opt/target/", "params/"};
    *c = (checkpoint){.path = path};
    HORA_TRY(hora_npz_open(&c->z, path));
    for (size_t i = 0; i < HORA_COUNT(prefixes); i++) {
        c->prefix = prefixes[i];
        if (array(c, "embedding/kernel"))
            break;
    }
    hora_status s = HORA_OK;
    if (!array(c, "embedding/kernel") || !array(c, "cls"))
        s = no_vit(path, "no ViT with a class token is in it");
    else if (array(c, "conv_root/kernel"))
        s = no_vit(path, "a hybrid of a ResNet and a ViT");
    c->headless = array(c, "pre_logits/kernel") != NULL;
    if (s)
        hora_npz_close(c->z);
    return s;
}

/* --- config.json ------------------------------------------------------------------------------ */
static hora_status want(const checkpoint *c, const char *name, int dims, const hora_npz_array **a) {
    *a = array(c, name);
    if (!*a)
        return hora_fail(HORA_EFORMAT, "%s: %s%s is missing; fetch the file again", c->path,
                         c->prefix, name);
    bool right = (*a)->shape.n == dims;
    for (int i = 0; right && i < dims; i++)
        right = (*a)->shape.d[i] > 0 && (*a)->shape.d[i] < 1 << 24;
    return right ? HORA_OK
                 : hora_fail(HORA_EFORMAT, "%s: %s should have %d dimensions, none of them 0",
                             c->path, (*a)->name, dims);
}

static int64_t layers_of(const checkpoint *c) {
    const size_t skip = strlen(c->prefix);
    int64_t n = 0, layer;
    for (int i = 0; i < hora_npz_count(c->z); i++) {
        const char *name = hora_npz_at(c->z, i)->name;
        if (hora_starts(name, c->prefix) && row_of(name + skip, &layer))
            n = hora_max(n, layer + 1);
    }
    return n;
}

static hora_status make_config(const checkpoint *c, hora_json *o) {
    const hora_npz_array *conv, *places, *query, *hidden;
    HORA_TRY(want(c, "embedding/kernel", 4, &conv));
    HORA_TRY(want(c, "Transformer/posembed_input/pos_embedding", 3, &places));
    HORA_TRY(want(c, "Transformer/encoderblock_0/" HEADS "query/kernel", 3, &query));
    HORA_TRY(want(c, "Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel", 2, &hidden));
    const int64_t patch = conv->shape.d[0];
    int64_t grid = 1;
    while (grid * grid < places->shape.d[1] - 1)
        grid++;
    if (grid * grid != places->shape.d[1] - 1 || conv->shape.d[1] != patch)
        return no_vit(c->path, "its pieces or its pictures are no squares");
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"hidden_size", conv->shape.d[3]},
                   {"num_hidden_layers", layers_of(c)},
                   {"num_attention_heads", query->shape.d[1]},
                   {"intermediate_size", hidden->shape.d[1]},
                   {"patch_size", patch},
                   {"image_size", grid * patch},
                   {"num_channels", conv->shape.d[2]}};
    hora_json_set(o, "model_type", hora_json_new_string("vit"));
    hora_json *list = hora_json_set(o, "architectures", hora_json_new_array());
    const hora_npz_array *head = c->headless ? NULL : array(c, "head/kernel");
    hora_json_push(list, hora_json_new_string(head ? "ViTForImageClassification" : "ViTModel"));
    for (size_t i = 0; i < HORA_COUNT(numbers); i++)
        hora_json_set(o, numbers[i].key, hora_json_new_int(numbers[i].value));
    if (head && head->shape.n == 2)
        hora_json_set(o, "num_labels", hora_json_new_int(head->shape.d[1]));
    hora_json_set(o, "layer_norm_eps", hora_json_new_real(1e-6)); /* flax's LayerNorm */
    hora_json_set(o, "torch_dtype", hora_json_new_string("float32"));
    return HORA_OK;
}

hora_status hora_jax_vit_config(hora_json **out, const char *path) {
    checkpoint c;
    *out = NULL;
    HORA_TRY(open_checkpoint(&c, path));
    hora_json *o = hora_json_new_object();
    hora_status s = make_config(&c, o);
    hora_npz_close(c.z);
    if (s)
        hora_json_free(o);
    else
        *out = o;
    return s;
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* Shape of the tensor, and which dimension of the array each of `order` is, slowest first. */
static hora_shape shape_of(const struct array *row, const hora_shape *s, int order[4]) {
    static const int plain[4] = {0, 1, 2, 3}, conv[4] = {3, 2, 0, 1}, last[4] = {2, 0, 1, 3},
                     first[4] = {1, 2, 0, 3}, swap[4] = {1, 0, 2, 3};
    const int *o = row->layout == CONV                 ? conv
                   : row->layout == LAST && s->n == 3  ? last
                   : row->layout == FIRST && s->n == 3 ? first
                   : row->layout == LAST               ? swap
                                                       : plain;
    hora_shape out = {s->n, {0}};
    for (int i = 0; i < 4; i++)
        order[i] = o[i];
    for (int i = 0; i < s->n; i++)
        out.d[i] = s->d[o[i]];
    if (row->layout == LAST && s->n == 3)
        return HORA_SHAPE2(out.d[0], out.d[1] * out.d[2]);
    if (row->layout == FIRST)
        return HORA_SHAPE2(out.d[0] * out.d[1], out.d[2]);
    return row->layout == VECTOR && s->n == 2 ? HORA_SHAPE1(s->d[0] * s->d[1]) : out;
}

/* `from` in the order of the file. */
static void lay_out(const hora_npz_array *a, const int order[4], const float *from, float *to) {
    int64_t d[4] = {1, 1, 1, 1}, step[4] = {0}, stride = 1;
    const int n = a->shape.n;
    for (int k = 0; k < n; k++) {
        const int i = a->columns ? k : n - 1 - k;
        step[i] = stride;
        stride *= a->shape.d[i];
    }
    int64_t by[4] = {0};
    for (int i = 0; i < n; i++) {
        d[i] = a->shape.d[order[i]];
        by[i] = step[order[i]];
    }
    for (int64_t p = 0; p < d[0]; p++)
        for (int64_t q = 0; q < d[1]; q++)
            for (int64_t r = 0; r < d[2]; r++)
                for (int64_t t = 0; t < d[3]; t++)
                    *to++ = from[p * by[0] + q * by[1] + r * by[2] + t * by[3]];
}

/* The arrays that are the model's, named; values follow. */
static hora_status take_names(const checkpoint *c, hora_st *st, size_t *elems, size_t *largest) {
    const size_t skip = strlen(c->prefix);
    *elems = *largest = 0;
    for (int i = 0; i < hora_npz_count(c->z); i++) {
        const hora_npz_array *a = hora_npz_at(c->z, i);
        int64_t layer;
        int order[4];
        const bool inside = hora_starts(a->name, c->prefix) &&
                            !(c->headless && (hora_starts(a->name + skip, "head/") ||
                                              hora_starts(a->name + skip, "pre_logits/")));
        const struct array *row = inside ? row_of(a->name + skip, &layer) : NULL;
        if (!inside)
            continue;
        if (!row)
            return no_vit(c->path, hora_starts(a->name, "opt/")
                                       ? "it holds an optimizer's state between its arrays"
                                       : a->name);
        if (a->shape.n != row->dims || a->dtype == HORA_DTYPE_OTHER)
            return hora_fail(HORA_EFORMAT,
                             "%s: %s should have %d dimensions of floats, not %d of "
                             "`%s`",
                             c->path, a->name, row->dims, a->shape.n, a->descr);
        const hora_shape shape = shape_of(row, &a->shape, order);
        hora_st_tensor t = {.name = put_layer(row->ours, layer),
                            .view = {NULL, HORA_F32, shape},
                            .dtype_name = hora_dtype_name(HORA_F32)};
        const size_t n = (size_t)hora_elems(&t.view);
        t.bytes = n * sizeof(float);
        *elems += (size_t)hora_round_up((int64_t)n, 16);
        *largest = n > *largest ? n : *largest;
        HORA_PUSH(st->at, st->n, st->cap, t);
    }
    return HORA_OK;
}

static hora_status take_values(const checkpoint *c, hora_st *st, float *to, float *raw) {
    const size_t skip = strlen(c->prefix);
    int n = 0;
    for (int i = 0; i < hora_npz_count(c->z); i++) {
        const hora_npz_array *a = hora_npz_at(c->z, i);
        int64_t layer;
        int order[4];
        const struct array *row =
            hora_starts(a->name, c->prefix) ? row_of(a->name + skip, &layer) : NULL;
        if (!row || (c->headless && hora_starts(a->name + skip, "head/")))
            continue;
        HORA_TRY(hora_npz_read(c->z, a, raw));
        (void)shape_of(row, &a->shape, order);
        lay_out(a, order, raw, to);
        st->at[n].view.data = to;
        to += hora_round_up(hora_elems(&st->at[n].view), 16);
        n++;
    }
    return HORA_OK;
}

static hora_status take(const checkpoint *c, hora_st *st) {
    size_t elems, largest;
    void *raw = NULL;
    hora_st_file *f = &st->files[0];
    HORA_TRY(take_names(c, st, &elems, &largest));
    f->copy_bytes = (elems + 16) * sizeof(float);
    HORA_TRY(hora_block_new(&f->copy, f->copy_bytes, "the arrays of a checkpoint"));
    HORA_TRY(hora_block_new(&raw, (largest + 16) * sizeof(float), "an array of a checkpoint"));
    hora_status s = take_values(c, st, f->copy, raw);
    hora_block_free(raw, (largest + 16) * sizeof(float));
    return s ? s : hora_st_index(st);
}

hora_status hora_st_open_jax(hora_st **out, const char *path) {
    checkpoint c;
    *out = NULL;
    HORA_TRY(open_checkpoint(&c, path));
    hora_st *st = hora_st_new(1);
    st->own_names = true;
    hora_status s = hora_map_open(&st->files[0].map, path);
    if (!s)
        s = take(&c, st);
    if (!s && c.headless)
        hora_warn("%s: its head reads a layer (pre_logits) that is not computed here and is left "
                  "out; train a new one",
                  path);
    hora_npz_close(c.z);
    if (s)
        hora_st_close(st);
    else
        *out = st;
    return s;
}
