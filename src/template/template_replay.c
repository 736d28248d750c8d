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
 * Neighbouring iterations that write nothing and read alike are a chain. What its ends read tells
 * whether all of a stretch would read the same, so a stretch is played in one step; and what a cut
 * has in common with the beginning of the whole text is not copied. So a cut costs what it runs,
 * not what it plays.
 *
 * Everything is noted by name, because every rendering has namespaces and scopes of its own. What
 * cannot be judged so (a namespace that is handed on, a generator, a macro of an inner scope) makes
 * its unit lost: it runs in every rendering. Values are shared: those of the noted rendering live
 * until the last cut is done.
 */
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

/* One comparison of a with b, whose readings are [from, between) and [between, to): where one is
 * a variable alone, only the answer counts. */
void hora_note_compare(hora_ts *st, int from, int between, int64_t op, const hora_tv *a,
                       const hora_tv *b, bool yes) {
    hora_tape *t = st->tape;
    int to = t->nreads;
    bool left = between - from == 1 && to == between, right = to - between == 1 && between == from;
    bool numbers = a->type == HORA_TV_INT && b->type == HORA_TV_INT;
    bool equality = op == HORA_OP2('=', '=') || op == HORA_OP2('!', '=');
    bool mappings = a->type == HORA_TV_DICT && b->type == HORA_TV_DICT && equality;
    if (left == right || a->part || b->part || op == 'i' || op == 'n' || !(numbers || mappings))
        return;
    reading *r = &t->reads[t->nreads - 1];
    const hora_tv *own = left ? a : b;
    if (r->absent || r->v.type != own->type || r->v.i != own->i)
        return; /* a number made of the variable */
    r->op = op;
    r->turned = right;
    r->yes = yes;
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

static bool reads_the_same(hora_ts *st, const reading *r) {
    const hora_space *in;
    hora_tv v;
    bool found = look(st, st->scope, r->name, &v, &in);
    if (found && r->attr >= 0) {
        if (v.type != HORA_TV_SPACE)
            return false;
        found = hora_space_get(v.space, r->attr, &v);
    } else if (found && r->attr == ITEM) {
        const hora_tv key = hora_tv_int(r->key);
        if (v.type != HORA_TV_LIST || v.part || v.once || hora_tv_item(st, &v, &key, &v))
            return false;
    }
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

static hora_status play(hora_ts *st, const unit *u, int *signal) {
    const hora_tape *t = st->tape;
    const hora_space *in;
    hora_tv box;
    for (int i = 0; i < u->nwrites; i++) {
        const writing *w = &t->writes[u->writes + i];
        if (w->attr == ITSELF)
            hora_space_set(st, st->scope, w->name, w->v);
        else if (look(st, st->scope, w->name, &box, &in))
            hora_space_set(st, box.space, w->attr, w->v);
    }
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
/* Unit `from` fits, and so do all behind it up to unit `to` of its chain. */
static bool fit_up_to(hora_ts *st, int from, int to) {
    const hora_tape *t = st->tape;
    const chain *c = &t->chains[t->units[from].chain];
    if (st->turns >= 0 && t->units[to].seen > (size_t)st->turns)
        return false;
    for (int k = 0; k < c->nkeys; k++) {
        int first = t->latest[from][k], last = t->latest[to][k];
        if (first == last)
            continue; /* nothing behind `from` reads it */
        first = first < 0 ? c->keys[k].first : first;
        if (!reads_the_same(st, &t->reads[first]) ||
            (t->reads[first].op && first != last && !reads_the_same(st, &t->reads[last])))
            return false;
    }
    return true;
}

/* Iteration loop->i, which is unit `from`, and those of its chain that fit as well. */
static hora_status play_chain(hora_ts *st, int from, hora_loop *loop, int *signal) {
    hora_tape *t = st->tape;
    const size_t left = loop->n - 1 - loop->i;
    int last = t->chains[t->units[from].chain].last, lo = from;
    if (left < (size_t)(last - from))
        last = from + (int)left;
    if ((int64_t)loop->at[loop->i + (size_t)(last - from)] != t->units[last].message)
        last = from; /* this loop leaves some out */
    for (int hi = last, at = hi; lo < hi; at = hi == last - 1 ? hi : lo + (hi - lo + 1) / 2) {
        if (fit_up_to(st, from, at))
            lo = at; /* mostly all of them, or all but the last */
        else
            hi = at - 1;
    }
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
    const int64_t message = loop ? (int64_t)loop->at[loop->i] : STATEMENT;
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
    hora_str_release(&text);
    hora_str_release(&own);
    return ok;
}
