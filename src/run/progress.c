/*
 * Progress for people, on stderr. On a terminal one line is kept up to date; elsewhere a plain
 * line every log_every steps. Nothing here is a result.
 */
#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "run/run.h"

static void clock_text(char text[32], double s) {
    long long n = s > 0 && s < 1e9 ? (long long)(s + 0.5) : 0;
    if (n >= 3600)
        hora_snprintf(text, 32, "%lld:%02lld:%02lld", n / 3600, n / 60 % 60, n % 60);
    else
        hora_snprintf(text, 32, "%lld:%02lld", n / 60, n % 60);
}

static void close_line(hora_progress *p) {
    if (p->open_line)
        fputc('\n', stderr);
    p->open_line = false;
}

/* The mean of the losses, the latest weighing most: single batches jump too much to be read. */
static double smooth(hora_progress *p, double loss) {
    p->average = p->started ? 0.9 * p->average + 0.1 * loss : loss;
    p->started = true;
    return p->average;
}

/* Columns that stderr has; a terminal that does not say has 80. */
static size_t columns(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col : 80;
}

void hora_progress_fit(char *line, size_t columns) {
    static const char *const less[] = {" MiB", "slowest ", "comm ", "mfu ", "lr ", "tok/s", "eta "};
    for (size_t i = 0; i < HORA_COUNT(less) && strlen(line) >= columns; i++) {
        char *at = strstr(line, less[i]), *start = at, *end;
        if (!at)
            continue;
        while (start > line && !(start[-1] == ' ' && start[-2] == ' '))
            start--;
        end = strstr(at, "  ");
        if (end)
            memmove(start, end + 2, strlen(end + 2) + 1);
        else
            start[-2] = 0;
    }
    if (strlen(line) >= columns)
        line[columns - 1] = 0;
}

static void step_line(hora_progress *p, const hora_run_event *e, char *line, size_t n) {
    const hora_step_info *i = e->step;
    char eta[32], rate[32], slowest[32], mfu[24] = "", ranks[64] = "";
    int64_t taken = i->step - e->first_step;
    double left = taken > 0 ? e->seconds / (double)taken * (double)(e->steps - i->step) : 0;
    clock_text(eta, left);
    hora_human_count(rate, i->tok_per_s);
    if (i->mfu > 0)
        hora_snprintf(mfu, sizeof mfu, "  mfu %.1f %%", 100 * i->mfu);
    if (i->ranks > 1 && i->seconds > 0)
        hora_snprintf(ranks, sizeof ranks, "  slowest %s tok/s  comm %.1f %%",
                      hora_human_count(slowest, i->slowest), 100 * i->comm_seconds / i->seconds);
    hora_snprintf(line, n, "step %lld/%lld  loss %.4f  lr %.3g  %s tok/s%s%s  eta %s  %.0f MiB",
                  (long long)i->step, (long long)e->steps, p->average, i->lr, rate, ranks, mfu, eta,
                  i->mem_mib);
}

static void on_step(hora_progress *p, const hora_run_event *e) {
    char line[200];
    const hora_step_info *i = e->step;
    smooth(p, i->loss);
    bool last = i->step == e->steps;
    double now = hora_now();
    if (p->terminal ? now - p->last < 0.1 && !last : i->step % e->log_every != 0 && !last)
        return;
    p->last = now;
    step_line(p, e, line, sizeof line);
    if (p->terminal) {
        hora_progress_fit(line, columns());
        fprintf(stderr, "\r\033[K%s", line);
        fflush(stderr);
        p->open_line = true;
    } else {
        hora_info("%s", line);
    }
}

/* The loss, that of each task of a routed training, and the numbers that a task names first. */
static void on_eval(const hora_run_event *e) {
    static const char best[] = "  (best)";
    const hora_metrics *m = &e->eval->metrics;
    hora_str line = {0};
    hora_str_printf(&line, "step %lld/%lld  evaluation loss %.4f", (long long)e->eval->step,
                    (long long)e->steps, e->eval->loss);
    for (int k = 1; k < 2 * m->n; k++) { /* as many as 80 columns take; the logs have all */
        const hora_metric *one = &m->at[k % m->n];
        const bool of_task = one->of && hora_eq(one->name, "loss"); /* those go first */
        char text[64];
        hora_snprintf(text, sizeof text, "  %.40s %.4g", of_task ? one->of : one->name, one->value);
        if (k != m->n && of_task == (k < m->n) && isfinite(one->value) &&
            line.n + strlen(text) + strlen(best) <= 80)
            hora_str_puts(&line, text);
    }
    hora_info("%s%s", line.s, e->eval->best ? best : "");
    hora_str_release(&line);
}

static void on_plan(const hora_train_report *r) {
    hora_str text = {0};
    hora_train_report_text(r, &text);
    for (const char *line = text.s; line && *line;) {
        const size_t n = strcspn(line, "\n");
        hora_info("%.*s", (int)n, line);
        line += n + (line[n] != 0);
    }
    hora_str_release(&text);
}

void hora_progress_event(void *user, const hora_run_event *e) {
    hora_progress *p = user;
    if (e->kind == HORA_RUN_STEP) {
        on_step(p, e);
        return;
    }
    close_line(p);
    switch (e->kind) {
    case HORA_RUN_PLANNED:
        p->terminal = isatty(STDERR_FILENO) == 1;
        on_plan(e->report);
        break;
    case HORA_RUN_EVAL:
        on_eval(e);
        break;
    case HORA_RUN_SAVED:
        hora_info("saved %s", e->text);
        break;
    case HORA_RUN_DATA:
    case HORA_RUN_END:
        hora_info("%s", e->text);
        break;
    case HORA_RUN_STEP:
        break;
    }
}

hora_json *hora_run_summary(const hora_run_result *r) {
    hora_json *j = hora_json_new_object();
    hora_json_set(j, "steps", hora_json_new_int(r->status.step));
    hora_json_set(j, "first_loss", hora_json_new_real(r->status.first_loss));
    hora_json_set(j, "last_loss", hora_json_new_real(r->status.last_loss));
    hora_json_set(j, "first_mean", hora_json_new_real(r->first_mean));
    hora_json_set(j, "last_mean", hora_json_new_real(r->last_mean));
    hora_json_set(j, "averaged", hora_json_new_int(r->averaged));
    if (r->first_eval.step >= 0)
        hora_json_set(j, "first_eval_loss", hora_json_new_real(r->first_eval.loss));
    if (r->last_eval.step >= 0)
        hora_json_set(j, "eval_loss", hora_json_new_real(r->last_eval.loss));
    if (r->status.best_step > 0) {
        hora_json_set(j, "best_loss", hora_json_new_real(r->status.best_loss));
        hora_json_set(j, "best_step", hora_json_new_int(r->status.best_step));
    }
    hora_json_set(j, "trainable", hora_json_new_int(r->report.trainable));
    hora_json_set(j, "parameters", hora_json_new_int(r->report.parameters));
    hora_json_set(j, "seconds", hora_json_new_real(r->seconds));
    return j;
}
