/*
 * What stands beside the vocabulary and changes it: tokenizer_config.json (added_tokens_decoder,
 * additional_special_tokens, the names of BOS, EOS and the like), added_tokens.json,
 * special_tokens_map.json; and the chat template. Fine-tunes come with the tokenizer.json of their
 * base and name their own tokens here; a name that falls into pieces would be silent.
 *
 * A token with an id keeps it. One without an id that no vocabulary has gets the next free one, as
 * transformers gives it.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "token/tokenizer_impl.h"

typedef struct entry {
    const char *s, *file;
    size_t n;
    int64_t id;          /* -1: not said */
    bool special, fresh; /* fresh: it may be added where it is unknown */
    hora_tok_added flags;
} entry;

/* ---- adding --------------------------------------------------------------------------------- */
static hora_status add_new(hora_tokenizer *t, const entry *e, int64_t id) {
    if (id < (int64_t)t->size && id >= 0 && t->token[id].flags)
        return hora_fail(
            HORA_EFORMAT,
            "%s gives \"%.40s\" the id %lld, which is that of \"%.40s\"; the files are of "
            "different tokenizers, fetch them again",
            e->file, e->s, (long long)id, hora_tok_spelling(t, (int32_t)id));
    return hora_tok_add(t, e->s, e->n, id, 2 * (int64_t)t->size + 65536,
                        HORA_TOK_ADDED | (e->special ? (unsigned)HORA_TOK_SPECIAL : 0u));
}

static hora_status add_entry(hora_tokenizer *t, const entry *e) {
    int32_t added = hora_tok_find(t, &t->extra, e->s, e->n);
    int32_t known = added >= 0 ? added : hora_tok_find(t, &t->vocab, e->s, e->n);
    int64_t id = known >= 0 ? known : e->id >= 0 ? e->id : (int64_t)t->size;
    if (!e->n || (known < 0 && e->id < 0 && !e->fresh))
        return HORA_OK;
    if (known >= 0 && e->id >= 0 && known != e->id)
        return hora_fail(HORA_EFORMAT,
                         "%s gives \"%.40s\" the id %lld, the vocabulary %d; the files are of "
                         "different tokenizers, fetch them again",
                         e->file, e->s, (long long)e->id, (int)known);
    if (added >= 0)
        return HORA_OK; /* the vocabulary's file says more of it */
    if (known < 0)
        HORA_TRY(add_new(t, e, id));
    else
        HORA_TRY(hora_tok_add(t, hora_tok_spelling(t, known), e->n, known, INT32_MAX,
                              HORA_TOK_ADDED | (e->special ? (unsigned)HORA_TOK_SPECIAL : 0u)));
    hora_tok_added a = e->flags;
    a.id = (int32_t)id;
    return hora_tok_add_matcher(t, a);
}

/* A token as a string or as an object with `content` and its options. */
static hora_status take(hora_tokenizer *t, const hora_json *v, entry e) {
    e.s = hora_json_string(v, &e.n);
    if (e.s)
        return add_entry(t, &e);
    e.s = hora_json_string(hora_json_get(v, "content"), &e.n);
    if (!e.s)
        return HORA_OK;
    HORA_TRY(hora_json_get_bool(v, "special", e.special, &e.special));
    HORA_TRY(hora_json_get_bool(v, "single_word", false, &e.flags.single_word));
    HORA_TRY(hora_json_get_bool(v, "lstrip", false, &e.flags.lstrip));
    HORA_TRY(hora_json_get_bool(v, "rstrip", false, &e.flags.rstrip));
    HORA_TRY(hora_json_get_bool(v, "normalized", !e.special, &e.flags.normalized));
    return add_entry(t, &e);
}

/* {"32000": {"content": ..}, ..} */
static hora_status take_decoder(hora_tokenizer *t, const hora_json *o) {
    for (void *it = hora_json_iter(o); it; it = hora_json_next(o, it)) {
        entry e = {.file = "tokenizer_config.json"};
        const char *key = hora_json_iter_key(it);
        if (!hora_parse_int(key, &e.id) || e.id < 0)
            return hora_fail(
                HORA_EFORMAT,
                "tokenizer_config.json: added_tokens_decoder has the key \"%.40s\", which "
                "is no id; fetch the file again",
                key);
        HORA_TRY(take(t, hora_json_iter_value(it), e));
    }
    return HORA_OK;
}

/* {"<|im_start|>": 32000, ..} */
static hora_status take_added(hora_tokenizer *t, const hora_json *o, const hora_json *special) {
    for (void *it = hora_json_iter(o); it; it = hora_json_next(o, it)) {
        entry e = {.s = hora_json_iter_key(it), .file = "added_tokens.json"};
        e.n = strlen(e.s);
        if (!hora_json_int(hora_json_iter_value(it), &e.id) || e.id < 0)
            return hora_fail(HORA_EFORMAT,
                             "added_tokens.json: the id of \"%.40s\" is none; fetch the file again",
                             e.s);
        e.special = hora_json_get(special, e.s) != NULL;
        HORA_TRY(add_entry(t, &e));
    }
    return HORA_OK;
}

/* A list of tokens, or an object of them under names. */
static hora_status take_list(hora_tokenizer *t, const hora_json *v, const char *file) {
    const entry e = {.file = file, .id = -1, .special = true, .fresh = true};
    for (size_t i = 0; hora_json_type(v) == HORA_JARRAY && i < hora_json_len(v); i++)
        HORA_TRY(take(t, hora_json_at(v, i), e));
    for (void *it = hora_json_iter(v); it; it = hora_json_next(v, it))
        HORA_TRY(take(t, hora_json_iter_value(it), e));
    return HORA_OK;
}

/* ---- names ---------------------------------------------------------------------------------- */
/* "bos_token": "<s>" or {"content": "<s>", ..}. */
static void take_specials(hora_tokenizer *t, const hora_json *config) {
    for (void *it = hora_json_iter(config); it; it = hora_json_next(config, it)) {
        const char *key = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        size_t n = 0;
        if (!hora_ends(key, "_token") || hora_starts(key, "add_"))
            continue;
        const char *s = hora_json_string(v, &n);
        if (!s)
            s = hora_json_string(hora_json_get(v, "content"), &n);
        if (s)
            hora_json_set(t->special_map, key, hora_json_new_string_n(s, n));
    }
}

/* The spellings that the files call special, as keys. */
static hora_json *spellings(const hora_tokenizer *t, const hora_json *config,
                            const hora_json *map) {
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    const hora_json *files[] = {config, map};
    hora_json *all = hora_json_new_object();
    for (void *it = hora_json_iter(t->special_map); it; it = hora_json_next(t->special_map, it))
        hora_json_set(all, hora_json_string(hora_json_iter_value(it), NULL),
                      hora_json_new_bool(true));
    for (size_t f = 0; f < HORA_COUNT(files); f++)
        for (size_t k = 0; k < HORA_COUNT(lists); k++) {
            const hora_json *v = hora_json_get(files[f], lists[k]);
            for (size_t i = 0; i < hora_json_len(v); i++) {
                const hora_json *x = hora_json_at(v, i);
                const char *s = hora_json_string(x, NULL);
                s = s ? s : hora_json_string(hora_json_get(x, "content"), NULL);
                if (s)
                    hora_json_set(all, s, hora_json_new_bool(true));
            }
        }
    return all;
}

static hora_status named(const hora_tokenizer *t, const char *key, bool must, int32_t *id) {
    const char *s = hora_json_string(hora_json_get(t->special_map, key), NULL);
    *id = s && *s ? hora_tokenizer_id(t, s) : -1;
    if (!s || !*s || *id >= 0)
        return HORA_OK;
    if (must)
        return hora_fail(
            HORA_EFORMAT,
            "%s is \"%.40s\", which is no token of this vocabulary; correct the name in "
            "tokenizer_config.json, or put the file beside it that adds the token "
            "(added_tokens.json, tokenizer.json)",
            key, s);
    hora_warn("%s is \"%.40s\", which is no token of this vocabulary", key, s);
    return HORA_OK;
}

/* Every named token that the vocabulary has is found in text, whatever its file says. */
static hora_status find_named(hora_tokenizer *t) {
    for (void *it = hora_json_iter(t->special_map); it; it = hora_json_next(t->special_map, it)) {
        const entry e = {.file = "tokenizer_config.json", .id = -1, .special = true};
        HORA_TRY(take(t, hora_json_iter_value(it), e));
    }
    HORA_TRY(named(t, "bos_token", true, &t->bos));
    HORA_TRY(named(t, "eos_token", true, &t->eos));
    return named(t, "pad_token", false, &t->pad);
}

/* ---- the template --------------------------------------------------------------------------- */
/* The template `name` of a list [{"name", "template"}, ..]; NULL: none. */
static const char *listed(const hora_json *list, const char *name) {
    for (size_t i = 0; hora_json_type(list) == HORA_JARRAY && i < hora_json_len(list); i++) {
        const hora_json *e = hora_json_at(list, i);
        if (hora_eq(hora_json_string(hora_json_get(e, "name"), NULL), name))
            return hora_json_string(hora_json_get(e, "template"), NULL);
    }
    return NULL;
}

/* The file DIR/NAME into `text`, when it is there; *s: its text. */
static hora_status read_beside(hora_str *text, const char *dir, const char *name, const char **s) {
    char *path = hora_path_join(dir, name);
    hora_status st = HORA_OK;
    if (hora_path_exists(path)) {
        st = hora_file_read(text, path);
        *s = text->s ? text->s : "";
    }
    hora_free(path);
    return st;
}

/* Without the line break at its end, which templates drop. */
static void put_source(hora_str *to, const char *s) {
    s += hora_byte_order_mark(s, strlen(s));
    size_t n = strlen(s);
    hora_tok_str_add(to, s, n - (n && s[n - 1] == '\n'));
}

/* A template of its own for conversations with tools (`tool_use`) becomes a branch of one. */
static hora_status take_template(hora_tokenizer *t, const char *dir, const hora_json *config) {
    hora_str text = {0}, tools = {0}, both = {0};
    const hora_json *v = hora_json_get(config, "chat_template");
    const char *s = hora_json_string(v, NULL), *with = listed(v, "tool_use");
    s = s ? s : listed(v, "default");
    hora_status st = read_beside(&text, dir, "chat_template.jinja", &s);
    if (st == HORA_OK)
        st = read_beside(&tools, dir, "additional_chat_templates/tool_use.jinja", &with);
    if (st == HORA_OK && s && with) {
        hora_str_puts(&both, "{% if tools is defined and tools is not none +%}");
        put_source(&both, with);
        hora_str_puts(&both, "{%+ else +%}");
        put_source(&both, s);
        hora_str_puts(&both, "{%+ endif +%}");
        s = both.s;
    }
    if (st == HORA_OK && s)
        t->chat_template = hora_strdup(s + hora_byte_order_mark(s, strlen(s)));
    hora_str_release(&text);
    hora_str_release(&tools);
    hora_str_release(&both);
    return st;
}

/* As transformers: a configuration that lists the added tokens says everything, and the map of
 * special tokens beside it is not read; of an older one the map's names win. */
static hora_status take_all(hora_tokenizer *t, const hora_json *config, const hora_json *map,
                            const hora_json *added) {
    static const char config_file[] = "tokenizer_config.json",
                      map_file[] = "special_tokens_map.json";
    if (hora_json_get(config, "added_tokens_decoder"))
        map = NULL;
    take_specials(t, config);
    take_specials(t, map);
    hora_json *special = spellings(t, config, map);
    hora_status st = take_decoder(t, hora_json_get(config, "added_tokens_decoder"));
    if (st == HORA_OK)
        st = take_added(t, added, special);
    hora_json_free(special);
    HORA_TRY(st);
    HORA_TRY(take_list(t, hora_json_get(config, "additional_special_tokens"), config_file));
    HORA_TRY(take_list(t, hora_json_get(config, "extra_special_tokens"), config_file));
    HORA_TRY(take_list(t, hora_json_get(map, "additional_special_tokens"), map_file));
    return find_named(t);
}

hora_status hora_tok_load_beside(hora_tokenizer *t, const char *dir, const hora_json *config) {
    hora_json *map = NULL, *added = NULL;
    hora_status st;
    HORA_TRY_OUT(st, hora_json_load_beside(&map, dir, "special_tokens_map.json"));
    HORA_TRY_OUT(st, hora_json_load_beside(&added, dir, "added_tokens.json"));
    st = take_all(t, config, map, added);
out:
    hora_json_free(map);
    hora_json_free(added);
    if (st != HORA_OK)
        return hora_context(st, "%s", dir);
    hora_tok_finish(t);
    return take_template(t, dir, config);
}
