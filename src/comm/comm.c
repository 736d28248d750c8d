/*
 * What ranks do, over the messages of comm_impl.h. Collectives are direct exchanges of every rank
 * with every other, but for the broadcast: so a wait that does not end knows whom it waits for.
 */
#include "comm/comm.h"

#include <unistd.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/text.h"
#include "comm/comm_impl.h"

enum { ECHO_SECONDS = 5 }; /* how long the end of a failed run waits for the others' word */

int hora_comm_cores(const hora_comm *c) {
    return c && c->cores ? c->cores : hora_cpu_count();
}

void hora_comm_command(const hora_comm *c, const char *command, char *out, size_t bytes) {
    if (hora_comm_size(c) == 1)
        hora_snprintf(out, bytes, "%s", command);
    else if (*c->srun)
        hora_snprintf(out, bytes, "srun --mpi=%s -n %d %s", c->srun, c->size, command);
    else
        hora_snprintf(out, bytes, "mpirun -n %d %s", c->size, command);
}

int hora_comm_rank(const hora_comm *c) {
    return c ? c->rank : 0;
}

int hora_comm_size(const hora_comm *c) {
    return c ? c->size : 1;
}

int hora_comm_node_size(const hora_comm *c) {
    return c ? c->node_size : 1;
}

bool hora_comm_leads(const hora_comm *c) {
    return hora_comm_rank(c) == 0;
}

void hora_comm_timeout(hora_comm *c, double s) {
    if (c)
        c->timeout = s;
}

hora_comm_stats hora_comm_about(const hora_comm *c) {
    return c ? c->stats : (hora_comm_stats){0};
}

static const char *const phases[] = {"the opening",   "reading",      "a step",
                                     "an evaluation", "a checkpoint", "the end"};

void hora_comm_enter(hora_comm *c, hora_comm_phase p) {
    if (!c)
        return;
    c->phase = p;
    c->kind->enter(c);
}

const char *hora_comm_doing(const hora_comm *c) {
    return phases[c->phase];
}

/* --- failure ---------------------------------------------------------------------------------- */
void hora_comm_speaker(hora_comm *c, void (*speak)(hora_status s)) {
    if (c)
        c->end.speak = speak;
}

void hora_comm_last_words(hora_comm *c, void (*add)(void *user, hora_status s), void *user) {
    if (!c)
        return;
    c->end.add = add;
    c->end.user = user;
}

void hora_comm_note(hora_comm *c, const comm_word *w, int from) {
    c->heard++;
    c->lowest = (int)hora_min(c->lowest, from);
    if (c->word.status)
        return;
    c->word = *w;
    if (!hora_starts(w->text, "rank "))
        hora_snprintf(c->word.text, sizeof c->word.text, "rank %d: %s", (int)w->origin, w->text);
}

hora_status hora_comm_heard(const hora_comm *c) {
    return hora_fail(c->word.status, "%s", c->word.text);
}

void hora_comm_fail(hora_comm *c, hora_status s) {
    if (hora_comm_size(c) == 1 || atomic_exchange(&c->told, true))
        return;
    if (!c->word.status) { /* else the first failure that this rank knows of goes on */
        c->word = (comm_word){.status = s, .origin = c->rank};
        hora_snprintf(c->word.text, sizeof c->word.text, "%s", hora_errmsg());
    }
    c->kind->tell(c, &c->word);
}

/* Listens until all others have told that they fail too, so that nobody is left behind. */
static bool all_heard(hora_comm *c) {
    const double until = hora_now() + ECHO_SECONDS;
    comm_word w;
    while (c->heard < c->size - 1 && hora_now() < until)
        if (!c->kind->hear(c, &w))
            usleep(200);
    return c->heard == c->size - 1;
}

/* Says it, or leaves a moment to the lowest rank that is still there, and ends all. */
static HORA_NORETURN void stop_all(hora_comm *c) {
    if (c->rank > c->lowest)
        sleep(ECHO_SECONDS);
    else if (c->end.speak)
        c->end.speak(hora_comm_heard(c));
    c->kind->stop(c, hora_status_exit(c->word.status));
}

/* The thread's text is why. */
static HORA_NORETURN void break_off(hora_comm *c, hora_status s) {
    if (!c->word.status && c->end.add)
        c->end.add(c->end.user, s);
    hora_comm_fail(c, s);
    all_heard(c);
    stop_all(c);
}

bool hora_comm_close(hora_comm *c, hora_status s) {
    const bool leads = hora_comm_leads(c);
    bool speaks = leads;
    if (!c)
        return true;
    if (s < 0 && c->size > 1) {
        hora_comm_fail(c, s);
        if (!all_heard(c))
            stop_all(c);
        /* before any rank ends, for a launcher kills the others when the first one fails */
        if (leads && c->end.speak)
            c->end.speak(hora_comm_heard(c));
        speaks = leads && !c->end.speak;
    }
    c->kind->finish(c);
    hora_free(c->piece);
    hora_free(c);
    return speaks;
}

/* --- messages --------------------------------------------------------------------------------- */
static void list(hora_comm *c, int peer, bool send, void *data, size_t bytes) {
    const comm_piece p = {peer, send, data, bytes};
    if (peer == c->rank || !bytes)
        return;
    HORA_PUSH(c->piece, c->npieces, c->cpieces, p);
    c->stats.sent += send ? bytes : 0;
    c->stats.messages += send;
}

void hora_comm_send(hora_comm *c, int peer, const void *data, size_t bytes) {
    list(c, peer, true, (void *)(uintptr_t)data, bytes);
}

void hora_comm_receive(hora_comm *c, int peer, void *data, size_t bytes) {
    list(c, peer, false, data, bytes);
}

hora_status hora_comm_move(hora_comm *c) {
    const double started = hora_now();
    const int n = c->npieces;
    c->npieces = 0;
    const hora_status s = n ? c->kind->move(c, c->piece, n) : HORA_OK;
    if (s)
        break_off(c, s);
    c->stats.seconds += hora_now() - started;
    return HORA_OK;
}

hora_status hora_comm_gather(hora_comm *c, const void *mine, size_t bytes, void *all) {
    char *to = all;
    memcpy(to + (size_t)hora_comm_rank(c) * bytes, mine, bytes);
    for (int r = 0; r < hora_comm_size(c); r++) {
        if (r == hora_comm_rank(c))
            continue;
        hora_comm_receive(c, r, to + (size_t)r * bytes, bytes);
        hora_comm_send(c, r, mine, bytes);
    }
    return c ? hora_comm_move(c) : HORA_OK;
}

hora_status hora_comm_gather_any(hora_comm *c, const void *mine, size_t bytes, hora_str *all) {
    const int n = hora_comm_size(c), self = hora_comm_rank(c);
    const uint64_t size = bytes;
    uint64_t *size_of = hora_calloc((size_t)n, sizeof *size_of);
    hora_status s = hora_comm_gather(c, &size, sizeof size, size_of);
    for (int r = 0; r < n; r++)
        all[r] = (hora_str){0};
    for (int r = 0; r < n && !s; r++) {
        all[r].n = (size_t)size_of[r];
        all[r].cap = all[r].n + 1;
        all[r].s = hora_calloc(all[r].cap, 1);
        if (r == self && bytes)
            memcpy(all[r].s, mine, bytes);
        if (r == self)
            continue;
        hora_comm_receive(c, r, all[r].s, all[r].n);
        hora_comm_send(c, r, mine, bytes);
    }
    if (!s && c)
        s = hora_comm_move(c);
    hora_free(size_of);
    return s;
}

/* A binomial tree: the ranks that have it double in every round. */
hora_status hora_comm_broadcast(hora_comm *c, void *data, size_t bytes) {
    const int n = hora_comm_size(c), self = hora_comm_rank(c);
    for (int have = 1; have < n; have *= 2) {
        if (self < have && self + have < n)
            hora_comm_send(c, self + have, data, bytes);
        if (self >= have && self < 2 * have)
            hora_comm_receive(c, self - have, data, bytes);
        HORA_TRY(hora_comm_move(c));
    }
    return HORA_OK;
}

hora_status hora_comm_broadcast_text(hora_comm *c, hora_str *text) {
    uint64_t n = text->n;
    if (hora_comm_size(c) == 1)
        return HORA_OK;
    HORA_TRY(hora_comm_broadcast(c, &n, sizeof n));
    if (!hora_comm_leads(c)) {
        text->n = (size_t)n;
        text->cap = text->n + 1;
        text->s = hora_calloc(text->cap, 1);
    }
    return hora_comm_broadcast(c, text->s, (size_t)n);
}

hora_status hora_comm_hand(hora_comm *c, int from, int to, void *data, size_t bytes) {
    const int self = hora_comm_rank(c);
    if (from == to)
        return HORA_OK;
    if (self == from)
        hora_comm_send(c, to, data, bytes);
    if (self == to)
        hora_comm_receive(c, from, data, bytes);
    return hora_comm_move(c);
}

/* --- memory of a machine ---------------------------------------------------------------------- */
hora_status hora_comm_shared(hora_comm *c, size_t bytes, void **out) {
    const int n = hora_comm_size(c);
    *out = NULL;
    if (!c || !c->neighbours || !bytes)
        return HORA_OK;
    const char mine = c->kind->room(c, bytes);
    char *all = hora_calloc((size_t)n, 1);
    hora_status s = hora_comm_gather(c, &mine, 1, all);
    const bool room = !s && !memchr(all, false, (size_t)n);
    hora_free(all);
    if (!s && !room && hora_comm_leads(c))
        hora_warn("no room in the shared memory of a machine (/dev/shm): each rank keeps its own "
                  "copy of weights or data");
    return s || !room ? s : c->kind->share(c, bytes, out);
}

hora_status hora_comm_filled(hora_comm *c) {
    if (hora_comm_size(c) == 1)
        return HORA_OK;
    HORA_TRY(c->kind->fence(c));
    HORA_TRY(hora_comm_barrier(c));
    return c->kind->fence(c);
}

static hora_status take(void *user, size_t bytes, void **out) {
    return hora_comm_shared(user, bytes, out);
}

static hora_status filled(void *user) {
    return hora_comm_filled(user);
}

const hora_sharing *hora_comm_sharing(hora_comm *c) {
    if (!c || !c->neighbours)
        return NULL;
    c->sharing = (hora_sharing){take, filled, c, c->node_rank, c->node_size};
    return &c->sharing;
}

hora_status hora_comm_barrier(hora_comm *c) {
    const int n = hora_comm_size(c);
    if (n == 1)
        return HORA_OK;
    const char mine = 1;
    char *all = hora_calloc((size_t)n, 1);
    const hora_status s = hora_comm_gather(c, &mine, 1, all);
    hora_free(all);
    return s;
}
