/* bitsandbytes' four bits: finding the parts of a matrix, checking them, and putting them together
 * as the NF4 blocks of tensor/blocks.h. */
#include "format/bnb.h"

#include "base/text.h"
#include "format/safetensors_impl.h"
#include "tensor/blocks.h"

enum { BLOCK = 64, BYTES = 36, LEVELS = 16 }; /* of our blocks */
#define STATE ".quant_state.bitsandbytes__"

/* --- parts ------------------------------------------------------------------------------------ */
static hora_status wrong(const char *name, const char *why) {
    return hora_fail(HORA_EFORMAT,
                     "%s: what bitsandbytes stored beside it does not fit: %s; fetch the model "
                     "again",
                     name, why);
}

/* NAME.PART, which must be `n` numbers of that dtype, or any number of them (-1). */
static hora_status part(hora_st *st, const char *name, const char *what, hora_dtype dtype,
                        int64_t n, const void **data) {
    char *whole = hora_format("%s.%s", name, what);
    hora_st_tensor *t = (hora_st_tensor *)(uintptr_t)hora_st_find(st, whole);
    hora_status s = HORA_OK;
    if (!t)
        s = hora_fail(HORA_EFORMAT, "%s is missing beside %s; fetch the model again", whole, name);
    else if (t->view.dtype != dtype || hora_elems(&t->view) != n)
        s = hora_fail(HORA_EFORMAT, "%s should be %lld numbers of %s; fetch the model again", whole,
                      (long long)n, hora_dtype_name(dtype));
    if (s == HORA_OK) {
        t->beside = true;
        *data = t->view.data;
    }
    hora_free(whole);
    return s;
}

static hora_status read_shape(const hora_json *state, const char *name, hora_shape *shape,
                              int64_t *values) {
    const hora_json *d = hora_json_get(state, "shape");
    *shape = (hora_shape){.n = (int)hora_json_len(d)};
    *values = 1;
    if (hora_json_type(d) != HORA_JARRAY || shape->n != 2)
        return wrong(name, "its shape should be two numbers");
    for (int i = 0; i < shape->n; i++)
        if (!hora_json_int(hora_json_at(d, (size_t)i), &shape->d[i]) || shape->d[i] < 1 ||
            shape->d[i] > INT64_MAX / 8 / *values)
            return wrong(name, "its shape is impossible");
        else
            *values *= shape->d[i];
    return HORA_OK;
}

/* Their numbers are ours, to the bit. */
static hora_status check_map(const char *name, const float map[LEVELS]) {
    unsigned char block[BYTES] = {0};
    float ours[BLOCK];
    const float one = 1;
    memcpy(block, &one, sizeof one);
    for (int i = 0; i < LEVELS / 2; i++)
        block[4 + i] = (unsigned char)(2 * i << 4 | (2 * i + 1));
    hora_dequantize(ours, block, HORA_NF4, BLOCK);
    return memcmp(ours, map, LEVELS * sizeof *map) == 0
               ? HORA_OK
               : wrong(name, "quant_map is not that of nf4");
}

static hora_status read_scales(hora_st *st, const char *name, const hora_json *state, hora_bnb *b) {
    const int64_t blocks = hora_ceil_div(b->values, b->block);
    const void *x = NULL, *map = NULL, *most = NULL;
    double offset;
    if (!hora_json_get(state, "nested_blocksize")) {
        HORA_TRY(part(st, name, "absmax", HORA_F32, blocks, &x));
        b->scales = x;
        return HORA_OK;
    }
    HORA_TRY(hora_json_get_int(state, "nested_blocksize", 0, &b->nested));
    HORA_TRY(hora_json_get_real(state, "nested_offset", 0, &offset));
    if (b->nested < 1)
        return wrong(name, "its nested_blocksize is impossible");
    HORA_TRY(part(st, name, "absmax", HORA_U8, blocks, &x));
    HORA_TRY(part(st, name, "nested_quant_map", HORA_F32, 256, &map));
    HORA_TRY(part(st, name, "nested_absmax", HORA_F32, hora_ceil_div(blocks, b->nested), &most));
    b->level = x;
    b->map = map;
    b->most = most;
    b->offset = (float)offset;
    return HORA_OK;
}

static hora_status read_state(hora_st *st, hora_st_tensor *t, const hora_json *state) {
    const char *kind, *dtype;
    const void *map = NULL;
    hora_shape shape;
    hora_bnb b = {.codes = t->view.data};
    HORA_TRY(hora_json_get_string(state, "quant_type", "", &kind));
    HORA_TRY(hora_json_get_string(state, "dtype", "", &dtype));
    HORA_TRY(hora_json_get_int(state, "blocksize", 0, &b.block));
    if (!hora_eq(kind, "nf4"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s is in bitsandbytes' `%.20s`, of which only nf4 is read; open an "
                         "unquantised copy of the model",
                         t->name, kind);
    if (b.block < BLOCK || b.block % BLOCK)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s has %lld values to a scale, and only multiples of 64 are read; open "
                         "an unquantised copy of the model",
                         t->name, (long long)b.block);
    HORA_TRY(read_shape(state, t->name, &shape, &b.values));
    if ((uint64_t)hora_ceil_div(b.values, 2) != t->bytes)
        return wrong(t->name, "its shape has another number of values than the tensor");
    HORA_TRY(part(st, t->name, "quant_map", HORA_F32, LEVELS, &map));
    HORA_TRY(check_map(t->name, map));
    HORA_TRY(read_scales(st, t->name, state, &b));
    hora_bnb *own = hora_malloc(sizeof *own);
    *own = b;
    t->parts = own;
    t->view.shape = shape;
    t->view.dtype = shape.d[1] % BLOCK == 0      ? HORA_NF4
                    : hora_eq(dtype, "bfloat16") ? HORA_BF16
                    : hora_eq(dtype, "float16")  ? HORA_F16
                                                 : HORA_F32;
    t->dtype_name = hora_dtype_name(t->view.dtype);
    return HORA_OK;
}

/* `at`: the tensor with the JSON; its name is that of the matrix up to STATE. */
static hora_status gather(hora_st *st, hora_st_tensor *at, const char *end) {
    hora_json *state = NULL;
    char *name = hora_format("%.*s", (int)(end - at->name), at->name);
    hora_st_tensor *t = (hora_st_tensor *)(uintptr_t)hora_st_find(st, name);
    hora_status s;
    if (!t || t->parts)
        s = hora_fail(HORA_EFORMAT, "%s is there without %s; fetch the model again", at->name,
                      name);
    else if (at->view.dtype != HORA_U8)
        s = wrong(name, "its quant_state should be U8");
    else
        s = hora_json_parse(&state, at->view.data, (size_t)at->bytes, at->name);
    if (s == HORA_OK)
        s = read_state(st, t, state);
    at->beside = true;
    hora_json_free(state);
    hora_free(name);
    return s;
}

hora_status hora_bnb_gather(hora_st *st) {
    for (int i = 0; i < st->n; i++) {
        const char *end = strstr(st->at[i].name, STATE);
        if (end)
            HORA_TRY(gather(st, &st->at[i], end));
    }
    return HORA_OK;
}

/* --- values ----------------------------------------------------------------------------------- */
static float scale_of(const hora_bnb *b, int64_t block) {
    return b->scales
               ? b->scales[block]
               : hora_nf4_second(b->map, b->level[block], b->most[block / b->nested], b->offset);
}

/* 64 values from `at` on, fewer at the end. */
static void take_block(const hora_bnb *b, int64_t at, unsigned char *to) {
    const float scale = scale_of(b, at / b->block);
    const int64_t n = hora_min(BLOCK, b->values - at);
    memset(to, 0, BYTES);
    memcpy(to, &scale, sizeof scale);
    memcpy(to + sizeof scale, b->codes + at / 2, (size_t)hora_ceil_div(n, 2));
}

hora_status hora_bnb_take(const hora_st_tensor *t, void *to) {
    const hora_bnb *b = t->parts;
    const size_t size = hora_dtype_size(t->view.dtype);
    unsigned char block[BYTES];
    float y[BLOCK];
    for (int64_t at = 0; at < b->values; at += BLOCK) {
        if (t->view.dtype == HORA_NF4) {
            take_block(b, at, (unsigned char *)to + at / BLOCK * BYTES);
            continue;
        }
        take_block(b, at, block);
        hora_dequantize(y, block, HORA_NF4, BLOCK);
        HORA_TRY(hora_convert((char *)to + (size_t)at * size, t->view.dtype, y, HORA_F32,
                              hora_min(BLOCK, b->values - at)));
    }
    return HORA_OK;
}
