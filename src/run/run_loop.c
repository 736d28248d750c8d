/* The steps of a run, and what they leave in OUT: logs, checkpoints, the result. */
#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "run/run_impl.h"

void hora_run_tell(run *r, hora_run_event_kind kind, const char *text) {
    hora_run_event e = {.kind = kind,
                        .report = &r->result.report,
                        .step = &r->result.last,
                        .eval = &r->result.last_eval,
                        .steps = r->result.report.steps,
                        .log_every = r->train.log_every,
                        .seconds = hora_now() - r->started,
                        .first_step = r->first_step,
                        .text = text};
    if (r->hooks && r->hooks->event)
        r->hooks->event(r->hooks->user, &e);
}

static hora_status save(run *r) {
    hora_training_status now;
    hora_training_get(r->training, &now);
    hora_comm_enter(r->comm, HORA_COMM_CHECKPOINT);
    HORA_TRY(hora_training_collect(r->training));
    r->saved = now.step;
    if (!r->leads)
        return HORA_OK;
    HORA_TRY(hora_training_save(r->training, r->out));
    HORA_TRY(hora_outdir_whole(r->out));
    char *text = hora_format("%s/checkpoint-%lld", r->run.out, (long long)now.step);
    hora_run_tell(r, HORA_RUN_SAVED, text);
    hora_free(text);
    return HORA_OK;
}

static hora_status evaluate(run *r) {
    hora_training_status now;
    hora_training_get(r->training, &now);
    hora_comm_enter(r->comm, HORA_COMM_EVALUATION);
    HORA_TRY(hora_training_eval(r->training, &r->result.last_eval));
    if (r->result.first_eval.step < 0)
        r->result.first_eval = r->result.last_eval;
    hora_run_tell(r, HORA_RUN_EVAL, NULL);
    if (!r->leads)
        return HORA_OK;
    return hora_train_log_eval(r->log, &r->result.last_eval, now.epoch);
}

static const char *start_command(const run *r, char text[96]) {
    hora_comm_command(r->comm, "hora train", text, 96);
    return text;
}

static hora_status interrupted(run *r, int64_t step) {
    char command[96];
    HORA_TRY(save(r));
    return hora_fail(HORA_EINTERRUPTED,
                     "stopped after step %lld, everything is saved; go on with: %s --resume --out "
                     "%s",
                     (long long)step, start_command(r, command), r->run.out);
}

void hora_run_add_way_on(void *user, hora_status why) {
    const run *r = user;
    char command[96];
    if (hora_comm_size(r->comm) == 1 || r->first_step < 0 || why == HORA_ENUMERIC ||
        why == HORA_EINTERRUPTED)
        return;
    char *said = hora_strdup(hora_errmsg());
    if (r->saved >= 0)
        hora_fail(why,
                  "%s; the newest checkpoint is that of step %lld or, if it was being written, the "
                  "one before: go on with: %s --resume --out %s",
                  said, (long long)r->saved, start_command(r, command), r->run.out);
    else
        hora_fail(why, /* rank 0 may be ahead of the one that fails, and have written its first */
                  "%s; where %s holds a checkpoint already, go on with: %s --resume --out %s; else "
                  "start again with --overwrite",
                  said, r->run.out, start_command(r, command), r->run.out);
    hora_free(said);
}

/* What ends a run after a good step must not take the step with it. */
static hora_status keep_steps(run *r, hora_status why) {
    char *said = hora_strdup(hora_errmsg());
    const bool together = r->train.sync_every && hora_comm_size(r->comm) > 1;
    if (together) /* what the others keep cannot be asked for by one that fails alone */
        hora_warn("the steps since the last checkpoint are lost");
    else if (save(r))
        hora_warn("the steps since the last checkpoint are lost: %s", hora_errmsg());
    hora_error_restore(said);
    hora_free(said);
    return why;
}

/* What local steps make due between two meetings waits for the second. */
static bool due(const run *r, int64_t every, int64_t step) {
    const int64_t apart = hora_max(1, r->train.sync_every);
    return every > 0 && step % apart == 0 && step / every > (step - apart) / every;
}

static bool eval_due(const run *r, int64_t step) {
    return r->eval_set && (step == r->result.report.steps || due(r, r->train.eval_every, step));
}

/* What is due when a step is done: an evaluation, a checkpoint. */
static hora_status after_step(run *r, int64_t step, bool *worn) {
    bool best = false;
    *worn = false;
    if (eval_due(r, step)) {
        const hora_status s = evaluate(r);
        if (s)
            return s == HORA_EINTERRUPTED ? interrupted(r, step) : keep_steps(r, s);
        best = r->result.last_eval.best;
        *worn = r->result.last_eval.worn;
    }
    return step == r->result.report.steps || best || *worn || due(r, r->train.save_every, step)
               ? save(r)
               : HORA_OK;
}

hora_status hora_run_loop(run *r) {
    const hora_train_config *c = &r->train;
    hora_status s = HORA_OK;
    hora_training_status now;
    hora_training_get(r->training, &now);
    r->first_step = now.step;
    if (r->eval_set && now.step == 0 && c->eval_start && now.evaluated < 0)
        s = evaluate(r);
    if (s)
        return s == HORA_EINTERRUPTED ? interrupted(r, 0) : s;
    r->started = hora_now();
    bool worn = now.worn;
    if (now.step > 0 && now.evaluated < now.step && eval_due(r, now.step)) /* it had failed */
        HORA_TRY(after_step(r, now.step, &worn));
    while (!worn) {
        hora_training_get(r->training, &now);
        hora_comm_enter(r->comm, HORA_COMM_STEP);
        s = hora_training_step(r->training, &r->result.last);
        if (s == HORA_EINTERRUPTED)
            return interrupted(r, now.step);
        if (s)
            break;
        HORA_PUSH(r->losses, r->nlosses, r->losses_cap, r->result.last.loss);
        if (r->leads && (s = hora_train_log_step(r->log, &r->result.last)) != HORA_OK)
            return keep_steps(r, s);
        hora_run_tell(r, HORA_RUN_STEP, NULL);
        HORA_TRY(after_step(r, r->result.last.step, &worn));
    }
    return s == HORA_DONE ? HORA_OK : s;
}

/* Single batches jump: what a run did to its loss is said by the tenths at both ends. */
void hora_run_average(run *r) {
    const int n = (int)hora_max(r->nlosses / 10, r->nlosses > 0), last = r->nlosses - n;
    double first_sum = 0, last_sum = 0;
    for (int i = 0; i < n; i++) {
        first_sum += r->losses[i];
        last_sum += r->losses[last + i];
    }
    r->result.averaged = n;
    r->result.first_mean = n ? first_sum / n : NAN;
    r->result.last_mean = n ? last_sum / n : NAN;
}

hora_status hora_run_finish(run *r) {
    hora_training_status *now = &r->result.status;
    const hora_train_report *p = &r->result.report;
    hora_training_get(r->training, now);
    hora_comm_enter(r->comm, HORA_COMM_END);
    if (!r->leads)
        return HORA_OK;
    HORA_TRY(hora_training_take_best(r->training, r->run.out));
    hora_training_get(r->training, now);
    hora_str note = {0};
    hora_str_puts(&note, "Trained on `");
    hora_markdown(&note, hora_path_base(r->files.ntrain ? r->files.paths[0] : "standard input"),
                  true);
    hora_str_puts(&note, "`");
    if (r->files.ntrain > 1)
        hora_str_printf(&note, " and %d more", r->files.ntrain - 1);
    hora_str_printf(&note, ": %lld of %lld steps, %lld x %lld sequences of %lld tokens each.",
                    (long long)now->step, (long long)p->steps, (long long)p->grad_accum,
                    (long long)p->batch_size, (long long)p->seq_len);
    if (r->train.sync_every)
        hora_str_printf(&note,
                        " By local steps (DiLoCo): %d workers, which met every %lld steps; not "
                        "what one worker would have come to.",
                        hora_comm_size(r->comm), (long long)r->train.sync_every);
    if (now->best_step)
        hora_str_printf(&note, " Best evaluation loss %.6g, after step %lld.", now->best_loss,
                        (long long)now->best_step);
    const char *stage;
    hora_status s = hora_outdir_stage(r->out, &stage);
    if (!s)
        s = hora_adapters_save(r->methods.at, r->methods.n, stage, note.s);
    hora_str_release(&note);
    HORA_TRY(s);
    HORA_TRY(hora_outdir_take(r->out));
    HORA_TRY(hora_fsync_dir(r->run.out));
    HORA_TRY(hora_outdir_whole(r->out));
    char *text =
        hora_format("%s is done: %lld steps, %s", r->run.out, (long long)now->step,
                    now->best_step && now->best_step != now->step ? "values of the best evaluation"
                                                                  : "values of the last step");
    hora_run_tell(r, HORA_RUN_END, text);
    hora_free(text);
    return HORA_OK;
}
