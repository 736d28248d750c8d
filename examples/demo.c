/*
 * The demo: fine-tunes the model of examples/tiny to a task that it has never seen, with hora, lora
 * and full at equal steps, each at the rate that was best for it, and measures on held-out
 * questions how often the whole answer is right. Written over the public API alone. Run it in the
 * source tree, or name the folder with base/, train.jsonl and test.jsonl: demo [FOLDER [STEPS]].
 */
#include <hora/hora.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEPS    "1200"
#define TRAINING "batch_size=4,schedule=cosine,warmup=0.1"
#define SHAPE    "seq_len=128"

/* Rates: the best of 1e-3, 2e-3, 3e-3, 1e-2 for hora, of 3e-3, 1e-2, 3e-2 for lora, of 3e-4, 1e-3,
 * 3e-3 for full, by mean accuracy over three seeds; examples/tiny/README.md has the numbers. */
static const struct {
    const char *method, *options, *rate;
} runs[] = {
    {"hora", "rank=8", "3e-3"},
    {"lora", "rank=8", "1e-2"},
    {"full", "", "1e-3"},
};
enum { RUNS = sizeof runs / sizeof *runs, LINE = 512, SHOWN = 4 };

typedef struct outcome {
    double accuracy, trained, seconds, mebibytes;
} outcome;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The text of "key" in a line of JSON without escapes, as the generator of the language writes it.
 */
static int field(const char *line, const char *key, char out[LINE]) {
    char mark[64];
    snprintf(mark, sizeof mark, "\"%s\": \"", key);
    const char *from = strstr(line, mark);
    const char *to = from ? strchr(from + strlen(mark), '"') : NULL;
    if (!to)
        return 0;
    from += strlen(mark);
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = '\0';
    return 1;
}

/* Greedy answer to one question. */
static hora_status answer(hora_predictor *p, const hora_tokenizer *t, const char *question,
                          hora_str *text) {
    hora_ids ids = {0};
    hora_status s = hora_tokenizer_encode(t, question, strlen(question), true, &ids);
    if (s == HORA_OK)
        s = hora_predictor_generate(p, ids.at, ids.n, "max_new_tokens=16", NULL, text, NULL, NULL);
    hora_ids_release(&ids);
    return s;
}

/* Share of the test questions whose whole answer is right; prints the first few when `show`. */
static hora_status examine(hora_model *m, const hora_tokenizer *t, const char *test, int show,
                           double *accuracy) {
    char line[LINE], question[LINE], right[LINE];
    hora_predictor *p = NULL;
    int asked = 0, hits = 0;
    FILE *f = fopen(test, "r");
    if (!f) {
        fprintf(stderr, "demo: cannot read %s; run this in the source tree\n", test);
        return HORA_EIO;
    }
    hora_status s = hora_predictor_new(&p, m, NULL);
    while (s == HORA_OK && fgets(line, sizeof line, f)) {
        if (!field(line, "prompt", question) || !field(line, "completion", right))
            continue;
        hora_str text = {0};
        s = answer(p, t, question, &text);
        int good = text.s && strcmp(text.s, right) == 0;
        if (s == HORA_OK && asked < show)
            printf("    %-30s%-22s%s\n", question, text.s ? text.s : "", good ? "" : "(wrong)");
        asked++;
        hits += good;
        hora_str_release(&text);
    }
    fclose(f);
    hora_predictor_free(p);
    *accuracy = asked ? 100.0 * hits / asked : 0;
    return s;
}

/* A number of the plan; its JSON is flat enough to look the key up. */
static double planned(const char *json, const char *key) {
    char mark[64];
    snprintf(mark, sizeof mark, "\"%s\":", key);
    const char *at = json ? strstr(json, mark) : NULL;
    return at ? strtod(at + strlen(mark), NULL) : 0;
}

static hora_status train(hora_model *m, const char *data, const char *steps_wanted, int run,
                         outcome *o) {
    hora_data *d = NULL;
    hora_trainer *t = NULL;
    hora_str plan = {0};
    char options[256];
    snprintf(options, sizeof options, TRAINING ",steps=%s,lr=%s", steps_wanted, runs[run].rate);
    double start = now(), loss = 0, step = 0, steps = 0;
    hora_status s = hora_data_open(&d, m, data, SHAPE);
    if (s == HORA_OK)
        s = hora_trainer_new(&t, m, d, options);
    if (s == HORA_OK)
        s = hora_trainer_plan(t, &plan);
    while (s == HORA_OK && (s = hora_trainer_step(t)) == HORA_OK) {
        hora_trainer_get(t, "step", &step);
        hora_trainer_get(t, "steps", &steps);
        hora_trainer_get(t, "loss", &loss);
        if ((int)step % 100 == 0)
            fprintf(stderr, "  %-5s step %3.0f of %.0f, loss %.4f\n", runs[run].method, step, steps,
                    loss);
    }
    o->seconds = now() - start;
    o->trained = planned(plan.s, "trainable");
    o->mebibytes = planned(plan.s, "total") / (1024 * 1024);
    hora_str_release(&plan);
    hora_trainer_free(t);
    hora_data_close(d);
    return s == HORA_DONE ? HORA_OK : s;
}

/* One method from the base to its accuracy. */
static hora_status compete(const char *base, const char *data, const char *test, const char *steps,
                           int run, const hora_tokenizer *tok, outcome *o) {
    hora_model *m = NULL;
    hora_adapter *a = NULL;
    hora_status s = hora_model_open(&m, base, NULL);
    if (s == HORA_OK)
        s = hora_adapter_attach(&a, m, runs[run].method, runs[run].options);
    if (s == HORA_OK)
        s = train(m, data, steps, run, o);
    if (s == HORA_OK && run == 0)
        printf("\nwith %s:\n", runs[run].method);
    if (s == HORA_OK)
        s = examine(m, tok, test, run == 0 ? SHOWN : 0, &o->accuracy);
    hora_adapter_detach(a);
    hora_model_close(m);
    return s;
}

static hora_status ask_base(const char *base, const char *test, const hora_tokenizer *tok,
                            double *accuracy) {
    hora_model *m = NULL;
    hora_status s = hora_model_open(&m, base, NULL);
    puts(
        "the base model answers a task that it has never seen (the first letter goes to the end):");
    if (s == HORA_OK)
        s = examine(m, tok, test, SHOWN, accuracy);
    hora_model_close(m);
    return s;
}

static void table(double base, const outcome *o) {
    printf("\n%-8s %10s %12s %10s %12s %14s\n", "method", "held-out", "parameters", "rate",
           "seconds", "memory (MiB)");
    printf("%-8s %8.1f %% %12s %10s %12s %14s\n", "(base)", base, "-", "-", "-", "-");
    for (int i = 0; i < RUNS; i++)
        printf("%-8s %8.1f %% %12.0f %10s %12.1f %14.1f\n", runs[i].method, o[i].accuracy,
               o[i].trained, runs[i].rate, o[i].seconds, o[i].mebibytes);
    puts("\nheld-out: share of 200 unseen questions whose whole answer is right; memory: as "
         "planned, and as used");
}

int main(int argc, char **argv) {
    const char *dir = argc > 1 ? argv[1] : "examples/tiny";
    char base[1024], data[1024], test[1024];
    snprintf(base, sizeof base, "%s/base", dir);
    snprintf(data, sizeof data, "%s/train.jsonl", dir);
    snprintf(test, sizeof test, "%s/test.jsonl", dir);
    outcome o[RUNS] = {{0}};
    double before = 0;
    hora_tokenizer *tok = NULL;
    hora_log_set(1, NULL, NULL);
    hora_status s = hora_tokenizer_open(&tok, base);
    if (s == HORA_OK)
        s = ask_base(base, test, tok, &before);
    for (int i = 0; i < RUNS && s == HORA_OK; i++)
        s = compete(base, data, test, argc > 2 ? argv[2] : STEPS, i, tok, &o[i]);
    if (s == HORA_OK)
        table(before, o);
    else
        fprintf(stderr, "demo: %s\n", hora_errmsg());
    hora_tokenizer_close(tok);
    return s != HORA_OK;
}
