/*
 * Trainings of the experiment. A subset is the first n sequences of a permutation that depends on
 * the seed alone, so subsets are nested and the same for every method; its last sequences, 20 % and
 * at least 32, choose the rate and are not trained on. The evaluation file is looked at once per
 * training and chooses nothing.
 */
#include "lab/lowdata_model.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "lab/lowdata_model_impl.h"
#include "lab/report.h"
#include "model/family.h"
#include "run/open.h"
#include "train/train.h"

enum { HELD_OUT = 32 };

#define OPT_OF hora_lowdata_model_config
static const hora_option rows[] = {
    OPT_STRING(model, "model", NULL, NULL, "DIR",
               "train adapters of this model instead of the synthetic experiment"),
    OPT_STRING(data, "data", NULL, NULL, "FILE", "text or JSONL that the subsets are drawn from"),
    OPT_STRING(eval, "eval", "eval_data", NULL, "FILE", "evaluation data, never used for choices"),
    OPT_LIST(fractions, "fractions", NULL, NULL, "LIST",
             "subset sizes as shares of the sequences of --data; unset: 0.01,0.03,0.1,0.3,1"),
    OPT_LIST(n, "n", "sequences", NULL, "LIST",
             "subset sizes as numbers of sequences, such as 50,100,200"),
    OPT_INT(rank, "rank", "r", "8", 1, 4096, "rank of every student"),
    OPT_LIST(rates, "rates", "lr", "1e-4,3e-4,1e-3,3e-3", "LIST",
             "learning rates, the same for all; one is chosen for each method and size"),
    OPT_LIST(student, "student", "students", NULL, "LIST",
             "more students: identity, tanh, gelu, sigmoid, own-qv, own-heads, rep"),
    OPT_INT(seeds, "seeds", NULL, "8", 1, 64,
            "seeds of everything random; fewer than 8 give no verdict"),
    OPT_INT(epochs, "epochs", NULL, "20", 1, 1e6, "passes over a subset"),
    OPT_INT(min_steps, "min_steps", NULL, "200", 1, 1e9, "steps of a training at least"),
    OPT_INT(batch_size, "batch_size", NULL, "8", 1, 1e5, "sequences of a step"),
    OPT_INT(seq_len, "seq_len", NULL, "128", 2, 1 << 20, "tokens of a sequence"),
    OPT_STRING(out, "out", NULL, NULL, "DIR",
               "folder for finished trainings, report and pictures; given again, it goes on there"),
};
const hora_options hora_lowdata_model_options = {"On a real model", rows, HORA_COUNT(rows)};

typedef struct lab {
    hora_lowdata_grid g;
    hora_opened opened;
    hora_base *base; /* its */
    hora_device *device;
    hora_dataset *data, *eval;
    uint64_t hash;    /* of model and evaluation data */
    hora_outdir *out; /* NULL: nothing is kept */
    char *log;        /* OUT/lowdata_runs.csv; NULL: none */
    double started;   /* the first training of this process */
    int todo, did;
} lab;

/* --- sizes, rates, students ------------------------------------------------------------------- */
/* Numbers of a list "1,2,3" (or 1+2) into out; each in [min, max]. */
static hora_status take_list(const char *option, const char *list, double min, double max, int most,
                             double *out, int *n) {
    *n = 0;
    for (char *word; (word = hora_list_word(&list, HORA_LIST));) {
        double v = NAN;
        hora_status s = HORA_OK;
        if (!hora_parse_double(word, &v) || !(v >= min && v <= max))
            s = hora_fail(HORA_EUSAGE, "--%s: `%s` should be a number from %g to %g", option, word,
                          min, max);
        else if (*n == most)
            s = hora_fail(HORA_EUSAGE, "--%s: %d at most", option, most);
        hora_free(word);
        HORA_TRY(s);
        out[(*n)++] = v;
    }
    return *n ? HORA_OK : hora_fail(HORA_EUSAGE, "--%s is empty; give numbers", option);
}

static int64_t held_out(int64_t n) {
    return hora_max(HELD_OUT, (n + 4) / 5);
}

static hora_status take_sizes(lab *b) {
    const hora_lowdata_model_config *c = b->g.config;
    hora_lowdata_grid *g = &b->g;
    double v[HORA_LOWDATA_SIZES];
    if (c->n && c->fractions)
        return hora_fail(HORA_EUSAGE, "--n and --fractions exclude each other; give one");
    if (c->n)
        HORA_TRY(take_list("n", c->n, 1, 1e12, HORA_LOWDATA_SIZES, v, &g->sizes));
    else
        HORA_TRY(take_list("fractions", c->fractions ? c->fractions : "0.01,0.03,0.1,0.3,1", 1e-9,
                           1, HORA_LOWDATA_SIZES, v, &g->sizes));
    g->sequences = hora_data_about(b->data)->sequences;
    for (int i = 0; i < g->sizes; i++) {
        g->n[i] = c->n ? (int64_t)v[i] : (int64_t)(v[i] * (double)g->sequences);
        g->train[i] = g->n[i] - held_out(g->n[i]);
        if (g->n[i] > g->sequences)
            return hora_fail(HORA_EUSAGE,
                             "%s has %lld sequences of %lld tokens, fewer than %lld; give "
                             "smaller sizes or more data",
                             c->data, (long long)g->sequences, (long long)c->seq_len,
                             (long long)g->n[i]);
        if (g->train[i] < 1)
            return hora_fail(
                HORA_EUSAGE,
                "a subset of %lld sequences leaves none to train on: %d are held out to "
                "choose the rate; give sizes above %d",
                (long long)g->n[i], HELD_OUT, HELD_OUT);
        if (i && g->n[i] <= g->n[i - 1])
            return hora_fail(HORA_EUSAGE, "sizes have to rise, but %lld comes after %lld",
                             (long long)g->n[i], (long long)g->n[i - 1]);
        g->steps[i] = hora_max(c->min_steps, hora_ceil_div(c->epochs * g->train[i], c->batch_size));
    }
    return HORA_OK;
}

/* Largest hidden width m with P_HoRA <= P_LoRA on q and v, e = r. */
static int64_t equal_hidden(const hora_base *b, int64_t r) {
    const int64_t d = b->hidden, h = b->heads, dh = b->head_dim;
    const int64_t left = r * (2 * d + (h + b->kv_heads) * dh) - r * r * (1 + h);
    return left > 0 ? left / (2 * r + 2 * d + 2 * dh) : 0;
}

static hora_status count_parameters(const lab *b, hora_lowdata_student *s) {
    hora_settings settings = {0};
    hora_adapter *a = NULL;
    hora_status st;
    HORA_TRY_OUT(st, hora_settings_parse(&settings, s->options, "program"));
    HORA_TRY_OUT(st, hora_peft_attach(&a, b->base, s->method, &settings, 0));
    s->parameters = hora_adapter_trainable(a);
out:
    hora_peft_detach(a);
    hora_settings_release(&settings);
    return st;
}

static const struct {
    const char *name, *options;
} variants[] = {{"identity", "act=identity"}, {"tanh", "act=tanh"},
                {"gelu", "act=gelu"},         {"sigmoid", "act=sigmoid"},
                {"own-qv", "share_qv=off"},   {"own-heads", "share_heads=off"},
                {"rep", "generator=rep"}};

static hora_status add_variants(hora_lowdata_grid *g, const char *list, long long r, long long m) {
    for (char *word; (word = hora_list_word(&list, HORA_LIST));) {
        size_t i = 0;
        while (i < HORA_COUNT(variants) && !hora_eq(variants[i].name, word))
            i++;
        hora_status s = HORA_OK;
        if (i == HORA_COUNT(variants))
            s = hora_fail(HORA_EUSAGE,
                          "--student: `%s` is none; choose among identity, tanh, gelu, "
                          "sigmoid, own-qv, own-heads and rep",
                          word);
        else if (g->students == HORA_LOWDATA_STUDENTS)
            s = hora_fail(HORA_EUSAGE, "--student: too many; name each once");
        hora_free(word);
        HORA_TRY(s);
        hora_lowdata_student *t = &g->student[g->students++];
        *t = (hora_lowdata_student){.name = variants[i].name, .method = "hora"};
        hora_snprintf(t->options, sizeof t->options, "rank=%lld,hidden=%lld,%s", r, m,
                      variants[i].options);
    }
    return HORA_OK;
}

static hora_status take_students(lab *b) {
    hora_lowdata_grid *g = &b->g;
    const int64_t r = g->config->rank, m = equal_hidden(b->base, r);
    int64_t fits = r;
    while (fits > 0 && equal_hidden(b->base, fits) < fits)
        fits--;
    if (m < r)
        return fits ? hora_fail(HORA_EUSAGE,
                                "at rank %lld HoRA with as many parameters as LoRA would have a "
                                "hidden width of %lld, below the rank; use --rank %lld",
                                (long long)r, (long long)m, (long long)fits)
                    : hora_fail(HORA_EUSAGE, "this model is too narrow: at no rank has HoRA as few "
                                             "parameters as LoRA; give a wider model");
    g->student[HORA_LOWDATA_LORA] = (hora_lowdata_student){.name = "lora", .method = "lora"};
    g->student[HORA_LOWDATA_EQUAL] = (hora_lowdata_student){.name = "hora", .method = "hora"};
    g->student[2] = (hora_lowdata_student){.name = "hora-2r", .method = "hora"};
    g->students = 3;
    const long long lr = r, lm = m;
    hora_snprintf(g->student[0].options, sizeof g->student[0].options, "rank=%lld", lr);
    hora_snprintf(g->student[1].options, sizeof g->student[1].options, "rank=%lld,hidden=%lld", lr,
                  lm);
    hora_snprintf(g->student[2].options, sizeof g->student[2].options, "rank=%lld,hidden=%lld", lr,
                  2 * lr);
    HORA_TRY(add_variants(g, g->config->student, lr, lm));
    for (int i = 0; i < g->students; i++)
        HORA_TRY(count_parameters(b, &g->student[i]));
    return g->student[1].parameters <= g->student[0].parameters
               ? HORA_OK
               : hora_fail(HORA_EUNSUPPORTED,
                           "HoRA has %lld parameters, LoRA %lld: this family's heads are not "
                           "counted as the formula counts them",
                           (long long)g->student[1].parameters,
                           (long long)g->student[0].parameters);
}

/* --- opening ---------------------------------------------------------------------------------- */
static hora_status open_set(lab *b, const char *path, hora_dataset **out) {
    hora_data_config c;
    hora_settings none = {0};
    HORA_TRY(hora_options_take(&hora_data_options, &c, &none));
    c.seq_len = b->g.config->seq_len;
    hora_status s = hora_open_data(&b->opened, out, path, &c);
    hora_options_release(&hora_data_options, &c);
    if (s == HORA_OK && hora_data_about(*out)->max_id >= b->base->vocab)
        s = hora_fail(HORA_EMISMATCH,
                      "%s: the tokenizer is another model's; put the right "
                      "tokenizer.json beside the weights",
                      path);
    return s;
}

static const char log_head[] =
    "key,student,options,n,train,steps,rate,seed,validation_loss,eval_loss,bits_per_byte,seconds,"
    "steps_per_s,bytes\n";

static hora_status open_out(lab *b) {
    const hora_lowdata_model_config *c = b->g.config;
    const hora_input in[] = {{"model", c->model}, {"data", c->data}, {"evaluation data", c->eval}};
    char **names;
    int n = 0;
    if (!c->out)
        return HORA_OK;
    b->log = hora_path_join(c->out, "lowdata_runs.csv");
    if (hora_path_is_dir(c->out) && !hora_path_exists(b->log)) {
        HORA_TRY(hora_list_dir(c->out, &names, &n));
        const bool ours = !n || (n == 1 && hora_eq(names[0], ".hora"));
        hora_list_free(names, n);
        if (!ours)
            return hora_fail(HORA_EEXISTS,
                             "%s holds something else than this experiment; give another --out",
                             c->out);
    }
    HORA_TRY(hora_report_folder(&b->out, c->out, "lowdata", "lowdata_runs.csv", log_head, in,
                                (int)HORA_COUNT(in)));
    return hora_outdir_claim(b->out, "lowdata_runs.csv");
}

static hora_status open_lab(lab *b) {
    const hora_lowdata_model_config *c = b->g.config;
    const hora_open_options o = {.dtype = HORA_F32, .headers_only = false};
    if (!c->data || !c->eval)
        return hora_fail(HORA_EUSAGE, "--model needs --data FILE to draw subsets from and --eval "
                                      "FILE to measure on");
    HORA_TRY(open_out(b));
    HORA_TRY(take_list("rates", c->rates, 1e-12, 1e3, HORA_LOWDATA_RATES, b->g.rate, &b->g.rates));
    HORA_TRY(hora_open_model(&b->opened, c->model, &o));
    b->base = b->opened.base;
    HORA_TRY(take_students(b));
    if (b->base->max_positions > 0 && c->seq_len > b->base->max_positions)
        return hora_fail(HORA_EUSAGE, "--seq-len %lld, but the model has %lld positions",
                         (long long)c->seq_len, (long long)b->base->max_positions);
    HORA_TRY(open_set(b, c->data, &b->data));
    HORA_TRY(open_set(b, c->eval, &b->eval));
    HORA_TRY(take_sizes(b));
    HORA_TRY(hora_base_hash(b->base, &b->hash));
    b->g.eval_sequences = hora_data_about(b->eval)->sequences;
    b->hash ^= hora_data_about(b->eval)->hash;
    b->g.seeds = (int)c->seeds;
    b->g.run = hora_calloc((size_t)(b->g.students * b->g.sizes * b->g.rates * b->g.seeds),
                           sizeof *b->g.run);
    b->device = hora_device_new();
    return HORA_OK;
}

static void close_lab(lab *b) {
    hora_free(b->g.run);
    hora_free(b->log);
    hora_outdir_close(b->out);
    hora_device_free(b->device);
    hora_dataset_close(b->eval);
    hora_dataset_close(b->data);
    hora_open_close(&b->opened);
}

/* --- finished trainings ----------------------------------------------------------------------- */
/* Two trainings with one key are one: everything that decides the result is in it. */
static uint64_t key_of(const lab *b, int student, int size, int rate, int seed) {
    const hora_lowdata_grid *g = &b->g;
    char *text = hora_format(
        "%016llx %016llx %s %s %lld %lld %lld %lld %.17g %d", (unsigned long long)b->hash,
        (unsigned long long)hora_data_about(b->data)->hash, g->student[student].method,
        g->student[student].options, (long long)g->n[size], (long long)g->steps[size],
        (long long)g->config->batch_size, (long long)g->config->seq_len, g->rate[rate], seed);
    const uint64_t key = hora_hash_text(text);
    hora_free(text);
    return key;
}

/* The last six fields of a line. */
static bool read_fields(const char *line, size_t n, hora_lowdata_run *r) {
    double v[6];
    char text[64];
    for (int i = 5; i >= 0; i--) {
        size_t at = n;
        while (at && line[at - 1] != ',')
            at--;
        const size_t len = n - at;
        if (!at || len >= sizeof text)
            return false;
        memcpy(text, line + at, len);
        text[len] = 0;
        if (!hora_parse_double(text, &v[i]))
            return false;
        n = at - 1;
    }
    *r = (hora_lowdata_run){true, v[0], v[1], v[2], v[3], v[4], v[5]};
    return true;
}

static void find_run(const hora_str *log, uint64_t key, hora_lowdata_run *r) {
    char head[32];
    hora_snprintf(head, sizeof head, "%016llx,", (unsigned long long)key);
    for (const char *line = log->s; line && *line;) {
        const size_t n = strcspn(line, "\n");
        if (hora_starts(line, head) && line[n] && read_fields(line, n, r))
            return;
        line += n + (line[n] != 0);
    }
}

static hora_status recall(lab *b) {
    hora_str log = {0};
    const hora_lowdata_grid *g = &b->g;
    if (b->log && hora_path_exists(b->log))
        HORA_TRY(hora_file_read(&log, b->log));
    for (int s = 0; s < g->students; s++)
        for (int n = 0; n < g->sizes; n++)
            for (int r = 0; r < g->rates; r++)
                for (int k = 0; k < g->seeds; k++) {
                    hora_lowdata_run *run = hora_lowdata_at(g, s, n, r, k);
                    if (log.n)
                        find_run(&log, key_of(b, s, n, r, k), run);
                    b->todo += !run->done;
                }
    hora_str_release(&log);
    if (!b->log || hora_path_exists(b->log))
        return HORA_OK;
    return hora_append(b->log, log_head, sizeof log_head - 1);
}

static hora_status keep(const lab *b, int s, int n, int r, int k) {
    const hora_lowdata_grid *g = &b->g;
    const hora_lowdata_run *run = hora_lowdata_at(g, s, n, r, k);
    if (!b->log)
        return HORA_OK;
    char *options = hora_strdup(g->student[s].options);
    for (char *c = options; *c; c++)
        *c = *c == ',' ? ' ' : *c;
    char *line = hora_format(
        "%016llx,%s,%s,%lld,%lld,%lld,%.17g,%d,%.17g,%.17g,%.17g,%.4g,%.5g,%.0f\n",
        (unsigned long long)key_of(b, s, n, r, k), g->student[s].name, options, (long long)g->n[n],
        (long long)g->train[n], (long long)g->steps[n], g->rate[r], k, run->val_loss,
        run->eval_loss, run->bits_per_byte, run->seconds, run->steps_per_s, run->bytes);
    hora_status st = hora_append(b->log, line, strlen(line));
    hora_free(line);
    hora_free(options);
    return st;
}

/* --- a training ------------------------------------------------------------------------------- */
static hora_status measure(const lab *b, hora_adapter *a, hora_dataset *set, hora_eval_info *info) {
    const hora_eval_parts p = {.base = b->base,
                               .adapters = &a,
                               .nadapters = a != NULL,
                               .device = b->device,
                               .data = set,
                               .seq_len = b->g.config->seq_len,
                               .batch_size = 16};
    return hora_evaluate(&p, info, NULL);
}

/* The subset of (n, seed), split. */
static hora_status draw_subset(const lab *b, int size, int seed, hora_dataset **train,
                               hora_dataset **val) {
    const int64_t n = b->g.n[size], k = b->g.train[size];
    int64_t *at = hora_malloc((size_t)n * sizeof *at);
    for (int64_t i = 0; i < n; i++)
        at[i] = hora_rng_permutation((uint64_t)seed, hora_hash_text("lowdata subset"),
                                     b->g.sequences, i);
    hora_status s;
    HORA_TRY_OUT(s, hora_data_pick(train, b->data, at, k, (uint64_t)seed));
    HORA_TRY_OUT(s, hora_data_pick(val, b->data, at + k, n - k, (uint64_t)seed));
out:
    hora_free(at);
    return s;
}

/* On a device of its own, so that what it takes does not depend on what ran before. */
static hora_status step_through(const lab *b, hora_adapter *a, hora_dataset *set, int size,
                                double rate, int seed, hora_lowdata_run *out) {
    hora_training *t = NULL;
    hora_train_config c;
    hora_settings none = {0};
    hora_step_info info;
    const hora_training_parts p = {.base = b->base,
                                   .adapters = &a,
                                   .nadapters = 1,
                                   .train = set,
                                   .seq_len = b->g.config->seq_len};
    HORA_TRY(hora_options_take(&hora_train_options, &c, &none));
    c.steps = b->g.steps[size];
    c.batch_size = b->g.config->batch_size;
    c.lr = rate;
    c.seed = seed;
    hora_status s = hora_training_open(&t, &p, &c);
    if (s == HORA_OK)
        s = hora_training_prepare(t);
    if (s == HORA_OK)
        out->bytes = (double)hora_training_report(t)->total;
    const double start = hora_now();
    while (s == HORA_OK)
        s = hora_training_step(t, &info);
    out->seconds = hora_now() - start;
    out->steps_per_s = (double)c.steps / out->seconds;
    hora_training_free(t);
    hora_options_release(&hora_train_options, &c);
    return s == HORA_DONE ? HORA_OK : s;
}

static hora_status train_one(const lab *b, int student, int size, double rate, int seed,
                             hora_lowdata_run *out) {
    hora_settings settings = {0};
    hora_adapter *a = NULL;
    hora_dataset *train = NULL, *val = NULL;
    hora_eval_info v, e;
    const hora_lowdata_student *who = &b->g.student[student];
    hora_status s;
    HORA_TRY_OUT(s, draw_subset(b, size, seed, &train, &val));
    HORA_TRY_OUT(s, hora_settings_parse(&settings, who->options, "program"));
    HORA_TRY_OUT(s, hora_peft_attach(&a, b->base, who->method, &settings, (uint64_t)seed));
    HORA_TRY_OUT(s, step_through(b, a, train, size, rate, seed, out));
    HORA_TRY_OUT(s, measure(b, a, val, &v));
    s = measure(b, a, b->eval, &e);
out:
    out->done = s == HORA_OK || s == HORA_ENUMERIC; /* a rate that is too large is a result */
    out->val_loss = s == HORA_OK ? v.loss : NAN;
    out->eval_loss = s == HORA_OK ? e.loss : NAN;
    out->bits_per_byte = s == HORA_OK ? hora_metrics_get(&e.metrics, "bits_per_byte") : NAN;
    hora_peft_detach(a);
    hora_dataset_close(train);
    hora_dataset_close(val);
    hora_settings_release(&settings);
    return s == HORA_ENUMERIC ? HORA_OK : s;
}

static void tell(lab *b, int s, int n, int r, int k) {
    const hora_lowdata_grid *g = &b->g;
    const double left = (hora_now() - b->started) / b->did * (b->todo - b->did);
    hora_info("training %d of %d: %s, %lld sequences, rate %g, seed %d: validation %.4f, time left "
              "%d:%02d",
              b->did, b->todo, g->student[s].name, (long long)g->n[n], g->rate[r], k,
              hora_lowdata_at(g, s, n, r, k)->val_loss, (int)left / 60, (int)left % 60);
}

/* Seeds outermost: what is interrupted has whole seeds. */
static hora_status train_all(lab *b) {
    const hora_lowdata_grid *g = &b->g;
    b->started = hora_now();
    for (int k = 0; k < g->seeds; k++)
        for (int n = 0; n < g->sizes; n++)
            for (int r = 0; r < g->rates; r++)
                for (int s = 0; s < g->students; s++) {
                    hora_lowdata_run *run = hora_lowdata_at(g, s, n, r, k);
                    if (run->done)
                        continue;
                    HORA_TRY(train_one(b, s, n, g->rate[r], k, run));
                    HORA_TRY(keep(b, s, n, r, k));
                    b->did++;
                    tell(b, s, n, r, k);
                }
    return HORA_OK;
}

hora_status hora_lowdata_model(const hora_lowdata_model_config *c, hora_json **out,
                               hora_str *table) {
    lab b = {.g.config = c};
    hora_eval_info info;
    hora_status s;
    HORA_TRY_OUT(s, open_lab(&b));
    HORA_TRY_OUT(s, measure(&b, NULL, b.eval, &info));
    HORA_TRY_OUT(s, recall(&b));
    if (!b.log)
        hora_info("without --out nothing is kept: %d trainings, done again next time", b.todo);
    b.g.base_loss = info.loss;
    HORA_TRY_OUT(s, train_all(&b));
    HORA_TRY_OUT(s, hora_lowdata_report(&b.g, b.out, out, table));
out:
    close_lab(&b);
    return s;
}
