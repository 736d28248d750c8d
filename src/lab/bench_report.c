/* What was measured, for people and as JSON. */
#include <stdlib.h>

#include "base/text.h"
#include "base/threads.h"
#include "lab/bench_impl.h"
#include "run/run.h"

static double median_of(const double *ascending, int n) {
    return n % 2 ? ascending[n / 2] : (ascending[n / 2 - 1] + ascending[n / 2]) / 2;
}

/* What a step has of what is counted. */
static double units_of(const bench_result *r) {
    return (double)r->grad_accum *
           (double)(r->pictures ? r->batch_size : r->batch_size * r->seq_len);
}

/* Per second, of the dtype; 0 unknown. */
static double peak_of(const bench_result *r) {
    return r->dtype == HORA_BF16 ? r->machine.bf16_flops : r->machine.f32_flops;
}

static const char *dtype_name(hora_dtype t) {
    return t == HORA_BF16 ? "bf16" : t == HORA_F64 ? "f64" : "f32";
}

static hora_json *known(double v) {
    return v > 0 ? hora_json_new_real(v) : hora_json_new_null();
}

static double mfu(const bench_result *r) {
    double peak = peak_of(r);
    return peak > 0 ? r->plan.flops_step / median_of(r->step, r->nsteps) / peak : 0;
}

hora_json *hora_bench_machine_json(const hora_bench_machine *m) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "threads", hora_json_new_int(hora_threads()));
    hora_json_set(o, "peak_gflops_f32", known(m->f32_flops / 1e9));
    hora_json_set(o, "peak_gflops_bf16", known(m->bf16_flops / 1e9));
    hora_json_set(o, "read_gb_s", known(m->read_bytes / 1e9));
    return o;
}

void hora_bench_machine_text(const hora_bench_machine *m, hora_str *out) {
    hora_str_printf(out, "threads    %d\n", hora_threads());
    hora_str_printf(out, "f32        %.4g GFLOP/s in registers\n", m->f32_flops / 1e9);
    hora_str_printf(out, "bf16       %.4g GFLOP/s in registers\n", m->bf16_flops / 1e9);
    hora_str_printf(out, "memory     %.4g GB/s read\n", m->read_bytes / 1e9);
}

/* --- ops -------------------------------------------------------------------------------------- */
static const char *phase_of(const hora_op_time *t) {
    return t->phase == HORA_BACKWARD ? "backward" : t->recomputed ? "again" : "forward";
}

/* Share of the roofline: the time that the products take at the peak, or that the bytes take from
 * memory, whichever is longer, of the time it took. 0: no yardstick. Above 1 where a cache helps.
 */
static double roofline(const bench_result *r, const hora_op_time *t) {
    double peak = peak_of(r), wire = r->machine.read_bytes;
    double products = peak > 0 ? t->flops / peak : 0, bytes = wire > 0 ? t->bytes / wire : 0;
    return t->seconds > 0 ? (products > bytes ? products : bytes) / t->seconds : 0;
}

static hora_json *ops_json(const bench_result *r) {
    hora_json *list = hora_json_new_array();
    const double steps = r->nprofiled;
    for (int i = 0; i < r->nops; i++) {
        const hora_op_time *t = &r->ops[i];
        hora_json *o = hora_json_push(list, hora_json_new_object());
        hora_json_set(o, "op", hora_json_new_string(t->op));
        hora_json_set(o, "phase", hora_json_new_string(phase_of(t)));
        hora_json_set(o, "backend", hora_json_new_string(t->backend));
        hora_json_set(o, "frozen", hora_json_new_bool(t->frozen));
        hora_json_set(o, "calls", hora_json_new_int(t->calls / r->nprofiled));
        hora_json_set(o, "ms", hora_json_new_real(1e3 * t->seconds / steps));
        hora_json_set(o, "gflop", hora_json_new_real(1e-9 * t->flops / steps));
        hora_json_set(o, "mb", hora_json_new_real(1e-6 * t->bytes / steps));
        hora_json_set(o, "roofline", known(roofline(r, t)));
    }
    return list;
}

static double outside(const bench_result *r) {
    double sum = 0;
    for (int i = 0; i < r->nops; i++)
        sum += r->ops[i].seconds;
    return r->profiled - sum;
}

static int longest_first(const void *pa, const void *pb) {
    const hora_op_time *a = pa, *b = pb;
    return (a->seconds < b->seconds) - (a->seconds > b->seconds);
}

static void ops_text(const bench_result *r, hora_str *out) {
    const double steps = r->nprofiled;
    hora_op_time *t = hora_calloc((size_t)r->nops + 1, sizeof *t);
    memcpy(t, r->ops, (size_t)r->nops * sizeof *t);
    qsort(t, (size_t)r->nops, sizeof *t, longest_first);
    hora_str_printf(out, "\n%-32s %6s %9s %7s %9s %9s %9s\n", "op, in a profiled step", "calls",
                    "ms", "share", "GFLOP/s", "GB/s", "roofline");
    for (int i = 0; i < r->nops; i++) {
        char name[64];
        hora_snprintf(name, sizeof name, "%s %s%s%s", t[i].op, phase_of(&t[i]),
                      t[i].frozen ? ", frozen" : "",
                      hora_eq(t[i].backend, "ref") ? ", ref" : ""); /* slow, and meant to be */
        const double s = t[i].seconds > 0 ? t[i].seconds : 1e-12;
        hora_str_printf(out, "%-32s %6lld %9.2f %5.1f %% %9.1f %9.2f %7.0f %%\n", name,
                        (long long)(t[i].calls / r->nprofiled), 1e3 * s / steps,
                        100 * s / r->profiled, 1e-9 * t[i].flops / s, 1e-9 * t[i].bytes / s,
                        100 * roofline(r, &t[i]));
    }
    hora_str_printf(out, "%-32s %6s %9.2f %5.1f %%\n", "outside (clip, update, ..)", "",
                    1e3 * outside(r) / steps, 100 * outside(r) / r->profiled);
    hora_free(t);
}

/* --- all of it -------------------------------------------------------------------------------- */
static hora_json *options_json(const bench_result *r) {
    const hora_options *table = r->adapter->method->options;
    const void *config = r->adapter->config;
    return table ? hora_run_recipe(&table, &config, 1) : hora_json_new_object();
}

hora_json *hora_bench_json(const bench_result *r) {
    const double units = units_of(r);
    const double median = median_of(r->step, r->nsteps), mib = 1 << 20;
    hora_json *o = hora_json_new_object();
    const struct {
        const char *key;
        hora_json *value;
    } members[] = {
        {"shape", hora_json_new_string(r->name)},
        {"dtype", hora_json_new_string(dtype_name(r->dtype))},
        {"device", hora_json_new_string(r->device)},
        {"method", hora_json_new_string(r->adapter->method->name)},
        {"options", options_json(r)},
        {"threads", hora_json_new_int(r->threads)},
        {"batch_size", hora_json_new_int(r->batch_size)},
        {"grad_accum", hora_json_new_int(r->grad_accum)},
        {"ranks", hora_json_new_int(r->ranks)},
        {"slowest_units_per_s", known(r->slowest)},
        {"comm_ms", hora_json_new_real(1e3 * r->comm_seconds)},
        {"exchanged_mib", hora_json_new_real((double)r->plan.exchanged / mib)},
        {"seq_len", hora_json_new_int(r->seq_len)},
        {"layers", hora_json_new_int(r->plan.segments)},
        {"recomputed", hora_json_new_int(r->plan.recomputed)},
        {"parameters", hora_json_new_int(r->plan.parameters)},
        {"trainable", hora_json_new_int(r->plan.trainable)},
        {"unit", hora_json_new_string(r->pictures ? "image" : "token")},
        {"units_per_s", hora_json_new_real(units / median)},
        {"units_per_s_best", hora_json_new_real(units / r->step[0])},
        {"units_per_s_worst", hora_json_new_real(units / r->step[r->nsteps - 1])},
        {"step_ms", hora_json_new_real(1e3 * median)},
        {"repeats", hora_json_new_int(r->nsteps)},
        {"gflop", hora_json_new_real(1e-9 * r->plan.flops_step)},
        {"mfu", known(mfu(r))},
        {"peak_gflops", known(1e-9 * peak_of(r))},
        {"read_gb_s", known(1e-9 * r->machine.read_bytes)},
        {"peak_rss_mib", known((double)r->rss_peak / mib)},
        {"device_peak_mib", known((double)r->device_peak / mib)},
        {"peak_rss_exact", hora_json_new_bool(r->rss_exact)},
        {"planned_mib", hora_json_new_real((double)r->plan.total / mib)},
        {"load_s", hora_json_new_real(r->open_s + r->prepare_s)},
        {"open_s", hora_json_new_real(r->open_s)},
        {"prepare_s", hora_json_new_real(r->prepare_s)},
        {"loss", hora_json_new_real(r->loss)},
        {"profiled_step_ms", hora_json_new_real(1e3 * r->profiled / r->nprofiled)},
        {"outside_ms", hora_json_new_real(1e3 * outside(r) / r->nprofiled)},
        {"ops", ops_json(r)},
    };
    for (size_t i = 0; i < HORA_COUNT(members); i++)
        hora_json_set(o, members[i].key, members[i].value);
    return o;
}

void hora_bench_text(const bench_result *r, hora_str *out) {
    char all[32], trained[32];
    const double units = units_of(r);
    const double median = median_of(r->step, r->nsteps), mib = 1 << 20;
    const char *dtype = dtype_name(r->dtype);
    hora_human_count(all, (double)r->plan.parameters);
    hora_human_count(trained, (double)r->plan.trainable);
    hora_str_printf(out, "model      %s, %s parameters, %d layers, %s\n", r->name, all,
                    r->plan.segments, dtype);
    hora_str_printf(out, "method     %s, %s trainable; %d layers recomputed\n",
                    r->adapter->method->name, trained, r->plan.recomputed);
    hora_str_printf(out, "step       %lld x %lld %s of %lld tokens, %.4g GFLOP; %d threads\n",
                    (long long)r->grad_accum, (long long)r->batch_size,
                    r->pictures ? "pictures" : "sequences", (long long)r->seq_len,
                    1e-9 * r->plan.flops_step, r->threads);
    if (r->ranks > 1)
        hora_str_printf(
            out,
            "ranks      %d of so many threads; %.3g MiB of gradients a step, %.3g ms in "
            "communication and waiting; the ops below are rank 0's\n",
            r->ranks, (double)r->plan.exchanged / mib, 1e3 * r->comm_seconds);
    hora_str_printf(out, "speed      %.1f %s/s (%.1f .. %.1f), %.2f ms, median of %d\n",
                    units / median, r->pictures ? "pictures" : "tokens",
                    units / r->step[r->nsteps - 1], units / r->step[0], 1e3 * median, r->nsteps);
    if (peak_of(r) > 0)
        hora_str_printf(out, "mfu        %.1f %% of %.4g GFLOP/s (%s), measured here and now\n",
                        100 * mfu(r), 1e-9 * peak_of(r), dtype);
    hora_str_printf(
        out, "memory     %.1f MiB peak resident%s, %.1f MiB planned\n", (double)r->rss_peak / mib,
        r->rss_exact ? "" : " (with the writer of the model)", (double)r->plan.total / mib);
    if (r->device_peak)
        hora_str_printf(out, "device     %s, %.1f MiB of its memory at the peak\n", r->device,
                        (double)r->device_peak / mib);
    hora_str_printf(out, "load       %.3f s: %.3f opening, %.3f planning and packing\n",
                    r->open_s + r->prepare_s, r->open_s, r->prepare_s);
    ops_text(r, out);
}
