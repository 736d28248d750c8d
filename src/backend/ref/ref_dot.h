/* No guard: part of every kernel's text, once per dtype. a b' of n elements. */
static inline double T(dot)(const REAL *a, const REAL *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += LD(a[i]) * LD(b[i]);
    return sum;
}
