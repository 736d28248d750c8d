#ifndef HORA_COMM_COMM_H
#define HORA_COMM_COMM_H
/*
 * Ranks: the processes that `mpirun` or `srun` started for one run. All calls but the numbers are
 * collective: every rank makes them, in the same order. NULL is one rank alone, for which nothing
 * here does anything.
 *
 * Every wait ends: by what was waited for, by the failure of another rank, because its process is
 * gone, or by the time-out.
 */
#include "base/mem.h"
#include "base/share.h"

typedef struct hora_comm hora_comm;

/* The ranks that the launcher started; one alone where there was none. HORA_EUNSUPPORTED: it
 * started several and this build, or its MPI, sees only one. */
hora_status hora_comm_open(hora_comm **out);
const char *hora_comm_built(void); /* "mpi", or "none": one rank alone */
/* How as many ranks are started again: "mpirun -n 4 COMMAND", "srun --mpi=pmix -n 4 COMMAND". */
void hora_comm_command(const hora_comm *c, const char *command, char *out, size_t bytes);
int hora_comm_rank(const hora_comm *c); /* 0 .. size - 1 */
int hora_comm_size(const hora_comm *c);
int hora_comm_node_size(const hora_comm *c);
/* Cores that are a rank's: those of the machine divided by its ranks. A process that the launcher
 * has bound to fewer is set free by hora_comm_open: one core a rank is what mpirun does unasked. */
int hora_comm_cores(const hora_comm *c);
bool hora_comm_leads(const hora_comm *c);       /* rank 0: who writes and speaks */
void hora_comm_timeout(hora_comm *c, double s); /* seconds without a word; 0: wait for ever */

/* `bytes` of every rank, in order of rank: all holds size x bytes. */
hora_status hora_comm_gather(hora_comm *c, const void *mine, size_t bytes, void *all);
/* Any number of bytes of each: all[r] is a string, released by the caller with hora_str_release. */
hora_status hora_comm_gather_any(hora_comm *c, const void *mine, size_t bytes, hora_str *all);
/* Rank 0's bytes in every rank. */
hora_status hora_comm_broadcast(hora_comm *c, void *data, size_t bytes);
/* Rank 0's text, of any length; on other ranks `text` is empty before. */
hora_status hora_comm_broadcast_text(hora_comm *c, hora_str *text);
/* From one rank to another; data: NULL on all others. Nothing where both are the same. */
hora_status hora_comm_hand(hora_comm *c, int from, int to, void *data, size_t bytes);
hora_status hora_comm_barrier(hora_comm *c);

/* --- memory of a machine ---------------------------------------------------------------------- */
/* Memory that the ranks of each machine see as one: `bytes` zeros, the same number on all ranks,
 * given back by hora_comm_close. *out NULL: no rank has a neighbour, or a machine has no room. */
hora_status hora_comm_shared(hora_comm *c, size_t bytes, void **out);
/* What each rank wrote there before is seen by all afterwards. */
hora_status hora_comm_filled(hora_comm *c);
/* The same for who does not know of ranks; NULL where no rank has a neighbour on its machine. */
const hora_sharing *hora_comm_sharing(hora_comm *c);

/* What this rank is at: for messages about ranks that are gone or silent, and for tools that stand
 * in front of MPI (MPI_Pcontrol), which test each. */
typedef enum {
    HORA_COMM_OPENING,
    HORA_COMM_READING,
    HORA_COMM_STEP,
    HORA_COMM_EVALUATION,
    HORA_COMM_CHECKPOINT,
    HORA_COMM_END
} hora_comm_phase;
void hora_comm_enter(hora_comm *c, hora_comm_phase p);

/* Time spent waiting and copying in these calls, bytes sent by this rank. */
typedef struct hora_comm_stats {
    double seconds;
    uint64_t sent, messages;
} hora_comm_stats;
hora_comm_stats hora_comm_about(const hora_comm *c);

/* --- failure ---------------------------------------------------------------------------------- */
/* A wait that ends badly does not return: messages are under way, so no memory may be given back.
 * The process ends with the exit code of the status, after what is set here. */
typedef struct hora_comm_end {
    void (*speak)(hora_status s); /* says the thread's text; on one rank alone */
    void (*add)(void *user,
                hora_status s); /* adds to the text what there is to do; NULL: nothing */
    void *user;
} hora_comm_end;
void hora_comm_speaker(hora_comm *c, void (*speak)(hora_status s));
void hora_comm_last_words(hora_comm *c, void (*add)(void *user, hora_status s), void *user);
/* This rank fails with s and the thread's text, and tells the others, whose waits end. Once is
 * enough; the failure of another rank is not told again. */
void hora_comm_fail(hora_comm *c, hora_status s);
/* Ends what hora_comm_open began; c is freed. `s`: what this rank's work ended in. Of
 * several ranks that failed one has said so when it returns; true: nobody has, and the caller is
 * the one to speak. Where others cannot be waited for it does not return. */
bool hora_comm_close(hora_comm *c, hora_status s);
#endif
