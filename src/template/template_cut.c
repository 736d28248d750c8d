/*
 * Renderings of the beginning of a conversation, and what generation blocks enclose: what the loss
 * mask asks of a template.
 *
 * Cuts. While the whole conversation is rendered, the interpreter notes how many messages what it
 * read so far depends on (`seen`): an element by number, the next item of the loop, everything
 * where a length is taken. Where an iteration of the loop over messages begins, a rendering of
 * fewer messages that ends with this one has said and computed the same so far, unless more was
 * seen. So it is branched off there: this iteration runs as the last one, then what follows the
 * loop, and the writes are taken back (a journal). Where that would go through the messages once
 * more, and where more was seen, cuts are played from notes (template_replay.c), or rendered from
 * the beginning when there are few.
 *
 * Generation blocks. Where the text of a block goes straight to the page its place is known. A
 * block inside of a macro or of `set` becomes part of a value first; then the template runs a
 * second time with signs around the blocks. Only if taking them out gives the same text are their
 * places certain.
 */
#include "base/text.h"
#include "template/template_impl.h"

/* ---- what was looked at ---- */
void hora_ts_see(hora_ts *st, size_t messages) {
    if (messages > st->seen)
        st->seen = messages;
}

/* ---- taking back ---- */
static void take_back(hora_ts *st) {
    while (st->nundo > 0) {
        const hora_undo *u = &st->undo[--st->nundo];
        if (u->flag) {
            *u->flag = false;
            continue;
        }
        *u->space = u->before;
        if (u->i < u->before.n)
            u->before.values[u->i] = u->value;
    }
}

typedef struct mark {
    hora_ts st;
    hora_loop loop;
    hora_pool pool;
    size_t out;
    int nspoken;
} mark;

static mark mark_of(const hora_ts *st, const hora_loop *loop) {
    return (mark){*st, *loop, st->pool, st->out->n, st->spoken ? st->spoken->n : 0};
}

static void back_to(hora_ts *st, hora_loop *loop, const mark *m) {
    hora_cut *cuts = st->cuts;
    take_back(st);
    hora_undo *undo = st->undo;
    bool twice = st->twice;
    int cundo = st->cundo, ntrees = st->ntrees, ctrees = st->ctrees;
    hora_json **trees = st->trees;
    hora_pool_rewind(&st->pool, &m->pool);
    hora_pool pool = st->pool;
    *st = m->st;
    st->twice = twice;
    st->undo = undo;
    st->cundo = cundo;
    st->trees = trees;
    st->ntrees = ntrees;
    st->ctrees = ctrees;
    st->cuts = cuts;
    st->pool = pool;
    *loop = m->loop;
    st->out->n = m->out;
    if (st->out->s)
        st->out->s[m->out] = 0;
    if (st->spoken)
        st->spoken->n = m->nspoken;
}

/* ---- branching off ---- */
static void fill(hora_cut *c, hora_status s, const char *text, size_t n, size_t shared) {
    c->done = true;
    c->shared = shared;
    if (s)
        c->failed = hora_strdup(hora_errmsg());
    else if (n)
        hora_str_add(&c->tail, text, n);
}

/* This iteration as the last one, then whatever follows the loop. */
static hora_status finish(hora_ts *st, const hora_tn *e, hora_loop *loop) {
    int signal = 0;
    HORA_TRY(hora_ts_iterate(st, e, loop, &signal));
    for (const hora_frame *f = st->frame; f; f = f->outer) {
        st->scope = f->scope;
        signal = 0;
        for (int i = f->i + 1; i < f->n && !signal; i++)
            HORA_TRY(hora_ts_one(st, f->list[i], &signal));
    }
    return HORA_OK;
}

static void branch(hora_ts *st, const hora_tn *e, hora_loop *loop, hora_cut *c) {
    mark m = mark_of(st, loop);
    st->journal = true;
    st->turns = c->turns;
    st->prompt = c->prompt;
    st->inner++; /* no branches of branches */
    loop->n = loop->i + 1;
    hora_status s = finish(st, e, loop);
    fill(c, s, st->out->s ? st->out->s + m.out : "", st->out->n - m.out, m.out);
    back_to(st, loop, &m);
}

/* As many cuts are worth notes (template_replay.c). */
enum { NOTED = 3 };

/* Called where iteration loop->i begins: the cuts that end behind its message and before the next
 * one's. HORA_DONE: it is time for notes. */
hora_status hora_ts_branch(hora_ts *st, const hora_tn *e, hora_loop *loop) {
    if (!loop->over || st->inner || st->out != st->page)
        return HORA_OK;
    if (loop->backwards) /* behind it everything was seen, and no cut is done before it is over */
        return st->hasty ? HORA_DONE : HORA_OK;
    if (st->twice)
        return st->hasty ? HORA_DONE : HORA_OK;
    size_t from = hora_loop_message(loop, loop->i),
           to = loop->i + 1 < loop->n ? hora_loop_message(loop, loop->i + 1) : st->nmessages;
    int lo = 0, hi = st->ncuts; /* the first cut behind message `from` */
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if ((size_t)st->cuts[mid].turns > from)
            hi = mid;
        else
            lo = mid + 1;
    }
    for (; lo < st->ncuts && (size_t)st->cuts[lo].turns <= to; lo++) {
        hora_cut *c = &st->cuts[lo];
        if (c->done || st->twice)
            continue;
        if (st->seen <= (size_t)c->turns && !(c->prompt && st->seen_prompt))
            branch(st, e, loop, c);
        else
            st->passed++;
    }
    return st->hasty && st->passed >= NOTED ? HORA_DONE : HORA_OK;
}

/* ---- generation blocks ---- */
#define SIGN_FROM "\xef\xb7\x90" /* U+FDD0 and U+FDD1, which are no characters */
#define SIGN_TO   "\xef\xb7\x91"
enum { SIGN = 3 };

hora_status hora_ts_generation(hora_ts *st, const hora_tn *e, int *signal) {
    hora_space *saved = st->scope;
    bool straight = st->out == st->page;
    size_t from = st->out->n;
    st->hidden = st->hidden || !straight;
    if (st->signs)
        hora_str_add(st->out, SIGN_FROM, SIGN);
    st->scope = hora_space_new(st, saved);
    st->inner++;
    hora_status s = hora_ts_body(st, e->list, e->nlist, signal);
    st->inner--;
    st->scope = saved;
    if (st->signs)
        hora_str_add(st->out, SIGN_TO, SIGN);
    if (!s && straight && st->spoken && st->out->n > from)
        HORA_PUSH(st->spoken->at, st->spoken->n, st->spoken->cap, ((hora_span){from, st->out->n}));
    return s;
}

static bool sign_at(const hora_str *s, size_t i, const char *sign) {
    return i + SIGN <= s->n && !memcmp(s->s + i, sign, SIGN);
}

/* Places of the signs in `signed_`, counted without them; false when the text differs from `plain`
 * or the signs are not pairs. */
static bool places(const hora_str *signed_, const hora_str *plain, hora_spans *out) {
    size_t n = 0, from = 0;
    bool open = false;
    for (size_t i = 0; i < signed_->n;) {
        bool begins = sign_at(signed_, i, SIGN_FROM), ends = sign_at(signed_, i, SIGN_TO);
        if (!begins && !ends) {
            if (n >= plain->n || plain->s[n++] != signed_->s[i++])
                return false;
            continue;
        }
        if (begins == open)
            return false;
        if (ends && n > from)
            HORA_PUSH(out->at, out->n, out->cap, ((hora_span){from, n}));
        open = begins;
        from = n;
        i += SIGN;
    }
    return n == plain->n && !open;
}

/* ---- whole renderings ---- */
hora_status hora_ts_run(hora_ts *st) {
    int signal = 0;
    st->at = st->t->body;
    st->page = st->out;
    st->scope = hora_space_new(st, NULL);
    return hora_ts_body(st, st->t->body->list, st->t->body->nlist, &signal);
}

void hora_ts_end(hora_ts *st) {
    hora_pool_release(&st->pool);
    for (int i = 0; i < st->ntrees; i++)
        hora_json_free(st->trees[i]);
    hora_free(st->trees);
    hora_free(st->undo);
}

static hora_status run(hora_ts *st) {
    hora_status s = hora_ts_run(st);
    hora_ts_end(st);
    return s;
}

static hora_status signed_places(const hora_ts *like, const hora_str *plain, hora_spans *spoken) {
    hora_str text = {0};
    hora_ts st = {.t = like->t,
                  .out = &text,
                  .vars = like->vars,
                  .turns = like->turns,
                  .prompt = like->prompt,
                  .signs = true};
    spoken->n = 0;
    bool foreign = plain->n && memmem(plain->s, plain->n, SIGN_FROM, SIGN) != NULL;
    hora_status s = foreign ? HORA_OK : run(&st);
    if (foreign || s || !places(&text, plain, spoken))
        s = hora_fail(
            HORA_EUNSUPPORTED,
            "%s: the text of a generation block is changed after it was made, so where it "
            "stands is not certain; put {%% generation %%} around what is printed",
            like->t->what);
    hora_str_release(&text);
    return s;
}

static hora_status render(hora_ts *st, hora_spans *spoken) {
    hora_str own = {0}, *out = st->out; /* places count from the beginning of this text */
    if (spoken)
        spoken->n = 0;
    st->spoken = spoken;
    st->out = &own;
    hora_ts like = *st;
    hora_status s;
    HORA_TRY_OUT(s, run(st));
    if (spoken && st->hidden)
        HORA_TRY_OUT(s, signed_places(&like, &own, spoken));
    if (own.n)
        hora_str_add(out, own.s, own.n);
    else
        hora_str_puts(out, "");
out:
    hora_str_release(&own);
    return s;
}

hora_status hora_template_render(const hora_template *t, const hora_json *vars, hora_str *out) {
    return hora_template_render_turns(t, vars, -1, -1, out, NULL);
}

hora_status hora_template_render_turns(const hora_template *t, const hora_json *vars, int64_t turns,
                                       int prompt, hora_str *out, hora_spans *spoken) {
    hora_ts st = {.t = t, .out = out, .vars = vars, .turns = turns, .prompt = prompt};
    return render(&st, spoken);
}

bool hora_template_generates(const hora_template *t) {
    return t->generates;
}

void hora_cut_release(hora_cut *c) {
    hora_free(c->failed);
    hora_str_release(&c->tail);
    *c = (hora_cut){0};
}

static void from_the_beginning(const hora_template *t, const hora_json *vars, const hora_str *whole,
                               hora_cut *c) {
    hora_str text = {0};
    hora_status s = hora_template_render_turns(t, vars, c->turns, c->prompt, &text, NULL);
    hora_cut_fill(c, s, &text, 0, whole);
    hora_str_release(&text);
}

void hora_cut_fill(hora_cut *c, hora_status s, const hora_str *text, size_t same,
                   const hora_str *whole) {
    const char *rest = whole->s ? whole->s + same : "";
    size_t shared = 0, left = whole->n - same, n = text->n < left ? text->n : left;
    uint64_t a, b;
    for (; !s && shared + sizeof a <= n; shared += sizeof a) {
        memcpy(&a, text->s + shared, sizeof a);
        memcpy(&b, rest + shared, sizeof b);
        if (a != b)
            break;
    }
    while (!s && shared < n && text->s[shared] == rest[shared])
        shared++;
    fill(c, s, s ? "" : text->s + shared, s ? 0 : text->n - shared, s ? 0 : same + shared);
}

hora_status hora_template_render_cuts(const hora_template *t, const hora_json *vars, hora_str *out,
                                      hora_spans *spoken, hora_cut *cuts, int n) {
    hora_ts st = {.t = t, .out = out, .vars = vars, .turns = -1, .cuts = cuts, .ncuts = n};
    if (t->remembers)
        st.ncuts = 0;
    const hora_ts again = st;
    st.hasty = n > NOTED && !t->generates;
    hora_status s = render(&st, spoken);
    if (s == HORA_DONE && hora_tape_cuts(t, vars, out, true, cuts, n))
        return HORA_OK;
    if (s == HORA_DONE) {
        st = again;
        s = render(&st, spoken);
    }
    HORA_TRY(s);
    int left = 0;
    for (int i = 0; i < n; i++)
        left += !cuts[i].done;
    if (left >= NOTED && !t->remembers && hora_tape_cuts(t, vars, out, false, cuts, n))
        return HORA_OK;
    for (int i = 0; i < n; i++)
        if (!cuts[i].done)
            from_the_beginning(t, vars, out, &cuts[i]);
    return HORA_OK;
}
