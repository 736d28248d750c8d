/*
 * Parameters, gradients and moments. Gradients and moments are one span each over all adapters, in
 * the order of declaration, every parameter on a cache line; values stay in their adapters' spans.
 *
 * LoRA+ (arXiv 2402.12354) is a factor of the learning rate of what methods declare as lora_b.
 *
 * Work is cut into tiles by shapes alone and partial sums are added in tile order, so norms and
 * updates have the same bits for any number of threads.
 */
#include <math.h>

#include "base/threads.h"
#include "optim/optim.h"

enum { TILE = 1 << 14 };

hora_status hora_state_layout(hora_state *s, hora_adapter *const *adapters, int n,
                              const hora_optimizer *optimizer, double loraplus, bool decay_all) {
    int count = 0, bs = 0;
    for (int a = 0; a < n; a++)
        count += adapters[a]->nparams;
    s->optimizer = optimizer;
    s->slots = hora_calloc((size_t)count + 1, sizeof *s->slots);
    for (int a = 0; a < n; a++) {
        for (int i = 0; i < adapters[a]->nparams; i++) {
            hora_param *p = adapters[a]->params[i];
            hora_state_slot *slot = &s->slots[s->nslots];
            *slot = (hora_state_slot){p, s->elems, p->lr_factor * (p->lora_b ? loraplus : 1),
                                      p->decay || decay_all, false};
            bs += p->lora_b;
            for (int64_t at = 0; at < p->elems; at += TILE) {
                hora_state_tile tile = {s->nslots, at, hora_min(TILE, p->elems - at)};
                HORA_PUSH(s->tiles, s->ntiles, s->ctiles, tile);
            }
            s->elems += hora_round_up(p->elems, 16);
            s->nslots++;
        }
    }
    if (loraplus != 1 && !bs)
        return hora_fail(HORA_EUSAGE,
                         "loraplus: no B matrix trains here; leave it out or use method lora");
    return HORA_OK;
}

uint64_t hora_state_bytes(const hora_state *s) {
    return (uint64_t)s->elems * sizeof(float);
}

hora_status hora_state_allocate(hora_state *s) {
    size_t bytes = hora_state_bytes(s);
    HORA_TRY(hora_block_new((void **)&s->grad, bytes, "gradients"));
    for (int k = 0; k < s->optimizer->moments; k++)
        HORA_TRY(hora_block_new((void **)&s->moment[k], bytes, "optimizer state"));
    s->partial = hora_calloc((size_t)s->ntiles + 1, sizeof *s->partial);
    for (int i = 0; i < s->nslots; i++) {
        hora_state_slot *slot = &s->slots[i];
        slot->p->grad = s->grad + slot->offset;
        for (int k = 0; k < s->optimizer->moments; k++)
            slot->p->moment[k] = s->moment[k] + slot->offset;
    }
    return HORA_OK;
}

void hora_state_release(hora_state *s) {
    size_t bytes = hora_state_bytes(s);
    for (int i = 0; i < s->nslots; i++) {
        hora_param *p = s->slots[i].p;
        p->grad = p->moment[0] = p->moment[1] = NULL;
    }
    if (s->grad)
        hora_block_free(s->grad, bytes);
    for (int k = 0; k < 2; k++)
        if (s->moment[k])
            hora_block_free(s->moment[k], bytes);
    hora_free(s->slots);
    hora_free(s->tiles);
    hora_free(s->partial);
    *s = (hora_state){0};
}

void hora_state_activate(hora_state *s, const hora_graph *g) {
    for (int i = 0, n = hora_graph_params(g); i < n; i++) {
        void *user;
        bool has_grad;
        hora_graph_param_at(g, i, &user, &has_grad);
        for (int k = 0; k < s->nslots; k++)
            if (s->slots[k].p == user)
                s->slots[k].active = has_grad;
    }
}

static void square_tile(void *arg, int64_t i, int thread) {
    (void)thread;
    hora_state *s = arg;
    const hora_state_tile *t = &s->tiles[i];
    const hora_state_slot *slot = &s->slots[t->slot];
    const float *g = s->grad + slot->offset + t->from;
    double sum[4] = {0, 0, 0, 0};
    int64_t k = 0;
    if (!slot->active) {
        s->partial[i] = 0;
        return;
    }
    for (; k + 4 <= t->n; k += 4)
        for (int j = 0; j < 4; j++)
            sum[j] += (double)g[k + j] * g[k + j];
    for (; k < t->n; k++)
        sum[0] += (double)g[k] * g[k];
    s->partial[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double hora_state_norm(hora_state *s) {
    double sum = 0;
    hora_parallel(s->ntiles, square_tile, s);
    for (int i = 0; i < s->ntiles; i++)
        sum += s->partial[i];
    return sqrt(sum);
}

typedef struct update_job {
    hora_state *s;
    const hora_update *u;
} update_job;

static void update_tile(void *arg, int64_t i, int thread) {
    (void)thread;
    const update_job *job = arg;
    hora_state *s = job->s;
    const hora_state_tile *t = &s->tiles[i];
    const hora_state_slot *slot = &s->slots[t->slot];
    int64_t at = slot->offset + t->from;
    if (!slot->active)
        return;
    hora_update u = *job->u;
    u.lr *= slot->lr_factor;
    u.decay = slot->decay ? u.decay : 0;
    s->optimizer->update(&u, (float *)slot->p->value + t->from, s->grad + at,
                         s->moment[0] ? s->moment[0] + at : NULL,
                         s->moment[1] ? s->moment[1] + at : NULL, t->n);
    float *value = (float *)slot->p->value + t->from;
    for (int64_t k = 0; slot->p->least > -INFINITY && k < t->n; k++)
        value[k] = fmaxf(value[k], (float)slot->p->least);
}

void hora_state_update(hora_state *s, const hora_update *u) {
    update_job job = {s, u};
    hora_parallel(s->ntiles, update_tile, &job);
}
