/* Options that decide nothing in this run, because its task or its data have no place for them. */
#include "run/unused.h"

#include "base/log.h"
#include "base/text.h"

typedef enum { PICTURES, PIXELS, EMBEDDING, EVALUATION, EVALUATIONS } need;

static const struct {
    const char *option;
    need need;
} rows[] = {
    {"random_crop", PICTURES},
    {"flip", PICTURES},
    {"brightness", PICTURES},
    {"contrast", PICTURES},
    {"saturation", PICTURES},
    {"hue", PICTURES},
    {"rand_augment", PICTURES},
    {"random_erase", PICTURES},
    {"white", PICTURES},
    {"exif", PICTURES},
    {"dice", PIXELS},
    {"segment_head", PIXELS},
    {"similarity_scale", EMBEDDING},
    {"eval_every", EVALUATION},
    {"patience", EVALUATIONS},
};

static const char *const says[] = {
    [PICTURES] = "is for pictures, and this task reads text; leave it out",
    [PIXELS] = "is of the task segment; leave it out, or give task=segment",
    [EMBEDDING] = "is of the task embedding; leave it out, or give task=embedding",
    [EVALUATION] = "needs evaluation data; give eval_data or eval_split, or leave it out",
    [EVALUATIONS] = ("waits for evaluations while it trains; give eval_every, and eval_data or "
                     "eval_split, or leave it out"),
};

static bool met(const run *r, need what) {
    const hora_task *t = r->opened.objective.task;
    const bool evaluates = r->files.eval || r->data.eval_split > 0;
    switch (what) {
    case PICTURES:
        return t->pictures;
    case PIXELS:
        return t->labels == HORA_LABELS_PIXELS;
    case EMBEDDING:
        return hora_eq(t->name, "embedding");
    case EVALUATION:
        return evaluates;
    case EVALUATIONS:
        return evaluates && r->train.eval_every > 0;
    }
    return true;
}

/* The last setting of the row is the one that counts; NULL: nobody gave one. */
static const hora_setting *given(const run *r, const hora_options *table, const hora_option *row) {
    const hora_setting *last = NULL;
    for (int i = 0; i < r->all.n; i++)
        if (hora_options_find(table, r->all.at[i].key) == row)
            last = &r->all.at[i];
    return last;
}

static hora_status check(const run *r, const hora_options *table, const void *obj, int i) {
    const hora_option *row = hora_options_find(table, rows[i].option);
    const hora_setting *s = row ? given(r, table, row) : NULL;
    if (!s || met(r, rows[i].need) || hora_option_is_default(row, obj))
        return HORA_OK;
    if (hora_eq(s->origin, "recipe of out")) /* that was said when it was begun */
        return HORA_OK;
    if (hora_eq(s->origin, "recipe")) {
        hora_warn("option %s=%s (%s) %s", s->key, s->value, s->origin, says[rows[i].need]);
        return HORA_OK;
    }
    return hora_fail(HORA_EUSAGE, "option %s=%s (%s) %s", s->key, s->value,
                     s->origin ? s->origin : row->name, says[rows[i].need]);
}

hora_status hora_run_unused(const run *r) {
    for (int i = 0; i < (int)HORA_COUNT(rows); i++) {
        HORA_TRY(check(r, &hora_train_options, &r->train, i));
        HORA_TRY(check(r, &hora_data_options, &r->data, i));
    }
    return HORA_OK;
}
