/*
 * The front door: tokenizers' chat rendering, data, trainers, predictors.
 */
#include <math.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "infer/forward.h"

/* --- tokenizers (open, close, encode and decode are token/tokenizer's own) -------------------- */
hora_status hora_tokenizer_render(const hora_tokenizer *t, const char *messages, bool generation,
                                  hora_str *out) {
    hora_template *tmpl = NULL;
    hora_json *tree = NULL;
    hora_chat chat = {0};
    char *date = NULL;
    if (!hora_tokenizer_chat_template(t))
        return hora_fail(HORA_ENOTFOUND, "the tokenizer has no chat template; add "
                                         "chat_template.jinja beside tokenizer.json");
    HORA_TRY(hora_json_parse(&tree, messages, strlen(messages), "messages"));
    hora_status s;
    HORA_TRY_OUT(s, hora_chat_open(&tmpl, t, &date));
    HORA_TRY_OUT(s, hora_chat_read(&chat, tree));
    s = hora_chat_text(t, tmpl, &chat, NULL, generation, out);
out:
    hora_template_close(tmpl);
    hora_chat_release(&chat);
    hora_json_free(tree);
    hora_free(date);
    return s;
}

/* --- data ------------------------------------------------------------------------------------- */
hora_status hora_model_data(hora_data **out, hora_model *m, const char *path, hora_settings *s) {
    hora_data *d = hora_calloc(1, sizeof *d);
    const int64_t most = m->base->max_positions;
    hora_status st = hora_options_take(&hora_data_options, &d->config, s);
    if (st == HORA_OK) /* it may be for a trainer */
        st = hora_data_idle(&d->config, s, m->opened.objective.task->pictures, true);
    if (st == HORA_OK)
        st = hora_open_pictures(&m->opened, &d->config.seq_len);
    if (st == HORA_OK && !hora_settings_get(s, "seq_len"))
        hora_open_length(&m->opened, hora_adapters_front(m->adapters, m->n), &d->config.seq_len);
    if (st == HORA_OK && most > 0 && d->config.seq_len > most)
        st = hora_fail(
            HORA_EUSAGE,
            "sequences of %lld tokens are asked for, but the model has %lld positions; give "
            "--seq-len %lld or less",
            (long long)d->config.seq_len, (long long)most, (long long)most);
    if (st)
        goto out;
    HORA_TRY_OUT(st, hora_open_data(&m->opened, &d->set, path, &d->config));
    st = hora_open_settle(&m->opened, d->set, NULL, true, (uint64_t)d->config.seed);
out:
    if (st != HORA_OK) {
        hora_data_close(d);
        return st;
    }
    *out = d;
    return HORA_OK;
}

hora_status hora_data_open(hora_data **out, hora_model *m, const char *path, const char *options) {
    hora_settings s;
    hora_data *d = NULL;
    hora_status st = hora_settings_of(&s, options);
    if (st == HORA_OK)
        st = hora_model_data(&d, m, path, &s);
    st = hora_settings_done(st, &s, (const hora_options *[]){&hora_data_options}, 1);
    if (st == HORA_OK)
        *out = d;
    else
        hora_data_close(d);
    return st;
}

int64_t hora_data_sequences(const hora_data *d) {
    return hora_data_about(d->set)->sequences;
}

void hora_data_close(hora_data *d) {
    if (!d)
        return;
    hora_dataset_close(d->set);
    hora_options_release(&hora_data_options, &d->config);
    hora_free(d);
}

/* --- trainers --------------------------------------------------------------------------------- */
static hora_status start(hora_trainer *t, hora_data *d, hora_settings *s) {
    hora_train_config c;
    HORA_TRY(hora_options_take(&hora_train_options, &c, s));
    const hora_training_parts parts = {.base = t->m->base,
                                       .objective = &t->m->opened.objective,
                                       .adapters = t->m->adapters,
                                       .nadapters = t->m->n,
                                       .device = t->m->device,
                                       .train = d ? d->set : NULL,
                                       .seq_len = d ? d->config.seq_len : 512};
    t->batch_size = c.batch_size;
    t->m->opened.objective.similarity_scale = c.similarity_scale;
    hora_status st =
        c.class_weights && d ? hora_objective_balance(&t->m->opened.objective, d->set) : HORA_OK;
    if (!st)
        st = hora_objective_soften(&t->m->opened.objective, c.label_smoothing, false);
    if (!st)
        st = hora_training_open(&t->t, &parts, &c);
    hora_options_release(&hora_train_options, &c);
    return st;
}

hora_status hora_trainer_new(hora_trainer **out, hora_model *m, hora_data *d, const char *options) {
    hora_settings s;
    hora_trainer *t = hora_calloc(1, sizeof *t);
    t->m = m;
    hora_status st = m->n ? HORA_OK
                          : hora_fail(HORA_EUSAGE, "the model has nothing to train; attach an "
                                                   "adapter first (method full trains it all)");
    if (st == HORA_OK)
        st = hora_settings_of(&s, options);
    else
        s = (hora_settings){0};
    if (st == HORA_OK)
        st = start(t, d, &s);
    st = hora_settings_done(st, &s, (const hora_options *[]){&hora_train_options}, 1);
    if (st == HORA_OK)
        *out = t;
    else
        hora_trainer_free(t);
    return st;
}

void hora_trainer_free(hora_trainer *t) {
    if (!t)
        return;
    hora_training_free(t->t);
    hora_free(t);
}

hora_status hora_trainer_plan(hora_trainer *t, hora_str *json) {
    hora_json *j = hora_train_report_json(hora_training_report(t->t));
    hora_json_dump(j, 0, false, json);
    hora_json_free(j);
    return HORA_OK;
}

static hora_status prepared(hora_trainer *t) {
    if (!t->prepared)
        HORA_TRY(hora_training_prepare(t->t));
    t->prepared = true;
    return HORA_OK;
}

hora_status hora_trainer_step(hora_trainer *t) {
    HORA_TRY(prepared(t));
    return hora_training_step(t->t, &t->last);
}

hora_status hora_trainer_eval(hora_trainer *t, hora_data *d, double *loss) {
    const hora_eval_parts parts = {.base = t->m->base,
                                   .objective = &t->m->opened.objective,
                                   .adapters = t->m->adapters,
                                   .nadapters = t->m->n,
                                   .device = t->m->device,
                                   .data = d->set,
                                   .seq_len = d->config.seq_len,
                                   .batch_size = t->batch_size};
    hora_eval_info info;
    HORA_TRY(prepared(t));
    HORA_TRY(hora_evaluate(&parts, &info, NULL));
    *loss = info.loss;
    return HORA_OK;
}

hora_status hora_trainer_get(const hora_trainer *t, const char *key, double *value) {
    hora_training_status s;
    hora_training_get(t->t, &s);
    const struct {
        const char *key;
        double value;
    } facts[] = {{"step", (double)s.step},
                 {"steps", (double)s.steps},
                 {"epoch", s.epoch},
                 {"lr", t->last.step ? t->last.lr : s.lr},
                 {"loss", s.last_loss},
                 {"first_loss", s.first_loss},
                 {"grad_norm", t->last.step ? t->last.grad_norm : NAN},
                 {"tokens", (double)t->last.tokens},
                 {"supervised", (double)t->last.supervised}};
    for (size_t i = 0; i < HORA_COUNT(facts); i++)
        if (hora_eq(key, facts[i].key)) {
            *value = facts[i].value;
            return HORA_OK;
        }
    return hora_fail(HORA_ENOTFOUND,
                     "a trainer has no `%s`; ask for step, steps, epoch, lr, loss, first_loss, "
                     "grad_norm, tokens or supervised",
                     key ? key : "");
}

hora_status hora_trainer_save(hora_trainer *t, const char *dir) {
    HORA_TRY(prepared(t));
    return hora_training_save_to(t->t, dir);
}

hora_status hora_trainer_resume(hora_trainer *t, const char *dir) {
    char *state = hora_path_join(dir, "state.json");
    const bool checkpoint = hora_path_exists(state);
    hora_free(state);
    HORA_TRY(prepared(t));
    return checkpoint ? hora_training_resume_from(t->t, dir) : hora_training_resume(t->t, dir);
}

void hora_trainer_stop(hora_trainer *t) {
    hora_training_stop(t->t);
}

/* --- predictors ------------------------------------------------------------------------------- */
typedef struct predictor_config {
    int64_t context, prefill;
    bool cache;
} predictor_config;
#define OPT_OF predictor_config
static const hora_option predictor_rows[] = {
    OPT_INT(context, "context", NULL, "0", 0, 1e9,
            "longest sequence; 0: the model's, at most 4096"),
    OPT_INT(prefill, "prefill", NULL, "0", 0, 1e6, "prompt tokens computed at a time; 0: 128"),
    OPT_BOOL(cache, "cache", NULL, "true", "keep keys and values of what was computed"),
};
const hora_options hora_predictor_options = {"Prediction", predictor_rows,
                                             HORA_COUNT(predictor_rows)};

struct hora_predictor {
    hora_model *m;
    hora_decoder *d; /* made when first generating */
    predictor_config c;
};

/* Tokens that fit into the model's positions behind what adapters put in front. */
static int64_t room(const hora_model *m) {
    const int64_t front = hora_adapters_front(m->adapters, m->n);
    return m->base->max_positions > 0 ? hora_max(m->base->max_positions - front, 1) : INT64_MAX;
}

hora_status hora_predictor_new_with(hora_predictor **out, hora_model *m, hora_settings *s) {
    predictor_config c;
    HORA_TRY(hora_options_take(&hora_predictor_options, &c, s));
    HORA_TRY(hora_decoder_fits(m->base, m->adapters, m->n, c.context));
    hora_predictor *p = hora_calloc(1, sizeof *p);
    p->m = m;
    p->c = c;
    if (!c.context)
        p->c.context = hora_min(room(m), 4096);
    *out = p;
    return HORA_OK;
}

hora_status hora_predictor_new(hora_predictor **out, hora_model *m, const char *options) {
    hora_settings s;
    hora_predictor *p = NULL;
    hora_status st = hora_settings_of(&s, options);
    if (st == HORA_OK)
        st = hora_predictor_new_with(&p, m, &s);
    st = hora_settings_done(st, &s, (const hora_options *[]){&hora_predictor_options}, 1);
    if (st == HORA_OK)
        *out = p;
    else
        hora_predictor_free(p);
    return st;
}

void hora_predictor_free(hora_predictor *p) {
    if (!p)
        return;
    hora_decoder_free(p->d);
    hora_free(p);
}

static hora_status pass(hora_predictor *p, hora_forward_batch *b, float *logits, double *loss) {
    hora_forward f = hora_model_forward(p->m);
    f.logits = logits;
    HORA_TRY(hora_forward_run(&f, b));
    if (loss)
        *loss = f.loss;
    return HORA_OK;
}

hora_status hora_predictor_logits(hora_predictor *p, const int32_t *ids, size_t n, float *out) {
    hora_forward_batch b = {.b = 1, .t = (int64_t)n, .ids = (int32_t *)ids};
    return pass(p, &b, out, NULL);
}

hora_status hora_predictor_score(hora_predictor *p, const int32_t *ids, size_t n, size_t from,
                                 double *logp) {
    if (from < 1 || from >= n)
        return hora_fail(HORA_EUSAGE,
                         "scoring begins at token %zu of %zu; at least one token must "
                         "stand before it and one behind",
                         from, n);
    double loss;
    double *labels = hora_calloc(n, sizeof *labels);
    for (size_t i = 0; i < n; i++)
        labels[i] = i < from ? -100 : ids[i];
    hora_forward_batch b = {
        .b = 1, .t = (int64_t)n, .ids = (int32_t *)ids, .labels = labels, .per = (int64_t)n};
    hora_status s = pass(p, &b, NULL, &loss);
    hora_free(labels);
    if (s == HORA_OK)
        *logp = -loss * (double)(n - from);
    return s;
}

static hora_status ready(hora_predictor *p) {
    if (p->d)
        return HORA_OK;
    hora_decoder_config c = {.base = p->m->base,
                             .adapters = p->m->adapters,
                             .nadapters = p->m->n,
                             .device = p->m->device,
                             .context = p->c.context,
                             .prefill = p->c.prefill,
                             .cache = p->c.cache};
    hora_status s = hora_decoder_new(&p->d, &c);
    if (s != HORA_EUNSUPPORTED || !c.cache)
        return s;
    /* what an adapter does to keys and values may have no place in a cache */
    char *why = hora_strdup(hora_errmsg());
    c.cache = false;
    s = hora_decoder_new(&p->d, &c);
    if (s)
        hora_error_restore(why);
    else
        hora_warn("%.*s: every token computes all before it anew", (int)strcspn(why, ";"), why);
    hora_free(why);
    return s;
}

size_t hora_predictor_cache(const hora_predictor *p) {
    return p->d ? hora_decoder_cache_bytes(p->d) : 0;
}

hora_status hora_predictor_run(hora_predictor *p, const int32_t *prompt, size_t n,
                               hora_generation *g, bool chat) {
    hora_ids stop = {0};
    if ((int64_t)n > p->c.context)
        return hora_fail(
            HORA_EUSAGE, "the prompt has %zu tokens, but the context ends at %lld%s; shorten it", n,
            (long long)p->c.context, p->c.context == room(p->m) ? ", the model's positions" : "");
    HORA_TRY(ready(p));
    hora_status s = hora_stop_ids(g->tokenizer, p->m->base->dir, chat, &stop);
    g->stop_ids = stop.at;
    g->nstop = stop.n;
    if (s == HORA_OK)
        s = hora_generate(p->d, prompt, n, g);
    hora_ids_release(&stop);
    return s;
}

hora_status hora_predictor_generate(hora_predictor *p, const int32_t *prompt, size_t n,
                                    const char *options, hora_ids *ids, hora_str *text,
                                    bool (*piece)(void *, const char *, size_t), void *user) {
    hora_settings s;
    hora_sampling c = {0};
    hora_generation g = {.sampling = &c, .piece = piece, .user = user};
    hora_status st = hora_settings_of(&s, options);
    if (st == HORA_OK)
        st = hora_options_take(&hora_sampling_options, &c, &s);
    st = hora_settings_done(st, &s, (const hora_options *[]){&hora_sampling_options}, 1);
    if (st == HORA_OK && (text || piece || c.stop))
        st = hora_model_tokenizer(p->m, &g.tokenizer, NULL);
    if (st == HORA_OK)
        st = hora_predictor_run(p, prompt, n, &g, false);
    for (size_t i = 0; i < g.ids.n && ids; i++)
        hora_ids_push(ids, g.ids.at[i]);
    if (text && g.text.n)
        hora_str_add(text, g.text.s, g.text.n);
    hora_ids_release(&g.ids);
    hora_str_release(&g.text);
    hora_options_release(&hora_sampling_options, &c);
    return st;
}
