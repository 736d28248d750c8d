/*
 * Chains of a noted rendering (template_replay.c): neighbouring iterations that read alike, so that
 * what the ends of a stretch read tells of all between them. What an iteration reads of what one
 * before it wrote (a count, the name of the last tool) is no reading of the chain: where the
 * writing is played, the reading finds it.
 */
#include <limits.h>
#include <stdlib.h>

#include "base/rng.h"
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

/* Two readings of one kind. */
static bool same_kind(const reading *a, const reading *b) {
    return same_key(a, b) && (!a->op || (a->turned == b->turned && a->yes == b->yes));
}

/* `message == x` that is false, or `!=` that is true: values of one type that are not equal. */
static bool unequal(const reading *r) {
    return hora_reading_equality(r) && r->yes == (r->op == HORA_OP2('!', '=')) &&
           r->own.type == r->v.type;
}

static int key_of(const hora_tape *t, const chain *c, const reading *r) {
    int k = 0;
    while (k < c->nkeys && !same_kind(&t->reads[c->keys[k].now], r))
        k++;
    return k;
}

static bool add_key(const hora_tape *t, chain *c, int id) {
    const reading *r = &t->reads[id];
    const int k = key_of(t, c, r);
    if (r->op && !order(r) && !unequal(r))
        return false;
    if (k == KEYS)
        return false;
    if (k == c->nkeys) {
        c->keys[k].first = c->keys[k].now = id;
        c->keys[k].way = 0;
        c->nkeys++;
        return true;
    }
    const reading *was = &t->reads[c->keys[k].now];
    if (!r->op && !identical(was, r))
        return false;
    if (r->op && r->v.type != was->v.type)
        return false;
    const int way = order(r) ? (r->v.i > was->v.i) - (r->v.i < was->v.i) : 0;
    if (way && c->keys[k].way == -way)
        return false;
    c->keys[k].way = way ? way : c->keys[k].way;
    c->keys[k].now = id;
    return true;
}

static int set_of(const hora_tape *t, const chain *c, int name, int attr) {
    int k = 0;
    while (k < c->nsets &&
           (t->writes[c->sets[k].now].name != name || t->writes[c->sets[k].now].attr != attr))
        k++;
    return k;
}

/* A reading of what a unit before wrote has to be that. */
static bool read_back(const hora_tape *t, chain *c, const reading *r, int k) {
    reading is = *r, was = *r;
    is.v = r->op ? r->own : r->v;
    was.v = t->writes[c->sets[k].now].v;
    was.absent = false;
    c->sets[k].read = true;
    return identical(&was, &is);
}

static bool join(const hora_tape *t, chain *c, int id) {
    const unit *u = &t->units[id];
    chain longer = *c;
    if (u->message == STATEMENT || u->lost || u->signal == HORA_TPL_BREAK)
        return false;
    for (int i = u->reads; i < u->reads + u->nreads; i++) {
        const reading *r = &t->reads[i];
        const int k = r->attr >= 0 ? set_of(t, c, r->name, r->attr) : c->nsets;
        if (k < c->nsets ? !read_back(t, &longer, r, k) : !add_key(t, &longer, i))
            return false;
    }
    for (int i = u->writes; i < u->writes + u->nwrites; i++) {
        const writing *w = &t->writes[i];
        const int k = set_of(t, &longer, w->name, w->attr);
        if (w->attr == ITSELF || k == KEYS)
            return false;
        if (k == longer.nsets)
            longer.sets[longer.nsets++].read = false;
        longer.sets[k].now = i;
    }
    longer.last = id;
    *c = longer;
    return true;
}

/* Neighbours of one loop. Of a loop that goes backwards each sees no less than those before, so the
 * last one sees most. */
static bool follows(const chain *c, const unit *u, const unit *next) {
    const int64_t step = next->message - u->message;
    return next->e == u->e && (step == 1 || (step == -1 && next->seen >= u->seen)) &&
           (c->first == c->last || step == c->way) && next->prompt == u->prompt;
}

/* ---- values that must not be met ---- */
uint64_t hora_tape_hash(const hora_tv *v) {
    uint64_t h = v->n;
    if (v->type != HORA_TV_DICT)
        return (uint64_t)v->i;
    for (size_t k = 0; k < v->n; k++) { /* in any order; numbers may be equal in other types */
        const hora_tv *key = &v->list[2 * k], *value = key + 1;
        if (key->type == HORA_TV_STRING && value->type == HORA_TV_STRING)
            h += hora_hash64(key->s, key->n, hora_hash64(value->s, value->n, 0));
    }
    return h;
}

static int compare_rivals(const void *a_, const void *b_) {
    const rival *a = a_, *b = b_;
    if (a->chain != b->chain)
        return a->chain < b->chain ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->unit < b->unit ? -1 : a->unit > b->unit;
}

static void add_rivals(hora_tape *t, int id) {
    const unit *u = &t->units[id];
    const chain *c = &t->chains[u->chain];
    for (int i = u->reads; i < u->reads + u->nreads; i++) {
        const reading *r = &t->reads[i];
        const int k = key_of(t, c, r);
        if (unequal(r) && k < c->nkeys)
            HORA_PUSH(t->rivals, t->nrivals, t->crivals,
                      ((rival){u->chain, k, id, hora_tape_hash(&r->v)}));
    }
}

int hora_tape_rival(const hora_tape *t, int chain, int k, uint64_t hash, int from) {
    const rival is = {chain, k, from + 1, hash};
    int lo = 0, hi = t->nrivals;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (compare_rivals(&t->rivals[mid], &is) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == t->nrivals || t->rivals[lo].chain != chain || t->rivals[lo].key != k ||
        t->rivals[lo].hash != hash)
        return INT_MAX;
    return t->rivals[lo].unit;
}

/* ---- all of them ---- */
static void stand(hora_tape *t, int id) {
    const unit *u = &t->units[id];
    const chain *c = &t->chains[u->chain];
    standing *s = &t->latest[id];
    for (int k = 0; k < KEYS; k++) {
        s->reads[k] = k < c->nkeys ? c->keys[k].now : -1;
        s->sets[k] = k < c->nsets ? c->sets[k].now : -1;
    }
    s->seen = u->seen;
    if (id > c->first && s[-1].seen > s->seen && c->way > 0)
        s->seen = s[-1].seen;
}

void hora_tape_find_chains(hora_tape *t) {
    t->latest = hora_malloc((size_t)(t->nunits + 1) * sizeof *t->latest);
    for (int i = 0; i < t->nunits; i++) {
        unit *u = &t->units[i];
        u->chain = i ? u[-1].chain : -1;
        chain *open = u->chain >= 0 ? &t->chains[u->chain] : NULL;
        if (open && follows(open, u - 1, u) && join(t, open, i)) {
            open->way = (int)(u->message - u[-1].message);
        } else {
            chain own = {.first = i, .last = i, .way = 1};
            u->chain = join(t, &own, i) ? t->nchains : -1;
            if (u->chain >= 0)
                HORA_PUSH(t->chains, t->nchains, t->cchains, own);
        }
        if (u->chain >= 0)
            stand(t, i);
    }
    for (int i = 0; i < t->nunits; i++)
        if (t->units[i].chain >= 0)
            add_rivals(t, i);
    if (t->nrivals)
        qsort(t->rivals, (size_t)t->nrivals, sizeof *t->rivals, compare_rivals);
}
