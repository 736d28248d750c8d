/*
 * Chains of a noted rendering (template_replay.c): neighbouring iterations that write nothing and
 * read alike, so that what the ends of a stretch read tells of all between them.
 */
#include "template/template_tape.h"

static bool same_key(const reading *a, const reading *b) {
    return a->name == b->name && a->attr == b->attr && a->key == b->key && a->op == b->op;
}

/* Two values of the noted rendering. */
static bool identical(const reading *a, const reading *b) {
    const hora_tv *v = &a->v, *w = &b->v;
    if (a->absent != b->absent || a->depth != b->depth || v->type != w->type ||
        v->part != w->part || v->safe != w->safe)
        return false;
    switch (v->type) {
    case HORA_TV_UNDEFINED:
    case HORA_TV_NONE:
        return true;
    case HORA_TV_BOOL:
    case HORA_TV_INT:
        return v->i == w->i;
    case HORA_TV_STRING:
        return v->s == w->s && v->n == w->n;
    case HORA_TV_LIST:
    case HORA_TV_TUPLE:
    case HORA_TV_DICT:
        return v->list == w->list && v->n == w->n;
    case HORA_TV_MACRO:
        return v->macro->node == w->macro->node;
    case HORA_TV_FUNCTION:
        return v->fn == w->fn;
    default:
        return false;
    }
}

/* `v < 3` and `v < 5` that are both true: then `v < 4` is. */
static bool order(const reading *r) {
    return r->v.type == HORA_TV_INT && (r->op == '<' || r->op == '>' ||
                                        r->op == HORA_OP2('<', '=') || r->op == HORA_OP2('>', '='));
}

static bool add_key(const hora_tape *t, chain *c, int id) {
    const reading *r = &t->reads[id];
    if (r->op && !order(r))
        return false;
    for (int k = 0; k < c->nkeys; k++) {
        const reading *was = &t->reads[c->keys[k].now];
        if (!same_key(was, r) || (r->op && (was->turned != r->turned || was->yes != r->yes)))
            continue;
        if (!r->op && !identical(was, r))
            return false;
        const int way = r->op ? (r->v.i > was->v.i) - (r->v.i < was->v.i) : 0;
        if (way && c->keys[k].way == -way)
            return false;
        c->keys[k].way = way ? way : c->keys[k].way;
        c->keys[k].now = id;
        return true;
    }
    if (c->nkeys == KEYS)
        return false;
    c->keys[c->nkeys].first = c->keys[c->nkeys].now = id;
    c->keys[c->nkeys++].way = 0;
    return true;
}

static bool join(const hora_tape *t, chain *c, int id) {
    const unit *u = &t->units[id];
    chain longer = *c;
    if (u->message == STATEMENT || u->lost || u->nwrites || u->signal == HORA_TPL_BREAK)
        return false;
    for (int i = 0; i < u->nreads; i++)
        if (!add_key(t, &longer, u->reads + i))
            return false;
    longer.last = id;
    *c = longer;
    return true;
}

/* Neighbours of one loop that see no less than those before, so the last one sees most. */
static bool follows(const unit *u, const unit *next) {
    const int64_t step = next->message - u->message;
    return next->e == u->e && (step == 1 || step == -1) && next->seen >= u->seen &&
           next->prompt == u->prompt;
}

void hora_tape_find_chains(hora_tape *t) {
    t->latest = hora_malloc((size_t)(t->nunits + 1) * sizeof *t->latest);
    for (int i = 0; i < t->nunits; i++) {
        unit *u = &t->units[i];
        u->chain = i ? t->units[i - 1].chain : -1;
        if (u->chain < 0 || !follows(u - 1, u) || !join(t, &t->chains[u->chain], i)) {
            chain own = {.last = i};
            u->chain = join(t, &own, i) ? t->nchains : -1;
            if (u->chain >= 0)
                HORA_PUSH(t->chains, t->nchains, t->cchains, own);
        }
        for (int k = 0; k < KEYS && u->chain >= 0; k++)
            t->latest[i][k] = k < t->chains[u->chain].nkeys ? t->chains[u->chain].keys[k].now : -1;
    }
}
