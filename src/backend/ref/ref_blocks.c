/* Reference kernel of op_blocks.c. */
#include "backend/ref/ref_impl.h"
#include "op/op_blocks.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_blocks.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(blocks, NULL);

#else

/* Element (j, l) of the block that column `at` lies in. */
static double T(block)(const hora_call *c, int64_t at, int64_t j, int64_t l) {
    const int64_t b = ref_width(&c->in[1]);
    const int64_t first = ref_rows(&c->in[1]) == b ? 0 : at / b * b;
    return LD(IN(1)[(first + j) * b + l]);
}

/* y[i, from(at)] = u[at], u = P x : R */
static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]), b = ref_width(&c->in[1]);
    const int64_t level = c->attr.a;
    /* u[perm(p)] = x[p]; y[p] = v[perm(p)] */
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < d; p++) {
            const int64_t at = hora_butterfly(p, b, level), base = at / b * b;
            double sum = 0;
            for (int64_t s = 0; s < d; s++) { /* the b columns of x that meet this block */
                const int64_t from = hora_butterfly(s, b, level);
                if (from / b * b == base)
                    sum += LD(IN(0)[i * d + s]) * T(block)(c, at, from % b, at % b);
            }
            OUT[i * d + p] = ST(sum);
        }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout), b = ref_width(&c->in[1]);
    const int64_t level = c->attr.a, rows = ref_rows(&c->in[1]);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        for (int64_t s = 0; s < d; s++) {
            const int64_t from = hora_butterfly(s, b, level), base = from / b * b;
            double sum = 0;
            for (int64_t p = 0; p < d; p++) {
                const int64_t at = hora_butterfly(p, b, level);
                if (at / b * b == base)
                    sum += LD(DOUT[i * d + p]) * T(block)(c, at, from % b, at % b);
            }
            PUT(0, &DIN(0)[i * d + s], sum);
        }
    for (int64_t j = 0; WANT(1) && j < rows; j++)
        for (int64_t l = 0; l < b; l++) {
            double sum = 0;
            for (int64_t s = 0; s < d; s++)
                for (int64_t p = 0; p < d; p++) {
                    const int64_t from = hora_butterfly(s, b, level);
                    const int64_t at = hora_butterfly(p, b, level);
                    const bool here =
                        from / b == at / b && at % b == l && (rows == b ? from % b : from) == j;
                    for (int64_t i = 0; here && i < n; i++)
                        sum += LD(IN(0)[i * d + s]) * LD(DOUT[i * d + p]);
                }
            PUTW(1, &DWIDE(1)[j * b + l], sum);
        }
}

#endif
