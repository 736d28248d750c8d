/*
 * Dtypes, shapes and conversion. Owns no memory: views borrow. Conversion loads a chunk into f64 or
 * 64-bit integers and stores it, so that every pair is rounded exactly once; the pairs that model
 * files use have direct paths. IEEE 754 binary16 and bfloat16; 8-bit floats as in the OCP 8-bit
 * Floating Point Specification (OFP8).
 */
#include "tensor/tensor.h"

#include <math.h>

#include "base/text.h"
#include "tensor/blocks.h"

typedef struct dtype_row {
    const char *name;
    size_t size;
    bool is_float;
    int64_t block; /* values in a block; 0: plain */
    size_t block_bytes;
} dtype_row;

static const dtype_row dtypes[HORA_DTYPES] = {
    [HORA_F32] = {"F32", 4, true, 0, 0},         [HORA_F64] = {"F64", 8, true, 0, 0},
    [HORA_BF16] = {"BF16", 2, true, 0, 0},       [HORA_I32] = {"I32", 4, false, 0, 0},
    [HORA_F16] = {"F16", 2, true, 0, 0},         [HORA_I64] = {"I64", 8, false, 0, 0},
    [HORA_I16] = {"I16", 2, false, 0, 0},        [HORA_I8] = {"I8", 1, false, 0, 0},
    [HORA_U8] = {"U8", 1, false, 0, 0},          [HORA_U16] = {"U16", 2, false, 0, 0},
    [HORA_U32] = {"U32", 4, false, 0, 0},        [HORA_U64] = {"U64", 8, false, 0, 0},
    [HORA_BOOL] = {"BOOL", 1, false, 0, 0},      [HORA_F8_E4M3] = {"F8_E4M3", 1, true, 0, 0},
    [HORA_F8_E5M2] = {"F8_E5M2", 1, true, 0, 0}, [HORA_DTYPE_OTHER] = {"OTHER", 0, false, 0, 0},
    [HORA_Q4_0] = {"Q4_0", 0, true, 32, 18},     [HORA_Q4_1] = {"Q4_1", 0, true, 32, 20},
    [HORA_Q5_0] = {"Q5_0", 0, true, 32, 22},     [HORA_Q5_1] = {"Q5_1", 0, true, 32, 24},
    [HORA_Q8_0] = {"Q8_0", 0, true, 32, 34},     [HORA_Q2_K] = {"Q2_K", 0, true, 256, 84},
    [HORA_Q3_K] = {"Q3_K", 0, true, 256, 110},   [HORA_Q4_K] = {"Q4_K", 0, true, 256, 144},
    [HORA_Q5_K] = {"Q5_K", 0, true, 256, 176},   [HORA_Q6_K] = {"Q6_K", 0, true, 256, 210},
    [HORA_IQ4_NL] = {"IQ4_NL", 0, true, 32, 18}, [HORA_NF4] = {"NF4", 0, true, 64, 36},
};

static const dtype_row *row_of(hora_dtype t) {
    return &dtypes[(size_t)t < HORA_DTYPES ? t : HORA_DTYPE_OTHER];
}

const char *hora_dtype_name(hora_dtype t) {
    return row_of(t)->name;
}

size_t hora_dtype_size(hora_dtype t) {
    return row_of(t)->size;
}

int64_t hora_dtype_block(hora_dtype t) {
    return row_of(t)->block ? row_of(t)->block : 1;
}

size_t hora_dtype_block_bytes(hora_dtype t) {
    return row_of(t)->block ? row_of(t)->block_bytes : row_of(t)->size;
}

bool hora_dtype_is_float(hora_dtype t) {
    return row_of(t)->is_float;
}

int64_t hora_shape_elems(const hora_shape *s) {
    int64_t n = 1;
    for (int i = 0; i < s->n; i++)
        if (__builtin_mul_overflow(n, s->d[i], &n) || n > HORA_ELEMS_MOST)
            return HORA_ELEMS_MOST;
    return n;
}

bool hora_shape_equal(const hora_shape *a, const hora_shape *b) {
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (a->d[i] != b->d[i])
            return false;
    return true;
}

char *hora_shape_text(char buf[128], const hora_shape *s) {
    int used = hora_snprintf(buf, 128, "[");
    for (int i = 0; i < s->n && used < 120; i++)
        used += hora_snprintf(buf + used, (size_t)(128 - used), "%s%lld", i ? ", " : "",
                              (long long)s->d[i]);
    if (used > 126)
        used = 126; /* eight dimensions of 19 digits do not fit; the end is cut */
    hora_snprintf(buf + used, (size_t)(128 - used), "]");
    return buf;
}

bool hora_shape_checked(const hora_shape *s, int64_t *elems) {
    int64_t n = 1;
    bool empty = false;
    if (s->n < 0 || s->n > HORA_MAX_DIMS)
        return false;
    for (int i = 0; i < s->n; i++) {
        if (s->d[i] < 0)
            return false;
        empty = empty || !s->d[i];
    }
    for (int i = 0; i < s->n && !empty; i++) {
        if (n > INT64_MAX / s->d[i])
            return false;
        n *= s->d[i];
    }
    *elems = empty ? 0 : n;
    return true;
}

int64_t hora_row_elems(const hora_shape *s) {
    int64_t n = 1;
    for (int i = 1; i < s->n; i++)
        n *= s->d[i];
    return n;
}

float hora_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu, u;
    float f;
    if (rest >= 0x7c00u) { /* inf, NaN with its payload */
        u = sign | 0x7f800000u | (rest & 0x3ffu) << 13;
    } else if (rest >= 0x400u) {
        u = sign | ((rest << 13) + ((127 - 15) << 23));
    } else { /* subnormal: rest x 2^-24 is exact in f32 */
        f = (float)rest * 0x1p-24f;
        memcpy(&u, &f, 4);
        u |= sign;
    }
    memcpy(&f, &u, 4);
    return f;
}

uint16_t hora_f32_to_f16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x1ffu));
    if (u >= 0x477ff000u) /* 65520 and above round to inf */
        return (uint16_t)(sign | 0x7c00u);
    if (u >= 0x38800000u) { /* normal: the carry of the rounding runs into the exponent */
        u -= (127 - 15) << 23;
        return (uint16_t)(sign | (u + 0xfffu + (u >> 13 & 1u)) >> 13);
    }
    if (u <= 0x33000000u) /* 2^-25 is a tie and goes to even, zero */
        return sign;
    uint32_t m = (u & 0x7fffffu) | 0x800000u, shift = 126u - (u >> 23);
    uint32_t kept = m >> shift, lost = m & ((1u << shift) - 1u), tie = 1u << (shift - 1u);
    return (uint16_t)(sign | (kept + (lost > tie || (lost == tie && (kept & 1u)))));
}

/* A small float: sign, `e` bits of exponent with bias 2^(e-1)-1, `m` bits of fraction. `finite`: no
 * inf, the one NaN is all ones (E4M3). */
typedef struct small_float {
    int e, m;
    bool finite;
} small_float;

static const small_float f16_format = {5, 10, false}, bf16_format = {8, 7, false},
                         e4m3_format = {4, 3, true}, e5m2_format = {5, 2, false};

static double small_to_f64(small_float f, uint32_t bits) {
    const int bias = (1 << (f.e - 1)) - 1, top = (1 << f.e) - 1;
    int e = (int)(bits >> f.m) & top;
    uint32_t m = bits & ((1u << f.m) - 1u);
    double v;
    if (e == top && (!f.finite || m == (1u << f.m) - 1u))
        v = m ? NAN : INFINITY;
    else if (e)
        v = ldexp((double)(m | 1u << f.m), e - bias - f.m);
    else
        v = ldexp((double)m, 1 - bias - f.m);
    return bits >> (f.e + f.m) & 1u ? -v : v;
}

static uint32_t small_from_f64(small_float f, double v) {
    const int bias = (1 << (f.e - 1)) - 1;
    const uint32_t top = ((1u << f.e) - 1u) << f.m;
    const uint32_t inf = f.finite ? top | ((1u << f.m) - 1u) : top;
    const uint32_t largest = inf - 1u;
    const uint32_t sign = signbit(v) ? 1u << (f.e + f.m) : 0;
    if (isnan(v))
        return sign | (f.finite ? inf : top | 1u << (f.m - 1));
    v = fabs(v);
    if (isinf(v))
        return sign | inf;
    int e = v > 0 ? ilogb(v) : 1 - bias;
    if (e < 1 - bias)
        e = 1 - bias;
    if (e > bias + 1)
        return sign | inf;
    /* In units of the last place the value is exact, and rint rounds ties to even. */
    double units = rint(ldexp(v, f.m - e)); /* at most 2^(m+1) */
    uint32_t bits = ((uint32_t)(e + bias - 1) << f.m) + (uint32_t)units;
    return sign | (bits > largest ? inf : bits);
}

#define CHUNK 512

typedef union chunk { /* aligned for every dtype */
    double f64[CHUNK];
    float f32[CHUNK];
    int64_t i64[CHUNK];
    int32_t i32[CHUNK];
    int16_t i16[CHUNK];
    int8_t i8[CHUNK];
    uint64_t u64[CHUNK];
    uint32_t u32[CHUNK];
    uint16_t u16[CHUNK];
    uint8_t u8[CHUNK];
} chunk;

/* An integer as f64, rounded to odd: a later rounding to a narrower format is then the only one. */
static double to_odd(uint64_t magnitude) {
    uint64_t lost = 0;
    int shift = 0;
    while (magnitude >> 53) {
        lost |= magnitude & 1u;
        magnitude >>= 1;
        shift++;
    }
    return ldexp((double)(magnitude | lost), shift);
}

static void load_f64(double *to, const chunk *c, hora_dtype t, int n) {
    for (int i = 0; i < n; i++)
        switch (t) {
        case HORA_F32:
            to[i] = (double)c->f32[i];
            break;
        case HORA_F64:
            to[i] = c->f64[i];
            break;
        case HORA_BF16:
            to[i] = (double)hora_bf16_to_f32(c->u16[i]);
            break;
        case HORA_F16:
            to[i] = (double)hora_f16_to_f32(c->u16[i]);
            break;
        case HORA_F8_E4M3:
            to[i] = small_to_f64(e4m3_format, c->u8[i]);
            break;
        default:
            to[i] = small_to_f64(e5m2_format, c->u8[i]);
            break;
        }
}

static void store_f64(chunk *c, hora_dtype t, const double *from, int n) {
    for (int i = 0; i < n; i++)
        switch (t) {
        case HORA_F32:
            c->f32[i] = (float)from[i];
            break;
        case HORA_F64:
            c->f64[i] = from[i];
            break;
        case HORA_BF16:
            c->u16[i] = (uint16_t)small_from_f64(bf16_format, from[i]);
            break;
        case HORA_F16:
            c->u16[i] = (uint16_t)small_from_f64(f16_format, from[i]);
            break;
        case HORA_F8_E4M3:
            c->u8[i] = (uint8_t)small_from_f64(e4m3_format, from[i]);
            break;
        default:
            c->u8[i] = (uint8_t)small_from_f64(e5m2_format, from[i]);
            break;
        }
}

/* An integer of any dtype: magnitude and sign hold them all. */
typedef struct integer {
    uint64_t magnitude;
    bool minus;
} integer;

static integer of_signed(int64_t v) {
    return (integer){v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0};
}

static integer load_integer(const chunk *c, hora_dtype t, int i) {
    switch (t) {
    case HORA_I64:
        return of_signed(c->i64[i]);
    case HORA_I32:
        return of_signed(c->i32[i]);
    case HORA_I16:
        return of_signed(c->i16[i]);
    case HORA_I8:
        return of_signed(c->i8[i]);
    case HORA_U64:
        return (integer){c->u64[i], false};
    case HORA_U32:
        return (integer){c->u32[i], false};
    case HORA_U16:
        return (integer){c->u16[i], false};
    case HORA_BOOL:
        return (integer){c->u8[i] != 0, false};
    default:
        return (integer){c->u8[i], false};
    }
}

static integer integer_of_f64(double v, bool to_bool) {
    if (isnan(v))
        return (integer){to_bool, false};
    if (to_bool)
        return (integer){v != 0, false};
    bool minus = v < 0;
    v = fabs(v);
    return (integer){v >= 0x1p64 ? UINT64_MAX : (uint64_t)v, minus};
}

static int64_t clamp_signed(integer v, int bits) {
    const uint64_t most = ((uint64_t)1 << (bits - 1)) - 1;
    if (!v.minus)
        return (int64_t)(v.magnitude < most ? v.magnitude : most);
    if (v.magnitude > most)
        return -(int64_t)most - 1;
    return -(int64_t)v.magnitude;
}

static uint64_t clamp_unsigned(integer v, uint64_t most) {
    return v.minus ? 0 : v.magnitude < most ? v.magnitude : most;
}

static void store_integer(chunk *c, hora_dtype t, int i, integer v) {
    switch (t) {
    case HORA_I64:
        c->i64[i] = clamp_signed(v, 64);
        break;
    case HORA_I32:
        c->i32[i] = (int32_t)clamp_signed(v, 32);
        break;
    case HORA_I16:
        c->i16[i] = (int16_t)clamp_signed(v, 16);
        break;
    case HORA_I8:
        c->i8[i] = (int8_t)clamp_signed(v, 8);
        break;
    case HORA_U64:
        c->u64[i] = clamp_unsigned(v, UINT64_MAX);
        break;
    case HORA_U32:
        c->u32[i] = (uint32_t)clamp_unsigned(v, UINT32_MAX);
        break;
    case HORA_U16:
        c->u16[i] = (uint16_t)clamp_unsigned(v, UINT16_MAX);
        break;
    case HORA_BOOL:
        c->u8[i] = v.magnitude != 0;
        break;
    default:
        c->u8[i] = (uint8_t)clamp_unsigned(v, UINT8_MAX);
        break;
    }
}

/* Direct paths between f32 and the two-byte floats. False: there is none for this pair. */
static bool convert_direct(chunk *to, hora_dtype dt, const chunk *from, hora_dtype st, int n) {
    if (dt == HORA_F32 && st == HORA_BF16)
        for (int i = 0; i < n; i++)
            to->f32[i] = hora_bf16_to_f32(from->u16[i]);
    else if (dt == HORA_F32 && st == HORA_F16)
        for (int i = 0; i < n; i++)
            to->f32[i] = hora_f16_to_f32(from->u16[i]);
    else if (dt == HORA_BF16 && st == HORA_F32)
        for (int i = 0; i < n; i++)
            to->u16[i] = hora_f32_to_bf16(from->f32[i]);
    else if (dt == HORA_F16 && st == HORA_F32)
        for (int i = 0; i < n; i++)
            to->u16[i] = hora_f32_to_f16(from->f32[i]);
    else
        return false;
    return true;
}

static void convert_chunk(chunk *to, hora_dtype dt, const chunk *from, hora_dtype st, int n) {
    double f[CHUNK];
    if (convert_direct(to, dt, from, st, n))
        return;
    if (hora_dtype_is_float(st)) {
        load_f64(f, from, st, n);
        if (hora_dtype_is_float(dt))
            store_f64(to, dt, f, n);
        else
            for (int i = 0; i < n; i++)
                store_integer(to, dt, i, integer_of_f64(f[i], dt == HORA_BOOL));
        return;
    }
    if (!hora_dtype_is_float(dt)) {
        for (int i = 0; i < n; i++)
            store_integer(to, dt, i, load_integer(from, st, i));
        return;
    }
    for (int i = 0; i < n; i++) {
        integer v = load_integer(from, st, i);
        double magnitude = dt == HORA_F64 ? (double)v.magnitude : to_odd(v.magnitude);
        f[i] = v.minus ? -magnitude : magnitude;
    }
    store_f64(to, dt, f, n);
}

/* Whole blocks, a few at a time through f32. */
static hora_status convert_blocks(void *dst, hora_dtype dt, const void *src, hora_dtype st,
                                  int64_t n) {
    float values[CHUNK];
    HORA_ASSERT(CHUNK % hora_dtype_block(st) == 0 && n % hora_dtype_block(st) == 0);
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t m = hora_min(CHUNK, n - i);
        const size_t at = (size_t)(i / hora_dtype_block(st)) * hora_dtype_block_bytes(st);
        hora_dequantize(values, (const char *)src + at, st, m);
        HORA_TRY(
            hora_convert((char *)dst + (size_t)i * hora_dtype_size(dt), dt, values, HORA_F32, m));
    }
    return HORA_OK;
}

hora_status hora_convert(void *dst, hora_dtype dt, const void *src, hora_dtype st, int64_t n) {
    const size_t dsize = hora_dtype_size(dt), ssize = hora_dtype_size(st);
    chunk from, to;
    if (n <= 0)
        return HORA_OK;
    if (hora_dtype_block(st) > 1 && dt == st) {
        memcpy(dst, src, (size_t)(n / hora_dtype_block(st)) * hora_dtype_block_bytes(st));
        return HORA_OK;
    }
    if (hora_dtype_block(st) > 1 && dsize)
        return convert_blocks(dst, dt, src, st, n);
    if (!dsize || !ssize)
        return hora_fail(HORA_EUNSUPPORTED,
                         "elements of type %s cannot be converted to %s; convert the file to F32, "
                         "BF16 or F16 first",
                         hora_dtype_name(st), hora_dtype_name(dt));
    if (dt == st) {
        memcpy(dst, src, (size_t)n * dsize);
        return HORA_OK;
    }
    unsigned char *d = dst;
    const unsigned char *s = src;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int m = (int)hora_min(CHUNK, n - i);
        memcpy(&from, s + (size_t)i * ssize, (size_t)m * ssize);
        convert_chunk(&to, dt, &from, st, m);
        memcpy(d + (size_t)i * dsize, &to, (size_t)m * dsize);
    }
    return HORA_OK;
}

void hora_row_values(const hora_view *v, int64_t row, double *y) {
    const int64_t n = v->shape.d[1];
    const size_t bytes =
        (size_t)(n / hora_dtype_block(v->dtype)) * hora_dtype_block_bytes(v->dtype);
    hora_status s =
        hora_convert(y, HORA_F64, (const char *)v->data + (size_t)row * bytes, v->dtype, n);
    HORA_ASSERT(s == HORA_OK);
    (void)s;
}
