/*
 * No guard: the arithmetic of op_cayley.c on one block, for an element type CAYLEY (double in ref,
 * float in cpu). Matrices are b x b, row by row. Rooms hold what cayley_room says.
 */

/* Numbers that a call needs: q, r, p, g and what follows as `rest`. */
static inline int64_t cayley_room(int64_t b, int64_t terms) {
    return (6 + terms) * b * b;
}

/* c = alpha a b + beta c, with a' for a or b' for b. */
static inline void cayley_product(CAYLEY *c, const CAYLEY *x, bool tx, const CAYLEY *y, bool ty,
                                  int64_t b, CAYLEY alpha, CAYLEY beta) {
    for (int64_t i = 0; i < b; i++)
        for (int64_t j = 0; j < b; j++)
            c[i * b + j] = beta == 0 ? 0 : beta * c[i * b + j];
    for (int64_t i = 0; i < b; i++)
        for (int64_t k = 0; k < b; k++) {
            const CAYLEY f = alpha * (tx ? x[k * b + i] : x[i * b + k]);
            if (ty)
                for (int64_t j = 0; j < b; j++)
                    c[i * b + j] += f * y[j * b + k];
            else
                for (int64_t j = 0; j < b; j++)
                    c[i * b + j] += f * y[k * b + j];
        }
}

static inline void cayley_skew(CAYLEY *q, const CAYLEY *p, int64_t b, bool whole) {
    for (int64_t i = 0, at = 0; i < b; i++) {
        q[i * b + i] = 0;
        for (int64_t j = i + 1; j < b; j++, at++) {
            const CAYLEY v = whole ? (p[i * b + j] - p[j * b + i]) / 2 : p[at];
            q[i * b + j] = v;
            q[j * b + i] = -v;
        }
    }
}

/* Gradient of the parameters from that of Q. */
static inline void cayley_unskew(CAYLEY *p, const CAYLEY *dq, int64_t b, bool whole) {
    for (int64_t i = 0, at = 0; i < b; i++) {
        if (whole)
            p[i * b + i] = 0;
        for (int64_t j = i + 1; j < b; j++, at++) {
            const CAYLEY v = dq[i * b + j] - dq[j * b + i];
            if (whole) {
                p[i * b + j] = v / 2;
                p[j * b + i] = -v / 2;
            } else {
                p[at] = v;
            }
        }
    }
}

/* x = (I + Q)^-1 by Gauss and Jordan; I + Q is never singular. m: room of b b. */
static inline void cayley_inverse(CAYLEY *x, const CAYLEY *q, int64_t b, CAYLEY *m) {
    for (int64_t i = 0; i < b * b; i++) {
        x[i] = i % (b + 1) == 0;
        m[i] = q[i] + x[i];
    }
    for (int64_t k = 0; k < b; k++) { /* the diagonal stays at 1 or above: Q has none */
        const CAYLEY f = 1 / m[k * b + k];
        for (int64_t j = 0; j < b; j++) {
            m[k * b + j] *= f;
            x[k * b + j] *= f;
        }
        for (int64_t i = 0; i < b; i++) {
            const CAYLEY g = m[i * b + k];
            for (int64_t j = 0; i != k && j < b; j++) {
                m[i * b + j] -= g * m[k * b + j];
                x[i * b + j] -= g * x[k * b + j];
            }
        }
    }
}

static inline CAYLEY cayley_factor(int64_t k, int64_t terms) {
    return k == 0 || k == terms - 1 ? 1 : 2;
}

static inline void cayley_unit(CAYLEY *h, int64_t b, CAYLEY v) {
    for (int64_t i = 0; i < b * b; i++)
        h[i] = i % (b + 1) == 0 ? v : 0;
}

/* Horner: h[t-1] = I, h[k] = c_k I + Q h[k+1]. */
static inline void cayley_horner(CAYLEY *h, const CAYLEY *q, int64_t b, int64_t terms) {
    for (int64_t k = terms - 1; k >= 0; k--) {
        cayley_unit(h + k * b * b, b, cayley_factor(k, terms));
        if (k < terms - 1)
            cayley_product(h + k * b * b, q, false, h + (k + 1) * b * b, false, b, 1, 1);
    }
}

static inline void cayley_forward(CAYLEY *r, const CAYLEY *q, int64_t b, int64_t terms,
                                  CAYLEY *rest) {
    if (terms) {
        cayley_horner(rest, q, b, terms);
        for (int64_t i = 0; i < b * b; i++)
            r[i] = rest[i];
        return;
    }
    cayley_inverse(r, q, b, rest);
    for (int64_t i = 0; i < b * b; i++) /* (I - Q)(I + Q)^-1 = 2 (I + Q)^-1 - I */
        r[i] = 2 * r[i] - (i % (b + 1) == 0);
}

/* p: gradient of the parameters, from g, that of R. r, g and q are used up. */
static inline void cayley_backward(CAYLEY *p, CAYLEY *r, CAYLEY *q, CAYLEY *g, int64_t b,
                                   int64_t terms, bool whole, CAYLEY *rest) {
    CAYLEY *dq = rest, *h = rest + b * b;
    cayley_unit(dq, b, 0);
    if (terms) {
        cayley_horner(h, q, b, terms);
        for (int64_t k = 0; k + 1 < terms; k++) {
            cayley_product(dq, g, false, h + (k + 1) * b * b, true, b, 1, 1);
            cayley_product(r, q, true, g, false, b, 1, 0);
            for (int64_t i = 0; i < b * b; i++)
                g[i] = r[i];
        }
    } else {
        for (int64_t i = 0; i < b; i++)
            r[i * b + i] += 1;
        cayley_product(h, r, true, g, false, b, 1, 0);
        cayley_product(dq, h, false, r, true, b, (CAYLEY)-0.5, 0);
    }
    cayley_unskew(p, dq, b, whole);
}
#undef CAYLEY
