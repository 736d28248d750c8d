/* hora tokenize: text to ids and back. */
#include "base/file.h"
#include "base/text.h"
#include "token/tokenizer.h"
#include "tool/tool.h"

typedef struct config {
    char *model, *text, *pair, *file, *jsonl;
    bool decode, special, keep_special, types;
    int64_t max_length;
    int truncation;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(
        model, "model", "tokenizer", NULL, "DIR",
        "directory with tokenizer.json, tokenizer.model or vocab.txt; nothing else is needed"),
    OPT_STRING(text, "text", NULL, NULL, "TEXT",
               "this text; with --decode one JSON list of ids per line"),
    OPT_STRING(pair, "pair", NULL, NULL, "TEXT", "--text: the second text of a pair"),
    OPT_STRING(file, "file", NULL, NULL, "FILE",
               "the whole file as one text; with --decode one JSON list of ids per line"),
    OPT_STRING(jsonl, "jsonl", NULL, NULL, "FILE",
               "each line's {\"text\": ..}, of a pair also \"text_pair\"; with --decode its "
               "{\"ids\": ..}"),
    OPT_BOOL(decode, "decode", NULL, "false", "ids to text"),
    OPT_BOOL(special, "special", NULL, "true",
             "add BOS and the like as Hugging Face does by default"),
    OPT_BOOL(keep_special, "keep_special", NULL, "false",
             "--decode: spell special tokens out instead of dropping them"),
    OPT_INT(max_length, "max_length", NULL, "0", 0, 1 << 24,
            "cut to so many ids, special ones included; 0: no limit. A record's own wins"),
    OPT_CHOICE(truncation, "truncation", NULL, "longest_first", HORA_TRUNCATIONS,
               "what of a pair is cut; a record's `strategy` wins"),
    OPT_BOOL(types, "types", NULL, "false",
             "print {\"ids\": .., \"token_type_ids\": ..} instead of the ids alone"),
};
static const hora_options options = {"Tokenize", rows, HORA_COUNT(rows)};

typedef struct tokenize {
    const config *c;
    hora_tokenizer *t;
    bool quoted; /* decoded text as JSON strings */
} tokenize;

static hora_status print_line(const hora_str *text) {
    return hora_cli_write(text->s ? text->s : "", text->n, true) && putchar('\n') == '\n'
               ? HORA_OK
               : hora_fail(HORA_EIO, "cannot write the output; check the disk or the pipe");
}

static void add_list(hora_str *out, const hora_ids *ids) {
    hora_str_putc(out, '[');
    for (size_t i = 0; i < ids->n; i++)
        hora_str_printf(out, "%s%d", i ? ", " : "", ids->at[i]);
    hora_str_putc(out, ']');
}

static hora_status encode_one(const tokenize *x, const hora_text_pair *text, int64_t most,
                              int how) {
    hora_ids ids = {0}, types = {0};
    hora_str out = {0};
    const config *c = x->c;
    hora_status s;
    if (text->second || most || c->types)
        s = c->special ? hora_tokenizer_encode_pair(x->t, text, most, (hora_truncation)how, &ids,
                                                    &types, NULL)
                       : hora_fail(HORA_EUSAGE, "--no-special goes with one text, its whole length "
                                                "and its ids alone; leave it out");
    else
        s = hora_tokenizer_encode(x->t, text->first, text->nfirst, c->special, &ids);
    if (c->types)
        hora_str_puts(&out, "{\"ids\": ");
    add_list(&out, &ids);
    if (c->types) {
        hora_str_puts(&out, ", \"token_type_ids\": ");
        add_list(&out, &types);
        hora_str_putc(&out, '}');
    }
    if (s == HORA_OK)
        s = print_line(&out);
    hora_ids_release(&ids);
    hora_ids_release(&types);
    hora_str_release(&out);
    return s;
}

/* {"text": .., "text_pair": .., "max_length": .., "strategy": ..}; all but the first may lack. */
static hora_status encode_record(const tokenize *x, const hora_json *o, const char *what) {
    static const char *const strategies[] = {"longest_first", "only_first", "only_second"};
    hora_text_pair text = {0};
    int64_t most;
    int how = x->c->truncation;
    const char *name;
    const hora_json *second = hora_json_get(o, "text_pair");
    second = second ? second : hora_json_get(o, "pair");
    text.first = hora_json_string(hora_json_get(o, "text"), &text.nfirst);
    text.second = hora_json_string(second, &text.nsecond);
    if (!text.first || (second && !text.second && hora_json_type(second) != HORA_JNULL))
        return hora_fail(HORA_EFORMAT, "%s: has no string `%s`; write {\"text\": \"..\"}", what,
                         text.first ? "text_pair" : "text");
    HORA_TRY(hora_json_get_int(o, "max_length", x->c->max_length, &most));
    HORA_TRY(hora_json_get_string(o, "strategy", strategies[how], &name));
    for (how = 0; how < (int)HORA_COUNT(strategies) && !hora_eq(name, strategies[how]);)
        how++;
    if (most < 0 || how == (int)HORA_COUNT(strategies))
        return hora_fail(HORA_EFORMAT, "%s: the %s is none; choose one of " HORA_TRUNCATIONS, what,
                         most < 0 ? "max_length" : "strategy");
    hora_status s = encode_one(x, &text, most, how);
    return s ? hora_context(s, "%s", what) : HORA_OK;
}

static hora_status decode_one(const tokenize *x, const hora_json *list, const char *what) {
    hora_ids ids = {0};
    hora_str text = {0}, out = {0};
    hora_status s = HORA_OK;
    if (hora_json_type(list) != HORA_JARRAY)
        s = hora_fail(HORA_EFORMAT, "%s: should be a list of ids such as [1, 403]", what);
    for (size_t i = 0; i < hora_json_len(list) && s == HORA_OK; i++) {
        int64_t id;
        if (!hora_json_int(hora_json_at(list, i), &id) || id < 0 || id >= hora_tokenizer_size(x->t))
            s = hora_fail(HORA_EFORMAT,
                          "%s: element %zu is no id of this tokenizer (0 .. %d); use its own ids",
                          what, i, hora_tokenizer_size(x->t) - 1);
        else
            hora_ids_push(&ids, (int32_t)id);
    }
    if (s == HORA_OK)
        s = hora_tokenizer_decode(x->t, ids.at, ids.n, !x->c->keep_special, &text);
    if (s == HORA_OK && x->quoted)
        hora_json_quote(&out, text.s ? text.s : "", text.n);
    if (s == HORA_OK)
        s = print_line(x->quoted ? &out : &text);
    hora_ids_release(&ids);
    hora_str_release(&text);
    hora_str_release(&out);
    return s;
}

/* One line of JSON: a list of ids to decode, or a record whose `text` (or `ids`) counts. */
static hora_status json_line(const tokenize *x, const char *text, size_t n, const char *what,
                             bool record) {
    hora_json *tree;
    HORA_TRY(hora_json_parse(&tree, text, n, what));
    hora_status s = x->c->decode ? decode_one(x, record ? hora_json_get(tree, "ids") : tree, what)
                                 : encode_record(x, tree, what);
    hora_json_free(tree);
    return s;
}

static hora_status json_lines(const tokenize *x, const char *text, size_t n, const char *name,
                              bool record) {
    hora_status s = HORA_OK;
    size_t lines = 0, done = 0;
    for (size_t at = hora_byte_order_mark(text, n); at < n && s == HORA_OK; lines++) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t len = end ? (size_t)(end - (text + at)) : n - at;
        if (len && strspn(text + at, " \t\r") < len) {
            char *what = hora_format("%s:%zu", name, lines + 1);
            s = json_line(x, text + at, len, what, record);
            hora_free(what);
            done++;
        }
        at += len + 1;
    }
    if (s == HORA_OK && !done)
        s = hora_fail(HORA_EFORMAT, "%s: is empty; give at least one line", name);
    return s;
}

static hora_status tokenize_all(const tokenize *x) {
    const config *c = x->c;
    hora_str text = {0};
    if (c->text && c->decode)
        return json_lines(x, c->text, strlen(c->text), "--text", false);
    if (c->text) {
        const hora_text_pair text = {c->text, strlen(c->text), c->pair,
                                     c->pair ? strlen(c->pair) : 0};
        return encode_one(x, &text, c->max_length, c->truncation);
    }
    const char *path = c->file ? c->file : c->jsonl;
    HORA_TRY(hora_file_read(&text, path));
    const char *s = text.s ? text.s : "";
    hora_status st = c->jsonl    ? json_lines(x, s, text.n, path, true)
                     : c->decode ? json_lines(x, s, text.n, path, false)
                                 : encode_one(x, &(hora_text_pair){.first = s, .nfirst = text.n},
                                              c->max_length, c->truncation);
    hora_str_release(&text);
    return st;
}

static hora_status run(hora_cli *cli) {
    config c = {0};
    tokenize x = {&c, NULL, cli->json};
    hora_status st;
    HORA_TRY_OUT(st, hora_options_take(&options, &c, &cli->settings));
    HORA_TRY_OUT(st, hora_cli_required("model", c.model, "a directory with tokenizer.json"));
    if (!c.text + !c.file + !c.jsonl != 2)
        HORA_TRY_OUT(st, hora_fail(HORA_EUSAGE, "give one of --text, --file and --jsonl"));
    if (c.pair && (!c.text || c.decode))
        HORA_TRY_OUT(st, hora_fail(HORA_EUSAGE, "--pair goes with --text; records of --jsonl have "
                                                "`text_pair`"));
    HORA_TRY_OUT(st, hora_tokenizer_open(&x.t, c.model));
    HORA_TRY_OUT(st, tokenize_all(&x));
out:
    hora_tokenizer_close(x.t);
    hora_options_release(&options, &c);
    return st;
}

const hora_command hora_command_tokenize = {
    .name = "tokenize",
    .summary = "Text to ids, as JSON, a line each; or back",
    .usage =
        "--model DIR (--text TEXT [--pair TEXT] | --file FILE | --jsonl FILE) [--decode] [options]",
    .more =
        "Special tokens such as BOS are added as Hugging Face does by default; --no-special\n"
        "leaves them out. --decode drops special tokens unless --keep-special; with --json each\n"
        "text is a JSON string.",
    .tables = {&options},
    .run = run};
