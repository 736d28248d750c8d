/* `hora plan --ranks`: the prediction of comm/net.h for 1, 2, 4 .. ranks, for people and
 * programs. */
#include "base/text.h"
#include "run/run.h"

static hora_json *row(const hora_link_step *s, hora_str *text) {
    char sent[32];
    const double ms = 1e3;
    hora_str_printf(text, "  %5d ranks %5lld micro-batches %10s sent %10.4g + %8.3g ms %6.1f %%\n",
                    s->ranks, (long long)s->micro, hora_human_bytes(sent, s->sent),
                    ms * s->computing, ms * s->exchange, 100 * s->efficiency);
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "ranks", hora_json_new_int(s->ranks));
    hora_json_set(o, "micro_batches", hora_json_new_int(s->micro));
    hora_json_set(o, "sent_bytes", hora_json_new_real(s->sent));
    hora_json_set(o, "computing_ms", hora_json_new_real(ms * s->computing));
    hora_json_set(o, "exchange_ms", hora_json_new_real(ms * s->exchange));
    hora_json_set(o, "efficiency", hora_json_new_real(s->efficiency));
    return o;
}

hora_json *hora_run_scaling(const hora_train_report *r, const hora_link *net, int ranks,
                            hora_str *text) {
    char gradients[32], rate[32];
    const int64_t floats = (int64_t)(r->exchanged / sizeof(float));
    hora_json *rows = hora_json_new_array();
    hora_str_printf(text, "ranks      over %s (%.3g us, %s/s), %s of gradients to add up\n",
                    net->name, 1e6 * net->latency, hora_human_bytes(rate, net->bandwidth),
                    hora_human_bytes(gradients, (double)r->exchanged));
    if (r->seconds_step <= 0) {
        hora_str_puts(text,
                      "           the time of a step is not known here, nor what ranks win\n");
        return rows;
    }
    hora_str_puts(text, r->pictures
                            ? "           data: each rank decodes the pictures of its own share\n"
                            : "           data: on each machine one rank reads and tokenises, the "
                              "others map what it made\n");
    if (r->sync_every)
        hora_str_printf(
            text,
            "           local steps (another algorithm): added up every %lld steps; the "
            "numbers are means of a step\n",
            (long long)r->sync_every);
    for (int n = 1; n < 2 * ranks; n *= 2) {
        const hora_link_step s = hora_link_predict(net, r->seconds_step, floats, r->grad_accum,
                                                   n < ranks ? n : ranks, r->sync_every);
        hora_json_push(rows, row(&s, text));
    }
    if (ranks > r->grad_accum)
        hora_str_printf(text,
                        "           a step has %lld micro-batches: more ranks have nothing to do; "
                        "raise --grad-accum\n",
                        (long long)r->grad_accum);
    return rows;
}
