/*
 * An Ollama Modelfile beside a GGUF model: where it lies, where answers end, how it samples, and
 * the chat template as Ollama's own language can say it. The template is not translated, it is
 * asked: conversations of marked words are rendered, and what stands around the words is taken.
 * Source: github.com/ollama/ollama, docs/modelfile.mdx.
 */
#include "tool/modelfile.h"

#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/outdir.h"
#include "base/text.h"

#define S "HoraSystemWord"
#define U "HoraPromptWord"
#define A "HoraAnswerWord"

static const char *const talks[] = {
    "[{\"role\": \"user\", \"content\": \"" U "\"}]",
    "[{\"role\": \"system\", \"content\": \"" S "\"}, {\"role\": \"user\", \"content\": \"" U
    "\"}]",
    "[{\"role\": \"user\", \"content\": \"" U "\"}, {\"role\": \"assistant\", \"content\": \"" A
    "\"}]",
};

/* What stands in front of `word` and behind it; false: it is not there once. */
static bool around(const char *text, const char *word, char **before, const char **behind) {
    const char *at = text ? strstr(text, word) : NULL;
    if (!at || strstr(at + 1, word))
        return false;
    *before = hora_strndup(text, (size_t)(at - text));
    *behind = at + strlen(word);
    return true;
}

/* Ollama puts BOS in front itself. */
static const char *without_bos(const hora_tokenizer *t, const char *text) {
    const int32_t bos = hora_tokenizer_bos(t);
    hora_str word = {0};
    size_t n = 0;
    if (bos >= 0 && !hora_tokenizer_decode(t, &bos, 1, false, &word) && word.n &&
        hora_starts(text, word.s))
        n = word.n;
    hora_str_release(&word);
    return text + n;
}

/* TEMPLATE of what three conversations look like; false: Ollama's language cannot say it. */
static bool put_template(hora_str *out, const hora_tokenizer *t, hora_str talk[3]) {
    char *u0 = NULL, *s0 = NULL, *s1 = NULL, *a0 = NULL;
    const char *u1, *rest, *after, *end;
    const bool user = around(talk[0].s, U, &u0, &u1) && around(talk[2].s, A, &a0, &end);
    const bool system = user && around(talk[1].s, S, &s0, &rest) && around(rest, U, &s1, &after) &&
                        hora_eq(after, u1);
    hora_str text = {0};
    if (system)
        hora_str_printf(&text, "{{ if .System }}%s{{ .System }}%s{{ else }}%s{{ end }}",
                        without_bos(t, s0), s1, without_bos(t, u0));
    else if (user)
        hora_str_printf(&text, "%s", without_bos(t, u0));
    if (user)
        hora_str_printf(&text, "{{ .Prompt }}%s{{ .Response }}%s", u1, end);
    const bool fine = user && !strstr(text.s, "\"\"\"");
    if (fine)
        hora_str_printf(out, "TEMPLATE \"\"\"%s\"\"\"\n", text.s);
    hora_str_release(&text);
    hora_free(u0);
    hora_free(s0);
    hora_free(s1);
    hora_free(a0);
    return fine;
}

static void put_chat(hora_str *out, const hora_tokenizer *t) {
    hora_str talk[3] = {{0}};
    if (!hora_tokenizer_chat_template(t))
        return;
    for (int i = 0; i < 3; i++)
        if (hora_tokenizer_render(t, talks[i], i < 2, &talk[i]))
            talk[i].n = 0; /* no system turn, for one */
    if (!put_template(out, t, talk))
        hora_warn("the chat template cannot be said in a Modelfile; Ollama takes the one in the "
                  "GGUF file where it knows it");
    for (int i = 0; i < 3; i++)
        hora_str_release(&talk[i]);
}

static hora_status put_stops(hora_str *out, const hora_tokenizer *t, const char *dir) {
    hora_ids stop = {0};
    hora_status s = hora_stop_ids(t, dir, true, &stop);
    for (size_t i = 0; i < stop.n && s == HORA_OK; i++) {
        hora_str word = {0};
        s = hora_tokenizer_decode(t, &stop.at[i], 1, false, &word);
        if (s == HORA_OK && word.n && !strchr(word.s, '"'))
            hora_str_printf(out, "PARAMETER stop \"%s\"\n", word.s);
        hora_str_release(&word);
    }
    hora_ids_release(&stop);
    return s;
}

/* How the model's own files want it to be sampled. */
static void put_sampling(hora_str *out, const char *dir) {
    static const char *const keys[][2] = {{"temperature", "temperature"},
                                          {"top_p", "top_p"},
                                          {"top_k", "top_k"},
                                          {"repetition_penalty", "repeat_penalty"}};
    hora_json *o = NULL;
    double v;
    if (!hora_json_load_beside(&o, dir, "generation_config.json"))
        for (size_t i = 0; i < HORA_COUNT(keys); i++)
            if (hora_json_real(hora_json_get(o, keys[i][0]), &v))
                hora_str_printf(out, "PARAMETER %s %g\n", keys[i][1], v);
    hora_json_free(o);
}

char *hora_modelfile_path(const char *gguf) {
    char *dir = hora_path_dir(gguf), *path = hora_path_join(dir, "Modelfile");
    hora_free(dir);
    return path;
}

hora_status hora_modelfile_write(const char *gguf, const hora_tokenizer *t, const char *dir) {
    hora_str out = {0};
    char *path = hora_modelfile_path(gguf);
    hora_str_printf(&out, "FROM ./%s\n", hora_path_base(gguf));
    put_chat(&out, t);
    hora_status s = put_stops(&out, t, dir);
    put_sampling(&out, dir);
    hora_outfile_seal_text(&out, HORA_MODELFILE_KIND);
    if (s == HORA_OK)
        s = hora_file_write(path, out.s, out.n);
    hora_str_release(&out);
    hora_free(path);
    return s;
}
