/*
 * Predictions. A step exchanges one short message of every rank with every other, then sums the
 * gradients in rounds: each rank sends its subtrees' slices to those who add them, and its own
 * slice of the sum to all (comm/tree.c). Nothing of it overlaps with computing.
 */
#include "comm/net.h"

#include <stdlib.h>

#include "base/text.h"
#include "comm/tree.h"

/* Names of Ethernet; latencies between two processes over TCP, over RDMA for the last. */
static const struct {
    const char *name;
    double latency, bandwidth;
} nets[] = {{"1GbE", 50e-6, 118e6}, {"10GbE", 20e-6, 1.18e9}, {"100GbE", 3e-6, 11.8e9}};

/* A rank's own work for a message, whatever the network: assumed, not measured. */
static const double per_message = 1e-6;

/* "50us", "0.05ms", "2e-6"; "118M", "1.2G" bytes per second. */
static bool number(const char *text, size_t n, const char *const *units, const double *factors,
                   double *out) {
    char *own = hora_strndup(text, n), *end;
    bool ok = false;
    *out = strtod(own, &end);
    for (int i = 0; units[i] && end != own; i++)
        if (hora_eq(end, units[i])) {
            *out *= factors[i];
            ok = *out > 0 && *out < 1e18;
        }
    hora_free(own);
    return ok;
}

hora_status hora_link_parse(hora_link *net, const char *text) {
    static const char *const times[] = {"", "s", "ms", "us", "ns", NULL};
    static const double seconds[] = {1, 1, 1e-3, 1e-6, 1e-9};
    static const char *const rates[] = {"", "K", "M", "G", "KB", "MB", "GB", NULL};
    static const double bytes[] = {1, 1e3, 1e6, 1e9, 1e3, 1e6, 1e9};
    const char *colon = strchr(text, ':');
    hora_snprintf(net->name, sizeof net->name, "%s", text);
    for (size_t i = 0; i < HORA_COUNT(nets); i++)
        if (hora_eq(text, nets[i].name)) {
            net->latency = nets[i].latency;
            net->bandwidth = nets[i].bandwidth;
            return HORA_OK;
        }
    if (colon && number(text, (size_t)(colon - text), times, seconds, &net->latency) &&
        number(colon + 1, strlen(colon + 1), rates, bytes, &net->bandwidth))
        return HORA_OK;
    return hora_fail(HORA_EUSAGE,
                     "net=%s: give 1GbE, 10GbE, 100GbE or LATENCY:BANDWIDTH, as in 50us:118MB",
                     text);
}

hora_link_step hora_link_predict(const hora_link *net, double seconds, int64_t floats,
                                 int64_t micro, int ranks, int64_t every) {
    int64_t first;
    hora_link_step s = {.ranks = ranks};
    const hora_tree_traffic t = hora_tree_sends(floats, every ? ranks : micro, ranks);
    const double share = every ? 1.0 / (double)every : 1;
    hora_part_of(micro, 0, ranks, &first, &s.micro);
    s.computing = seconds * (double)s.micro / (double)micro;
    if (ranks > 1) {
        const double short_ones = (double)(ranks - 1);
        s.sent = share * t.bytes + 8 * short_ones * (double)(16 + s.micro);
        s.exchange = (2 * share * (double)t.rounds + 1) * net->latency +
                     (share * t.messages + short_ones) * per_message + s.sent / net->bandwidth;
    }
    s.efficiency = seconds / (s.computing + s.exchange) / ranks;
    return s;
}
