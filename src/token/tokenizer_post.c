/*
 * Post-processors: the ids put around a text or a pair (BOS, EOS, [CLS] ..) and the type of each.
 * Each row becomes two lists of ids with HORA_TOK_SEQUENCE where the text goes and HORA_TOK_SECOND
 * where the second one does; an empty list changes nothing.
 */
#include "token/tokenizer_impl.h"

static void put(hora_ids *ids, hora_ids *types, int64_t id, int64_t type) {
    hora_ids_push(ids, (int32_t)id);
    hora_ids_push(types, (int32_t)type);
}

static hora_status special_ids(const hora_json *table, const char *name, int64_t type, hora_ids *to,
                               hora_ids *types) {
    const hora_json *ids = hora_json_get(hora_json_get(table, name), "ids");
    if (hora_json_type(ids) != HORA_JARRAY)
        return hora_fail(HORA_EFORMAT,
                         "TemplateProcessing: special token \"%.40s\" is not in "
                         "\"special_tokens\"; add it there",
                         name);
    for (size_t i = 0; i < hora_json_len(ids); i++) {
        int64_t id;
        if (!hora_json_int(hora_json_at(ids, i), &id) || id < 0 || id > INT32_MAX)
            return hora_fail(HORA_EFORMAT,
                             "TemplateProcessing: special token \"%.40s\" has an id that is no "
                             "id; correct \"special_tokens\"",
                             name);
        put(to, types, id, type);
    }
    return HORA_OK;
}

/* One list of a template. `second`: it is the one for pairs. */
static hora_status template_list(const hora_json *o, const char *key, bool second, hora_ids *to,
                                 hora_ids *types) {
    const hora_json *list = hora_json_get(o, key), *table = hora_json_get(o, "special_tokens");
    int sequences[2] = {0, 0};
    for (size_t i = 0; i < hora_json_len(list); i++) {
        const hora_json *item = hora_json_at(list, i);
        const hora_json *special = hora_json_get(item, "SpecialToken");
        const hora_json *what = special ? special : hora_json_get(item, "Sequence");
        const char *name;
        int64_t type;
        HORA_TRY(hora_json_get_string(what, "id", "", &name));
        HORA_TRY(hora_json_get_int(what, "type_id", 0, &type));
        if (type < 0 || type > 255)
            return hora_fail(HORA_EFORMAT, "TemplateProcessing: type_id %lld is none; correct it",
                             (long long)type);
        if (special) {
            HORA_TRY(special_ids(table, name, type, to, types));
            continue;
        }
        const bool b = second && hora_eq(name, "B");
        if (!b && !hora_eq(name, "A"))
            return hora_fail(HORA_EFORMAT,
                             "TemplateProcessing: item %zu of \"%s\" is neither a SpecialToken "
                             "nor a Sequence of it; correct it",
                             i, key);
        sequences[b]++;
        put(to, types, b ? HORA_TOK_SECOND : HORA_TOK_SEQUENCE, type);
    }
    if (sequences[0] != 1 || sequences[1] != second)
        return hora_fail(HORA_EFORMAT,
                         "TemplateProcessing: \"%s\" holds Sequence %c %d times, "
                         "should be once; correct it",
                         key, sequences[0] != 1 ? 'A' : 'B', sequences[sequences[0] == 1]);
    return HORA_OK;
}

static hora_status template_load(hora_tok_part *p, const hora_json *o) {
    if (hora_json_type(hora_json_get(o, "single")) != HORA_JARRAY)
        return hora_fail(HORA_EFORMAT, "TemplateProcessing needs an array \"single\"; fetch the "
                                       "file again");
    HORA_TRY(template_list(o, "single", false, &p->ids, &p->types));
    return hora_json_len(hora_json_get(o, "pair"))
               ? template_list(o, "pair", true, &p->pair, &p->pair_types)
               : HORA_OK;
}

/* Bert: cls A sep B sep, B and the last sep of type 1. Roberta: cls A sep sep B sep, all of type 0.
 * Each token is given as [spelling, id]. */
static hora_status pair_load(hora_tok_part *p, const hora_json *o, bool roberta) {
    static const char *const keys[] = {"cls", "sep"};
    int64_t id[2];
    for (int i = 0; i < 2; i++)
        if (!hora_json_int(hora_json_at(hora_json_get(o, keys[i]), 1), &id[i]) || id[i] < 0 ||
            id[i] > INT32_MAX)
            return hora_fail(HORA_EFORMAT, "%s: \"%s\" should be [spelling, id]; correct it",
                             p->row->type, keys[i]);
    for (int pair = 0; pair < 2; pair++) {
        hora_ids *to = pair ? &p->pair : &p->ids, *types = pair ? &p->pair_types : &p->types;
        put(to, types, id[0], 0);
        put(to, types, HORA_TOK_SEQUENCE, 0);
        put(to, types, id[1], 0);
        if (!pair)
            continue;
        if (roberta)
            put(to, types, id[1], 0);
        put(to, types, HORA_TOK_SECOND, !roberta);
        put(to, types, id[1], !roberta);
    }
    return HORA_OK;
}

static hora_status roberta_load(hora_tok_part *p, const hora_json *o) {
    return pair_load(p, o, true);
}
static hora_status bert_load(hora_tok_part *p, const hora_json *o) {
    return pair_load(p, o, false);
}

const hora_tok_row hora_tok_postprocessors[] = {
    {.type = "TemplateProcessing", .load = template_load},
    {.type = "ByteLevel"}, /* moves offsets only */
    {.type = "RobertaProcessing", .load = roberta_load},
    {.type = "BertProcessing", .load = bert_load},
};
const size_t hora_tok_n_postprocessors = HORA_COUNT(hora_tok_postprocessors);

/* --- texts and pairs with their special tokens, cut to a length ------------------------------- */
/* The ids around a text or a pair; the plain ones where no part says otherwise. */
typedef struct frame {
    hora_ids ids, types; /* borrowed */
    int64_t specials;
} frame;

static hora_status frame_of(const hora_tokenizer *t, bool pair, frame *f) {
    static int32_t plain[] = {HORA_TOK_SEQUENCE, HORA_TOK_SECOND}, plain_types[] = {0, 1};
    const size_t n = pair ? 2 : 1;
    int parts = 0;
    *f = (frame){{plain, n, n}, {plain_types, n, n}, 0};
    for (size_t i = 0; i < t->postprocessors.n; i++) {
        const hora_tok_part *p = &t->postprocessors.at[i];
        if (!p->ids.n)
            continue;
        parts++;
        if (!pair || p->pair.n) {
            f->ids = pair ? p->pair : p->ids;
            f->types = pair ? p->pair_types : p->types;
        }
    }
    f->specials = (int64_t)(f->ids.n - n);
    return parts <= 1 ? HORA_OK
                      : hora_fail(HORA_EUNSUPPORTED,
                                  "the tokenizer puts special tokens around a text twice, which is "
                                  "not known for lengths and pairs; use one of them");
}

/* Longest first, as the fast tokenizers cut: the longer one down to the shorter, then both to
 * halves of what is left, the odd one to the longer. */
static void cut_longest(int64_t most, int64_t *a, int64_t *b) {
    const bool swap = *a > *b;
    int64_t small = swap ? *b : *a, large = swap ? *a : *b;
    large = small > most ? small : hora_max(small, most - small);
    if (small + large > most) {
        small = most / 2;
        large = small + most % 2;
    }
    *a = swap ? large : small;
    *b = swap ? small : large;
}

/* How much of the two stays, so that they have `most` together. */
static hora_status cut_to(int64_t most, hora_truncation how, bool pair, int64_t *a, int64_t *b) {
    const int64_t more = *a + *b - most;
    int64_t *one = how == HORA_TRUNCATE_SECOND ? b : a;
    if (more <= 0)
        return HORA_OK;
    if (!most) {
        *a = *b = 0;
    } else if (how == HORA_TRUNCATE_LONGEST && pair) {
        cut_longest(most, a, b);
    } else if (how == HORA_TRUNCATE_SECOND && !pair) {
        return hora_fail(HORA_EUSAGE, "there is no second text to be cut; cut the first one");
    } else if (*one <= more) {
        return hora_fail(HORA_EUSAGE,
                         "the %s text has %lld tokens, but %lld of %lld must go to leave %lld "
                         "beside the special ones; cut the other one, or the longer one first",
                         one == a ? "first" : "second", (long long)*one, (long long)more,
                         (long long)(*a + *b), (long long)most);
    } else {
        *one -= more;
    }
    return HORA_OK;
}

static void put_text(const hora_tokenizer *t, const hora_ids *text, int64_t n, int32_t type,
                     hora_ids *out, hora_ids *types) {
    const size_t from = t->cut_left ? text->n - (size_t)n : 0;
    for (size_t i = from; i < from + (size_t)n; i++) {
        hora_ids_push(out, text->at[i]);
        if (types)
            hora_ids_push(types, type);
    }
}

hora_status hora_tokenizer_encode_pair(const hora_tokenizer *t, const hora_text_pair *text,
                                       int64_t most, hora_truncation how, hora_ids *out,
                                       hora_ids *types, int64_t *cut) {
    const bool pair = text->second && text->nsecond;
    hora_ids a = {0}, b = {0};
    frame f;
    hora_status st;
    HORA_TRY(frame_of(t, pair, &f));
    if (most && most < f.specials)
        return hora_fail(HORA_EUSAGE,
                         "a length of %lld leaves no room for text beside %lld special tokens; "
                         "give more",
                         (long long)most, (long long)f.specials);
    HORA_TRY_OUT(st, hora_tokenizer_encode(t, text->first, text->nfirst, false, &a));
    if (pair)
        HORA_TRY_OUT(st, hora_tokenizer_encode(t, text->second, text->nsecond, false, &b));
    int64_t na = (int64_t)a.n, nb = (int64_t)b.n;
    if (most)
        HORA_TRY_OUT(st, cut_to(most - f.specials, how, pair, &na, &nb));
    for (size_t i = 0; i < f.ids.n; i++) {
        const int32_t id = f.ids.at[i], type = f.types.at[i];
        if (id == HORA_TOK_SEQUENCE) {
            put_text(t, &a, na, type, out, types);
        } else if (id == HORA_TOK_SECOND) {
            put_text(t, &b, nb, type, out, types);
        } else {
            hora_ids_push(out, id);
            if (types)
                hora_ids_push(types, type);
        }
    }
    if (cut)
        *cut = (int64_t)(a.n + b.n) - na - nb;
out:
    hora_ids_release(&a);
    hora_ids_release(&b);
    return st;
}

hora_status hora_tokenizer_specials(const hora_tokenizer *t, bool pair, int64_t *n) {
    frame f;
    HORA_TRY(frame_of(t, pair, &f));
    *n = f.specials;
    return HORA_OK;
}
