/*
 * Loads an adapter - ours or PEFT's -, shows what it does to the next token, folds it into the
 * weights and writes the merged model.
 *
 *     merge_adapter MODEL-DIR ADAPTER-DIR OUT-DIR
 */
#include <hora/hora.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Logits behind the last of n ids, into z. */
static hora_status last_logits(hora_model *m, const int32_t *ids, size_t n, size_t vocab,
                               float *z) {
    hora_predictor *p = NULL;
    float *all = malloc(n * vocab * sizeof *all);
    hora_status s = all ? hora_predictor_new(&p, m, NULL) : HORA_ENOMEM;
    if (!s && !(s = hora_predictor_logits(p, ids, n, all)))
        for (size_t i = 0; i < vocab; i++)
            z[i] = all[(n - 1) * vocab + i];
    hora_predictor_free(p);
    free(all);
    return s;
}

static double distance(const float *a, const float *b, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)a[i] - b[i]));
    return worst;
}

int main(int argc, char **argv) {
    static const int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const size_t n = sizeof ids / sizeof *ids;
    hora_model *m = NULL;
    hora_adapter *a = NULL;
    float *z = NULL;
    double vocab = 0, trained = 0, apart = 0;
    hora_status s;
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL-DIR ADAPTER-DIR OUT-DIR\n", argv[0]);
        return 2;
    }
    if ((s = hora_model_open(&m, argv[1], NULL)) || (s = hora_adapter_load(&a, m, argv[2], NULL)) ||
        (s = hora_model_info(m, "vocab", &vocab)) ||
        (s = hora_model_info(m, "trainable", &trained)))
        goto out;
    const size_t v = (size_t)vocab;
    s = HORA_ENOMEM;
    if (!(z = malloc(3 * v * sizeof *z)))
        goto out;
    hora_adapter_enable(a, false);
    if ((s = last_logits(m, ids, n, v, z)))
        goto out;
    hora_adapter_enable(a, true);
    if ((s = last_logits(m, ids, n, v, z + v)) || (s = hora_model_verify(m, 32, &apart)) ||
        (s = hora_model_export(m, argv[3], "dtype=f32")) || (s = hora_adapter_merge(a)))
        goto out;
    a = NULL; /* merging took it */
    if ((s = last_logits(m, ids, n, v, z + 2 * v)))
        goto out;
    printf("%.0f numbers in the adapter\n", trained);
    printf("largest change of a logit: %g by the adapter, %g by merging it (%g over 32 tokens)\n",
           distance(z, z + v, v), distance(z + v, z + 2 * v, v), apart);
    printf("merged model: %s\n", argv[3]);
out:
    if (s)
        fprintf(stderr, "%s\n", hora_errmsg());
    free(z);
    hora_adapter_detach(a);
    hora_model_close(m);
    return s != HORA_OK;
}
