/*
 * Messages by MPI (MPI 3, its C interface; the standard, https://www.mpi-forum.org/docs). Only what
 * any MPI does well is used: messages between pairs, without waiting inside of the library, so that
 * a wait can end by a time-out, by another rank's failure, or because a peer's process is gone.
 */
#include <errno.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "comm/comm_impl.h"

enum { TAG_DATA = 1, TAG_WORD = 2 };
enum { MOST = 1 << 30 };             /* bytes of one message: counts are ints */
enum { SPINS = 2000, YIELDS = 500 }; /* polls before the core is given away, before sleeping */

typedef struct world {
    MPI_Comm comm;   /* ours alone: no library in this process can mistake a message */
    MPI_Comm node;   /* those of this machine */
    MPI_Win *window; /* memory that they share */
    int nwindows, cwindows;
    MPI_Request *request;
    int *peer; /* of each request */
    int n, cap, cpeers;
    pid_t *pid; /* of each rank on this machine; 0: elsewhere */
    comm_word *words;
    MPI_Request *telling;
    pthread_t watcher; /* looks after the processes of this machine */
    bool watches;
    pthread_mutex_t lock; /* of `over` */
    pthread_cond_t ended;
    bool over;
} world;

static hora_status failed(int code, const char *what) {
    char text[MPI_MAX_ERROR_STRING];
    int n = 0;
    MPI_Error_string(code, text, &n);
    return hora_fail(HORA_EIO, "MPI: %s: %.*s; look at mpirun's output and the network", what, n,
                     text);
}

/* While opening. */
#define MPI_TRY(call)                                                                              \
    do {                                                                                           \
        const int code_ = (call);                                                                  \
        if (code_ != MPI_SUCCESS)                                                                  \
            return failed(code_, #call);                                                           \
    } while (0)

/* --- opening ---------------------------------------------------------------------------------- */
/* Who shares this machine, by which process. */
static hora_status find_neighbours(hora_comm *c, world *w) {
    MPI_Group all, here;
    int pid = (int)getpid();
    MPI_TRY(MPI_Comm_split_type(w->comm, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &w->node));
    MPI_TRY(MPI_Comm_set_errhandler(w->node, MPI_ERRORS_RETURN));
    MPI_TRY(MPI_Comm_rank(w->node, &c->node_rank));
    MPI_TRY(MPI_Comm_size(w->node, &c->node_size));
    int *pids = hora_calloc((size_t)c->node_size * 3, sizeof *pids);
    int *local = pids + c->node_size, *global = local + c->node_size;
    for (int i = 0; i < c->node_size; i++)
        local[i] = i;
    MPI_TRY(MPI_Allgather(&pid, 1, MPI_INT, pids, 1, MPI_INT, w->node));
    MPI_TRY(MPI_Comm_group(w->node, &here));
    MPI_TRY(MPI_Comm_group(w->comm, &all));
    MPI_TRY(MPI_Group_translate_ranks(here, c->node_size, local, all, global));
    for (int i = 0; i < c->node_size; i++)
        w->pid[global[i]] = pids[i];
    MPI_Group_free(&here);
    MPI_Group_free(&all);
    hora_free(pids);
    int most = 1;
    MPI_TRY(MPI_Allreduce(&c->node_size, &most, 1, MPI_INT, MPI_MAX, w->comm));
    c->neighbours = most > 1;
    return HORA_OK;
}

/* --- who is gone ------------------------------------------------------------------------------ */
/* mpirun kills all others a second after one of them died, whatever they are computing: so a thread
 * looks, and says it at once. */
static int lost_rank(const hora_comm *c, int *lowest) {
    const world *w = c->own;
    int lost = -1;
    *lowest = c->size;
    for (int r = c->size - 1; r >= 0; r--) {
        if (w->pid[r] && kill(w->pid[r], 0) && errno == ESRCH)
            lost = r;
        else if (w->pid[r])
            *lowest = r;
    }
    return lost;
}

static void mourn(hora_comm *c, int rank, int lowest) {
    const world *w = c->own;
    if (atomic_exchange(&c->told, true)) /* a failure is known already, and this follows from it */
        return;
    const hora_status s =
        hora_fail(HORA_EIO, "rank %d is gone: process %d was killed or died (rank %d was at %s)",
                  rank, (int)w->pid[rank], c->rank, hora_comm_doing(c));
    if (lowest == c->rank && c->end.add)
        c->end.add(c->end.user, s);
    if (lowest == c->rank && c->end.speak)
        c->end.speak(s);
    _exit(hora_status_exit(s));
}

static void *look_after(void *arg) {
    hora_comm *c = arg;
    world *w = c->own;
    pthread_mutex_lock(&w->lock);
    while (!w->over) {
        struct timespec until;
        int lowest;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->ended, &w->lock, &until);
        const int lost = w->over ? -1 : lost_rank(c, &lowest);
        if (lost >= 0)
            mourn(c, lost, lowest);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static hora_status watch(hora_comm *c) {
    world *w = c->own;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->ended, NULL);
    w->watches = c->node_size > 1 && hora_thread_start(&w->watcher, look_after, c);
    return HORA_OK;
}

static void stop_watching(world *w) {
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
    if (w->watches)
        pthread_join(w->watcher, NULL);
    w->watches = false;
}

static hora_status open_mpi(hora_comm *c) {
    int level, started = 0;
    world *w = c->own = hora_calloc(1, sizeof *w);
    c->size = c->node_size = 1;
    w->comm = w->node = MPI_COMM_NULL;
    /* Open MPI would let one process read the memory of another, which may have given it back by
     * then when a run breaks off; and where the other is gone, it aborts without a word. */
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
    MPI_TRY(MPI_Initialized(&started));
    if (!started)
        MPI_TRY(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level));
    MPI_TRY(MPI_Comm_dup(MPI_COMM_WORLD, &w->comm));
    MPI_TRY(MPI_Comm_set_errhandler(w->comm, MPI_ERRORS_RETURN));
    MPI_TRY(MPI_Comm_rank(w->comm, &c->rank));
    MPI_TRY(MPI_Comm_size(w->comm, &c->size));
    w->pid = hora_calloc((size_t)c->size, sizeof *w->pid);
    w->words = hora_calloc((size_t)c->size, sizeof *w->words);
    w->telling = hora_calloc((size_t)c->size, sizeof(MPI_Request));
    HORA_TRY(find_neighbours(c, w));
    return watch(c);
}

/* The standard's call for tools; levels below 10 have meanings of their own. */
static void enter(hora_comm *c) {
    MPI_Pcontrol(10 + (int)c->phase);
}

/* --- words of failure ------------------------------------------------------------------------- */
static void tell(hora_comm *c, const comm_word *word) {
    world *w = c->own;
    for (int r = 0; r < c->size; r++) {
        w->words[r] = *word;
        if (r != c->rank && MPI_Isend(&w->words[r], (int)sizeof *word, MPI_BYTE, r, TAG_WORD,
                                      w->comm, &w->telling[r]) == MPI_SUCCESS)
            MPI_Request_free(&w->telling[r]);
    }
}

static bool hear(hora_comm *c, comm_word *word) {
    world *w = c->own;
    int there = 0;
    MPI_Status from;
    if (MPI_Iprobe(MPI_ANY_SOURCE, TAG_WORD, w->comm, &there, &from) != MPI_SUCCESS || !there)
        return false;
    if (MPI_Recv(word, (int)sizeof *word, MPI_BYTE, from.MPI_SOURCE, TAG_WORD, w->comm,
                 MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return false;
    word->text[sizeof word->text - 1] = 0;
    hora_comm_note(c, word, from.MPI_SOURCE);
    return true;
}

/* --- moving ----------------------------------------------------------------------------------- */
static hora_status post(world *w, const comm_piece *p) {
    for (size_t at = 0; at < p->bytes; at += MOST) {
        MPI_Request r;
        char *data = (char *)p->data + at;
        const int n = (int)(p->bytes - at < MOST ? p->bytes - at : MOST);
        const int code = p->send ? MPI_Isend(data, n, MPI_BYTE, p->peer, TAG_DATA, w->comm, &r)
                                 : MPI_Irecv(data, n, MPI_BYTE, p->peer, TAG_DATA, w->comm, &r);
        if (code != MPI_SUCCESS)
            return failed(code, "a message could not be sent or awaited");
        int count = w->n;
        HORA_PUSH(w->peer, count, w->cpeers, p->peer);
        HORA_PUSH(w->request, w->n, w->cap, r);
    }
    return HORA_OK;
}

/* Frees the requests that are done; *n are left, in order. */
static hora_status collect(world *w, bool *any) {
    int left = 0;
    for (int i = 0; i < w->n; i++) {
        int done = 0;
        const int code = MPI_Test(&w->request[i], &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS)
            return failed(code, "a message failed on its way");
        *any |= done != 0;
        if (!done) {
            w->request[left] = w->request[i];
            w->peer[left++] = w->peer[i];
        }
    }
    w->n = left;
    return HORA_OK;
}

static hora_status silent(const hora_comm *c) {
    const world *w = c->own;
    hora_str who = {0};
    for (int i = 0, last = -1; i < w->n; i++) {
        if (w->peer[i] != last && who.n < 100)
            hora_str_printf(&who, "%s%d", who.n ? ", " : "", w->peer[i]);
        last = w->peer[i];
    }
    const hora_status s =
        hora_fail(HORA_EIO,
                  "no word from rank %s for %g s: it hangs, or its machine is unreachable "
                  "(rank %d was at %s; --comm-timeout says how long to wait)",
                  who.s ? who.s : "?", c->timeout, c->rank, hora_comm_doing(c));
    hora_str_release(&who);
    return s;
}

static hora_status look_around(hora_comm *c, double since) {
    comm_word word;
    while (hear(c, &word)) {
    }
    if (c->word.status)
        return hora_comm_heard(c);
    return c->timeout > 0 && hora_now() - since > c->timeout ? silent(c) : HORA_OK;
}

static void rest(int64_t polls) {
    if (polls > SPINS + YIELDS)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    else if (polls > SPINS)
        sched_yield();
}

static hora_status move(hora_comm *c, const comm_piece *p, int n) {
    world *w = c->own;
    w->n = 0;
    for (int i = 0; i < n; i++)
        if (!p[i].send)
            HORA_TRY(post(w, &p[i]));
    for (int i = 0; i < n; i++)
        if (p[i].send)
            HORA_TRY(post(w, &p[i]));
    double since = hora_now();
    for (int64_t polls = 0;; polls++) {
        bool any = false;
        HORA_TRY(collect(w, &any));
        if (!w->n)
            return HORA_OK;
        if (any) {
            since = hora_now();
            polls = 0;
        }
        if (polls % 64 == 63 || polls > SPINS)
            HORA_TRY(look_around(c, since));
        rest(polls);
    }
}

/* --- memory of a machine ---------------------------------------------------------------------- */
/* Libraries take it from here, and where it is too small one of them stops the others without a
 * word: so it is asked before. */
static bool room(const hora_comm *c, size_t bytes) {
    struct statvfs fs;
    const double reserve = 16 << 20; /* of the library's own messages */
    return c->node_rank > 0 || statvfs("/dev/shm", &fs) != 0 ||
           (double)fs.f_bavail * (double)fs.f_frsize > (double)bytes + reserve;
}

static hora_status share(hora_comm *c, size_t bytes, void **out) {
    enum { LINE = 64 };
    world *w = c->own;
    MPI_Win win;
    MPI_Aint size;
    void *base;
    int unit;
    MPI_TRY(MPI_Win_allocate_shared(c->node_rank ? 0 : (MPI_Aint)(bytes + LINE), 1, MPI_INFO_NULL,
                                    w->node, &base, &win));
    HORA_PUSH(w->window, w->nwindows, w->cwindows, win);
    MPI_TRY(MPI_Win_shared_query(win, 0, &size, &unit, &base));
    MPI_TRY(MPI_Win_lock_all(MPI_MODE_NOCHECK, win));
    *out = (char *)base + (LINE - (uintptr_t)base % LINE) % LINE; /* alike in all: pages are */
    return HORA_OK;
}

static hora_status fence(hora_comm *c) {
    world *w = c->own;
    for (int i = 0; i < w->nwindows; i++)
        MPI_TRY(MPI_Win_sync(w->window[i]));
    return HORA_OK;
}

/* --- the end ---------------------------------------------------------------------------------- */
static void finish(hora_comm *c) {
    world *w = c->own;
    int ended = 0;
    stop_watching(w);
    MPI_Finalized(&ended);
    for (int i = 0; i < w->nwindows && !ended; i++) {
        MPI_Win_unlock_all(w->window[i]);
        MPI_Win_free(&w->window[i]);
    }
    if (!ended && w->node != MPI_COMM_NULL)
        MPI_Comm_free(&w->node);
    if (!ended && w->comm != MPI_COMM_NULL)
        MPI_Comm_free(&w->comm);
    if (!ended)
        MPI_Finalize();
    hora_free(w->window);
    hora_free(w->request);
    hora_free(w->peer);
    hora_free(w->pid);
    hora_free(w->words);
    hora_free(w->telling);
    hora_free(w);
}

static HORA_NORETURN void stop(hora_comm *c, int code) {
    MPI_Abort(((world *)c->own)->comm, code);
    _exit(code);
}

const comm_kind hora_comm_mpi = {.name = "mpi",
                                 .open = open_mpi,
                                 .move = move,
                                 .enter = enter,
                                 .tell = tell,
                                 .hear = hear,
                                 .room = room,
                                 .share = share,
                                 .fence = fence,
                                 .finish = finish,
                                 .stop = stop};
