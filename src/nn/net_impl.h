#ifndef HORA_NN_NET_IMPL_H
#define HORA_NN_NET_IMPL_H
/* What the files of a recording ask each other: net.c, net_attend.c. */
#include "nn/net.h"

/* Hooks of adapter `a`, NULL while it is switched off. */
const hora_hooks *hora_net_hooks(const hora_net *n, int a);
/* What adapter `a` makes of `from`: its share of the way to `to`, in the rows of its task. */
hora_t hora_net_taken(hora_net *n, const hora_adapter *a, hora_t from, hora_t to);
/* The first adapter from `a` on that has something to say about projections; nadapters: none. While
 * one of a task is asked, those of other tasks are not: no row is theirs too. */
int hora_net_speaker(const hora_net *n, int a);
#endif
