#ifndef HORA_COMM_COMM_IMPL_H
#define HORA_COMM_COMM_IMPL_H
/* Inside of the ranks: what a library of messages has to do for them. */
#include <stdatomic.h>

#include "comm/comm.h"

typedef struct comm_piece { /* one message */
    int peer;               /* never this rank */
    bool send;
    void *data; /* read only when sent */
    size_t bytes;
} comm_piece;

typedef struct comm_word { /* what a failing rank tells */
    int32_t status, origin;
    char text[2040];
} comm_word;

typedef struct comm_kind {
    const char *name;
    /* Sets rank, size, node_rank, node_size. */
    hora_status (*open)(hora_comm *c);
    /* All pieces, in any order; pieces of a pair arrive in the order in which they are listed. On
     * failure some are under way still, so the process ends. */
    hora_status (*move)(hora_comm *c, const comm_piece *p, int n);
    void (*enter)(hora_comm *c);                    /* c->phase is another now */
    void (*tell)(hora_comm *c, const comm_word *w); /* to all others, without waiting */
    bool (*hear)(hora_comm *c, comm_word *w);       /* takes and notes one word, if there is one */
    /* Memory of the machine's ranks; all are there. May they have so much? */
    bool (*room)(const hora_comm *c, size_t bytes);
    hora_status (*share)(hora_comm *c, size_t bytes, void **out);
    hora_status (*fence)(hora_comm *c); /* own writes to it are made visible, others' seen */
    void (*finish)(hora_comm *c);
    HORA_NORETURN void (*stop)(hora_comm *c, int code); /* ends all ranks */
} comm_kind;
extern const comm_kind hora_comm_self;
extern const comm_kind hora_comm_mpi; /* where HORA_HAVE_MPI */

struct hora_comm {
    const comm_kind *kind;
    int rank, size, node_rank, node_size, cores;
    bool neighbours; /* some rank has one on its machine */
    char srun[32];   /* srun started the ranks, with this kind of MPI; "": mpirun did */
    hora_sharing sharing;
    hora_comm_phase phase;
    double timeout; /* seconds; 0: none */
    hora_comm_stats stats;
    hora_comm_end end;
    atomic_bool told; /* the others know that this rank fails */
    int heard;        /* ranks that told so */
    int lowest;       /* of those; size: none */
    comm_word word;   /* the first failure that is known; status 0: none */
    comm_piece *piece;
    int npieces, cpieces; /* being listed for the next move */
    void *own;            /* of the kind */
};

/* Lists a message for the next hora_comm_move; nothing for 0 bytes or this rank itself. */
void hora_comm_send(hora_comm *c, int peer, const void *data, size_t bytes);
void hora_comm_receive(hora_comm *c, int peer, void *data, size_t bytes);
hora_status hora_comm_move(hora_comm *c);
/* Of a kind that heard a word from a rank: counted, and the first one kept. */
void hora_comm_note(hora_comm *c, const comm_word *w, int from);
/* "the evaluation": what this rank is at, in words. */
const char *hora_comm_doing(const hora_comm *c);
/* The failure that is known, as this rank's result. */
hora_status hora_comm_heard(const hora_comm *c);
#endif
