/* The plan as people read it and as JSON. */
#include "base/text.h"
#include "train/train.h"

static void bytes_row(hora_str *out, const char *what, uint64_t bytes, const char *note) {
    char text[32];
    hora_str_printf(out, "  %-22s %12s  %s\n", what, hora_human_bytes(text, (double)bytes), note);
}

static void duration(char text[48], double s) {
    if (s < 90)
        hora_snprintf(text, 48, "%.3g s", s);
    else if (s < 5400)
        hora_snprintf(text, 48, "%.3g min", s / 60);
    else if (s < 172800)
        hora_snprintf(text, 48, "%.3g h", s / 3600);
    else
        hora_snprintf(text, 48, "%.3g days", s / 86400);
}

static const char *dtype_text(const hora_train_report *r) {
    return r->dtype == HORA_BF16 ? "bf16" : "f32";
}

static void text_run(const hora_train_report *r, hora_str *out) {
    char trainable[32], all[32], lr[32], step[48], total[48];
    hora_human_count(trainable, (double)r->trainable);
    hora_human_count(all, (double)r->parameters);
    hora_str_printf(out, "trainable  %s of %s parameters (%lld, %.3g %%)\n", trainable, all,
                    (long long)r->trainable,
                    r->parameters ? 100.0 * (double)r->trainable / (double)r->parameters : 0);
    hora_str_printf(out, "run        %lld steps of %lld x %lld sequences of %lld tokens",
                    (long long)r->steps, (long long)r->grad_accum, (long long)r->batch_size,
                    (long long)r->seq_len);
    if (r->sequences)
        hora_str_printf(out, "\n           %.3g epochs of %lld sequences", r->epochs,
                        (long long)r->sequences);
    hora_str_printf(out, ", lr %s%s\n", hora_format_real(lr, r->lr), r->own_lr);
    hora_str_printf(out, "work       %.4g GFLOP per step", r->flops_step / 1e9);
    if (r->peak_flops > 0) {
        duration(step, r->seconds_step);
        duration(total, r->seconds_total);
        hora_str_printf(out, "\n           %s per step, %s in all, at half of %.3g GFLOP/s", step,
                        total, r->peak_flops / 1e9);
    }
    hora_str_printf(out, "\nlayers     %d, of which %d recomputed; %d nodes, %d calls; %s\n",
                    r->segments, r->recomputed, r->nodes, r->calls, dtype_text(r));
}

void hora_train_report_text(const hora_train_report *r, hora_str *out) {
    text_run(r, out);
    if (r->config_alone)
        hora_str_puts(out,
                      "weights    not there: their sizes and dtype are those of config.json\n");
    hora_str_puts(out, "memory\n");
    bytes_row(out, "weights", r->weights,
              r->copied      ? "frozen, copied to the device"
              : r->pack_both ? "frozen, and not packed"
                             : "frozen, mapped from the files");
    bytes_row(out, "packed", r->packed,
              r->pack_both ? "frozen weights, laid out for both passes"
                           : "tables; weights are packed on the way");
    if (r->neighbours > 1)
        hora_str_printf(out, "  %-22s %12s  of one copy for the %d ranks of this machine\n", "",
                        "a part", r->neighbours);
    bytes_row(out, "parameters", r->values, "");
    bytes_row(out, "gradients", r->gradients, "");
    bytes_row(out, "moments", r->moments, "of the optimizer");
    if (r->sums)
        bytes_row(out, "sums", r->sums,
                  r->ranks > 1 ? "gradients of micro-batches and ranks on their way"
                               : "gradients of micro-batches that wait to be added");
    bytes_row(out, "step arena", r->step_arena, "activations, their gradients, scratch");
    if (r->eval_arena)
        bytes_row(out, "evaluation", r->eval_arena, "in the step arena, where it fits");
    bytes_row(out, "batches", r->batches, "");
    bytes_row(out, "data", r->data, "tokens and sequences");
    bytes_row(out, "total", r->total, r->fits ? "" : "does not fit");
    if (r->limit)
        bytes_row(out, "available", r->limit, "");
    if (!r->fits)
        hora_str_printf(out, "does not fit: %s\n", r->advice);
}

hora_status hora_train_report_fits(const hora_train_report *r) {
    char total[32], limit[32];
    if (r->fits)
        return HORA_OK;
    return hora_fail(HORA_ENOMEM, "training needs %s, %s are available; %s",
                     hora_human_bytes(total, (double)r->total),
                     hora_human_bytes(limit, (double)r->limit), r->advice);
}

static void put_bytes(hora_json *o, const char *key, uint64_t v) {
    hora_json_set(o, key, hora_json_new_int((int64_t)v));
}

hora_json *hora_train_report_json(const hora_train_report *r) {
    hora_json *o = hora_json_new_object();
    hora_json *m = hora_json_set(o, "memory", hora_json_new_object());
    hora_json_set(o, "dtype", hora_json_new_string(dtype_text(r)));
    hora_json_set(o, "pack", hora_json_new_string(r->pack_both ? "both" : "one"));
    put_bytes(m, "weights", r->weights);
    put_bytes(m, "packed", r->packed);
    put_bytes(m, "parameters", r->values);
    put_bytes(m, "gradients", r->gradients);
    put_bytes(m, "moments", r->moments);
    put_bytes(m, "sums", r->sums);
    put_bytes(m, "step_arena", r->step_arena);
    put_bytes(m, "eval_arena", r->eval_arena);
    put_bytes(m, "scratch", r->scratch);
    put_bytes(m, "batches", r->batches);
    put_bytes(m, "data", r->data);
    put_bytes(m, "total", r->total);
    put_bytes(m, "limit", r->limit);
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {{"trainable", r->trainable},
                  {"parameters", r->parameters},
                  {"steps", r->steps},
                  {"batch_size", r->batch_size},
                  {"grad_accum", r->grad_accum},
                  {"seq_len", r->seq_len},
                  {"rows", r->rows},
                  {"sequences", r->sequences},
                  {"layers", r->segments},
                  {"recomputed", r->recomputed},
                  {"nodes", r->nodes},
                  {"calls", r->calls}};
    for (size_t i = 0; i < HORA_COUNT(counts); i++)
        hora_json_set(o, counts[i].key, hora_json_new_int(counts[i].value));
    hora_json_set(o, "epochs", hora_json_new_real(r->epochs));
    hora_json_set(o, "lr", hora_json_new_real(r->lr));
    hora_json_set(o, "flops_step", hora_json_new_real(r->flops_step));
    hora_json_set(o, "peak_flops", hora_json_new_real(r->peak_flops));
    hora_json_set(o, "seconds_step", hora_json_new_real(r->seconds_step));
    hora_json_set(o, "seconds_total", hora_json_new_real(r->seconds_total));
    hora_json_set(o, "config_alone", hora_json_new_bool(r->config_alone));
    hora_json_set(o, "fits", hora_json_new_bool(r->fits));
    hora_json_set(o, "advice", hora_json_new_string(r->advice));
    return o;
}
