#ifndef HORA_COMM_NET_H
#define HORA_COMM_NET_H
/*
 * What a network would make of a training, on paper: the two numbers that matter of it (the model
 * of Hockney, Parallel Computing 20, 1994: a message of n bytes takes latency + n / bandwidth), and
 * what hora sends over it.
 */
#include "comm/comm.h"

typedef struct hora_link {
    char name[64];
    double latency, bandwidth; /* seconds; bytes per second that a rank sends and gets at once */
} hora_link;
/* "1GbE", "10GbE", "100GbE", or LATENCY:BANDWIDTH ("50us:118M", "2e-6:10G"; bytes per second).
 * HORA_EUSAGE. */
hora_status hora_link_parse(hora_link *net, const char *text);

/* A step of `ranks` ranks, each a machine as the one that takes `seconds` for all of it. */
typedef struct hora_link_step {
    int ranks;
    int64_t micro;              /* micro-batches of the busiest rank */
    double sent;                /* bytes, by the rank that sends most */
    double computing, exchange; /* seconds */
    double efficiency;          /* of ranks times the speed of one */
} hora_link_step;
/* seconds: of a step of one rank; floats: gradients that are exchanged; micro: of a step; every: 0,
 * or local steps between two meetings, at which as many floats are exchanged (the mean of them). */
hora_link_step hora_link_predict(const hora_link *net, double seconds, int64_t floats,
                                 int64_t micro, int ranks, int64_t every);
#endif
