/*
 * Fields by other names: prompt=question reads the key (or the column) `question` as `prompt`. What
 * is not named keeps its name. The names on the left are those of sources.def, so a typing mistake
 * is found before a file is opened.
 */
#include "base/text.h"
#include "data/data_impl.h"
#include "data/files_impl.h"

static const char words[] = " |";

/* ---- the fields there are ---- */
static bool needed(const char *field) {
    for (int i = 0; i < hora_nsources; i++) {
        const char *p = hora_sources[i]->keys;
        for (char *word; (word = hora_list_word(&p, words));) {
            const bool is = hora_eq(word, field);
            hora_free(word);
            if (is)
                return true;
        }
    }
    return false;
}

static hora_status check_field(const char *field) {
    char **all = NULL;
    int n = 0, cap = 0;
    bool known = hora_eq(field, "task"); /* which every kind of record may have */
    for (int i = 0; i < hora_nsources; i++) {
        const char *lists[] = {hora_sources[i]->keys, hora_sources[i]->more};
        for (size_t k = 0; k < HORA_COUNT(lists); k++)
            for (char *word; (word = hora_list_word(&lists[k], words));) {
                known |= hora_eq(word, field);
                HORA_PUSH(all, n, cap, word);
            }
    }
    const char *near = hora_nearest(field, (const char *const *)all, n);
    hora_status s =
        known  ? HORA_OK
        : near ? hora_fail(HORA_EUSAGE, "columns: no record has a field `%s`; did you mean `%s`?",
                           field, near)
               : hora_fail(HORA_EUSAGE,
                           "columns: no record has a field `%s`; write OURS=YOURS, as in "
                           "prompt=question,completion=answer (docs/formats/data.md lists them)",
                           field);
    for (int i = 0; i < n; i++)
        hora_free(all[i]);
    hora_free(all);
    return s;
}

/* ---- reading the option ---- */
static hora_status add(hora_columns *c, int *cap, const char *ours, const char *theirs) {
    if (!*ours || !*theirs)
        return hora_fail(HORA_EUSAGE, "columns: a name is missing; write OURS=YOURS, as in "
                                      "prompt=question,completion=answer");
    HORA_TRY(check_field(ours));
    if (hora_columns_has(c, ours))
        return hora_fail(HORA_EUSAGE, "columns: `%s` is given twice; keep one", ours);
    if (c->n == *cap) {
        *cap = *cap ? *cap * 2 : 4;
        c->ours = hora_realloc(c->ours, (size_t)*cap * sizeof *c->ours);
        c->theirs = hora_realloc(c->theirs, (size_t)*cap * sizeof *c->theirs);
    }
    c->ours[c->n] = hora_strdup(ours);
    c->theirs[c->n++] = hora_strdup(theirs);
    return HORA_OK;
}

static void trim(char *s) {
    size_t n = strlen(s), from = strspn(s, " \t");
    while (n > from && strchr(" \t", s[n - 1]))
        n--;
    memmove(s, s + from, n - from);
    s[n - from] = 0;
}

static hora_status parse_json(hora_columns *c, const char *text) {
    hora_json *all;
    int cap = 0;
    hora_status s = HORA_OK;
    HORA_TRY(hora_json_parse(&all, text, strlen(text), "columns"));
    for (void *it = hora_json_iter(all); it && !s; it = hora_json_next(all, it)) {
        const char *theirs = hora_json_string(hora_json_iter_value(it), NULL);
        s = add(c, &cap, hora_json_iter_key(it), theirs ? theirs : "");
    }
    hora_json_free(all);
    return s;
}

hora_status hora_columns_parse(hora_columns *c, const char *text) {
    int cap = 0;
    hora_status s = HORA_OK;
    *c = (hora_columns){0};
    if (text && *text == '{')
        return parse_json(c, text);
    for (char *word; !s && (word = hora_list_word(&text, ",")); hora_free(word)) {
        char *eq = strchr(word, '='), *theirs = eq ? eq + 1 : word + strlen(word);
        if (eq)
            *eq = 0;
        trim(word);
        trim(theirs);
        s = add(c, &cap, word, theirs);
    }
    return s;
}

void hora_columns_release(hora_columns *c) {
    for (int i = 0; i < c->n; i++) {
        hora_free(c->ours[i]);
        hora_free(c->theirs[i]);
    }
    hora_free(c->ours);
    hora_free(c->theirs);
    *c = (hora_columns){0};
}

bool hora_columns_has(const hora_columns *c, const char *ours) {
    for (int i = 0; i < c->n; i++)
        if (hora_eq(c->ours[i], ours))
            return true;
    return false;
}

/* ---- a record ---- */
static hora_status missing(const hora_columns *c, int i, const hora_json *record) {
    hora_str have = {0};
    int shown = 0;
    for (void *it = hora_json_iter(record); it && shown < 12; it = hora_json_next(record, it))
        hora_str_printf(&have, "%s `%.40s`", shown++ ? "," : "", hora_json_iter_key(it));
    hora_status s = hora_fail(HORA_EFORMAT,
                              "columns: `%s` should stand in `%s`, which is not there; there is%s",
                              c->ours[i], c->theirs[i], have.n ? have.s : " nothing");
    hora_str_release(&have);
    return s;
}

hora_status hora_columns_apply(const hora_columns *c, const hora_json *record, hora_json **own) {
    *own = NULL;
    if (!c->n || hora_json_type(record) != HORA_JOBJECT) {
        *own = hora_json_share(record);
        return HORA_OK;
    }
    for (int i = 0; i < c->n; i++)
        if (!hora_json_get(record, c->theirs[i]) && needed(c->ours[i]))
            return missing(c, i, record);
    hora_json *o = hora_json_new_object();
    for (void *it = hora_json_iter(record); it; it = hora_json_next(record, it)) {
        const char *key = hora_json_iter_key(it);
        bool moved = hora_columns_has(c, key);
        for (int i = 0; i < c->n && !moved; i++)
            moved = hora_eq(c->theirs[i], key);
        if (!moved)
            hora_json_set(o, key, hora_json_share(hora_json_iter_value(it)));
    }
    for (int i = 0; i < c->n; i++) {
        const hora_json *v = hora_json_get(record, c->theirs[i]);
        if (v)
            hora_json_set(o, c->ours[i], hora_json_share(v));
    }
    *own = o;
    return HORA_OK;
}
