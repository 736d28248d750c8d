/* hora predict: what a model says of files, one line of JSON for each. */
#include <math.h>
#include <stdlib.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "infer/forward.h"
#include "task/embed.h"
#include "tool/predict.h"

#define OPT_OF hora_predict_config
static const hora_option rows[] = {
    OPT_INT(top_k, "top_k", NULL, "5", 1, 1 << 24, "classes that are named, the likeliest first"),
    OPT_INT(batch_size, "batch_size", NULL, "8", 1, 4096, "files at a time"),
    OPT_BOOL(skip_bad, "skip_bad", NULL, "false",
             "say of an unreadable file that it is one, and go on"),
    OPT_BOOL(exif, "exif", NULL, "true", "turn pictures as their EXIF says"),
    OPT_BOOL(white, "white", NULL, "false", "lay transparent pixels on white"),
    OPT_STRING(overlays, "overlays", NULL, NULL, "DIR",
               "segment: new folder for maps of classes and pictures with these over them"),
};
static const hora_options options = {"Prediction", rows, HORA_COUNT(rows)};

/* --- what is said of one ---------------------------------------------------------------------- */

typedef struct ranked {
    int64_t at;
    double score;
} ranked;

static int by_score(const void *x, const void *y) {
    const ranked *a = x, *b = y;
    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    return (a->at > b->at) - (a->at < b->at);
}

/* Shares of one class among all, or of each by itself, or the plain numbers. */
static void scores(const hora_objective *o, const float *z, ranked *out) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < o->classes; i++)
        most = fmax(most, (double)z[i]);
    for (int64_t i = 0; i < o->classes; i++)
        sum += exp((double)z[i] - most);
    for (int64_t i = 0; i < o->classes; i++) {
        const double x = (double)z[i];
        out[i] = (ranked){i, o->loss == HORA_LOSS_XENT  ? exp(x - most) / sum
                             : o->loss == HORA_LOSS_BCE ? 1 / (1 + exp(-x))
                                                        : x};
    }
    qsort(out, (size_t)o->classes, sizeof *out, by_score);
}

static hora_json *name_of(const hora_objective *o, int64_t i) {
    char spare[40];
    hora_snprintf(spare, sizeof spare, "LABEL_%lld", (long long)i);
    return hora_json_new_string(o->names ? o->names[i] : spare);
}

/* Numbers are `pred`: one, or a list. */
static void put_numbers(const hora_objective *o, const float *z, hora_json *line) {
    hora_json *list = o->classes == 1 ? NULL : hora_json_new_array();
    for (int64_t i = 0; i < o->classes; i++) {
        hora_json *v = hora_json_new_real((double)z[i]);
        if (!list)
            hora_json_set(line, "pred", v);
        else
            hora_json_push(list, v);
    }
    if (list)
        hora_json_set(line, "pred", list);
}

void hora_predict_say(const hora_objective *o, const hora_predict_config *c, const float *z,
                      hora_json *line) {
    if (o->loss == HORA_LOSS_MSE)
        put_numbers(o, z, line);
    ranked *r = hora_malloc((size_t)o->classes * sizeof *r);
    scores(o, z, r);
    hora_json_set(line, "label", name_of(o, r[0].at));
    hora_json_set(line, "score", hora_json_new_real(r[0].score));
    hora_json *top = hora_json_set(line, "top", hora_json_new_array());
    for (int64_t i = 0; i < hora_min(c->top_k, o->classes); i++) {
        hora_json *e = hora_json_push(top, hora_json_new_object());
        hora_json_set(e, "label", name_of(o, r[i].at));
        hora_json_set(e, "score", hora_json_new_real(r[i].score));
    }
    if (o->loss == HORA_LOSS_BCE) {
        hora_json *on = hora_json_set(line, "labels", hora_json_new_array());
        for (int64_t i = 0; i < o->classes; i++)
            if (z[i] > 0)
                hora_json_push(on, name_of(o, i));
    }
    hora_free(r);
}

/* --- texts ------------------------------------------------------------------------------------ */

typedef struct text { /* of a record, tokenised */
    int more;         /* texts of the same record that follow and are compared with this one */
    hora_ids ids, types;
    hora_ids first; /* of tagged words: the token that speaks for each, -1: cut off or nothing */
    hora_json *truth;
    int64_t line;
} text;

typedef struct reading {
    hora_model *m;
    const hora_predict_config *c;
    const hora_tokenizer *tok;
    hora_embedding how;
    int64_t most; /* tokens of a text */
    int32_t pad;
    text *at;
    int n, cap;
    int64_t cut, bad;
} reading;

static void drop_texts(reading *r, int from) {
    for (int i = from; i < r->n; i++) {
        hora_ids_release(&r->at[i].ids);
        hora_ids_release(&r->at[i].types);
        hora_ids_release(&r->at[i].first);
        hora_json_free(r->at[i].truth);
    }
    r->n = from;
}

/* Rectangular, padded behind. */
static void make_batch(const reading *r, hora_forward_batch *b) {
    *b = (hora_forward_batch){.b = r->n, .t = 1};
    for (int i = 0; i < r->n; i++)
        b->t = hora_max(b->t, (int64_t)r->at[i].ids.n);
    const size_t n = (size_t)(b->b * b->t);
    b->ids = hora_malloc(n * sizeof *b->ids);
    b->mask = hora_calloc(n, sizeof *b->mask);
    b->types = r->m->base->types > 1 ? hora_calloc(n, sizeof *b->types) : NULL;
    for (int64_t i = 0; i < b->b; i++)
        for (int64_t k = 0; k < b->t; k++) {
            const text *x = &r->at[i];
            const bool in = k < (int64_t)x->ids.n;
            b->ids[i * b->t + k] = in ? x->ids.at[k] : r->pad;
            b->mask[i * b->t + k] = in;
            if (b->types && in && k < (int64_t)x->types.n)
                b->types[i * b->t + k] = x->types.at[k];
        }
}

/* A tag for each word; one without a token is O, where there is such a class. */
static void put_tags(const hora_objective *o, const text *x, const float *z, hora_json *line) {
    hora_json *list = hora_json_set(line, "pred", hora_json_new_array());
    for (size_t i = 0; i < x->first.n; i++) {
        int64_t best = -1;
        for (int64_t c = 0; c < o->classes; c++) {
            if (x->first.at[i] < 0 && o->names && hora_eq(o->names[c], "O"))
                best = c;
            const float *row = z + hora_max(0, x->first.at[i]) * o->classes;
            if (x->first.at[i] >= 0 && (best < 0 || row[c] > row[best]))
                best = c;
        }
        hora_json_push(list, best < 0 ? hora_json_new_null() : name_of(o, best));
    }
}

static double cosine(const float *a, const float *b, int64_t d) {
    double aa = 0, bb = 0, ab = 0;
    for (int64_t k = 0; k < d; k++) {
        aa += (double)a[k] * (double)a[k];
        bb += (double)b[k] * (double)b[k];
        ab += (double)a[k] * (double)b[k];
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

static void put_text(const reading *r, const hora_forward *f, const hora_forward_batch *b,
                     int64_t i) {
    const hora_objective *o = f->objective;
    const int64_t d = f->base->hidden;
    const text *x = &r->at[i];
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "line", hora_json_new_int(x->line));
    if (x->truth)
        hora_json_set(line, "true", hora_json_copy(x->truth));
    if (o->task->body) {
        float *v = hora_malloc((size_t)((1 + x->more) * d) * sizeof *v);
        for (int64_t k = i; k <= i + x->more; k++)
            hora_embedding_run(&r->how, f->hidden + k * b->t * d, b->mask + k * b->t, b->t, d,
                               v + (k - i) * d);
        hora_json *list = x->more == 1 ? NULL : hora_json_new_array();
        for (int64_t k = 1; k <= x->more && list; k++)
            hora_json_push(list, hora_json_new_real(cosine(v, v + k * d, d)));
        for (int64_t k = 0; k < d && !x->more; k++)
            hora_json_push(list, hora_json_new_real((double)v[k]));
        hora_json_set(line, x->more ? "pred" : "embedding",
                      list ? list : hora_json_new_real(cosine(v, v + d, d)));
        hora_free(v);
    } else if (o->task->labels == HORA_LABELS_TAG) {
        put_tags(o, x, f->logits + i * b->t * o->classes, line);
    } else {
        hora_predict_say(o, r->c, f->logits + i * o->classes, line);
    }
    hora_cli_put(line);
}

static hora_status answer(reading *r) {
    hora_forward_batch b;
    hora_forward f = hora_model_forward(r->m);
    if (!r->n)
        return HORA_OK;
    make_batch(r, &b);
    const bool body = f.objective->task->body;
    const hora_shape h = hora_forward_hidden(&f, &b);
    const hora_shape z = body ? h : hora_forward_logits(&f, &b);
    float *out = hora_malloc((size_t)hora_shape_elems(&z) * sizeof *out);
    *(body ? &f.hidden : &f.logits) = out;
    const hora_status s = hora_forward_run(&f, &b);
    for (int64_t i = 0; i < b.b && !s; i += 1 + r->at[i].more)
        put_text(r, &f, &b, i);
    hora_free(out);
    hora_forward_batch_release(&b);
    drop_texts(r, 0);
    return s;
}

/* Words one by one, as they are trained: the first token of each speaks for it. */
static hora_status take_words(reading *r, const hora_json *words, text *x) {
    hora_ids bare = {0}, whole = {0};
    int64_t specials;
    HORA_TRY(hora_tokenizer_specials(r->tok, false, &specials));
    hora_status s = hora_tokenizer_encode(r->tok, "a", 1, false, &bare);
    if (!s)
        s = hora_tokenizer_encode(r->tok, "a", 1, true, &whole);
    size_t front = 0;
    while (!s && front < whole.n && bare.n && whole.at[front] != bare.at[0])
        front++;
    for (size_t k = 0; k < front && !s; k++)
        hora_ids_push(&x->ids, whole.at[k]);
    for (size_t i = 0; i < hora_json_len(words) && !s; i++) {
        size_t n;
        const char *w = hora_json_string(hora_json_at(words, i), &n);
        hora_ids one = {0};
        s = w ? hora_tokenizer_encode(r->tok, w, n, false, &one)
              : hora_fail(HORA_EFORMAT, "word %zu is no string; correct the record", i + 1);
        const int64_t room = r->most - (int64_t)(whole.n - bare.n - front) - (int64_t)x->ids.n;
        hora_ids_push(&x->first, one.n && room > 0 ? (int32_t)x->ids.n : -1);
        for (size_t k = 0; k < one.n && (int64_t)k < room; k++)
            hora_ids_push(&x->ids, one.at[k]);
        r->cut += (int64_t)one.n > room;
        hora_ids_release(&one);
    }
    for (size_t k = front + bare.n; k < whole.n && !s; k++)
        hora_ids_push(&x->ids, whole.at[k]);
    hora_ids_release(&bare);
    hora_ids_release(&whole);
    return s;
}

/* The first text of a record whose vectors are wanted, and the score of it and the second. */
static hora_status first_of_set(const hora_json *record, hora_text_pair *out, text *x) {
    hora_text_set t;
    HORA_TRY(hora_record_text_set(record, &t));
    *out = (hora_text_pair){.first = t.at[0], .nfirst = t.len[0]};
    if (t.score && !x->truth)
        x->truth = hora_json_copy(t.score);
    return HORA_OK;
}

static hora_status take_text(reading *r, const hora_json *record, text *x) {
    static const char *const truths[] = {"true", "label", "labels", "tags", "ner_tags"};
    const hora_json *words = hora_json_get(record, "tokens");
    const hora_json *truth = NULL;
    hora_text_pair pair;
    int64_t cut = 0;
    for (size_t i = 0; i < HORA_COUNT(truths) && !truth; i++)
        truth = hora_json_get(record, truths[i]);
    x->truth = truth ? hora_json_copy(truth) : NULL;
    words = words ? words : hora_json_get(record, "words");
    if (r->m->opened.objective.task->labels == HORA_LABELS_TAG && words)
        return take_words(r, words, x);
    if (r->m->opened.objective.task->body) /* each text has a vector of its own */
        HORA_TRY(first_of_set(record, &pair, x));
    else
        HORA_TRY(hora_record_texts(record, &pair));
    HORA_TRY(hora_tokenizer_encode_pair(r->tok, &pair, r->most, HORA_TRUNCATE_LONGEST, &x->ids,
                                        &x->types, &cut));
    r->cut += cut > 0;
    return x->ids.n ? HORA_OK
                    : hora_fail(HORA_EFORMAT, "the text is empty and the tokenizer adds nothing "
                                              "to it; fill it or remove the record");
}

/* The other texts of a record whose vectors are compared with that of its first, `at`. */
static hora_status take_others(reading *r, const hora_json *record, int at) {
    hora_text_set t;
    if (!r->m->opened.objective.task->body)
        return HORA_OK;
    HORA_TRY(hora_record_text_set(record, &t));
    for (int i = 1; i < t.n; i++) {
        const hora_text_pair alone = {.first = t.at[i], .nfirst = t.len[i]};
        text other = {.line = r->at[at].line};
        int64_t cut = 0;
        hora_status s = hora_tokenizer_encode_pair(r->tok, &alone, r->most, HORA_TRUNCATE_LONGEST,
                                                   &other.ids, &other.types, &cut);
        r->cut += cut > 0;
        HORA_PUSH(r->at, r->n, r->cap, other);
        r->at[at].more++;
        HORA_TRY(s);
    }
    return HORA_OK;
}

static hora_status take_record(void *arg, const hora_json *record, int64_t line) {
    reading *r = arg;
    text x = {.line = line};
    const int first = r->n;
    hora_status s = take_text(r, record, &x);
    HORA_PUSH(r->at, r->n, r->cap, x);
    if (!s)
        s = take_others(r, record, first);
    if (s) {
        drop_texts(r, first);
        if (!r->c->skip_bad)
            return s;
        HORA_TRY(answer(r)); /* lines stay in order */
        hora_json *o = hora_json_new_object();
        hora_json_set(o, "line", hora_json_new_int(line));
        hora_json_set(o, "error", hora_json_new_string(hora_errmsg()));
        hora_cli_put(o);
        r->bad++;
        return HORA_OK;
    }
    return r->n >= r->c->batch_size ? answer(r) : HORA_OK;
}

static hora_status texts(hora_model *m, const hora_predict_config *c, const hora_cli *cli) {
    reading r = {.m = m, .c = c, .pad = (int32_t)hora_max(0, m->opened.objective.pad)};
    const hora_objective *o = &m->opened.objective;
    if (!o->task->head && !o->task->body)
        return hora_fail(HORA_EUSAGE, "%s writes text; ask it with hora generate or hora chat",
                         m->base->dir);
    HORA_TRY(hora_open_tokenizer(&m->opened));
    HORA_TRY(hora_embedding_read(&r.how, m->base->dir));
    r.tok = m->opened.tokenizer;
    const int64_t front = hora_adapters_front(m->adapters, m->n);
    r.most = m->base->max_positions ? hora_max(m->base->max_positions - front, 1) : 1 << 20;
    if (o->task->body && r.how.most > 0)
        r.most = hora_min(r.most, r.how.most);
    hora_status s = HORA_OK;
    for (int i = 0; i < cli->nrest && !s; i++) {
        s = hora_records_each(cli->rest[i], take_record, &r);
        if (!s)
            s = answer(&r);
    }
    drop_texts(&r, 0);
    hora_free(r.at);
    if (r.cut)
        hora_warn("texts that were cut to %lld tokens: %lld", (long long)r.most, (long long)r.cut);
    if (r.bad)
        hora_warn("records that could not be used: %lld", (long long)r.bad);
    return s;
}

static hora_status run(hora_cli *cli) {
    hora_model *m = NULL;
    hora_predict_config c = {0};
    hora_status s;
    HORA_TRY_OUT(s, hora_options_take(&options, &c, &cli->settings));
    if (!cli->nrest) {
        s = hora_fail(HORA_EUSAGE, "no file; give pictures or folders of them, or files of records "
                                   "with texts");
        goto out;
    }
    HORA_TRY_OUT(s, hora_cli_open(&m, &cli->settings));
    s = m->base->vision ? hora_predict_pictures(m, &c, cli) : texts(m, &c, cli);
out:
    hora_model_close(m);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_predict = {
    .name = "predict",
    .summary = "What a model says of texts or pictures, a line of JSON for each",
    .usage = "--model DIR [--adapter DIR] FILE|DIR.. [--top-k K] [--skip-bad]",
    .more =
        "A line has file, label, score, and top, the likeliest classes. Scores are shares of one\n"
        "class among all; of several at once each by itself; of numbers the numbers themselves.\n"
        "Pictures in a folder for each class have `true` too: hora eval --predictions reads that.\n"
        "For a model of clips each folder that holds frames is one. Of task segment a line has\n"
        "`shares` of the classes, and with --overlays the files of map and picture.\n"
        "Texts and pairs come as records of JSONL, CSV or TSV, as in training, and have `line`;\n"
        "words get a tag each; an encoder without a head gives `embedding`, or of a pair the "
        "cosine\n"
        "as `pred` (of more texts a list: of each with the first): hora eval --predictions then "
        "has\nSpearman and Pearson against `score`.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options},
    .most = 100000,
    .run = run};
