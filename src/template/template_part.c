/*
 * What a rendering learns of how many messages there are. `messages` and what follows some of them
 * (messages[1:]) are marked lists, their length is a marked number. Where a value is looked at, the
 * smallest conversation is noted that would have shown the same (hora_ts_see): an element by
 * number, a comparison of the length, being empty or not. Whatever takes a marked value without
 * being known here has seen everything (hora_ts_eval). So is the generation prompt noted where its
 * value is used.
 */
#include "template/template_impl.h"

static bool asks_prompt(const hora_ts *st, const hora_tn *e) {
    return e->kind == HORA_TN_NAME && e->name == st->t->prompt;
}

/* ---- items and slices ---- */
/* messages[2:] is what follows two messages, however many there are. */
static void keep_part(const hora_ts *st, const hora_tv *box, const hora_tv part[3], hora_tv *out) {
    int64_t from = 0;
    bool all = part[0].type == HORA_TV_NONE && part[1].type == HORA_TV_NONE;
    if (box->part == HORA_TPL_PART && all && hora_tv_integer(&part[2], &from) && from == -1) {
        out->part = HORA_TPL_BACKWARDS;
        return;
    }
    bool open = box->part == HORA_TPL_PART && part[1].type == HORA_TV_NONE &&
                part[2].type == HORA_TV_NONE &&
                (part[0].type == HORA_TV_NONE || hora_tv_integer(&part[0], &from));
    out->part = open && from >= 0 && out->type == HORA_TV_LIST && out->list >= st->messages
                    ? HORA_TPL_PART
                    : 0;
}

static hora_status item(hora_ts *st, const hora_tv *box, const hora_tv *key, hora_tv *out) {
    int64_t i = -1;
    if (box->part == HORA_TPL_BACKWARDS)
        hora_ts_see(st, SIZE_MAX);
    else if (box->part) {
        size_t first = (size_t)(box->list - st->messages);
        bool ahead = hora_tv_integer(key, &i) && i >= 0;
        hora_ts_see(st, !ahead ? SIZE_MAX : (size_t)i < box->n ? first + (size_t)i + 1 : 0);
    }
    return hora_tv_item(st, box, key, out);
}

hora_status hora_ts_access(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv box, key, part[3];
    int64_t number;
    bool path =
        st->noting && e->a->kind == HORA_TN_NAME &&
        (e->kind == HORA_TN_ATTR || (e->kind == HORA_TN_ITEM && hora_tpl_index(e->b, &number)));
    st->path = path;
    if (e->kind == HORA_TN_ATTR) {
        HORA_TRY(hora_ts_eval(st, e->a, &box));
        st->at = e;
        if (box.type == HORA_TV_DICT && !e->traits) {
            const hora_tv *found;
            key = hora_tv_borrow(e->s, e->n);
            HORA_TRY(hora_tv_dict_get(st, &box, &key, &found));
            *out = found ? *found : hora_tv_undefined(st->t->names[e->name]);
            return HORA_OK;
        }
        HORA_TRY(hora_tv_attr(st, &box, e->s, e->n, out));
        if (path)
            hora_note_path(st, e->a->name, &box, e, out);
        return HORA_OK;
    }
    HORA_TRY(hora_ts_part(st, e->a, &box));
    if (e->kind == HORA_TN_ITEM) {
        HORA_TRY(hora_ts_eval(st, e->b, &key));
        st->at = e;
        HORA_TRY(item(st, &box, &key, out));
        if (path)
            hora_note_path(st, e->a->name, &box, e, out);
        return HORA_OK;
    }
    for (int i = 0; i < 3; i++) {
        part[i] = hora_tv_none();
        if (e->list[i])
            HORA_TRY(hora_ts_eval(st, e->list[i], &part[i]));
    }
    st->at = e;
    HORA_TRY(hora_tv_slice(st, &box, part, out));
    keep_part(st, &box, part, out);
    if (box.part && !out->part)
        hora_ts_see(st, SIZE_MAX);
    return HORA_OK;
}

hora_status hora_ts_part(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv v;
    bool yes;
    st->at = e;
    if (e->kind == HORA_TN_NAME) {
        st->seen_prompt = st->seen_prompt || asks_prompt(st, e);
        return hora_ts_name(st, e->name, out);
    }
    if (e->kind == HORA_TN_IF_ELSE && e->c) {
        HORA_TRY(hora_ts_enter(st));
        HORA_TRY(hora_ts_truth(st, e->a, NULL, &v, &yes));
        HORA_TRY(hora_ts_part(st, yes ? e->b : e->c, out));
        st->depth--;
        return HORA_OK;
    }
    bool keep = st->keep;
    st->keep = e->kind == HORA_TN_SLICE || e->kind == HORA_TN_FILTER || e->kind == HORA_TN_BINARY ||
               e->kind == HORA_TN_ATTR;
    hora_status s = hora_ts_eval(st, e, out);
    st->keep = keep;
    return s;
}

bool hora_tpl_index(const hora_tn *e, int64_t *out) {
    bool minus = e->kind == HORA_TN_NEG;
    e = minus ? e->a : e;
    if (e->kind != HORA_TN_CONST || e->value.type != HORA_TV_INT)
        return false;
    *out = minus ? -e->value.i : e->value.i;
    return true;
}

/* The length of marked messages is a marked number; list and reverse keep the mark. */
void hora_ts_part_filter(hora_ts *st, const hora_tn *e, const hora_tv *in, hora_tv *out) {
    bool order = e->traits & HORA_TPL_ORDER, turns = order && e->fn->name[0] == 'r';
    if (!in->part)
        return;
    if (order && turns && in->part == HORA_TPL_PART && out->type == HORA_TV_LIST) {
        out->part = HORA_TPL_BACKWARDS;
    } else if (order && !turns) {
        *out = in->part == HORA_TPL_PART ? *in : *out;
        out->part = in->part;
    } else if ((e->traits & HORA_TPL_LENGTH) && out->type == HORA_TV_INT) {
        out->part = HORA_TPL_PART;
    } else {
        hora_ts_see(st, SIZE_MAX);
    }
}

/* ---- truth ---- */
hora_status hora_ts_truth(hora_ts *st, const hora_tn *e, const hora_tn *next, hora_tv *out,
                          bool *yes) {
    bool before = st->seen_prompt, prompt = asks_prompt(st, e);
    hora_tv other;
    HORA_TRY(hora_ts_part(st, e, out));
    *yes = hora_tv_truth(out);
    if (out->part == HORA_TPL_PART && out->type == HORA_TV_LIST) {
        hora_ts_see(st, out->n ? (size_t)(out->list - st->messages) + 1 : 0);
        if (*yes)
            return HORA_OK;
    }
    if (out->part)
        hora_ts_see(st, SIZE_MAX);
    /* add_generation_prompt and X: with the prompt it would be X, which is false as well */
    if (prompt && !before && !*yes && next && (st->ncuts || st->tape) && !st->journal) {
        HORA_TRY(hora_ts_eval(st, next, &other));
        st->seen_prompt = hora_tv_truth(&other);
    }
    return HORA_OK;
}

/* ---- numbers of messages ---- */
/* length + 1, length - 1 */
void hora_ts_part_sum(hora_ts *st, int64_t op, const hora_tv *a, const hora_tv *b, hora_tv *out) {
    bool number = out->type == HORA_TV_INT && !(a->part && b->part) &&
                  ((op == '+' && (a->part || b->part)) || (op == '-' && a->part));
    bool lists = a->type == HORA_TV_LIST || b->type == HORA_TV_LIST;
    if (a->part && b->part && op == '-' && a->type == HORA_TV_INT && b->type == HORA_TV_INT)
        return; /* they grow alike */
    if ((a->part || b->part) && (!number || lists))
        hora_ts_see(st, SIZE_MAX);
    out->part = number && !lists;
}

static bool holds(int64_t op, int64_t a, int64_t b) {
    switch (op) {
    case '<':
        return a < b;
    case '>':
        return a > b;
    case HORA_OP2('<', '='):
        return a <= b;
    case HORA_OP2('>', '='):
        return a >= b;
    default:
        return (a == b) == (op == HORA_OP2('=', '='));
    }
}

/* v grows with the number of messages, c does not. The comparison can only turn where v is near c:
 * it is the same for all conversations longer than the last one for which it differs. */
static void see_comparison(hora_ts *st, int64_t op, const hora_tv *v, int64_t c, bool swapped) {
    int64_t n = (int64_t)st->nmessages, least = 0;
    bool now = swapped ? holds(op, c, v->i) : holds(op, v->i, c);
    for (int64_t k = n - (v->i - c) - 1, end = k + 2; k <= end; k++) {
        int64_t then = v->i - (n - k);
        if (k >= 0 && k < n && (swapped ? holds(op, c, then) : holds(op, then, c)) != now)
            least = k + 1;
    }
    hora_ts_see(st, (size_t)least);
}

static void see_operands(hora_ts *st, int64_t op, const hora_tv *a, const hora_tv *b) {
    int64_t x, y;
    bool numbers = a->type != HORA_TV_LIST && b->type != HORA_TV_LIST && hora_tv_integer(a, &x) &&
                   hora_tv_integer(b, &y);
    if (!a->part && !b->part)
        return;
    if (!numbers || (a->part && b->part) || op == 'i' || op == 'n')
        hora_ts_see(st, SIZE_MAX);
    else
        see_comparison(st, op, a->part ? a : b, a->part ? y : x, !a->part);
}

hora_status hora_ts_compare(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv left, right;
    int from = hora_note_mark(st);
    HORA_TRY(hora_ts_part(st, e->a, &left));
    int between = hora_note_mark(st);
    for (int i = 0; i < e->nlist; i++) {
        const hora_tn *c = e->list[i];
        HORA_TRY(hora_ts_part(st, c->b, &right));
        st->at = c;
        see_operands(st, c->op, &left, &right);
        HORA_TRY(hora_tv_binary(st, c->op, &left, &right, out));
        if (st->noting && e->nlist == 1)
            hora_note_compare(st, e, from, between, &left, &right, hora_tv_truth(out));
        if (!hora_tv_truth(out))
            return HORA_OK;
        left = right;
    }
    return HORA_OK;
}
