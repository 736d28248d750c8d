/* No guard: part of the texts of losses on pairs of texts. |x|, kept away from 0. */
static double T(length)(const REAL *x, int64_t d) {
    return fmax(sqrt(T(dot)(x, x, d)), 1e-12);
}
