/*
 * Goes on from a prompt, printing text as it comes.
 *
 *     generate MODEL-DIR PROMPT [ADAPTER-DIR]
 */
#include <hora/hora.h>
#include <stdio.h>
#include <string.h>

static bool print(void *user, const char *text, size_t n) {
    (void)user;
    return fwrite(text, 1, n, stdout) == n;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL-DIR PROMPT [ADAPTER-DIR]\n", argv[0]);
        return 2;
    }
    hora_model *m = NULL;
    hora_adapter *a = NULL;
    hora_tokenizer *t = NULL;
    hora_predictor *p = NULL;
    hora_ids prompt = {0};
    hora_status s;
    if ((s = hora_model_open(&m, argv[1], NULL)) ||
        (argc > 3 && (s = hora_adapter_load(&a, m, argv[3], NULL))) ||
        (s = hora_tokenizer_open(&t, argv[1])) ||
        (s = hora_tokenizer_encode(t, argv[2], strlen(argv[2]), true, &prompt)) ||
        (s = hora_predictor_new(&p, m, NULL)))
        goto out;
    printf("%s", argv[2]);
    s = hora_predictor_generate(p, prompt.at, prompt.n,
                                "max_new_tokens=40,temperature=0.8,top_k=50,seed=1", NULL, NULL,
                                print, NULL);
    printf("\n");
out:
    if (s)
        fprintf(stderr, "%s\n", hora_errmsg());
    hora_predictor_free(p);
    hora_ids_release(&prompt);
    hora_tokenizer_close(t);
    hora_adapter_detach(a);
    hora_model_close(m);
    return s != HORA_OK;
}
