/* Reads predictions from a file and hands them to the measures of the tasks. */
#include "task/predictions.h"

#include <math.h>
#include <stdlib.h>

#include "base/text.h"
#include "task/metric.h"
#include "task/task.h"

typedef enum { UNKNOWN, CLASSES, NUMBERS, TAGS, PIXELS, SURE } kind;
static const char *const kind_names[] = {"nothing known", "classes", "numbers",
                                         "tags",          "pixels",  "confidences"};

typedef struct reader {
    hora_predictions_config c;
    kind kind;
    bool named;  /* classes are names, else whole numbers */
    bool styled; /* `named` holds */
    char **names;
    int32_t n, cap;
    int64_t classes; /* said by a record, or the largest number + 1 */
    bool said;
    int32_t *truth, *guess; /* rows of `names`, or numbers */
    size_t ntruth, ctruth, nguess, cguess;
    double *y, *z;
    size_t ny, cy, nz, cz;
    double *confidence;
    size_t nconfidence, cconfidence;
    bool *right;
    size_t nright, cright;
    int64_t *start;
    int nstart, cstart;
} reader;

/* --- one value -------------------------------------------------------------------------------- */
static hora_status no_class(const hora_json *v) {
    return hora_fail(HORA_EFORMAT,
                     "a value of type %s is no class; write a name or a whole number, or give "
                     "--task regression",
                     hora_json_type_name(hora_json_type(v)));
}

static hora_status class_of(reader *r, const hora_json *v, int32_t *out) {
    const char *name = hora_json_string(v, NULL);
    bool truth;
    int64_t x = 0;
    if (hora_json_bool(v, &truth))
        name = truth ? "true" : "false";
    if (!name && !hora_json_int(v, &x))
        return no_class(v);
    if (r->styled && r->named != (name != NULL))
        return hora_fail(HORA_EFORMAT, "names and numbers are mixed; write all classes in one way");
    r->styled = true;
    r->named = name != NULL;
    if (!name) {
        if (x < 0 || x > (1 << 24) || (r->said && x >= r->classes))
            return hora_fail(HORA_EFORMAT, "class %lld is outside of 0 to %lld; correct it",
                             (long long)x,
                             (long long)(r->said ? r->classes : (int64_t)(1 << 24) + 1) - 1);
        r->classes = hora_max(r->classes, x + 1);
        *out = (int32_t)x;
        return HORA_OK;
    }
    for (*out = 0; *out < r->n; ++*out)
        if (hora_eq(r->names[*out], name))
            return HORA_OK;
    if (r->n == 4096)
        return hora_fail(HORA_EFORMAT, "more than 4096 different classes; if they are numbers, "
                                       "give --task regression");
    HORA_PUSH(r->names, r->n, r->cap, hora_strdup(name));
    return HORA_OK;
}

static hora_status number_of(const hora_json *v, double *out) {
    const char *text = hora_json_string(v, NULL);
    if ((!hora_json_real(v, out) && !(text && hora_parse_double(text, out))) || !isfinite(*out))
        return hora_fail(HORA_EFORMAT, "a value of type %s is no finite number; write it like 3.5",
                         hora_json_type_name(hora_json_type(v)));
    return HORA_OK;
}

/* --- what the records hold -------------------------------------------------------------------- */
static bool any_real(const hora_json *v) {
    bool any = hora_json_type(v) == HORA_JREAL;
    for (size_t i = 0; i < hora_json_len(v) && hora_json_type(v) == HORA_JARRAY; i++)
        any |= any_real(hora_json_at(v, i));
    return any;
}

static kind kind_of(const reader *r, const hora_json *truth, const hora_json *guess) {
    const hora_json *one = truth;
    int depth = 0;
    for (; hora_json_type(one) == HORA_JARRAY; depth++)
        one = hora_json_at(one, 0);
    if (hora_eq(r->c.task, "regression"))
        return NUMBERS;
    if (hora_eq(r->c.task, "token-classification"))
        return TAGS;
    if (hora_eq(r->c.task, "segment"))
        return PIXELS;
    if (r->c.task)
        return CLASSES;
    if (any_real(truth) || any_real(guess))
        return NUMBERS;
    if (depth && hora_json_type(one) == HORA_JSTRING)
        return TAGS;
    return depth > 1 ? PIXELS : CLASSES;
}

static const hora_json *first_of(const hora_json *record, const char *const *keys) {
    const hora_json *v = NULL;
    for (; *keys && !v; keys++)
        v = hora_json_get(record, *keys);
    return v;
}

/* --- a record --------------------------------------------------------------------------------- */
static hora_status add(reader *r, const hora_json *truth, const hora_json *guess);

static hora_status add_list(reader *r, const hora_json *truth, const hora_json *guess) {
    const size_t n = hora_json_len(truth);
    const bool sentence = r->kind == TAGS && hora_json_type(hora_json_at(truth, 0)) != HORA_JARRAY;
    if (hora_json_type(guess) != HORA_JARRAY || hora_json_len(guess) != n)
        return hora_fail(HORA_EFORMAT,
                         "%zu values stand against %zu predictions; write one for each", n,
                         hora_json_len(guess));
    if (sentence)
        HORA_PUSH(r->start, r->nstart, r->cstart, (int64_t)r->ntruth);
    for (size_t i = 0; i < n; i++)
        HORA_TRY(add(r, hora_json_at(truth, i), hora_json_at(guess, i)));
    return HORA_OK;
}

static hora_status add_class(reader *r, const hora_json *truth, const hora_json *guess) {
    int32_t t = -1, g = -1;
    int64_t x;
    if (r->kind == PIXELS && r->c.ignore >= 0 && hora_json_int(truth, &x) && x == r->c.ignore)
        return HORA_OK;
    HORA_TRY(class_of(r, truth, &t));
    HORA_TRY(class_of(r, guess, &g));
    HORA_PUSH(r->truth, r->ntruth, r->ctruth, t);
    HORA_PUSH(r->guess, r->nguess, r->cguess, g);
    return HORA_OK;
}

static hora_status add(reader *r, const hora_json *truth, const hora_json *guess) {
    double y = 0, z = 0;
    if (hora_json_type(truth) == HORA_JARRAY)
        return add_list(r, truth, guess);
    if (r->kind != NUMBERS)
        return add_class(r, truth, guess);
    HORA_TRY(number_of(truth, &y));
    HORA_TRY(number_of(guess, &z));
    HORA_PUSH(r->y, r->ny, r->cy, y);
    HORA_PUSH(r->z, r->nz, r->cz, z);
    return HORA_OK;
}

static hora_status add_confidence(reader *r, const hora_json *v) {
    double x = 0;
    for (size_t i = 0; hora_json_type(v) == HORA_JARRAY && i < hora_json_len(v); i++)
        HORA_TRY(add_confidence(r, hora_json_at(v, i)));
    if (hora_json_type(v) == HORA_JARRAY)
        return HORA_OK;
    HORA_TRY(number_of(v, &x));
    if (x < 0 || x > 1)
        return hora_fail(HORA_EFORMAT, "a confidence of %g; it lies between 0 and 1", x);
    HORA_PUSH(r->confidence, r->nconfidence, r->cconfidence, x);
    return HORA_OK;
}

static hora_status add_correct(reader *r, const hora_json *v) {
    bool right;
    double x = 0;
    for (size_t i = 0; hora_json_type(v) == HORA_JARRAY && i < hora_json_len(v); i++)
        HORA_TRY(add_correct(r, hora_json_at(v, i)));
    if (hora_json_type(v) == HORA_JARRAY)
        return HORA_OK;
    if (!hora_json_bool(v, &right)) {
        HORA_TRY(number_of(v, &x));
        if (x != 0 && x != 1)
            return hora_fail(HORA_EFORMAT, "`correct` is %g; it is 0 or 1", x);
        right = x != 0;
    }
    HORA_PUSH(r->right, r->nright, r->cright, right);
    return HORA_OK;
}

static hora_status same_kind(reader *r, kind k) {
    if (r->kind != UNKNOWN && r->kind != k)
        return hora_fail(HORA_EFORMAT, "the record holds %s, those before it %s; write one kind",
                         kind_names[k], kind_names[r->kind]);
    r->kind = k;
    return HORA_OK;
}

/* What a record says of all. */
static hora_status take_said(reader *r, const hora_json *record) {
    int64_t classes;
    HORA_TRY(hora_json_get_int(record, "classes", r->classes, &classes));
    HORA_TRY(hora_json_get_int(record, "bins", r->c.bins, &r->c.bins));
    HORA_TRY(hora_json_get_int(record, "ignore", r->c.ignore, &r->c.ignore));
    if (r->c.bins < 1 || r->c.bins > 1 << 20 || classes < r->classes || classes > 1 << 24)
        return hora_fail(HORA_EFORMAT, "\"classes\" or \"bins\" is no count of them; correct it");
    r->said |= hora_json_get(record, "classes") != NULL;
    r->classes = classes;
    return HORA_OK;
}

static hora_status take(void *arg, const hora_json *record, int64_t line) {
    static const char *const truths[] = {"true", "truth", "target", NULL};
    static const char *const guesses[] = {"pred", "prediction", "predicted", NULL};
    static const char *const sure[] = {"confidence", "score", NULL};
    reader *r = arg;
    const hora_json *truth = first_of(record, truths), *guess = first_of(record, guesses);
    const hora_json *score = first_of(record, sure), *correct = hora_json_get(record, "correct");
    (void)line;
    HORA_TRY(take_said(r, record));
    if (correct && score && !truth && !guess) {
        HORA_TRY(same_kind(r, SURE));
        HORA_TRY(add_confidence(r, score));
        return add_correct(r, correct);
    }
    if (!truth && guess)
        truth = hora_json_get(record, "label");
    else if (truth && !guess)
        guess = hora_json_get(record, "label");
    if (!truth || !guess)
        return hora_fail(HORA_EFORMAT, "the record lacks %s; write {\"true\": .., \"pred\": ..}",
                         truth   ? "the prediction (`pred`)"
                         : guess ? "the truth (`true`)"
                                 : "truth and prediction");
    HORA_TRY(same_kind(r, kind_of(r, truth, guess)));
    HORA_TRY(add(r, truth, guess));
    return r->kind == CLASSES && score ? add_confidence(r, score) : HORA_OK;
}

/* --- measures --------------------------------------------------------------------------------- */
static hora_json *defined(double v) {
    return isfinite(v) ? hora_json_new_real(v) : hora_json_new_null();
}

static int by_name(const void *a, const void *b) {
    return strcmp(**(char *const *const *)a, **(char *const *const *)b);
}

/* Names in byte order, and the numbers of all predictions with them; of numbers their digits. */
static void number_classes(reader *r, hora_objective *o) {
    const int64_t k = r->named ? r->n : r->classes;
    o->classes = k;
    o->names = hora_calloc((size_t)k + 1, sizeof *o->names);
    if (!r->named) {
        for (int64_t i = 0; i < k; i++)
            o->names[i] = hora_format("%lld", (long long)i);
        return;
    }
    char ***at = hora_calloc((size_t)k + 1, sizeof *at);
    int32_t *rank = hora_calloc((size_t)k + 1, sizeof *rank);
    for (int64_t i = 0; i < k; i++)
        at[i] = &r->names[i];
    qsort(at, (size_t)k, sizeof *at, by_name);
    for (int64_t i = 0; i < k; i++) {
        o->names[i] = hora_strdup(*at[i]);
        rank[at[i] - r->names] = (int32_t)i;
    }
    for (size_t i = 0; i < r->ntruth; i++) {
        r->truth[i] = rank[r->truth[i]];
        r->guess[i] = rank[r->guess[i]];
    }
    hora_free(at);
    hora_free(rank);
}

static void put_calibration(const reader *r, hora_json *out, const bool *right, int64_t n) {
    hora_json_set(out, "calibration_error",
                  defined(hora_metric_calibration(r->confidence, right, n, r->c.bins)));
    hora_json_set(out, "calibration_bins", hora_json_new_int(r->c.bins));
}

static void put_pixels(const reader *r, const hora_objective *o, hora_json *out) {
    const int64_t k = o->classes, n = (int64_t)r->ntruth;
    int64_t *c = hora_calloc((size_t)(k * k) + 1, sizeof *c);
    hora_metric_confusion(r->truth, r->guess, n, k, c);
    hora_json_set(out, "accuracy", defined(hora_metric_accuracy(r->truth, r->guess, n)));
    hora_json_set(out, "miou", defined(hora_metric_over_classes(hora_metric_iou, c, k)));
    hora_json_set(out, "mdice", defined(hora_metric_over_classes(hora_metric_dice, c, k)));
    hora_json *iou = hora_json_set(out, "iou", hora_json_new_array());
    hora_json *dice = hora_json_set(out, "dice", hora_json_new_array());
    for (int64_t i = 0; i < k; i++) {
        hora_json_push(iou, defined(hora_metric_iou(c, k, i)));
        hora_json_push(dice, defined(hora_metric_dice(c, k, i)));
    }
    hora_free(c);
}

static void put_metrics(const hora_metrics *m, hora_json *out) {
    for (int i = 0; i < m->n; i++)
        hora_json_set(out, m->at[i].name, defined(m->at[i].value));
}

/* What the task makes of the predictions, by way of a tally as an evaluation fills it. */
static void put_task(const reader *r, const hora_objective *o, hora_json *out) {
    hora_metrics m = {.n = 0};
    hora_tally t = {.objective = o,
                    .n = (int64_t)r->ntruth,
                    .truth = r->truth,
                    .guess = r->guess,
                    .start = r->start,
                    .nstart = r->nstart};
    o->task->metrics(&t, &m);
    put_metrics(&m, out);
    if (r->kind == TAGS)
        hora_json_set(out, "entities", hora_json_new_string(o->strict ? "strict" : "default"));
    hora_json *detail = hora_tally_detail(&t);
    for (void *it = hora_json_iter(detail); it; it = hora_json_next(detail, it))
        hora_json_set(out, hora_json_iter_key(it), hora_json_copy(hora_json_iter_value(it)));
    hora_json_free(detail);
}

static hora_status measure(reader *r, hora_json *out) {
    static const char *const tasks[] = {
        [CLASSES] = "sequence-classification", [TAGS] = "token-classification"};
    const size_t n = r->kind == SURE ? r->nright : r->kind == NUMBERS ? r->ny : r->ntruth;
    if (!n)
        return hora_fail(HORA_EFORMAT, "no prediction in it; give a file with records like "
                                       "{\"true\": .., \"pred\": ..}");
    if (r->nconfidence && r->nconfidence != n)
        return hora_fail(HORA_EFORMAT,
                         "%zu confidences stand beside %zu predictions; give one for each or none",
                         r->nconfidence, n);
    hora_objective o = {.strict = r->c.strict};
    hora_json_set(out, "predictions", hora_json_new_int((int64_t)n));
    if (r->kind == NUMBERS) {
        hora_metrics m = {.n = 0};
        hora_metrics_numbers(&m, r->z, r->y, (int64_t)n);
        put_metrics(&m, out);
        return HORA_OK;
    }
    if (r->kind == SURE) {
        int64_t right = 0;
        for (size_t i = 0; i < n; i++)
            right += r->right[i];
        hora_json_set(out, "accuracy", defined((double)right / (double)n));
        put_calibration(r, out, r->right, (int64_t)n);
        return HORA_OK;
    }
    number_classes(r, &o);
    if (r->kind == PIXELS) {
        put_pixels(r, &o, out);
    } else {
        o.task = hora_task_named(tasks[r->kind]);
        o.loss = o.task->loss;
        put_task(r, &o, out);
        for (size_t i = 0; r->nconfidence && i < n; i++)
            HORA_PUSH(r->right, r->nright, r->cright, r->truth[i] == r->guess[i]);
        if (r->nconfidence)
            put_calibration(r, out, r->right, (int64_t)n);
    }
    hora_objective_release(&o);
    return HORA_OK;
}

hora_status hora_predictions_measure(hora_json **out, const char *path,
                                     const hora_predictions_config *c) {
    reader r = {.c = *c};
    *out = NULL;
    hora_json *all = hora_json_new_object();
    hora_status s = hora_records_each(path, take, &r);
    if (!s && (s = measure(&r, all)))
        hora_context(s, "%s", path);
    for (int32_t i = 0; i < r.n; i++)
        hora_free(r.names[i]);
    hora_free(r.names);
    hora_free(r.truth);
    hora_free(r.guess);
    hora_free(r.y);
    hora_free(r.z);
    hora_free(r.confidence);
    hora_free(r.right);
    hora_free(r.start);
    if (s)
        hora_json_free(all);
    else
        *out = all;
    return s;
}
