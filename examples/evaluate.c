/*
 * How probable a model finds each line of a file: log-likelihood and perplexity per line.
 *
 *     evaluate MODEL-DIR TEXT-FILE [ADAPTER-DIR]
 */
#include <hora/hora.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL-DIR TEXT-FILE [ADAPTER-DIR]\n", argv[0]);
        return 2;
    }
    hora_model *m = NULL;
    hora_adapter *a = NULL;
    hora_tokenizer *t = NULL;
    hora_predictor *p = NULL;
    hora_ids ids = {0};
    char line[4096];
    FILE *f = fopen(argv[2], "r");
    hora_status s = HORA_EIO;
    if (!f) {
        perror(argv[2]);
        return 1;
    }
    if ((s = hora_model_open(&m, argv[1], NULL)) ||
        (argc > 3 && (s = hora_adapter_load(&a, m, argv[3], NULL))) ||
        (s = hora_tokenizer_open(&t, argv[1])) || (s = hora_predictor_new(&p, m, NULL)))
        goto out;
    while (!s && fgets(line, sizeof line, f)) {
        double logp;
        line[strcspn(line, "\n")] = 0;
        ids.n = 0;
        if ((s = hora_tokenizer_encode(t, line, strlen(line), true, &ids)) || ids.n < 2)
            continue;
        if (!(s = hora_predictor_score(p, ids.at, ids.n, 1, &logp)))
            printf("%10.3f  %8.2f  %s\n", logp, exp(-logp / (double)(ids.n - 1)), line);
    }
out:
    if (s)
        fprintf(stderr, "%s\n", hora_errmsg());
    fclose(f);
    hora_predictor_free(p);
    hora_ids_release(&ids);
    hora_tokenizer_close(t);
    hora_adapter_detach(a);
    hora_model_close(m);
    return s != HORA_OK;
}
