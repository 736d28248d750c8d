/* hora tokenize: text to ids and back. */
#include "base/file.h"
#include "base/text.h"
#include "token/tokenizer.h"
#include "tool/tool.h"

typedef struct config {
    char *model, *text, *file, *jsonl;
    bool decode, special, keep_special;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(model, "model", "tokenizer", NULL, "DIR",
               "directory with tokenizer.json or tokenizer.model; nothing else is needed"),
    OPT_STRING(text, "text", NULL, NULL, "TEXT",
               "this text; with --decode one JSON list of ids per line"),
    OPT_STRING(file, "file", NULL, NULL, "FILE",
               "the whole file as one text; with --decode one JSON list of ids per line"),
    OPT_STRING(jsonl, "jsonl", NULL, NULL, "FILE",
               "each line's {\"text\": ..}; with --decode its {\"ids\": ..}"),
    OPT_BOOL(decode, "decode", NULL, "false", "ids to text"),
    OPT_BOOL(special, "special", NULL, "true",
             "add BOS and the like as Hugging Face does by default"),
    OPT_BOOL(keep_special, "keep_special", NULL, "false",
             "--decode: spell special tokens out instead of dropping them"),
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

static hora_status encode_one(const tokenize *x, const char *text, size_t n) {
    hora_ids ids = {0};
    hora_str out = {0};
    hora_status s = hora_tokenizer_encode(x->t, text, n, x->c->special, &ids);
    hora_str_putc(&out, '[');
    for (size_t i = 0; i < ids.n; i++)
        hora_str_printf(&out, "%s%d", i ? ", " : "", ids.at[i]);
    hora_str_putc(&out, ']');
    if (s == HORA_OK)
        s = print_line(&out);
    hora_ids_release(&ids);
    hora_str_release(&out);
    return s;
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
    size_t len;
    HORA_TRY(hora_json_parse(&tree, text, n, what));
    hora_status s;
    if (x->c->decode) {
        s = decode_one(x, record ? hora_json_get(tree, "ids") : tree, what);
    } else {
        const char *field = hora_json_string(hora_json_get(tree, "text"), &len);
        s = field ? encode_one(x, field, len)
                  : hora_fail(HORA_EFORMAT, "%s: has no string `text`; write {\"text\": \"..\"}",
                              what);
    }
    hora_json_free(tree);
    return s;
}

static hora_status json_lines(const tokenize *x, const char *text, size_t n, const char *name,
                              bool record) {
    hora_status s = HORA_OK;
    size_t lines = 0, done = 0;
    for (size_t at = 0; at < n && s == HORA_OK; lines++) {
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
    if (c->text)
        return encode_one(x, c->text, strlen(c->text));
    const char *path = c->file ? c->file : c->jsonl;
    HORA_TRY(hora_file_read(&text, path));
    const char *s = text.s ? text.s : "";
    hora_status st = c->jsonl    ? json_lines(x, s, text.n, path, true)
                     : c->decode ? json_lines(x, s, text.n, path, false)
                                 : encode_one(x, s, text.n);
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
    .usage = "--model DIR (--text TEXT | --file FILE | --jsonl FILE) [--decode] [options]",
    .more =
        "Special tokens such as BOS are added as Hugging Face does by default; --no-special\n"
        "leaves them out. --decode drops special tokens unless --keep-special; with --json each\n"
        "text is a JSON string.",
    .tables = {&options},
    .run = run};
