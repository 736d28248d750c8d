/*
 * A thread that fills micro-batches ahead of the consumer: one is in the consumer's hands, two are
 * ready or being made. The order is that of the data, so a run does not depend on timing. A failure
 * in the thread is raised again where its batch would have been handed out. Batches are allocated
 * at the start; nothing is allocated afterwards.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/threads.h"
#include "data/data_impl.h"

enum { BATCHES = 3 };

struct hora_prefetch {
    const hora_dataset *d;
    int64_t first, sequences, limit;
    hora_data_share share; /* step_sequences 0: all */
    bool eval;
    pid_t owner; /* the process that `thread` runs in; 0: there is none */
    hora_batch batch[BATCHES];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    int64_t made, given; /* batches finished, batches handed out; the last of these is in use */
    bool stop, ended;
    hora_status status; /* of the batch that could not be made */
    char text[1024];
};

/* Number of batches that may be filled: the one in use keeps its place until the next is asked. */
static int64_t room(const hora_prefetch *p) {
    return (p->given ? p->given - 1 : 0) + BATCHES;
}

/* First sequence of batch k; false: there is none. The last step may have fewer micro-batches, so
 * its share is another. */
static bool start_of(const hora_prefetch *p, int64_t k, int64_t *at) {
    const hora_data_share *s = &p->share;
    const int64_t left = hora_max(0, p->limit - p->first);
    int64_t from, n;
    if (!s->step_sequences) {
        *at = p->first + (left ? k * p->sequences : 0);
        return left > 0 && k <= (left - 1) / p->sequences;
    }
    const int64_t whole = left / s->step_sequences, rest = left % s->step_sequences;
    hora_part_of(hora_ceil_div(s->step_sequences, p->sequences), s->part, s->parts, &from, &n);
    if (n && k / n < whole) {
        *at = p->first + k / n * s->step_sequences + (from + k % n) * p->sequences;
        return true;
    }
    k -= whole * n;
    hora_part_of(hora_ceil_div(rest, p->sequences), s->part, s->parts, &from, &n);
    *at = p->first + whole * s->step_sequences + (from + k) * p->sequences;
    return k < n;
}

static void *work(void *arg) {
    hora_prefetch *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && p->made >= room(p))
            pthread_cond_wait(&p->changed, &p->lock);
        int64_t k = p->made, from;
        const bool none = !start_of(p, k, &from);
        if (p->stop || none)
            break;
        pthread_mutex_unlock(&p->lock);
        hora_status s =
            hora_data_fill(p->d, from, p->sequences, p->limit, p->eval, &p->batch[k % BATCHES]);
        pthread_mutex_lock(&p->lock);
        if (s) {
            p->status = s;
            snprintf(p->text, sizeof p->text, "%s", hora_errmsg());
            break;
        }
        p->made++;
        pthread_cond_broadcast(&p->changed);
    }
    p->ended = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* In the child of a fork too, where the thread is not: a batch that it was filling is not counted
 * yet and is filled again. */
static hora_status start(hora_prefetch *p) {
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->owner = hora_thread_start(&p->thread, work, p) ? getpid() : 0;
    return p->owner ? HORA_OK
                    : hora_fail(HORA_ENOMEM, "no memory or process is left for a thread that reads "
                                             "ahead; close other programs or raise the limits");
}

hora_status hora_prefetch_new(hora_prefetch **out, const hora_dataset *d, int64_t first,
                              int64_t sequences_per_batch, int64_t limit, bool eval,
                              const hora_leaves *leaves, const hora_data_share *share) {
    const int64_t tokens = hora_data_sequence_tokens(d);
    *out = NULL;
    if (first < 0 || sequences_per_batch < 1 || sequences_per_batch > INT32_MAX / tokens)
        return hora_fail(
            HORA_EUSAGE,
            "%lld sequences of %lld tokens are no micro-batch; choose a smaller batch_size",
            (long long)sequences_per_batch, (long long)tokens);
    hora_prefetch *p = hora_calloc(1, sizeof *p);
    p->d = d;
    p->first = first;
    p->sequences = sequences_per_batch;
    p->limit = limit;
    p->eval = eval;
    if (share)
        p->share = *share;
    hora_status s = HORA_OK;
    for (int i = 0; i < BATCHES && !s; i++)
        s = hora_batch_init(&p->batch[i], sequences_per_batch * tokens, leaves);
    if (!s)
        s = start(p);
    if (s)
        hora_prefetch_free(p);
    else
        *out = p;
    return s;
}

hora_status hora_prefetch_next(hora_prefetch *p, const hora_batch **b) {
    hora_status s = HORA_OK;
    *b = NULL;
    if (p->owner != getpid())
        HORA_TRY(start(p));
    pthread_mutex_lock(&p->lock);
    while (p->made <= p->given && !p->ended)
        pthread_cond_wait(&p->changed, &p->lock);
    if (p->made > p->given)
        *b = &p->batch[p->given++ % BATCHES];
    else
        s = p->status ? p->status : HORA_DONE;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return s < 0 ? hora_fail(s, "%s", p->text) : s;
}

void hora_prefetch_free(hora_prefetch *p) {
    if (!p)
        return;
    if (p->owner == getpid()) {
        pthread_mutex_lock(&p->lock);
        p->stop = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
    }
    for (int i = 0; i < BATCHES; i++)
        hora_batch_release(&p->batch[i]);
    hora_free(p);
}
