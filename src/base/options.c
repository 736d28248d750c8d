/*
 * Option tables: finding a row, filling the owner's struct from settings, printing values and help,
 * refusing what nobody knows. Owns the rule that every given value is checked, also one that a
 * later setting overrides, and that a failed take leaves a struct that can be released.
 */
#include "base/options.h"

#include <math.h>

#include "base/log.h"
#include "base/options_impl.h"
#include "base/text.h"

#define HELP_LEFT  30 /* column where the descriptions begin */
#define HELP_RIGHT 100

/* The words of a list separated by blanks. */
static bool next_word(const char **p, const char **word, size_t *n) {
    return hora_list_next(p, " ", word, n);
}

static char same_char(char c) {
    return c == '-' ? '_' : c;
}

static bool same_n(const char *a, size_t n, const char *b) {
    size_t i = 0;
    while (i < n && b[i] && same_char(a[i]) == same_char(b[i]))
        i++;
    return i == n && !b[i];
}

bool hora_option_same(const char *a, const char *b) {
    return same_n(a, strlen(a), b);
}

const hora_option *hora_options_find(const hora_options *table, const char *key) {
    for (int i = 0; i < table->n; i++) {
        const hora_option *row = &table->rows[i];
        const char *p = row->aliases, *word;
        size_t n;
        if (hora_option_same(row->name, key))
            return row;
        while (next_word(&p, &word, &n))
            if (same_n(word, n, key))
                return row;
    }
    return NULL;
}

char *hora_option_choice(const hora_option *row, int i) {
    const char *p = row->choices, *word;
    size_t n;
    while (next_word(&p, &word, &n))
        if (i-- == 0)
            return hora_strndup(word, n);
    HORA_BUG("option `%s` has no such choice", row->name);
}

/* Index of a choice, -1 when there is none of that name. */
static int choice_of(const hora_option *row, const char *value) {
    const char *p = row->choices, *word;
    size_t n;
    for (int i = 0; next_word(&p, &word, &n); i++)
        if (same_n(word, n, value))
            return i;
    return -1;
}

static void *field(const hora_option *row, const void *obj) {
    return (char *)obj + row->offset;
}

/* Names of a table and their number, for hora_nearest; each owned. */
typedef struct names {
    char **at;
    int n, cap;
} names;

static void add_words(names *l, const char *words) {
    const char *word;
    size_t n;
    while (next_word(&words, &word, &n))
        HORA_PUSH(l->at, l->n, l->cap, hora_strndup(word, n));
}

static void names_release(names *l) {
    for (int i = 0; i < l->n; i++)
        hora_free(l->at[i]);
    hora_free(l->at);
}

static hora_status refuse(const hora_option *row, const hora_setting *s, const char *wanted) {
    return hora_fail(HORA_EUSAGE, "option %s=%s (%s): give %s", s->key, s->value,
                     s->origin ? s->origin : row->name, wanted);
}

static hora_status refuse_range(const hora_option *row, const hora_setting *s) {
    char low[32], high[32], wanted[128];
    hora_format_real(low, row->min);
    hora_format_real(high, row->max);
    if (row->max >= 1e15) /* stands for "no upper end" */
        hora_snprintf(wanted, sizeof wanted, "a number that is at least %s", low);
    else
        hora_snprintf(wanted, sizeof wanted, "a number from %s to %s", low, high);
    return refuse(row, s, wanted);
}

static hora_status refuse_choice(const hora_option *row, const hora_setting *s) {
    names all = {0};
    hora_str wanted = {0};
    add_words(&all, row->choices);
    for (int i = 0; i < all.n; i++)
        hora_str_printf(&wanted, "%s%s", !i ? "one of: " : ", ", all.at[i]);
    const char *near = hora_nearest(s->value, (const char *const *)all.at, all.n);
    if (near)
        hora_str_printf(&wanted, " (did you mean %s?)", near);
    hora_status bad = refuse(row, s, wanted.s ? wanted.s : "nothing: there are no choices");
    hora_str_release(&wanted);
    names_release(&all);
    return bad;
}

static bool in_range(const hora_option *row, double v) {
    return (row->min == 0 && row->max == 0) || (v >= row->min && v <= row->max);
}

/* Checks the value and puts it into the field; more: behind what is there. */
static hora_status assign(const hora_option *row, void *obj, const hora_setting *s, bool more) {
    void *at = field(row, obj);
    int64_t i;
    double d;
    bool b;
    if (!*s->value && (hora_eq(row->arg, "DIR") || hora_eq(row->arg, "FILE")))
        return refuse(row, s, "a path; this name is empty");
    switch (row->type) {
    case HORA_OPT_BOOL:
        if (!hora_parse_bool(s->value, &b))
            return refuse(row, s, "true or false");
        *(bool *)at = b;
        return HORA_OK;
    case HORA_OPT_INT:
        if (!hora_parse_int(s->value, &i))
            return refuse(row, s, "a whole number (k, M and G may follow it)");
        if (!in_range(row, (double)i))
            return refuse_range(row, s);
        *(int64_t *)at = i;
        return HORA_OK;
    case HORA_OPT_REAL:
        if (!hora_parse_double(s->value, &d) || isnan(d))
            return refuse(row, s, "a number such as 0.1 or 1e-4");
        if (!in_range(row, d))
            return refuse_range(row, s);
        if (isinf(d))
            return refuse(row, s, "a number that is finite");
        *(double *)at = d;
        return HORA_OK;
    case HORA_OPT_STRING: {
        char *text = more ? hora_format("%s%c%s", *(char **)at, row->join, s->value)
                          : hora_strdup(s->value); /* before freeing: they may be the same */
        hora_free(*(char **)at);
        *(char **)at = text;
        return HORA_OK;
    }
    case HORA_OPT_CHOICE:
        if (choice_of(row, s->value) < 0)
            return refuse_choice(row, s);
        *(int *)at = choice_of(row, s->value);
        return HORA_OK;
    }
    HORA_BUG("option `%s` has no such type", row->name);
}

static void clear(const hora_option *row, void *obj) {
    void *at = field(row, obj);
    switch (row->type) {
    case HORA_OPT_BOOL:
        *(bool *)at = false;
        break;
    case HORA_OPT_INT:
        *(int64_t *)at = 0;
        break;
    case HORA_OPT_REAL:
        *(double *)at = 0;
        break;
    case HORA_OPT_STRING:
        *(char **)at = NULL;
        break;
    case HORA_OPT_CHOICE:
        *(int *)at = 0;
        break;
    }
}

/* A list may be given piece by piece; who gives it later (the command line, after a recipe) gives
 * another list. */
static bool goes_on(const hora_options *table, const hora_option *row, const hora_settings *s,
                    int i) {
    if (!row->join)
        return false;
    for (int k = i - 1; k >= 0; k--)
        if (hora_options_find(table, s->at[k].key) == row)
            return hora_eq(s->at[k].origin, s->at[i].origin);
    return false;
}

/* The value of a row: does it stand for "nothing"? */
static bool is_off(const hora_option *row, const void *obj) {
    const void *at = field(row, obj);
    switch (row->type) {
    case HORA_OPT_BOOL:
        return !*(const bool *)at;
    case HORA_OPT_INT:
        return *(const int64_t *)at == 0;
    case HORA_OPT_REAL:
        return *(const double *)at == 0;
    case HORA_OPT_STRING:
        return !*(char *const *)at || !**(char *const *)at || hora_eq(*(char *const *)at, "none");
    case HORA_OPT_CHOICE:
        return choice_of(row, "none") == *(const int *)at;
    }
    return true;
}

bool hora_option_is_default(const hora_option *row, const void *obj) {
    hora_str own = {0}, def = {0};
    hora_option any = *row;
    union {
        bool b;
        int64_t i;
        double d;
        char *s;
        int c;
    } plain = {.s = NULL};
    any.offset = 0;
    any.min = any.max = 0;
    clear(&any, &plain);
    const hora_setting s = {(char *)row->name, (char *)row->def, "default", false};
    if (row->def && assign(&any, &plain, &s, false) != HORA_OK)
        HORA_BUG("option table: %s", hora_errmsg());
    hora_option_format(row, obj, &own);
    hora_option_format(&any, &plain, &def);
    const bool same = hora_eq(own.s ? own.s : "", def.s ? def.s : "");
    if (row->type == HORA_OPT_STRING)
        hora_free(plain.s);
    hora_str_release(&own);
    hora_str_release(&def);
    return same;
}

/* Whether what `row` needs is there; the row that decides it in *need, NULL: nothing. */
static bool has_effect(const hora_options *table, const hora_option *row, const void *obj,
                       const hora_option **need) {
    const char *with = row->with, *list = with ? strchr(with, '=') : NULL, *word;
    const bool negated = with && *with == '!';
    size_t n;
    *need = NULL;
    if (!with)
        return true;
    char *name = hora_strndup(with + negated,
                              (list ? (size_t)(list - with) : strlen(with)) - (size_t)negated);
    *need = hora_options_find(table, name);
    HORA_ASSERT(*need);
    hora_free(name);
    if (!list)
        return is_off(*need, obj) == negated;
    for (list++; next_word(&list, &word, &n);) {
        char *choice = hora_option_choice(*need, *(const int *)field(*need, obj));
        const bool it = same_n(word, n, choice);
        hora_free(choice);
        if (it)
            return true;
    }
    return false;
}

/* A recipe may serve several runs: it gets a warning, everybody else a refusal. */
static hora_status tell_idle(const hora_setting *given, const hora_option *row, const char *says) {
    const char *origin = given->origin ? given->origin : row->name;
    if (!hora_eq(origin, "recipe"))
        return hora_fail(HORA_EUSAGE, "option %s=%s (%s) %s", given->key, given->value, origin,
                         says);
    hora_warn("option %s=%s (%s) %s", given->key, given->value, origin, says);
    return HORA_OK;
}

/* What was given, is not the default and decides nothing as things stand. */
static hora_status check_effect(const hora_options *table, const void *obj,
                                const hora_setting *given) {
    const hora_option *row = hora_options_find(table, given->key), *need;
    if (has_effect(table, row, obj, &need) || hora_option_is_default(row, obj))
        return HORA_OK;
    hora_str now = {0}, wanted = {0};
    hora_option_format(need, obj, &now);
    for (const char *w = row->with; *w != '!' && *w; w++)
        hora_str_putc(&wanted, *w == ' ' ? '|' : *w);
    const char *value = now.s && *now.s ? now.s : "unset";
    char *text = wanted.s ? hora_format("has an effect only with %s, and %s is %s; give that too, "
                                        "or leave it out",
                                        wanted.s, need->name, value)
                          : hora_format("has no effect beside %s=%s; leave one of them out",
                                        need->name, value);
    const hora_status s = tell_idle(given, row, text);
    hora_free(text);
    hora_str_release(&wanted);
    hora_str_release(&now);
    return s;
}

/* The last setting of a row is the one that counts; NULL: nobody gave one. */
static const hora_setting *last_of(const hora_options *table, const hora_option *row,
                                   const hora_settings *s) {
    const hora_setting *last = NULL;
    for (int k = 0; k < s->n; k++)
        if (hora_options_find(table, s->at[k].key) == row)
            last = &s->at[k];
    /* what the recipe of a run has was told when it was begun */
    return last && hora_eq(last->origin, "recipe of out") ? NULL : last;
}

static hora_status check_effects(const hora_options *table, const void *obj,
                                 const hora_settings *s) {
    for (int i = 0; i < table->n; i++) {
        const hora_option *row = &table->rows[i];
        const hora_setting *last = row->with ? last_of(table, row, s) : NULL;
        if (last)
            HORA_TRY(check_effect(table, obj, last));
    }
    return HORA_OK;
}

hora_status hora_option_idle(const hora_options *table, const void *obj, const hora_settings *s,
                             const char *name, const char *says) {
    const hora_option *row = hora_options_find(table, name);
    const hora_setting *last = row ? last_of(table, row, s) : NULL;
    return !last || hora_option_is_default(row, obj) ? HORA_OK : tell_idle(last, row, says);
}

hora_status hora_options_take(const hora_options *table, void *obj, hora_settings *s) {
    for (int i = 0; i < table->n; i++)
        clear(&table->rows[i], obj);
    for (int i = 0; i < table->n; i++) {
        const hora_option *row = &table->rows[i];
        const hora_setting def = {(char *)row->name, (char *)row->def, "default", false};
        if (!row->def)
            continue;
        hora_option any = *row; /* a default may lie outside the range: "0: automatic" */
        any.min = any.max = 0;
        if (assign(&any, obj, &def, false) != HORA_OK)
            HORA_BUG("option table: %s", hora_errmsg());
    }
    for (int i = 0; i < s->n; i++) {
        const hora_option *row = hora_options_find(table, s->at[i].key);
        if (!row)
            continue;
        s->at[i].taken = true;
        HORA_TRY(assign(row, obj, &s->at[i], goes_on(table, row, s, i)));
    }
    return check_effects(table, obj, s);
}

void hora_options_release(const hora_options *table, void *obj) {
    for (int i = 0; i < table->n; i++)
        if (table->rows[i].type == HORA_OPT_STRING) {
            hora_free(*(char **)field(&table->rows[i], obj));
            *(char **)field(&table->rows[i], obj) = NULL;
        }
}

/* A name as people type it at that place: --weight-decay, or weight_decay. */
static char *spelled(const char *name, bool flag) {
    char *s = hora_format("%s%s", flag ? "--" : "", name);
    for (char *p = s; *p; p++)
        if (*p == '_' || (*p == '-' && !flag))
            *p = flag ? '-' : '_';
    return s;
}

/* Options of other programs that people bring along, and what stands in their place; NULL: none. */
static const char *instead(const char *name) {
    static const char *const rows[][2] = {
        {"bf16", "give dtype=bf16"},
        {"fp16", "half precision is bf16 here: give dtype=bf16"},
        {"load_in_4bit", "give quantize=nf4"},
        {"load_in_8bit", "8 bits are blocks of 32 here: give quantize=q8_0"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        if (hora_option_same(name, rows[i][0]))
            return rows[i][1];
    return NULL;
}

hora_status hora_option_unknown(const char *key, const char *origin,
                                const hora_options *const *tables, int n) {
    const bool flag = hora_eq(origin, "command line");
    names all = {0};
    if (instead(key))
        return hora_fail(HORA_EUSAGE, "there is no option `%s` (%s): %s", key, origin,
                         instead(key));
    char *word = spelled(key, false);
    for (int t = 0; t < n; t++)
        for (int i = 0; i < tables[t]->n; i++) {
            add_words(&all, tables[t]->rows[i].name);
            add_words(&all, tables[t]->rows[i].aliases);
        }
    for (int i = 0; i < all.n; i++) {
        char *plain = spelled(all.at[i], false);
        hora_free(all.at[i]);
        all.at[i] = plain;
    }
    const char *near = hora_nearest(word, (const char *const *)all.at, all.n);
    char *shown = spelled(key, flag), *better = near ? spelled(near, flag) : NULL;
    hora_status s =
        better ? hora_fail(HORA_EUSAGE, "unknown option `%s` (%s); did you mean `%s`?", shown,
                           origin, better)
               : hora_fail(HORA_EUSAGE, "unknown option `%s` (%s); --help lists what there is",
                           shown, origin);
    hora_free(shown);
    hora_free(better);
    hora_free(word);
    names_release(&all);
    return s;
}

hora_status hora_settings_finish(const hora_settings *s, const hora_options *const *tables, int n) {
    for (int i = 0; i < s->n; i++)
        if (!s->at[i].taken)
            return hora_option_unknown(s->at[i].key, s->at[i].origin, tables, n);
    return HORA_OK;
}

void hora_option_format(const hora_option *row, const void *obj, hora_str *out) {
    const void *at = field(row, obj);
    char buf[32];
    hora_str_add(out, "", 0); /* "" rather than NULL when there is nothing to say */
    switch (row->type) {
    case HORA_OPT_BOOL:
        hora_str_puts(out, *(const bool *)at ? "true" : "false");
        break;
    case HORA_OPT_INT:
        hora_str_printf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case HORA_OPT_REAL:
        hora_str_puts(out, hora_format_real(buf, *(const double *)at));
        break;
    case HORA_OPT_STRING:
        if (*(char *const *)at)
            hora_str_puts(out, *(char *const *)at);
        break;
    case HORA_OPT_CHOICE: {
        char *name = hora_option_choice(row, *(const int *)at);
        hora_str_puts(out, name);
        hora_free(name);
        break;
    }
    }
}

void hora_option_describe(const hora_option *row, hora_str *out) {
    const char *p = row->choices, *word;
    size_t n;
    hora_str_puts(out, row->help ? row->help : "");
    for (int i = 0; row->type == HORA_OPT_CHOICE && next_word(&p, &word, &n); i++)
        hora_str_printf(out, "%s%.*s", i ? ", " : ": ", (int)n, word);
    if (row->def && *row->def && !(row->type == HORA_OPT_BOOL && hora_eq(row->def, "false")))
        hora_str_printf(out, " [%s]", row->def);
    if (row->flags & HORA_OPT_SHORT)
        return; /* stands in front of the flag */
    p = row->aliases;
    for (int i = 0; next_word(&p, &word, &n); i++) {
        char *alias = hora_strndup(word, n), *flag = spelled(alias, true);
        hora_str_printf(out, "%s%s", i ? ", " : " (also ", flag);
        hora_free(flag);
        hora_free(alias);
    }
    if (row->aliases && *row->aliases)
        hora_str_putc(out, ')');
}

/* Adds `text` from column HELP_LEFT on, broken between words. */
static void wrap(hora_str *out, const char *text, size_t column) {
    const char *word;
    size_t n;
    bool first = true;
    while (next_word(&text, &word, &n)) {
        if (!first && column + 1 + n > HELP_RIGHT) {
            hora_str_printf(out, "\n%*s", HELP_LEFT, "");
            column = HELP_LEFT;
            first = true;
        }
        hora_str_printf(out, "%s%.*s", first ? "" : " ", (int)n, word);
        column += n + !first;
        first = false;
    }
    hora_str_putc(out, '\n');
}

void hora_options_help(const hora_options *table, hora_str *out) {
    static const char *const types[] = {NULL, "N", "X", "TEXT", "NAME"};
    hora_str_printf(out, "%s:\n", table->title);
    for (int i = 0; i < table->n; i++) {
        const hora_option *row = &table->rows[i];
        const size_t start = out->n;
        hora_str text = {0};
        /* A switch that is on is turned off, so that is the flag worth showing. */
        const bool on = row->type == HORA_OPT_BOOL && hora_eq(row->def, "true");
        char *flag = spelled(row->name, true);
        hora_str_puts(out, "  ");
        if (row->flags & HORA_OPT_SHORT)
            hora_str_printf(out, "-%s, ", row->aliases);
        hora_str_printf(out, "--%s%s", on ? "[no-]" : "", flag + 2);
        hora_free(flag);
        if (row->type != HORA_OPT_BOOL)
            hora_str_printf(out, " %s", row->arg ? row->arg : types[row->type]);
        size_t used = out->n - start;
        if (used + 2 > HELP_LEFT)
            hora_str_printf(out, "\n%*s", HELP_LEFT, "");
        else
            hora_str_printf(out, "%*s", (int)(HELP_LEFT - used), "");
        hora_option_describe(row, &text);
        wrap(out, text.s, HELP_LEFT);
        hora_str_release(&text);
    }
}
