/*
 * Settings: key, text and origin in the order they were given, from option strings, recipes and the
 * command line. Knows tables only as far as the command line needs them (which flag takes a value).
 * Typed values and unknown keys are options.c's business. The last setting of a key wins, but lists
 * go on.
 */
#include "base/options.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/options_impl.h"
#include "base/text.h"

static const char command_line[] = "command line";

void hora_settings_release(hora_settings *s) {
    for (int i = 0; i < s->n; i++) {
        hora_free(s->at[i].key);
        hora_free(s->at[i].value);
    }
    hora_free(s->at);
    hora_free(s->file);
    *s = (hora_settings){0};
}

static void put(hora_settings *s, const char *key, size_t nkey, const char *value, size_t nvalue,
                const char *origin) {
    hora_setting one = {hora_strndup(key, nkey), hora_strndup(value, nvalue), origin, false};
    for (char *p = one.key; *p; p++)
        if (*p == '-')
            *p = '_';
    HORA_PUSH(s->at, s->n, s->cap, one);
}

void hora_settings_put(hora_settings *s, const char *key, const char *value, const char *origin) {
    put(s, key, strlen(key), value, strlen(value), origin);
}

const char *hora_settings_get(const hora_settings *s, const char *key) {
    for (int i = s->n - 1; i >= 0; i--)
        if (hora_option_same(s->at[i].key, key))
            return s->at[i].value;
    return NULL;
}

void hora_settings_drop(hora_settings *s, const hora_options *table) {
    int kept = 0;
    for (int i = 0; i < s->n; i++) {
        if (!hora_options_find(table, s->at[i].key)) {
            s->at[kept++] = s->at[i];
            continue;
        }
        hora_free(s->at[i].key);
        hora_free(s->at[i].value);
    }
    s->n = kept;
}

/* The value at *p up to the next comma outside quotes; advances *p behind it. */
static hora_status parse_value(const char **p, hora_str *value) {
    const char *s = *p;
    size_t kept = 0; /* blanks at the end are dropped, those in quotes are not */
    bool quoted = false;
    s += strspn(s, " \t\n");
    for (; *s && (quoted || *s != ','); s++) {
        if (*s == '"') {
            quoted = !quoted;
            kept = value->n;
            continue;
        }
        if (quoted && *s == '\\' && (s[1] == '"' || s[1] == '\\'))
            s++;
        hora_str_putc(value, *s);
        if (quoted || !strchr(" \t\n", *s))
            kept = value->n;
    }
    if (quoted)
        return hora_fail(HORA_EUSAGE, "option text `%s`: a quote is not closed; add the missing \"",
                         *p);
    hora_str_add(value, "", 0);
    value->n = kept;
    value->s[kept] = 0;
    *p = s;
    return HORA_OK;
}

hora_status hora_settings_parse(hora_settings *s, const char *text, const char *origin) {
    for (const char *p = text;; p++) {
        p += strspn(p, " \t\n");
        size_t n = strcspn(p, ",="), key = n;
        while (key && strchr(" \t\n", p[key - 1]))
            key--;
        if (!key) {
            if (!p[n] && p == text)
                return HORA_OK; /* no options at all */
            return hora_fail(
                HORA_EUSAGE,
                "option text `%s`: a name is missing at `%s`; write key=value,key=value", text, p);
        }
        const char *name = p;
        p += n;
        if (*p != '=') {
            put(s, name, key, "true", 4, origin);
        } else {
            hora_str value = {0};
            p++;
            hora_status bad = parse_value(&p, &value);
            if (bad == HORA_OK)
                put(s, name, key, value.s, value.n, origin);
            hora_str_release(&value);
            HORA_TRY(bad);
        }
        if (!*p)
            return HORA_OK;
    }
}

/* A scalar as text; false for anything else. */
static bool scalar_text(const hora_json *v, hora_str *out) {
    char buf[32];
    int64_t i;
    double d;
    bool b;
    size_t n;
    const char *s = hora_json_string(v, &n);
    if (!s)
        s = hora_json_digits(v, &n);
    if (s)
        hora_str_add(out, s, n);
    else if (hora_json_int(v, &i))
        hora_str_printf(out, "%lld", (long long)i);
    else if (hora_json_real(v, &d))
        hora_str_puts(out, hora_format_real(buf, d));
    else if (hora_json_bool(v, &b))
        hora_str_puts(out, b ? "true" : "false");
    else
        return false;
    return true;
}

static hora_status list_text(const char *key, const hora_json *array, char join, hora_str *out) {
    hora_str_add(out, "", 0);
    for (size_t i = 0; i < hora_json_len(array); i++) {
        if (i)
            hora_str_putc(out, join);
        const size_t start = out->n;
        if (!scalar_text(hora_json_at(array, i), out))
            return hora_fail(HORA_EUSAGE,
                             "recipe key `%s`: element %zu is no plain value; write a list of "
                             "names or numbers",
                             key, i + 1);
        if (strchr(out->s + start, join))
            return hora_fail(HORA_EUSAGE,
                             "recipe key `%s`: element %zu holds a %s, which separates elements; "
                             "write one string instead of the list",
                             key, i + 1, join == '\n' ? "line break" : "`+`");
    }
    return HORA_OK;
}

typedef struct flags {
    const hora_options *const *tables;
    int n;
    bool open;
} flags;

static const hora_option *row_of(const flags *f, const char *key) {
    for (int i = 0; i < f->n; i++) {
        const hora_option *row = hora_options_find(f->tables[i], key);
        if (row)
            return row;
    }
    return NULL;
}

/* An object on its way into settings. */
typedef struct reading {
    hora_settings *to;
    const char *origin;
    flags f;
    hora_json *seen; /* option: the key that set it */
} reading;

/* The same option twice, in two groups or by two names, would leave the loser unnoticed. prefix: of
 * an element of a list ("methods.0."). */
static hora_status note_key(reading *r, const char *prefix, const char *key,
                            const hora_option *row) {
    hora_status s = HORA_OK;
    char *name = hora_format("%s%s", prefix, row ? row->name : key);
    for (char *p = name; *p; p++)
        if (*p == '-')
            *p = '_';
    const char *other = hora_json_string(hora_json_get(r->seen, name), NULL);
    if (other && hora_option_same(other, key))
        s = hora_fail(HORA_EUSAGE, "recipe key `%s%s` is set twice; remove one", prefix, key);
    else if (other)
        s = hora_fail(HORA_EUSAGE,
                      "recipe keys `%s%s` and `%s%s` are the same option, which is set twice; "
                      "remove one",
                      prefix, other, prefix, key);
    else
        hora_json_set(r->seen, name, hora_json_new_string(key));
    hora_free(name);
    return s;
}

static hora_status member_text(const char *key, const hora_json *v, const hora_option *row,
                               hora_str *text) {
    if (hora_json_type(v) == HORA_JARRAY) {
        if (row && !row->join && hora_json_len(v) != 1) /* "a+b" would be a value of its own */
            return hora_fail(
                HORA_EUSAGE,
                "recipe key `%s` takes one value, not a list of %zu; write `%s: VALUE`", key,
                hora_json_len(v), row->name);
        return list_text(key, v, (char)(row && row->join ? row->join : '+'), text);
    }
    if (hora_json_type(v) == HORA_JOBJECT && row && row->flags & HORA_OPT_MAPPING)
        hora_json_dump(v, 0, false, text);
    else if (!scalar_text(v, text))
        return hora_fail(HORA_EUSAGE,
                         "recipe key `%s` is nested too deep; one level of groups is understood, "
                         "move it up",
                         key);
    return HORA_OK;
}

static hora_status put_member(reading *r, const char *prefix, const char *key, const hora_json *v) {
    hora_str text = {0};
    const hora_option *row = row_of(&r->f, key);
    if (hora_json_type(v) == HORA_JNULL)
        return HORA_OK; /* `key:` with nothing behind it: not set */
    char *full = hora_format("%s%s", prefix, key);
    hora_status s = note_key(r, prefix, key, row);
    if (s == HORA_OK)
        s = member_text(full, v, row, &text);
    if (s == HORA_OK)
        put(r->to, full, strlen(full), text.s, text.n, r->origin);
    hora_str_release(&text);
    hora_free(full);
    return s;
}

/* methods: [{method: lora, rank: 8}, ..]: methods.0.method, methods.0.rank .. */
static hora_status put_list(reading *r, const char *key, const hora_json *array) {
    for (size_t i = 0; i < hora_json_len(array); i++) {
        const hora_json *v = hora_json_at(array, i);
        if (hora_json_type(v) != HORA_JOBJECT)
            return hora_fail(HORA_EUSAGE,
                             "recipe key `%s`: element %zu is no mapping as the others are; write "
                             "`- key: value`",
                             key, i + 1);
        char *prefix = hora_format("%s.%zu.", key, i);
        hora_status s = HORA_OK;
        for (void *in = hora_json_iter(v); in && !s; in = hora_json_next(v, in))
            s = put_member(r, prefix, hora_json_iter_key(in), hora_json_iter_value(in));
        hora_free(prefix);
        HORA_TRY(s);
    }
    return HORA_OK;
}

const char *hora_settings_inner(const char *key, const char *list, int *i) {
    const size_t n = strlen(list);
    if (strncmp(key, list, n) || key[n] != '.')
        return NULL;
    const char *digits = key + n + 1;
    const size_t count = strspn(digits, "0123456789");
    if (!count || count > 4 || digits[count] != '.')
        return NULL;
    *i = atoi(digits);
    return digits + count + 1;
}

bool hora_settings_element(hora_settings *s, const char *list, int i, hora_settings *out) {
    bool any = false;
    for (int k = 0; k < s->n; k++) {
        int at;
        const char *key = hora_settings_inner(s->at[k].key, list, &at);
        if (!key || at != i)
            continue;
        s->at[k].taken = any = true;
        hora_settings_put(out, key, s->at[k].value, s->at[k].origin);
    }
    return any;
}

static hora_status put_members(reading *r, const hora_json *obj) {
    for (void *it = hora_json_iter(obj); it; it = hora_json_next(obj, it)) {
        const char *group = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        const hora_option *row = row_of(&r->f, group);
        const bool mapping = row && row->flags & HORA_OPT_MAPPING;
        if (hora_json_type(v) == HORA_JARRAY &&
            hora_json_type(hora_json_at(v, 0)) == HORA_JOBJECT) {
            HORA_TRY(put_list(r, group, v));
            continue;
        }
        if (hora_json_type(v) != HORA_JOBJECT || mapping) {
            HORA_TRY(put_member(r, "", group, v));
            continue;
        }
        for (void *in = hora_json_iter(v); in; in = hora_json_next(v, in)) {
            const char *key = hora_json_iter_key(in);
            HORA_TRY(
                put_member(r, "", hora_eq(key, "name") ? group : key, hora_json_iter_value(in)));
        }
    }
    return HORA_OK;
}

hora_status hora_settings_json(hora_settings *s, const hora_json *obj, const char *origin,
                               const hora_options *const *tables, int n) {
    hora_jtype t = hora_json_type(obj);
    if (t == HORA_JNULL)
        return HORA_OK; /* an empty file */
    if (t != HORA_JOBJECT)
        return hora_fail(HORA_EUSAGE,
                         "%s: should hold keys and values, is a %s; write `key: value`", origin,
                         hora_json_type_name(t));
    reading r = {s, origin, {tables, n, false}, hora_json_new_object()};
    hora_status bad = put_members(&r, obj);
    hora_json_free(r.seen);
    return bad;
}

/* --set key=value. Returns arguments used behind the flag, or -1 after a failure. */
static int put_set(hora_settings *s, const char *pair, int used, hora_status *bad) {
    const char *eq = pair ? strchr(pair, '=') : NULL;
    if (!eq || eq == pair) {
        *bad = hora_fail(HORA_EUSAGE, "--set %s: write --set key=value", pair ? pair : "");
        return -1;
    }
    put(s, pair, (size_t)(eq - pair), eq + 1, strlen(eq + 1), command_line);
    return used;
}

/* One flag without its dashes; `after` is the argument behind it or NULL. Returns how many of the
 * arguments behind it were used (0 or 1), -1 after a failure. */
static int put_flag(hora_settings *s, const flags *f, const char *flag, const char *after,
                    hora_status *bad) {
    const size_t nkey = strcspn(flag, "=");
    const char *inside = flag[nkey] ? flag + nkey + 1 : NULL;
    const bool follows = after && strncmp(after, "--", 2) != 0;
    char *key = hora_strndup(flag, nkey);
    const hora_option *row = row_of(f, key);
    int used = 0;
    if (!row && hora_eq(key, "set")) {
        used = put_set(s, inside ? inside : after, inside ? 0 : 1, bad);
        hora_free(key);
        return used;
    }
    const char *negated = !row && !inside && hora_starts(key, "no-") ? key + 3 : NULL;
    const hora_option *negated_row = negated ? row_of(f, negated) : NULL;
    if (row && row->type == HORA_OPT_BOOL) { /* `--packing false`, as other trainers have it */
        used = !inside && after && (hora_eq(after, "true") || hora_eq(after, "false"));
        hora_settings_put(s, key, inside ? inside : used ? after : "true", command_line);
    } else if (row && (inside || follows)) {
        hora_settings_put(s, key, inside ? inside : after, command_line);
        used = !inside;
    } else if (row) {
        *bad = hora_fail(HORA_EUSAGE, "--%s needs a value; write --%s=VALUE (%s)", key, key,
                         row->help ? row->help : "see --help");
        used = -1;
    } else if (negated && (negated_row ? negated_row->type == HORA_OPT_BOOL : f->open)) {
        hora_settings_put(s, negated, "false", command_line);
    } else if (f->open && nkey) {
        hora_settings_put(s, key, inside ? inside : follows ? after : "true", command_line);
        used = !inside && follows;
    } else {
        *bad = hora_option_unknown(key, command_line, f->tables, f->n);
        used = -1;
    }
    hora_free(key);
    return used;
}

/* The row that "-h" stands for; NULL: it is no flag. */
static const hora_option *short_row(const flags *f, const char *arg) {
    const hora_option *row = arg[0] == '-' && strlen(arg) == 2 ? row_of(f, arg + 1) : NULL;
    return row && row->flags & HORA_OPT_SHORT ? row : NULL;
}

/* Last one wins, as scripts that end in "$@" need it, but not unnoticed. */
static void say_repeated(const hora_settings *s, int from, const flags *f) {
    for (int i = from; i < s->n; i++) {
        const hora_option *row = row_of(f, s->at[i].key);
        for (int k = s->n - 1; k > i && !(row && row->join); k--) {
            const hora_option *other = row_of(f, s->at[k].key);
            if (row ? other != row : !hora_option_same(s->at[k].key, s->at[i].key))
                continue;
            if (!hora_eq(s->at[i].value, s->at[k].value))
                hora_warn("%s is given as %s and as %s; the last one counts", s->at[k].key,
                          s->at[i].value, s->at[k].value);
            break;
        }
    }
}

hora_status hora_settings_argv(hora_settings *s, int argc, char **argv,
                               const hora_options *const *tables, int n, bool open,
                               const char **rest, int *nrest) {
    const flags f = {tables, n, open};
    const int from = s->n;
    hora_status bad = HORA_OK;
    *nrest = 0;
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--")) {
            for (i++; i < argc; i++)
                rest[(*nrest)++] = argv[i];
        } else if (short_row(&f, argv[i])) {
            hora_settings_put(s, short_row(&f, argv[i])->name, "true", command_line);
        } else if (strncmp(argv[i], "--", 2) != 0) {
            rest[(*nrest)++] = argv[i];
        } else {
            int used = put_flag(s, &f, argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, &bad);
            if (used < 0)
                return bad;
            i += used;
        }
    }
    say_repeated(s, from, &f);
    return HORA_OK;
}
