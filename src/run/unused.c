/* Options that decide nothing in this run, because its task or its data have no place for them. */
#include "run/unused.h"

#include "base/text.h"

typedef enum { PIXELS, EMBEDDING, EVALUATION, EVALUATIONS, MOMENTUM } need;

static const struct {
    const char *option;
    need need;
} rows[] = {
    {"dice", PIXELS},           {"segment_head", PIXELS},   {"similarity_scale", EMBEDDING},
    {"eval_every", EVALUATION}, {"eval_start", EVALUATION}, {"patience", EVALUATIONS},
    {"momentum", MOMENTUM},
};

static const char *const says[] = {
    [PIXELS] = "is of the task segment; leave it out, or give task=segment",
    [EMBEDDING] = "is of the task embedding; leave it out, or give task=embedding",
    [EVALUATION] = "needs evaluation data; give eval_data or eval_split, or leave it out",
    [EVALUATIONS] = ("waits for evaluations while it trains; give eval_every, and eval_data or "
                     "eval_split, or leave it out"),
    [MOMENTUM] = "is of optimizer=sgd; give that, or leave it out",
};

/* A method of the run has an option of that name. */
static bool methods_have(const run *r, const char *name) {
    const hora_options *tables[HORA_RUN_TABLES];
    const int own = hora_run_tables(NULL, tables), n = hora_run_tables(r->run.method, tables);
    return n > own && hora_options_find(tables[n - 1], name);
}

static bool met(const run *r, need what) {
    const hora_task *t = r->opened.objective.task;
    const bool evaluates = r->files.eval || r->data.eval_split > 0;
    switch (what) {
    case PIXELS:
        return t->labels == HORA_LABELS_PIXELS;
    case EMBEDDING:
        return hora_eq(t->name, "embedding");
    case EVALUATION:
        return evaluates;
    case EVALUATIONS:
        return evaluates && r->train.eval_every > 0;
    case MOMENTUM:
        return hora_eq(hora_optimizer_at(r->train.optimizer)->name, "sgd") ||
               methods_have(r, "momentum");
    }
    return true;
}

hora_status hora_run_unused(const run *r) {
    for (int i = 0; i < (int)HORA_COUNT(rows); i++)
        if (!met(r, rows[i].need))
            HORA_TRY(hora_option_idle(&hora_train_options, &r->train, &r->all, rows[i].option,
                                      says[rows[i].need]));
    if (r->methods.n && !hora_adapters_routed(r->methods.at, r->methods.n))
        HORA_TRY(hora_option_idle(&hora_data_options, &r->data, &r->all, "default_task",
                                  "is of adapters that are bound to tasks, and none is; leave it "
                                  "out"));
    return hora_data_idle(&r->data, &r->all, r->opened.objective.task->pictures, true);
}
