/*
 * Settings: key, text and origin in the order they were given, from option strings, recipes and the
 * command line. Knows tables only as far as the command line needs them (which flag takes a value).
 * Typed values and unknown keys are options.c's business. The last setting of a key wins.
 */
#include "base/options.h"

#include <stdlib.h>

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

static hora_status list_text(const char *key, const hora_json *array, hora_str *out) {
    hora_str_add(out, "", 0);
    for (size_t i = 0; i < hora_json_len(array); i++) {
        if (i)
            hora_str_putc(out, '+');
        const size_t start = out->n;
        if (!scalar_text(hora_json_at(array, i), out))
            return hora_fail(HORA_EUSAGE,
                             "recipe key `%s`: element %zu is no plain value; write a list of "
                             "names or numbers",
                             key, i + 1);
        if (strchr(out->s + start, '+'))
            return hora_fail(HORA_EUSAGE,
                             "recipe key `%s`: element %zu holds a `+`, which separates elements; "
                             "write one string instead of the list",
                             key, i + 1);
    }
    return HORA_OK;
}

/* False when `seen`, the keys of this object so far, has the key already ('-' = '_'). */
static bool is_new(hora_json *seen, const char *key) {
    char *plain = hora_strdup(key);
    for (char *p = plain; *p; p++)
        if (*p == '-')
            *p = '_';
    const bool fresh = !hora_json_get(seen, plain);
    if (fresh)
        hora_json_set(seen, plain, hora_json_new_null());
    hora_free(plain);
    return fresh;
}

/* The same key twice, in two groups, would leave the loser unnoticed. */
static hora_status put_member(hora_settings *s, const char *key, const hora_json *v,
                              hora_json *seen, const char *origin) {
    hora_str text = {0};
    hora_status bad = HORA_OK;
    if (hora_json_type(v) == HORA_JNULL)
        return HORA_OK; /* `key:` with nothing behind it: not set */
    if (!is_new(seen, key))
        bad = hora_fail(HORA_EUSAGE, "recipe key `%s` is set twice; remove one", key);
    if (bad == HORA_OK && hora_json_type(v) == HORA_JARRAY)
        bad = list_text(key, v, &text);
    else if (bad == HORA_OK && !scalar_text(v, &text))
        bad = hora_fail(HORA_EUSAGE,
                        "recipe key `%s` is nested too deep; one level of groups is understood, "
                        "move it up",
                        key);
    if (bad == HORA_OK)
        put(s, key, strlen(key), text.s, text.n, origin);
    hora_str_release(&text);
    return bad;
}

/* methods: [{method: lora, rank: 8}, ..]: methods.0.method, methods.0.rank .. */
static hora_status put_list(hora_settings *s, const char *key, const hora_json *array,
                            hora_json *seen, const char *origin) {
    for (size_t i = 0; i < hora_json_len(array); i++) {
        const hora_json *v = hora_json_at(array, i);
        if (hora_json_type(v) != HORA_JOBJECT)
            return hora_fail(HORA_EUSAGE,
                             "recipe key `%s`: element %zu is no mapping as the others are; write "
                             "`- key: value`",
                             key, i + 1);
        for (void *in = hora_json_iter(v); in; in = hora_json_next(v, in)) {
            char *full = hora_format("%s.%zu.%s", key, i, hora_json_iter_key(in));
            hora_status bad = put_member(s, full, hora_json_iter_value(in), seen, origin);
            hora_free(full);
            HORA_TRY(bad);
        }
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

static hora_status put_members(hora_settings *s, const hora_json *obj, hora_json *seen,
                               const char *origin) {
    for (void *it = hora_json_iter(obj); it; it = hora_json_next(obj, it)) {
        const char *group = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        if (hora_json_type(v) == HORA_JARRAY &&
            hora_json_type(hora_json_at(v, 0)) == HORA_JOBJECT) {
            HORA_TRY(put_list(s, group, v, seen, origin));
            continue;
        }
        if (hora_json_type(v) != HORA_JOBJECT) {
            HORA_TRY(put_member(s, group, v, seen, origin));
            continue;
        }
        for (void *in = hora_json_iter(v); in; in = hora_json_next(v, in)) {
            const char *key = hora_json_iter_key(in);
            HORA_TRY(put_member(s, hora_eq(key, "name") ? group : key, hora_json_iter_value(in),
                                seen, origin));
        }
    }
    return HORA_OK;
}

hora_status hora_settings_json(hora_settings *s, const hora_json *obj, const char *origin) {
    hora_jtype t = hora_json_type(obj);
    if (t == HORA_JNULL)
        return HORA_OK; /* an empty file */
    if (t != HORA_JOBJECT)
        return hora_fail(HORA_EUSAGE,
                         "%s: should hold keys and values, is a %s; write `key: value`", origin,
                         hora_json_type_name(t));
    hora_json *seen = hora_json_new_object();
    hora_status bad = put_members(s, obj, seen, origin);
    hora_json_free(seen);
    return bad;
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
    if (row && row->type == HORA_OPT_BOOL) {
        hora_settings_put(s, key, inside ? inside : "true", command_line);
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

hora_status hora_settings_argv(hora_settings *s, int argc, char **argv,
                               const hora_options *const *tables, int n, bool open,
                               const char **rest, int *nrest) {
    const flags f = {tables, n, open};
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
    return HORA_OK;
}
