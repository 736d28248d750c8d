/*
 * bf16 products in matrix tiles (Intel AMX; Software Developer's Manual, volume 1, chapter 18).
 * Panels are those of kern_gemm.c and rows of an x lie as there: 16 units of 16 rows of x are a
 * tile as they are, and so are 16 units of 16 columns of a panel.
 *
 *               B 6   B 7        a block: 32 rows x 32 columns, four sums of 16 x 16
 *       A 4  |  0  |  1  |       A, B: 16 units = 32 elements along k, 16 rows or columns
 *       A 5  |  2  |  3  |
 *
 * An instruction adds 32 products to each sum, those of even and of odd elements apart, in f32. A
 * unit that is missing at the end of k is zero in both. Bits of a row depend on k alone: what is
 * left of the rows goes through tiles of fewer rows.
 */
enum {
    TILE = 16,             /* rows, columns or units */
    TILE_ROWS = 2 * TILE,  /* of a block */
    TILE_BYTES = TILE * 4, /* of a row of a tile */
    TILES_OF_PANEL = NR / TILE
};

typedef uint32_t tile_units[TILE][TILE] __attribute__((aligned(64)));
typedef float tile_sums[TILE_ROWS][NR] __attribute__((aligned(64)));
#define TILED __attribute__((target("amx-tile,amx-bf16")))

/* Sums and A have `rows` rows, B has 16; every row is whole. */
TILED static void tiles_begin(int64_t rows) {
    struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } __attribute__((aligned(64))) shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.bytes[i] = TILE_BYTES;
        shape.rows[i] = (uint8_t)(i < 6 ? rows : TILE);
    }
    _tile_loadconfig(&shape);
}

/* For the address sanitizer, which does not see loads of tiles. */
INLINE void tile_touch(const char *from, int64_t step, int64_t rows) {
    for (int64_t r = 0; r < rows; r++)
        v_touch(from + r * step, TILE_BYTES);
}

/* Units [p, p + 16) of `rows` rows of x from row i, those from `units` on zero. */
static void tile_of_x(const hora_gemm_term *t, int64_t i, int64_t rows, int64_t p, int64_t units,
                      tile_units to) {
    const char *x = (const char *)t->x + i * t->sxi + p * t->sxp;
    const int64_t n = units - p < TILE ? units - p : TILE;
    if (n < TILE)
        memset(to, 0, sizeof(tile_units));
    if (t->sxp != 4) { /* x as `pack` wrote it */
        tile_units turned;
        if (n == TILE) {
            transpose16(x, t->sxp, to[0], TILE);
            return;
        }
        memset(turned, 0, sizeof turned);
        for (int64_t q = 0; q < n; q++)
            memcpy(turned[q], x + q * t->sxp, TILE_BYTES);
        for (int64_t r = 0; r < TILE && t->k % 2; r++)
            turned[n - 1][r] &= 0xffff; /* beyond the last element */
        transpose16(turned, TILE_BYTES, to[0], TILE);
        return;
    }
    const int64_t bytes = p + n == units && t->k % 2 ? n * 4 - 2 : n * 4;
    const uint64_t seen = ((uint64_t)1 << bytes / 2) - 1;
    for (int64_t r = 0; r < rows; r++) {
        v_touch(x + r * t->sxi, bytes);
        _mm512_store_si512(to[r], _mm512_maskz_loadu_epi16((__mmask32)seen, x + r * t->sxi));
    }
}

/* Units [p, units) of 16 n columns of a panel, at b, and zeros. */
static void tile_of_b(const char *b, int64_t su, int64_t n, int64_t p, int64_t units,
                      tile_units to[2]) {
    for (int64_t c = 0; c < n; c++)
        for (int64_t q = 0; q < TILE; q++) {
            vu row = {0};
            if (p + q < units)
                row = *(const vu_any *)(b + (p + q) * su + c * TILE_BYTES);
            *(vu *)to[c][q] = row;
        }
}

/* A term of the sums: `a` tiles of rows (the second of 16 more) and b tiles of columns. */
#define TILE_TERM(name, a, n)                                                                      \
    TILED static void name(const hora_gemm_term *t, int64_t i, int64_t rows, const char *b,        \
                           int64_t su) {                                                           \
        const int64_t units = (t->k + 1) / 2, whole = t->k / (2 * TILE) * TILE;                    \
        const char *x = (const char *)t->x + i * t->sxi;                                           \
        tile_units xs[2], bs[2];                                                                   \
        for (int64_t p = 0; p < units; p += TILE) {                                                \
            if (p < whole) {                                                                       \
                tile_touch(b + p * su, su, TILE);                                                  \
                _tile_loadd(6, b + p * su, su);                                                    \
                if (n == 2)                                                                        \
                    _tile_loadd(7, b + p * su + TILE_BYTES, su);                                   \
            } else {                                                                               \
                tile_of_b(b, su, n, p, units, bs);                                                 \
                _tile_loadd(6, bs[0], TILE_BYTES);                                                 \
                if (n == 2)                                                                        \
                    _tile_loadd(7, bs[1], TILE_BYTES);                                             \
            }                                                                                      \
            if (p < whole && t->sxp == 4) {                                                        \
                tile_touch(x + p * 4, t->sxi, a == 2 ? TILE_ROWS : rows);                          \
                _tile_loadd(4, x + p * 4, t->sxi);                                                 \
                if (a == 2)                                                                        \
                    _tile_loadd(5, x + TILE * t->sxi + p * 4, t->sxi);                             \
            } else {                                                                               \
                tile_of_x(t, i, rows, p, units, xs[0]);                                            \
                _tile_loadd(4, xs[0], TILE_BYTES);                                                 \
                if (a == 2) {                                                                      \
                    tile_of_x(t, i + TILE, rows, p, units, xs[1]);                                 \
                    _tile_loadd(5, xs[1], TILE_BYTES);                                             \
                }                                                                                  \
            }                                                                                      \
            _tile_dpbf16ps(0, 4, 6);                                                               \
            if (n == 2)                                                                            \
                _tile_dpbf16ps(1, 4, 7);                                                           \
            if (a == 2)                                                                            \
                _tile_dpbf16ps(2, 5, 6);                                                           \
            if (a == 2 && n == 2)                                                                  \
                _tile_dpbf16ps(3, 5, 7);                                                           \
        }                                                                                          \
    }
TILE_TERM(tile_term_1_1, 1, 1)
TILE_TERM(tile_term_1_2, 1, 2)
TILE_TERM(tile_term_2_1, 2, 1)
TILE_TERM(tile_term_2_2, 2, 2)

/* y of `rows` rows and n columns from (i, j), from the sums of the tiles. */
static void tile_finish(const hora_gemm *g, int64_t i, int64_t j, int64_t rows, int64_t n,
                        tile_sums sums) {
    vf(*acc)[NV] = (vf(*)[NV])sums;
    const int64_t nv = n / VL;
    if (n % VL || g->c || g->bias)
        G(finish)((int)rows, g, i, j, n, acc);
    else if (g->wide && g->add)
        G(finish_plain)((int)rows, (int)nv, g, i, j, true, true, acc);
    else if (g->wide)
        G(finish_plain)((int)rows, (int)nv, g, i, j, true, false, acc);
    else if (g->add)
        G(finish_plain)((int)rows, (int)nv, g, i, j, false, true, acc);
    else
        G(finish_plain)((int)rows, (int)nv, g, i, j, false, false, acc);
}

/* `rows` rows, those of the tiles or twice as many, and n columns of the panel at j. */
TILED static void tile_block(const hora_gemm *g, int64_t i, int64_t j, int64_t rows, int64_t n) {
    tile_sums sums;
    const int64_t across = (n + TILE - 1) / TILE;
    const bool both = rows > TILE;
    for (int64_t c = 0; c < across; c += 2) {
        const bool pair = c + 1 < across;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int k = 0; k < 2; k++) {
            const hora_gemm_term *t = &g->t[k];
            const int64_t su = t->su ? t->su : across * TILE_BYTES;
            const char *b = (const char *)t->b + j / NR * t->sb + c * TILE_BYTES;
            if (!t->k)
                continue;
            if (both && pair)
                tile_term_2_2(t, i, TILE, b, su);
            else if (both)
                tile_term_2_1(t, i, TILE, b, su);
            else if (pair)
                tile_term_1_2(t, i, rows, b, su);
            else
                tile_term_1_1(t, i, rows, b, su);
        }
        _tile_stored(0, &sums[0][c * TILE], NR * 4);
        if (pair)
            _tile_stored(1, &sums[0][(c + 1) * TILE], NR * 4);
        if (both)
            _tile_stored(2, &sums[TILE][c * TILE], NR * 4);
        if (both && pair)
            _tile_stored(3, &sums[TILE][(c + 1) * TILE], NR * 4);
    }
    tile_finish(g, i, j, rows, n, sums);
}

TILED static void tile_gemm(const hora_gemm *g) {
    const int64_t whole = g->m / TILE * TILE;
    if (whole) {
        tiles_begin(TILE);
        for (int64_t j = 0; j < g->n; j += NR)
            for (int64_t i = 0; i < whole; i += TILE_ROWS)
                tile_block(g, i, j, whole - i < TILE_ROWS ? TILE : TILE_ROWS,
                           g->n - j < NR ? g->n - j : NR);
    }
    if (whole < g->m) {
        tiles_begin(g->m - whole);
        for (int64_t j = 0; j < g->n; j += NR)
            tile_block(g, whole, j, g->m - whole, g->n - j < NR ? g->n - j : NR);
    }
    _tile_release();
}

extern const hora_kern_gemm KERN(gemm_tiles);
const hora_kern_gemm KERN(gemm_tiles) = {NR, sizeof(E), tile_gemm, G(few), G(pack_bytes), G(pack)};
#undef TILED
#undef TILE_TERM
