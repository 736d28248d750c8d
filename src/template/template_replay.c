/*
 * Cuts of templates that look ahead. Where a template goes through the messages twice, or
 * backwards, the whole conversation tells nothing about a shorter one at once (template_cut.c): the
 * first loop has seen everything before the second begins. Such a template is run once more with
 * notes. A unit is a statement, or one iteration of a loop over messages; noted is what it read of
 * its surroundings (variables, attributes of namespaces, how many messages, the generation prompt),
 * what it wrote, and its text. A cut is then a rendering of its own in which a unit that would read
 * the same is not run but played: its text and its writes are taken over. What reads something else
 * runs. A number that is only compared is read as the answer of the comparison: `loop.index0 >
 * ns.last_user` mostly stays the same while `ns.last_user` moves.
 *
 * Neighbouring iterations that read alike are a chain (template_chains.c). What its ends read tells
 * whether all of a stretch would read the same, so a stretch is played in one step; and what a cut
 * has in common with the beginning of the whole text is not copied. So a cut costs what it runs,
 * not what it plays.
 *
 * Everything is noted by name, because every rendering has namespaces and scopes of its own. What
 * cannot be judged so (a namespace that is handed on, a generator, a macro of an inner scope) makes
 * its unit lost: it runs in every rendering. Values are shared: those of the noted rendering live
 * until the last cut is done.
 */
#include <limits.h>

#include "base/text.h"
#include "template/template_tape.h"

static unit *open_unit(const hora_ts *st) {
    return &st->tape->units[st->tape->nunits - 1];
}

void hora_note_lost(hora_ts *st) {
    st->noting = false;
}

/* ---- variables by name ---- */
static bool look(const hora_ts *st, const hora_space *from, int name, hora_tv *v,
                 const hora_space **in) {
    for (const hora_space *s = from; s; s = s->outer) {
        *in = s;
        if (hora_space_get(s, name, v))
            return true;
    }
    return hora_space_get(&st->tape->given, name, v);
}

static int depth_of(const hora_space *from, const hora_space *s) {
    int depth = 0;
    while (from && from != s) {
        from = from->outer;
        depth++;
    }
    return from ? depth : -1;
}

static bool written(const hora_ts *st, int name, int attr) {
    const unit *u = open_unit(st);
    for (int i = u->writes; i < st->tape->nwrites; i++)
        if (st->tape->writes[i].name == name && st->tape->writes[i].attr == attr)
            return true;
    return false;
}

/* ---- noting ---- */
static void add_reading(hora_ts *st, reading r) {
    hora_tape *t = st->tape;
    if (written(st, r.name, r.attr))
        return;
    for (int i = open_unit(st)->reads; i < t->nreads; i++)
        if (t->reads[i].name == r.name && t->reads[i].attr == r.attr && t->reads[i].key == r.key &&
            !t->reads[i].op)
            return;
    HORA_PUSH(t->reads, t->nreads, t->creads, r);
}

/* Values that are what they are in every rendering, or can be compared with another's. */
static bool comparable(const hora_tv *v) {
    return v->type != HORA_TV_SPACE && v->type != HORA_TV_LOOP && v->type != HORA_TV_METHOD &&
           !(v->type == HORA_TV_LIST && v->once);
}

void hora_note_read(hora_ts *st, const hora_space *in, int name, const hora_tv *v, bool kept) {
    bool path = st->path;
    hora_tape *t = st->tape;
    const hora_space *same = NULL;
    hora_tv other;
    reading r = {.name = name, .attr = ITSELF, .v = *v};
    st->path = false;
    if (in->born == st->epoch)
        return; /* the unit's own */
    if (look(st, t->scope, name, &other, &same) && same != in) {
        hora_note_lost(st); /* a macro's scope has another of that name */
        return;
    }
    r.absent = !kept && (v->type == HORA_TV_UNDEFINED || name == st->t->prompt);
    if (path && (v->type == HORA_TV_SPACE || (v->type == HORA_TV_LIST && !v->part && !v->once)))
        return; /* hora_note_path says what of it */
    if (v->type == HORA_TV_MACRO)
        r.depth = depth_of(t->scope, v->macro->scope);
    if (!comparable(v) || r.depth < 0)
        hora_note_lost(st);
    else
        add_reading(st, r);
}

void hora_note_path(hora_ts *st, int name, const hora_tv *box, const hora_tn *e, const hora_tv *v) {
    const hora_space *in = NULL;
    hora_tv there;
    reading r = {.name = name, .attr = e->name, .v = *v};
    if (!look(st, st->scope, name, &there, &in) || in->born == st->epoch || box->part)
        return;
    if (box->type == HORA_TV_SPACE && e->kind == HORA_TN_ATTR) {
        r.absent = !hora_space_get(box->space, e->name, &there);
    } else if (box->type == HORA_TV_LIST && e->kind == HORA_TN_ITEM) {
        r.attr = ITEM;
        hora_tpl_index(e->b, &r.key);
    } else {
        if (box->type == HORA_TV_SPACE || box->type == HORA_TV_LIST)
            hora_note_lost(st);
        return;
    }
    if (!comparable(v) || v->type == HORA_TV_MACRO)
        hora_note_lost(st);
    else
        add_reading(st, r);
}

/* No namespace, macro or generator in it. */
static bool plain(const hora_tv *v, int *budget) {
    if (!comparable(v) || v->type == HORA_TV_MACRO || --*budget < 0)
        return false;
    if (v->type != HORA_TV_LIST && v->type != HORA_TV_TUPLE && v->type != HORA_TV_DICT)
        return true;
    for (size_t i = 0; i < v->n * (v->type == HORA_TV_DICT ? 2 : 1); i++)
        if (!plain(&v->list[i], budget))
            return false;
    return true;
}

void hora_note_write(hora_ts *st, int name, int attr, const hora_tv *v) {
    hora_tape *t = st->tape;
    const hora_space *in = NULL;
    hora_tv box;
    int budget = 1000;
    if (attr == ITSELF && st->scope->born == st->epoch)
        return;
    if (attr != ITSELF && look(st, st->scope, name, &box, &in) && in->born == st->epoch)
        return;
    bool elsewhere = attr == ITSELF
                         ? st->scope != t->scope
                         : !look(st, t->scope, name, &box, &in) || box.type != HORA_TV_SPACE;
    bool known = v->part ? v->type == HORA_TV_LIST : plain(v, &budget);
    if (elsewhere || !known) {
        hora_note_lost(st);
        return;
    }
    for (int i = open_unit(st)->writes; i < t->nwrites; i++)
        if (t->writes[i].name == name && t->writes[i].attr == attr) {
            t->writes[i].v = *v;
            return;
        }
    HORA_PUSH(t->writes, t->nwrites, t->cwrites, ((writing){name, attr, *v}));
}

int hora_note_mark(const hora_ts *st) {
    return st->noting ? st->tape->nreads : 0;
}

/* x, x.y or x[1]: what is read there is what it gives */
static bool alone(const hora_tn *e) {
    return e->kind == HORA_TN_NAME ||
           ((e->kind == HORA_TN_ATTR || e->kind == HORA_TN_ITEM) && e->a->kind == HORA_TN_NAME);
}

/* One comparison of a with b, whose readings are [from, between) and [between, to): where one is
 * a variable alone, only the answer counts. */
void hora_note_compare(hora_ts *st, const hora_tn *e, int from, int between, const hora_tv *a,
                       const hora_tv *b, bool yes) {
    hora_tape *t = st->tape;
    const int64_t op = e->list[0]->op;
    int to = t->nreads;
    bool left = between - from == 1 && to == between && alone(e->a),
         right = to - between == 1 && between == from && alone(e->list[0]->b);
    bool numbers = a->type == HORA_TV_INT && b->type == HORA_TV_INT;
    bool equality = op == HORA_OP2('=', '=') || op == HORA_OP2('!', '=');
    bool mappings = a->type == HORA_TV_DICT && b->type == HORA_TV_DICT && equality;
    if (left == right || a->part || b->part || op == 'i' || op == 'n' || !(numbers || mappings))
        return;
    reading *r = &t->reads[t->nreads - 1];
    const hora_tv *own = left ? a : b;
    if (r->absent || r->v.type != own->type || r->v.i != own->i)
        return;
    r->op = op;
    r->turned = right;
    r->yes = yes;
    r->own = *own;
    r->v = left ? *b : *a;
}

/* ---- playing ---- */
static bool same_value(const hora_ts *st, const reading *r, const hora_tv *v) {
    const hora_tv *was = &r->v;
    if (v->type != was->type || v->part != was->part)
        return false;
    switch (v->type) {
    case HORA_TV_UNDEFINED:
    case HORA_TV_NONE:
        return true;
    case HORA_TV_BOOL:
    case HORA_TV_INT:
        return v->i == was->i;
    case HORA_TV_REAL:
        return !memcmp(&v->r, &was->r, sizeof v->r);
    case HORA_TV_BIG:
    case HORA_TV_STRING:
        return v->n == was->n && v->safe == was->safe &&
               (v->s == was->s || !v->n || !memcmp(v->s, was->s, v->n));
    case HORA_TV_LIST:
    case HORA_TV_TUPLE:
    case HORA_TV_DICT: /* part of the messages: how many is known by `seen` */
        return v->list == was->list && (v->part || v->n == was->n) && v->safe == was->safe;
    case HORA_TV_MACRO:
        return v->macro->node == was->macro->node &&
               depth_of(st->scope, v->macro->scope) == r->depth;
    case HORA_TV_FUNCTION:
        return v->fn == was->fn;
    default:
        return false;
    }
}

static bool same_answer(hora_ts *st, const reading *r, const hora_tv *v) {
    hora_tv out;
    if (v->type != r->v.type || v->part)
        return false;
    if (hora_tv_binary(st, r->op, r->turned ? &r->v : v, r->turned ? v : &r->v, &out))
        return false;
    return hora_tv_truth(&out) == r->yes;
}

/* What the reading would find now; false: nothing. */
static bool current(hora_ts *st, const reading *r, hora_tv *v) {
    const hora_space *in;
    const hora_tv key = hora_tv_int(r->key);
    if (!look(st, st->scope, r->name, v, &in))
        return false;
    if (r->attr >= 0)
        return v->type == HORA_TV_SPACE && hora_space_get(v->space, r->attr, v);
    return r->attr != ITEM || (v->type == HORA_TV_LIST && !v->part && !v->once &&
                               hora_tv_item(st, v, &key, v) == HORA_OK);
}

static bool reads_the_same(hora_ts *st, const reading *r) {
    const hora_space *in;
    hora_tv v;
    const bool found = current(st, r, &v);
    if (!found && r->absent && r->attr >= 0)
        return look(st, st->scope, r->name, &v, &in) && v.type == HORA_TV_SPACE;
    if (!found || r->absent)
        return found != r->absent;
    return r->op ? same_answer(st, r, &v) : same_value(st, r, &v);
}

static bool fits(hora_ts *st, const unit *u) {
    const hora_tape *t = st->tape;
    const hora_space *in;
    hora_tv box;
    if (u->lost || (st->turns >= 0 && u->seen > (size_t)st->turns) || (u->prompt && st->prompt > 0))
        return false;
    for (int i = 0; i < u->nreads; i++)
        if (!reads_the_same(st, &t->reads[u->reads + i]))
            return false;
    for (int i = 0; i < u->nwrites; i++) {
        const writing *w = &t->writes[u->writes + i];
        if (w->attr != ITSELF &&
            (!look(st, st->scope, w->name, &box, &in) || box.type != HORA_TV_SPACE))
            return false;
    }
    return true;
}

/* Text [from, to) of the noted rendering. */
static hora_status play_text(hora_ts *st, size_t from, size_t to, size_t units) {
    hora_tape *t = st->tape;
    if (!st->out->n && from == t->same)
        t->same = to;
    else if (to > from)
        hora_str_add(st->out, t->text + from, to - from);
    return hora_ts_step(st, units + (to - from) / 64);
}

static void write(hora_ts *st, const writing *w) {
    const hora_space *in;
    hora_tv box;
    if (w->attr == ITSELF)
        hora_space_set(st, st->scope, w->name, w->v);
    else if (look(st, st->scope, w->name, &box, &in))
        hora_space_set(st, box.space, w->attr, w->v);
}

static hora_status play(hora_ts *st, const unit *u, int *signal) {
    for (int i = 0; i < u->nwrites; i++)
        write(st, &st->tape->writes[u->writes + i]);
    *signal = u->signal;
    return play_text(st, u->from, u->to, 1);
}

/* The iteration of `message` in the loop that unit `at` belongs to, whose messages come in order;
 * -1: there is none. */
static int iteration(const hora_tape *t, int at, int64_t message) {
    const hora_tn *e = t->units[at].e;
    const int64_t first = t->units[at].message, ahead = message - first;
    const int64_t most = ahead < 0 ? -ahead : ahead; /* units between them, if none is left out */
    int lo = at, hi = most < t->nunits - at ? at + (int)most : t->nunits - 1;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        const unit *u = &t->units[mid];
        if (u->e == e && (ahead < 0 ? u->message > message : u->message < message))
            lo = mid + 1;
        else
            hi = mid;
    }
    return t->units[lo].e == e && t->units[lo].message == message ? lo : -1;
}

static bool is(const hora_tape *t, int i, const hora_tn *e, int64_t message) {
    return i < t->nunits && t->units[i].e == e && t->units[i].message == message;
}

/* Units come in the order in which they were noted, but for those that this rendering lacks. */
static int find(hora_tape *t, const hora_tn *e, int64_t message) {
    const int behind = t->units[t->statement].end;
    int i = -1;
    if (is(t, t->at, e, message))
        i = t->at;
    else if (message == STATEMENT && is(t, behind, e, message))
        i = behind;
    else if (message != STATEMENT && t->at < t->nunits && t->units[t->at].e == e)
        i = iteration(t, t->at, message);
    for (int k = 0; k < t->nunits && i < 0; k++)
        if (is(t, k, e, message))
            i = k;
    if (i >= 0)
        t->at = i + 1 < t->nunits ? i + 1 : 0;
    if (i >= 0 && message == STATEMENT)
        t->statement = i;
    return i;
}

/* ---- chains ---- */
/* Units behind `from` up to `to` asked whether it equals one of them: it still does not. */
static bool equals_none(hora_ts *st, int from, int to, int k) {
    const hora_tape *t = st->tape;
    const int chain = t->units[from].chain;
    const reading *r = &t->reads[t->chains[chain].keys[k].first];
    hora_tv v;
    return current(st, r, &v) && v.type == r->own.type && !v.part &&
           hora_tape_rival(t, chain, k, hora_tape_hash(&v), from) > to;
}

/* What units of the chain before `from` wrote and later ones read is there, and what those up to
 * `to` write can be written. */
static bool sets_fit(hora_ts *st, const chain *c, int from, int to) {
    const hora_tape *t = st->tape;
    const hora_space *in;
    hora_tv box;
    for (int k = 0; k < c->nsets; k++) {
        const int before = from > c->first ? t->latest[from - 1].sets[k] : -1;
        const int last = t->latest[to].sets[k];
        const writing *w = &t->writes[c->sets[k].now];
        const reading r = {.name = w->name, .attr = w->attr};
        if (last >= 0 && (!look(st, st->scope, w->name, &box, &in) || box.type != HORA_TV_SPACE))
            return false;
        if (before >= 0 && c->sets[k].read &&
            (!current(st, &r, &box) || !same_value(st, &(reading){.v = t->writes[before].v}, &box)))
            return false;
    }
    return true;
}

/* Unit `from` fits, and so do all behind it up to unit `to` of its chain. */
static bool fit_up_to(hora_ts *st, int from, int to) {
    const hora_tape *t = st->tape;
    const chain *c = &t->chains[t->units[from].chain];
    if (st->turns >= 0 && t->latest[to].seen > (size_t)st->turns)
        return false;
    for (int k = 0; k < c->nkeys; k++) {
        int first = t->latest[from].reads[k], last = t->latest[to].reads[k];
        if (first == last)
            continue; /* nothing behind `from` reads it */
        first = first < 0 ? c->keys[k].first : first;
        const reading *r = &t->reads[first];
        if (hora_reading_equality(r) ? !equals_none(st, from, to, k) : !reads_the_same(st, r))
            return false;
        if (r->op && !hora_reading_equality(r) && !reads_the_same(st, &t->reads[last]))
            return false;
    }
    return sets_fit(st, c, from, to);
}

/* What units `from` to `to` leave behind, in the order in which it was written. */
static void write_up_to(hora_ts *st, int from, int to) {
    const hora_tape *t = st->tape;
    const int n = t->chains[t->units[from].chain].nsets;
    for (int done = t->units[from].writes - 1, next; n; done = next) {
        next = INT_MAX;
        for (int k = 0; k < n; k++) {
            const int id = t->latest[to].sets[k];
            next = id > done && id < next ? id : next;
        }
        if (next == INT_MAX)
            return;
        write(st, &t->writes[next]);
    }
}

/* Iteration loop->i, which is unit `from`, and those of its chain that fit as well. */
static hora_status play_chain(hora_ts *st, int from, hora_loop *loop, int *signal) {
    hora_tape *t = st->tape;
    const size_t left = loop->n - 1 - loop->i;
    int last = t->chains[t->units[from].chain].last, lo = from;
    if (left < (size_t)(last - from))
        last = from + (int)left;
    if ((int64_t)hora_loop_message(loop, loop->i + (size_t)(last - from)) != t->units[last].message)
        last = from; /* this loop leaves some out */
    for (int hi = last, at = hi; lo < hi; at = hi == last - 1 ? hi : lo + (hi - lo + 1) / 2) {
        if (fit_up_to(st, from, at))
            lo = at; /* mostly all of them, or all but the last */
        else
            hi = at - 1;
    }
    write_up_to(st, from, lo);
    t->at = lo + 1 < t->nunits ? lo + 1 : 0;
    loop->i += (size_t)(lo - from);
    *signal = t->units[lo].signal;
    return play_text(st, t->units[from].from, t->units[lo].to, (size_t)(lo - from) + 1);
}

/* ---- units ---- */
static hora_status run_unit(hora_ts *st, const hora_tn *e, hora_loop *loop, int *signal) {
    return loop ? hora_ts_iterate(st, e, loop, signal) : hora_ts_one(st, e, signal);
}

hora_status hora_ts_unit(hora_ts *st, const hora_tn *e, hora_loop *loop, int *signal) {
    hora_tape *t = st->tape;
    const int64_t message = loop ? (int64_t)hora_loop_message(loop, loop->i) : STATEMENT;
    if (t->playing) {
        const int i = find(t, e, message);
        if (i < 0 || !fits(st, &t->units[i]))
            return run_unit(st, e, loop, signal);
        return t->units[i].chain >= 0 ? play_chain(st, i, loop, signal)
                                      : play(st, &t->units[i], signal);
    }
    const size_t seen = st->seen;
    const bool prompt = st->seen_prompt;
    const int id = t->nunits;
    HORA_PUSH(t->units, t->nunits, t->cunits,
              ((unit){.e = e,
                      .message = message,
                      .from = st->out->n,
                      .reads = t->nreads,
                      .writes = t->nwrites}));
    st->seen = 0;
    st->seen_prompt = st->path = false;
    st->noting = true;
    st->epoch++;
    t->scope = st->scope;
    HORA_TRY(run_unit(st, e, loop, signal));
    unit *u = &t->units[id];
    u->lost = !st->noting;
    u->end = t->nunits;
    u->to = st->out->n;
    u->seen = st->seen;
    u->prompt = st->seen_prompt;
    u->signal = *signal;
    u->nreads = t->nreads - u->reads;
    u->nwrites = t->nwrites - u->writes;
    st->noting = false;
    hora_ts_see(st, seen);
    st->seen_prompt = prompt || st->seen_prompt;
    return HORA_OK;
}

/* ---- filters over messages ---- */
bool hora_tape_picked(hora_ts *st, const hora_tn *e, const hora_tv *in, hora_tv *out) {
    const hora_tape *t = st->tape;
    const pick *p = t->picks;
    while (p && (p->e != e || p->in != in->list || p->n < in->n))
        p = p->next;
    if (p)
        *out = hora_tv_seq(HORA_TV_LIST, p->items, p->upto[in->n]);
    if (p)
        hora_ts_see(st, SIZE_MAX);
    return p != NULL;
}

static bool constant(const hora_tn *e) {
    return e->kind == HORA_TN_CONST || (e->kind == HORA_TN_KEYWORD && constant(e->a));
}

hora_status hora_tape_pick(hora_ts *st, const hora_tn *e, const hora_args *a, hora_tv *out) {
    hora_tape *t = st->tape;
    hora_args one = *a;
    hora_tv *items, *room, v;
    bool fixed = !t->playing;
    for (int i = 0; i < e->nlist; i++)
        fixed = fixed && constant(e->list[i]);
    if (!fixed)
        return e->fn->call(st, a, out);
    pick *p = hora_pool_get(&st->pool, sizeof *p);
    HORA_TRY(hora_tv_room(st, a->in.n, sizeof *items, &items));
    HORA_TRY(hora_tv_room(st, a->in.n + 1, sizeof *p->upto, &room));
    *p = (pick){.e = e, .in = a->in.list, .n = a->in.n, .items = items, .upto = (size_t *)room};
    for (size_t i = 0, n = 0; i < p->n; i++) {
        one.in = hora_tv_seq(HORA_TV_LIST, a->in.list + i, 1);
        HORA_TRY(e->fn->call(st, &one, &v));
        if (v.n)
            items[n++] = v.list[0];
        p->upto[i + 1] = n;
    }
    p->next = t->picks;
    t->picks = p;
    *out = hora_tv_seq(HORA_TV_LIST, p->items, p->upto[p->n]);
    return hora_tv_generator(st, out);
}

/* ---- variables of the caller ---- */
bool hora_tape_given(hora_ts *st, int name, hora_tv *out) {
    const hora_tape *t = st->tape;
    return t && t->playing && hora_space_get(&t->given, name, out);
}

void hora_tape_give(hora_ts *st, int name, hora_tv v) {
    hora_tape *t = st->tape;
    if (!t || t->playing)
        return;
    hora_space_set(st, &t->given, name, v);
}

/* ---- cuts ---- */
static hora_status cut(hora_tape *t, const hora_ts *like, const hora_cut *c, hora_str *out) {
    hora_ts st = {.t = like->t,
                  .out = out,
                  .vars = like->vars,
                  .turns = c->turns,
                  .prompt = c->prompt,
                  .messages = like->messages,
                  .nmessages = like->nmessages,
                  .tape = t};
    t->at = t->statement = 0;
    t->same = 0;
    hora_status s = hora_ts_run(&st);
    hora_ts_end(&st);
    return s;
}

bool hora_tape_cuts(const hora_template *t, const hora_json *vars, hora_str *whole, bool fresh,
                    hora_cut *cuts, int n) {
    hora_str text = {0}, own = {0};
    hora_tape tape = {.text = NULL};
    hora_ts st = {.t = t, .out = &text, .vars = vars, .turns = -1, .prompt = 0, .tape = &tape};
    bool ok = hora_ts_run(&st) == HORA_OK &&
              (fresh || (text.n == whole->n && (!text.n || !memcmp(text.s, whole->s, text.n))));
    if (ok && fresh)
        hora_str_add(whole, text.s ? text.s : "", text.n);
    hora_tape_find_chains(&tape);
    tape.playing = true;
    tape.text = text.s;
    for (int i = 0; i < n && ok; i++) {
        if (cuts[i].done)
            continue;
        own.n = 0;
        const hora_status s = cut(&tape, &st, &cuts[i], &own);
        hora_cut_fill(&cuts[i], s, &own, tape.same, whole);
    }
    hora_ts_end(&st);
    hora_free(tape.units);
    hora_free(tape.reads);
    hora_free(tape.writes);
    hora_free(tape.chains);
    hora_free(tape.latest);
    hora_free(tape.rivals);
    hora_str_release(&text);
    hora_str_release(&own);
    return ok;
}
