/*
 * The tag `for`: what it goes over, its filter, its iterations. Each iteration has a scope of its
 * own. A loop over messages is where renderings of fewer messages branch off (template_cut.c).
 */
#include "template/template_impl.h"

/* The elements that `for .. if` keeps; at[i] is the number of element i, kept along. */
static hora_status select_items(hora_ts *st, const hora_tn *e, hora_loop *loop, size_t *at) {
    hora_tv *kept, v;
    size_t count = 0;
    hora_space *saved = st->scope;
    HORA_TRY(hora_tv_room(st, loop->n, sizeof *kept, &kept));
    for (size_t i = 0; i < loop->n; i++) {
        st->scope = hora_space_new(st, saved);
        hora_status s = hora_ts_assign(st, st->scope, e->targets, e->ntargets, &loop->items[i]);
        if (!s)
            s = hora_ts_eval(st, e->b, &v);
        st->scope = saved;
        HORA_TRY(s);
        if (!hora_tv_truth(&v))
            continue;
        if (at)
            at[count] = at[i];
        kept[count++] = loop->items[i];
    }
    loop->items = kept;
    loop->n = count;
    return HORA_OK;
}

/* How many messages this rendering has. */
static size_t all_of(const hora_ts *st) {
    return st->turns >= 0 && (size_t)st->turns < st->nmessages ? (size_t)st->turns : st->nmessages;
}

/* What a loop goes over, and of a loop over messages which message each item is. */
static hora_status loop_items(hora_ts *st, const hora_tn *e, hora_loop *loop) {
    hora_tv all, *room;
    size_t *at = NULL;
    HORA_TRY(hora_ts_part(st, e->a, &all));
    st->at = e;
    HORA_TRY(hora_tv_elements(st, &all, &loop->items, &loop->n));
    if (all.part) {
        loop->over = true;
        loop->backwards = all.part == HORA_TPL_BACKWARDS;
        loop->from = loop->backwards ? all_of(st) - 1 : (size_t)(all.list - st->messages);
        if (st->noting && !st->inner && st->out == st->page)
            hora_note_lost(st); /* its iterations are the units */
    }
    if (all.part && e->b) {
        HORA_TRY(hora_tv_room(st, loop->n, sizeof *at, &room));
        at = (size_t *)room;
        for (size_t i = 0; i < loop->n; i++)
            at[i] = hora_loop_message(loop, i);
    }
    if (e->b)
        HORA_TRY(select_items(st, e, loop, at));
    loop->at = at;
    return HORA_OK;
}

/* loop.index and its like. */
hora_status hora_loop_attr(hora_ts *st, const hora_loop *l, const char *s, size_t n, hora_tv *out) {
    int64_t i = (int64_t)l->i, all = (int64_t)l->n;
    if (l->cycler) {
        const bool current = n == 7 && !memcmp(s, "current", 7);
        if (current)
            *out = l->items[l->i];
        return current ? HORA_OK : hora_tv_missing(st, s, n, out);
    }
    if (l->backwards) { /* the position grows with the number of messages */
        const bool index0 = n == 6 && !memcmp(s, "index0", 6);
        if (index0 || (n == 5 && !memcmp(s, "index", 5))) {
            *out = hora_tv_int(i + !index0);
            out->part = HORA_TPL_PART;
            return HORA_OK;
        }
        hora_ts_see(st, SIZE_MAX);
    } else if (l->over) { /* which of them speak of what is still to come */
        bool next = (n == 4 && !memcmp(s, "last", 4)) || (n == 8 && !memcmp(s, "nextitem", 8));
        bool count = (n == 6 && !memcmp(s, "length", 6)) || (n >= 8 && !memcmp(s, "revindex", 8));
        if (next && i + 1 < all)
            hora_ts_see(st, hora_loop_message(l, l->i + 1) + 1);
        else if (count)
            hora_ts_see(st, SIZE_MAX);
    }
    const struct {
        const char *name;
        hora_tv value;
    } attrs[] = {{"index", hora_tv_int(i + 1)},
                 {"index0", hora_tv_int(i)},
                 {"first", hora_tv_bool(i == 0)},
                 {"last", hora_tv_bool(i + 1 == all)},
                 {"length", hora_tv_int(all)},
                 {"revindex", hora_tv_int(all - i)},
                 {"revindex0", hora_tv_int(all - i - 1)},
                 {"depth", hora_tv_int(1)},
                 {"depth0", hora_tv_int(0)},
                 {"previtem", i > 0 ? l->items[i - 1] : hora_tv_undefined("loop.previtem")},
                 {"nextitem", i + 1 < all ? l->items[i + 1] : hora_tv_undefined("loop.nextitem")}};
    for (size_t k = 0; k < HORA_COUNT(attrs); k++)
        if (strlen(attrs[k].name) == n && !memcmp(attrs[k].name, s, n)) {
            *out = attrs[k].value;
            return HORA_OK;
        }
    return hora_tv_missing(st, s, n, out);
}

hora_status hora_ts_iterate(hora_ts *st, const hora_tn *e, hora_loop *loop, int *inner) {
    hora_space *saved = st->scope;
    int id = st->t->loop;
    st->scope = hora_space_new(st, saved);
    if (id >= 0)
        hora_space_set(st, st->scope, id, (hora_tv){.type = HORA_TV_LOOP, .loop = loop});
    st->at = e;
    st->inner++;
    hora_status s = hora_ts_assign(st, st->scope, e->targets, e->ntargets, &loop->items[loop->i]);
    if (!s)
        s = hora_ts_body(st, e->list, e->nlist, inner);
    st->inner--;
    st->scope = saved;
    return s;
}

/* An iteration, and whether it left anything behind: text, another value of a variable that was
 * there before it, the end of the loop. */
static hora_status step(hora_ts *st, const hora_tn *e, hora_loop *loop, int *inner, bool *left) {
    const size_t n = st->out->n;
    const int64_t oldest = st->oldest, made = st->made;
    st->oldest = INT64_MAX;
    HORA_TRY(loop->over && hora_ts_top(st) ? hora_ts_unit(st, e, loop, inner)
                                           : hora_ts_iterate(st, e, loop, inner));
    *left = *inner == HORA_TPL_BREAK || st->out->n != n || st->oldest <= made;
    st->oldest = oldest < st->oldest ? oldest : st->oldest;
    return HORA_OK;
}

hora_status hora_ts_for(hora_ts *st, const hora_tn *e, int *signal) {
    hora_space *saved = st->scope;
    hora_loop *loop = hora_pool_get(&st->pool, sizeof *loop);
    HORA_TRY(loop_items(st, e, loop));
    st->twice = st->twice || (st->journal && loop->over && loop->n > 1);
    /* Behind the last iteration that left something behind it makes no difference how many there
     * are; where there are none, `else` has its turn. */
    size_t most = loop->over && loop->n && e->c ? hora_loop_message(loop, 0) + 1 : 0;
    for (loop->i = 0; loop->i < loop->n; loop->i++) {
        int inner = HORA_TPL_GO;
        bool left = false;
        if (st->ncuts)
            HORA_TRY(hora_ts_branch(st, e, loop));
        HORA_TRY(step(st, e, loop, &inner, &left));
        if (left && loop->over)
            most = hora_loop_message(loop, loop->i) + 1;
        if (inner == HORA_TPL_BREAK)
            break;
    }
    if (loop->over)
        hora_ts_see(st, loop->backwards || e->b ? SIZE_MAX : most);
    if (loop->n || !e->c)
        return HORA_OK;
    st->scope = hora_space_new(st, saved);
    hora_status s = hora_ts_body(st, e->c->list, e->c->nlist, signal);
    st->scope = saved;
    return s;
}
