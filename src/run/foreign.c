/*
 * Recipes of other trainers: keys with one clear meaning become ours, those that decide nothing
 * here are passed over and said (foreign.def). What is left is refused by its owner, as any unknown
 * option. Works on the tree, so that lists and mappings stay what they are.
 */
#include "run/foreign.h"

#include "base/log.h"
#include "base/text.h"

typedef struct row {
    const char *key, *value, *beside, *to, *note;
} row;
static const row rows[] = {
#define FOREIGN(key, value, beside, to, note) {key, value, beside, to, note},
#include "run/foreign.def"
#undef FOREIGN
};

typedef struct translation {
    const hora_json *recipe;
    hora_str said; /* of what has no effect */
} translation;

/* ---- finding a row ---- */
static bool same_key(const char *row, const char *key) {
    for (; *row && *row != '*'; row++, key++)
        if (*row != (*key == '-' ? '_' : *key))
            return false;
    return *row == '*' || !*key;
}

/* A scalar, or a list of them joined by '+'; anything else is "". */
static void text_of(const hora_json *v, hora_str *out) {
    hora_str_add(out, "", 0);
    for (size_t i = 0; hora_json_type(v) == HORA_JARRAY && i < hora_json_len(v); i++) {
        hora_str_puts(out, i ? "+" : "");
        text_of(hora_json_at(v, i), out);
    }
    size_t n;
    const char *s = hora_json_string(v, &n);
    double d;
    bool b;
    char buffer[32];
    if (s)
        hora_str_add(out, s, n);
    else if (hora_json_bool(v, &b))
        hora_str_puts(out, b ? "true" : "false");
    else if (hora_json_real(v, &d))
        hora_str_puts(out, hora_format_real(buffer, d));
}

static bool same_value(const char *want, const hora_json *v) {
    hora_str text = {0};
    bool b, c;
    text_of(v, &text);
    bool same = hora_eq(text.s, want);
    if (!same && hora_parse_bool(want, &b) && strlen(want) > 1 && hora_parse_bool(text.s, &c))
        same = b == c; /* YAML 1.1 writes `no` */
    hora_str_release(&text);
    return same;
}

/* The key is set, in the recipe or in one of its groups, and says something. */
static bool is_set(const hora_json *o, const char *key, int depth) {
    for (void *it = hora_json_iter(o); it; it = hora_json_next(o, it)) {
        const hora_json *v = hora_json_iter_value(it);
        if (hora_json_type(v) == HORA_JOBJECT && depth && is_set(v, key, depth - 1))
            return true;
        if (same_key(key, hora_json_iter_key(it)) && hora_json_type(v) != HORA_JNULL &&
            !same_value("0", v))
            return true;
    }
    return false;
}

/* *others: rows have the key, with values that are not this one. */
static const row *find(const translation *t, const char *key, const hora_json *v, bool *others) {
    *others = false;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        if (!same_key(rows[i].key, key) ||
            (rows[i].beside && !is_set(t->recipe, rows[i].beside, 1)))
            continue;
        if (!rows[i].value || same_value(rows[i].value, v))
            return &rows[i];
        *others = true;
    }
    return NULL;
}

/* ---- translating ---- */
static hora_status set(hora_json *out, const char *key, const char *given, hora_json *own_v) {
    const hora_json *there = hora_json_get(out, key);
    if (there && !hora_json_equal(there, own_v)) {
        hora_json_free(own_v);
        return hora_fail(HORA_EUSAGE,
                         "recipe key `%s` says %s, which the recipe sets to something else; remove "
                         "one",
                         given, key);
    }
    if (there)
        hora_json_free(own_v);
    else
        hora_json_set(out, key, own_v);
    return HORA_OK;
}

static void say(translation *t, const char *key, const char *note) {
    hora_str_printf(&t->said, "%s%s (%s)", t->said.n ? ", " : "", key, note);
}

static hora_status apply(translation *t, const row *r, const char *key, const hora_json *v,
                         hora_json *out) {
    const char *eq = r->to ? strchr(r->to, '=') : NULL;
    if (!r->to) {
        if (r->note)
            say(t, key, r->note);
        return HORA_OK;
    }
    if (!eq)
        return set(out, r->to, key, hora_json_share(v));
    char *option = hora_strndup(r->to, (size_t)(eq - r->to));
    hora_str value = {0};
    hora_str_puts(&value, eq + 1);
    if (hora_ends(r->to, "=")) /* columns=text= */
        text_of(v, &value);
    hora_status s = set(out, option, key, hora_json_new_string_n(value.s, value.n));
    hora_str_release(&value);
    hora_free(option);
    return s;
}

static hora_status refuse(const char *key, const hora_json *v) {
    hora_str values = {0}, text = {0};
    text_of(v, &text);
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        if (same_key(rows[i].key, key))
            hora_str_printf(&values, "%s%s", values.n ? ", " : "", rows[i].value);
    hora_status s =
        hora_fail(HORA_EUSAGE, "recipe key `%s`: %.60s has no counterpart here (%s has); remove it",
                  key, text.s && text.n ? text.s : "its value", values.s);
    hora_str_release(&values);
    hora_str_release(&text);
    return s;
}

/* Options with a hint of their own where their value is refused (base/options.c) keep it. */
static bool has_hint(const char *key) {
    static const char *const hinted[] = {"bf16", "fp16", "load_in_4bit", "load_in_8bit"};
    for (size_t i = 0; i < HORA_COUNT(hinted); i++)
        if (same_key(hinted[i], key))
            return true;
    return false;
}

static hora_status put(translation *t, const char *key, const hora_json *v,
                       bool (*known)(const char *key), hora_json *out) {
    bool others = false;
    const row *r = hora_json_type(v) == HORA_JNULL ? NULL : find(t, key, v, &others);
    if (r)
        return apply(t, r, key, v, out);
    if (hora_json_type(v) != HORA_JNULL && others && !known(key) && !has_hint(key))
        return refuse(key, v);
    if (hora_json_get(out, key) && hora_json_type(v) != HORA_JNULL)
        return set(out, key, key, hora_json_share(v));
    hora_json_set(out, key, hora_json_share(v));
    return HORA_OK;
}

/* axolotl's datasets: [{path: .., type: ..}]; kinds of records are found by their keys. */
static hora_status put_datasets(translation *t, const hora_json *list, hora_json *out) {
    hora_json *data = hora_json_new_array();
    for (size_t i = 0; i < hora_json_len(list); i++) {
        const hora_json *one = hora_json_at(list, i);
        for (void *it = hora_json_iter(one); it; it = hora_json_next(one, it)) {
            const char *key = hora_json_iter_key(it);
            if (hora_eq(key, "path"))
                hora_json_push(data, hora_json_share(hora_json_iter_value(it)));
            else if (hora_eq(key, "type") || hora_eq(key, "ds_type"))
                say(t, "datasets: type", "records are known by their keys");
            else if (!hora_eq(key, "split") || !same_value("train", hora_json_iter_value(it))) {
                hora_json_free(data);
                return hora_fail(HORA_EUSAGE,
                                 "recipe key `datasets`: `%s` has no counterpart here; write "
                                 "`data: [FILE, ..]`, and `columns` for names of fields",
                                 key);
            }
        }
    }
    return set(out, "data", "datasets", data);
}

hora_status hora_run_foreign(const hora_json *recipe, bool (*known)(const char *key),
                             hora_json **own) {
    translation t = {.recipe = recipe};
    hora_json *out = hora_json_new_object();
    hora_status s = HORA_OK;
    for (void *it = hora_json_iter(recipe); it && !s; it = hora_json_next(recipe, it)) {
        const char *key = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        if (hora_eq(key, "datasets") && hora_json_type(v) == HORA_JARRAY) {
            s = put_datasets(&t, v, out);
        } else if (hora_json_type(v) != HORA_JOBJECT || known(key)) {
            s = put(&t, key, v, known, out);
        } else {
            hora_json *group = hora_json_new_object();
            for (void *in = hora_json_iter(v); in && !s; in = hora_json_next(v, in))
                s = put(&t, hora_json_iter_key(in), hora_json_iter_value(in), known, group);
            hora_json_set(out, key, group);
        }
    }
    if (!s && t.said.n)
        hora_info("recipe: without effect here: %s", t.said.s);
    hora_str_release(&t.said);
    if (s)
        hora_json_free(out);
    else
        *own = out;
    return s;
}
