/*
 * The subcommands around files and tables: tokenize, inspect, new, methods, models, version.
 */
#include "api/handles.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/text.h"
#include "base/threads.h"
#include "hora_build.h"
#include "run/inspect.h"
#include "tool/tool_options.h"

/* --- tokenize --------------------------------------------------------------------------------- */
typedef struct tokenize {
    const hora_tool_tokenize_config *c;
    hora_tokenizer *t;
    bool quoted;
    hora_tool_text line;
    void *user;
} tokenize;

static hora_status put_line(const tokenize *x, const hora_str *text) {
    return x->line(x->user, text->s ? text->s : "", text->n)
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
        s = put_line(x, &out);
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
        s = put_line(x, x->quoted ? &out : &text);
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
    const hora_tool_tokenize_config *c = x->c;
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

hora_status hora_tool_tokenize(hora_settings *s, bool quoted, hora_tool_text line, void *user) {
    hora_tool_tokenize_config c = {0};
    tokenize x = {&c, NULL, quoted, line, user};
    HORA_TRY(hora_tool_check("tokenize", NULL, s));
    hora_status st = hora_options_take(&hora_tool_tokenize_options, &c, s);
    if (st == HORA_OK)
        st = hora_tool_required("model", c.model, "a directory with tokenizer.json");
    if (st == HORA_OK && !c.text + !c.file + !c.jsonl != 2)
        st = hora_fail(HORA_EUSAGE, "give one of --text, --file and --jsonl");
    if (st == HORA_OK)
        st = hora_tokenizer_open(&x.t, c.model);
    if (st == HORA_OK)
        st = tokenize_all(&x);
    hora_tokenizer_close(x.t);
    hora_options_release(&hora_tool_tokenize_options, &c);
    return st;
}

/* --- inspect ---------------------------------------------------------------------------------- */
hora_status hora_tool_inspect(hora_settings *s, const char *path, hora_json **out) {
    hora_tool_inspect_config c = {0};
    HORA_TRY(hora_tool_check("inspect", NULL, s));
    if (!path)
        return hora_fail(HORA_EUSAGE, "nothing to inspect; give a safetensors file, a model, an "
                                      "adapter or a checkpoint");
    hora_status st = hora_options_take(&hora_tool_inspect_options, &c, s);
    if (st == HORA_OK)
        st = hora_inspect(path, c.model, c.heads, out);
    hora_options_release(&hora_tool_inspect_options, &c);
    return st;
}

/* --- new -------------------------------------------------------------------------------------- */
static hora_status make_new(const hora_tool_new_config *c, hora_json **out) {
    const hora_base_options o = {HORA_F32, false};
    hora_base *b;
    HORA_TRY(hora_tool_required("config", c->config, "the config.json of the model to make"));
    HORA_TRY(hora_tool_required("out", c->out, "the directory to write"));
    if (hora_path_exists(c->out) && !c->overwrite)
        return hora_fail(HORA_EEXISTS, "%s exists; give another --out or --overwrite", c->out);
    HORA_TRY(hora_base_fresh(&b, c->config, &o, (uint64_t)c->seed));
    hora_status s = hora_write_model(b, c->out, NULL, c->dtype ? HORA_BF16 : HORA_F32, c->tokenizer,
                                     c->overwrite);
    if (s == HORA_OK) {
        *out = hora_json_new_object();
        hora_json_set(*out, "out", hora_json_new_string(c->out));
        hora_json_set(*out, "model_type", hora_json_new_string(b->model_type));
        hora_json_set(*out, "parameters", hora_json_new_int(hora_base_parameters(b)));
        hora_json_set(*out, "seed", hora_json_new_int(c->seed));
    }
    hora_base_close(b);
    return s;
}

hora_status hora_tool_new(hora_settings *s, hora_json **out) {
    hora_tool_new_config c = {0};
    HORA_TRY(hora_tool_check("new", NULL, s));
    hora_status st = hora_options_take(&hora_tool_new_options, &c, s);
    if (st == HORA_OK)
        st = make_new(&c, out);
    hora_options_release(&hora_tool_new_options, &c);
    return st;
}

/* --- registries and version ------------------------------------------------------------------- */
static hora_json *text_or_null(const char *s) {
    return s ? hora_json_new_string(s) : hora_json_new_null();
}

static hora_json *options_json(const hora_options *t) {
    hora_json *list = hora_json_new_array();
    for (int i = 0; t && i < t->n; i++) {
        hora_json *o = hora_json_push(list, hora_json_new_object());
        hora_json_set(o, "name", hora_json_new_string(t->rows[i].name));
        hora_json_set(o, "aliases", text_or_null(t->rows[i].aliases));
        hora_json_set(o, "default", text_or_null(t->rows[i].def));
        hora_json_set(o, "choices", text_or_null(t->rows[i].choices));
        hora_json_set(o, "help", text_or_null(t->rows[i].help));
    }
    return list;
}

void hora_tool_methods(hora_json **out) {
    *out = hora_json_new_array();
    for (int i = 0; i < hora_method_count(); i++) {
        const hora_method *m = hora_method_at(i);
        hora_json *o = hora_json_push(*out, hora_json_new_object());
        hora_json_set(o, "name", hora_json_new_string(m->name));
        hora_json_set(o, "summary", hora_json_new_string(m->summary));
        hora_json_set(o, "paper", text_or_null(m->paper));
        hora_json_set(o, "default_lr", hora_json_new_real(m->default_lr));
        hora_json_set(o, "merges", hora_json_new_bool(m->traits & HORA_TRAIT_LOWRANK));
        hora_json_set(o, "options", options_json(m->options));
    }
}

void hora_tool_models(hora_json **out) {
    *out = hora_json_new_array();
    for (int i = 0; i < hora_family_count(); i++) {
        const hora_family *f = hora_family_at(i);
        hora_json *o = hora_json_push(*out, hora_json_new_object());
        hora_json_set(o, "name", hora_json_new_string(f->name));
        hora_json_set(o, "summary", hora_json_new_string(f->summary));
        hora_json_set(o, "model_types", hora_json_new_string(f->model_types));
    }
}

void hora_tool_version(hora_json **out) {
    hora_str backends = {0};
    for (int i = 0; i < hora_backend_count(); i++)
        hora_str_printf(&backends, "%s%s", i ? " " : "", hora_backend_at(i)->name);
#ifdef HORA_HAVE_ONEDNN
    hora_str_puts(&backends, " (products: onednn)");
#endif
    *out = hora_json_new_object();
    hora_json_set(*out, "version", hora_json_new_string(HORA_VERSION_STRING));
    hora_json_set(*out, "commit", hora_json_new_string(HORA_COMMIT));
#ifdef __clang__
    hora_json_set(*out, "compiler", hora_json_new_string("clang " __clang_version__));
#elif defined(__GNUC__)
    hora_json_set(*out, "compiler", hora_json_new_string("gcc " __VERSION__));
#else
    hora_json_set(*out, "compiler", hora_json_new_string("unknown"));
#endif
    hora_json_set(*out, "backends", hora_json_new_string(backends.s ? backends.s : ""));
    hora_json_set(*out, "cpu", hora_json_new_string(hora_cpu_model()));
    hora_json_set(*out, "cpu_features", hora_json_new_string(hora_cpu_features()));
    hora_json_set(*out, "isa", hora_json_new_string(hora_isa_name(hora_cpu_isa())));
    hora_json_set(*out, "threads", hora_json_new_int(hora_threads()));
    hora_str_release(&backends);
}
