#ifndef HORA_TENSOR_TENSOR_H
#define HORA_TENSOR_TENSOR_H
/*
 * Dtypes, shapes, views and conversion. No other arithmetic. Everything is row-major and
 * contiguous: the last dimension varies fastest. A view borrows its data.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"

/* The first four are what hora computes with; the rest are storage of files. */
typedef enum hora_dtype {
    HORA_F32,
    HORA_F64,
    HORA_BF16,
    HORA_I32,
    HORA_F16,
    HORA_I64,
    HORA_I16,
    HORA_I8,
    HORA_U8,
    HORA_U16,
    HORA_U32,
    HORA_U64,
    HORA_BOOL,
    HORA_F8_E4M3,
    HORA_F8_E5M2,
    HORA_DTYPE_OTHER, /* other: known to safetensors, not to us; size in bits differs */
    HORA_Q4_0,        /* from here on: quantized in blocks (tensor/blocks.h) */
    HORA_Q4_1,
    HORA_Q5_0,
    HORA_Q5_1,
    HORA_Q8_0,
    HORA_Q2_K,
    HORA_Q3_K,
    HORA_Q4_K,
    HORA_Q5_K,
    HORA_Q6_K,
    HORA_IQ4_NL,
    HORA_NF4, /* no type of GGUF: 4-bit NormalFloat of QLoRA */
    HORA_DTYPES
} hora_dtype;

#define HORA_MAX_DIMS 8

typedef struct hora_shape {
    int n; /* 0: a scalar */
    int64_t d[HORA_MAX_DIMS];
} hora_shape;

typedef struct hora_view {
    void *data; /* borrowed; NULL while only the shape is known */
    hora_dtype dtype;
    hora_shape shape;
} hora_view;

const char *hora_dtype_name(hora_dtype t); /* safetensors' spelling: "F32", "BF16" */
/* bytes per element; 0 for HORA_DTYPE_OTHER and for block dtypes */
size_t hora_dtype_size(hora_dtype t);
int64_t hora_dtype_block(hora_dtype t);      /* values in a block; 1 for plain dtypes */
size_t hora_dtype_block_bytes(hora_dtype t); /* bytes of a block; of an element for plain dtypes */
bool hora_dtype_is_float(hora_dtype t);

#define HORA_SHAPE1(a)       ((hora_shape){1, {(a)}})
#define HORA_SHAPE2(a, b)    ((hora_shape){2, {(a), (b)}})
#define HORA_SHAPE3(a, b, c) ((hora_shape){3, {(a), (b), (c)}})
/* At most HORA_ELEMS_MOST, which no memory holds: shapes come from files, their products may not
 * fit. */
#define HORA_ELEMS_MOST ((int64_t)1 << 56)
int64_t hora_shape_elems(const hora_shape *s); /* 1 for a scalar */
bool hora_shape_equal(const hora_shape *a, const hora_shape *b);
char *hora_shape_text(char buf[128], const hora_shape *s); /* "[4, 64]" */
/* Elements with overflow check: false when the product does not fit into int64_t or a dimension is
 * negative. */
bool hora_shape_checked(const hora_shape *s, int64_t *elems);

static inline int64_t hora_elems(const hora_view *v) {
    return hora_shape_elems(&v->shape);
}
static inline size_t hora_view_bytes(const hora_view *v) {
    return (size_t)(hora_elems(v) / hora_dtype_block(v->dtype)) * hora_dtype_block_bytes(v->dtype);
}
/* Elements of one row (product of all but the first dimension); 1 for vectors. */
int64_t hora_row_elems(const hora_shape *s);

/*
 * Copies n elements, converting. Any pair but HORA_DTYPE_OTHER, which is HORA_EUNSUPPORTED unless n
 * is 0, and but to block dtypes; from those n must be whole blocks. To floats: rounded once, to
 * nearest even; too large is inf (NaN for F8_E4M3, which has no inf); NaN stays NaN. To integers:
 * towards zero, clamped to the range, NaN is 0. To BOOL: not zero. Neither pointer need be aligned;
 * the spans must not overlap.
 */
hora_status hora_convert(void *dst, hora_dtype dt, const void *src, hora_dtype st, int64_t n);

static inline float hora_bf16_to_f32(uint16_t b) {
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
/* Element i of a row of blocks; slow, for what reads a weight once (tensor/blocks.h). */
double hora_block_value(const void *x, hora_dtype type, int64_t i);
/* Element i of f32, f64, bf16 or block numbers. */
static inline double hora_value_at(const void *p, hora_dtype t, int64_t i) {
    if (t == HORA_BF16)
        return (double)hora_bf16_to_f32(((const uint16_t *)p)[i]);
    if (t == HORA_F32)
        return (double)((const float *)p)[i];
    return t == HORA_F64 ? ((const double *)p)[i] : hora_block_value(p, t, i);
}
/* Row `row` of a matrix of floats or blocks, all of it: d[1] values. */
void hora_row_values(const hora_view *v, int64_t row, double *y);
static inline uint16_t hora_f32_to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
/* Sets element i of f32, f64 or bf16 numbers. */
static inline void hora_value_put(void *p, hora_dtype t, int64_t i, double v) {
    if (t == HORA_F64)
        ((double *)p)[i] = v;
    else if (t == HORA_BF16)
        ((uint16_t *)p)[i] = hora_f32_to_bf16((float)v);
    else
        ((float *)p)[i] = (float)v;
}
float hora_f16_to_f32(uint16_t h);
uint16_t hora_f32_to_f16(float f);
#endif
