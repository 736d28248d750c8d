/* No guard: part of the texts of losses, once per dtype. log sum exp of k numbers. */
static double T(lse)(const REAL *z, int64_t k) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < k; j++)
        most = fmax(most, LD(z[j]));
    for (int64_t j = 0; j < k; j++)
        sum += exp(LD(z[j]) - most);
    return most + log(sum);
}
