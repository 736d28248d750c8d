/* Log files of a run. Lines are whole or not there: each is appended with one write. */
#include "run/train_log.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "format/tb_events.h"

struct hora_train_log {
    char *jsonl, *csv;
    hora_tb *tb;
};

static const char csv_head[] = "step,epoch,loss,grad_norm,lr,tokens,supervised,tok_per_s,mfu,"
                               "mem_mib,ms,eval_loss\n";

/* The step that a line belongs to; false for headers and what cannot be read. */
static bool step_of_json(const char *line, size_t n, int64_t *step) {
    hora_json *o = NULL;
    bool ok = hora_json_parse(&o, line, n, "log.jsonl") == HORA_OK &&
              hora_json_int(hora_json_get(o, "step"), step);
    hora_json_free(o);
    return ok;
}

static bool step_of_csv(const char *line, size_t n, int64_t *step) {
    char *field = hora_strndup(line, strcspn(line, ",\n") < n ? strcspn(line, ",\n") : n);
    bool ok = hora_parse_int(field, step);
    hora_free(field);
    return ok;
}

/* Rewrites a log file without the lines of steps after `last` and without a torn last line. */
static hora_status cut(const char *path, int64_t last, const char *head,
                       bool (*step_of)(const char *, size_t, int64_t *)) {
    hora_str old = {0}, kept = {0};
    hora_status s = hora_file_read(&old, path);
    if (s == HORA_ENOTFOUND)
        return head ? hora_file_write(path, head, strlen(head)) : HORA_OK;
    if (head)
        hora_str_puts(&kept, head);
    for (size_t at = 0; !s && at < old.n;) {
        const char *line = old.s + at, *end = memchr(line, '\n', old.n - at);
        int64_t step;
        if (!end)
            break;
        size_t n = (size_t)(end - line) + 1;
        if (step_of(line, n, &step) && step <= last)
            hora_str_add(&kept, line, n);
        at += n;
    }
    if (!s)
        s = hora_file_write(path, kept.s ? kept.s : "", kept.n);
    hora_str_release(&old);
    hora_str_release(&kept);
    return s;
}

hora_status hora_train_log_open(hora_train_log **out, hora_outdir *o, int64_t steps_taken) {
    hora_train_log *l = *out = hora_calloc(1, sizeof *l);
    const char *dir = hora_outdir_path(o);
    char *events = hora_tb_name(dir);
    l->jsonl = hora_path_join(dir, "log.jsonl");
    l->csv = hora_path_join(dir, "log.csv");
    const char *const names[] = {"log.jsonl", "log.csv", events};
    hora_status s = HORA_OK;
    for (size_t i = 0; i < HORA_COUNT(names) && !s; i++)
        s = hora_outdir_claim(o, names[i]);
    if (s)
        goto out;
    HORA_TRY_OUT(s, cut(l->jsonl, steps_taken, NULL, step_of_json));
    HORA_TRY_OUT(s, cut(l->csv, steps_taken, csv_head, step_of_csv));
    s = hora_tb_open(&l->tb, dir, events, steps_taken);
out:
    hora_free(events);
    if (s) {
        hora_train_log_close(l);
        *out = NULL;
    }
    return s;
}

/* ", "key": value" with null for what is not finite. */
static void put_real(hora_str *b, const char *key, double v) {
    char text[32];
    hora_str_printf(b, ", \"%s\": %s", key, isfinite(v) ? hora_format_real(text, v) : "null");
}

/* Of a class, whose name may hold anything. */
static void put_real_of(hora_str *b, const char *key, const char *of, double v) {
    char *name = hora_format("%s_%s", key, of);
    hora_json *text = hora_json_new_string(name);
    char number[32];
    hora_str_puts(b, ", ");
    hora_json_dump(text, 0, false, b);
    hora_str_printf(b, ": %s", isfinite(v) ? hora_format_real(number, v) : "null");
    hora_json_free(text);
    hora_free(name);
}

static void put_cell(hora_str *b, double v) {
    char text[32];
    hora_str_printf(b, ",%s", isfinite(v) ? hora_format_real(text, v) : "");
}

static double tidy(double v, int digits) { /* measured times need no 17 digits */
    char text[32];
    double out = v;
    hora_snprintf(text, sizeof text, "%.*g", digits, v);
    hora_parse_double(text, &out);
    return out;
}

hora_status hora_train_log_step(hora_train_log *l, const hora_step_info *i) {
    hora_str line = {0}, row = {0};
    double epoch = tidy(i->epoch, 9), rate = tidy(i->tok_per_s, 6), mfu = tidy(i->mfu, 4);
    double mem = tidy(i->mem_mib, 6), ms = tidy(i->seconds * 1e3, 6);
    hora_str_printf(&line, "{\"step\": %lld", (long long)i->step);
    put_real(&line, "epoch", epoch);
    put_real(&line, "loss", i->loss);
    put_real(&line, "grad_norm", i->grad_norm);
    put_real(&line, "lr", i->lr);
    hora_str_printf(&line, ", \"tokens\": %lld, \"supervised\": %lld", (long long)i->tokens,
                    (long long)i->supervised);
    put_real(&line, "tok_per_s", rate);
    put_real(&line, "mfu", i->mfu > 0 ? mfu : NAN);
    put_real(&line, "mem_mib", mem);
    put_real(&line, "ms", ms);
    if (i->ranks > 1) {
        hora_str_printf(&line, ", \"ranks\": %d", i->ranks);
        put_real(&line, "slowest_tok_per_s", tidy(i->slowest, 6));
        put_real(&line, "comm_ms", tidy(i->comm_seconds * 1e3, 6));
    }
    if (i->sync_every)
        hora_str_printf(&line, ", \"sync_every\": %lld", (long long)i->sync_every);
    hora_str_puts(&line, "}\n");
    hora_str_printf(&row, "%lld", (long long)i->step);
    const double before[] = {epoch, i->loss, i->grad_norm, i->lr};
    const double after[] = {rate, i->mfu > 0 ? mfu : NAN, mem, ms};
    for (size_t k = 0; k < HORA_COUNT(before); k++)
        put_cell(&row, before[k]);
    hora_str_printf(&row, ",%lld,%lld", (long long)i->tokens, (long long)i->supervised);
    for (size_t k = 0; k < HORA_COUNT(after); k++)
        put_cell(&row, after[k]);
    hora_str_puts(&row, ",\n");
    hora_status s = hora_append_line(l->jsonl, line.s, line.n);
    if (!s)
        s = hora_append_line(l->csv, row.s, row.n);
    hora_str_release(&line);
    hora_str_release(&row);
    hora_tb_scalar(l->tb, "train/loss", i->step, i->loss);
    hora_tb_scalar(l->tb, "train/grad_norm", i->step, i->grad_norm);
    hora_tb_scalar(l->tb, "train/learning_rate", i->step, i->lr);
    return s ? s : hora_tb_flush(l->tb);
}

hora_status hora_train_log_eval(hora_train_log *l, const hora_eval_info *i, double epoch) {
    hora_str line = {0}, row = {0};
    char name[64];
    hora_str_printf(&line, "{\"step\": %lld", (long long)i->step);
    put_real(&line, "epoch", tidy(epoch, 9));
    for (int k = 0; k < i->metrics.n; k++) {
        const hora_metric *m = &i->metrics.at[k];
        hora_snprintf(name, sizeof name, "eval_%s", m->name);
        if (m->of)
            put_real_of(&line, name, m->of, m->value);
        else
            put_real(&line, name, m->value);
    }
    hora_str_printf(&line, ", \"eval_tokens\": %lld", (long long)i->tokens);
    put_real(&line, "eval_seconds", tidy(i->seconds, 6));
    hora_str_puts(&line, "}\n");
    hora_str_printf(&row, "%lld", (long long)i->step);
    put_cell(&row, tidy(epoch, 9));
    hora_str_puts(&row, ",,,,,,,,,");
    put_cell(&row, i->loss);
    hora_str_puts(&row, "\n");
    hora_status s = hora_append_line(l->jsonl, line.s, line.n);
    if (!s)
        s = hora_append_line(l->csv, row.s, row.n);
    hora_str_release(&line);
    hora_str_release(&row);
    for (int k = 0; k < i->metrics.n; k++) {
        const hora_metric *m = &i->metrics.at[k];
        char *tag = hora_format("eval/%s%s%s", m->name, m->of ? "/" : "", m->of ? m->of : "");
        if (isfinite(m->value))
            hora_tb_scalar(l->tb, tag, i->step, m->value);
        hora_free(tag);
    }
    return s ? s : hora_tb_flush(l->tb);
}

hora_status hora_train_log_close(hora_train_log *l) {
    if (!l)
        return HORA_OK;
    hora_status s = hora_tb_close(l->tb);
    hora_free(l->jsonl);
    hora_free(l->csv);
    hora_free(l);
    return s;
}
