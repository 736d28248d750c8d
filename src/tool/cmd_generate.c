/* hora generate: text from a prompt, streamed. */
#include <unistd.h>

#include "api/handles.h"
#include "base/log.h"
#include "base/text.h"
#include "tool/tool.h"

typedef struct config {
    char *prompt, *chat, *chat_kwargs, *date;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(prompt, "prompt", NULL, NULL, "TEXT",
               "text to go on from; may be empty where the tokenizer adds a BOS token"),
    OPT_STRING(
        chat, "chat", NULL, NULL, "FILE",
        "JSON list of {\"role\", \"content\"}, or an object with `messages`; rendered with the "
        "model's chat template, with the object's `tools`, `documents`, `chat_template_kwargs`"),
    OPT_STRING(chat_kwargs, "chat_kwargs", NULL, NULL, "JSON",
               "more variables for the chat template: {\"enable_thinking\": false}",
               .with = "chat"),
    OPT_STRING(date, "date", NULL, NULL, "DATE",
               "2026-01-31: the date that a chat template writes; unset: today", .with = "chat"),
};
static const hora_options options = {"Prompt", rows, HORA_COUNT(rows)};

static hora_status read_chat(const config *c, hora_json **tree, hora_chat *chat,
                             hora_json **kwargs) {
    HORA_TRY(hora_json_load(tree, c->chat));
    HORA_TRY(hora_chat_read(chat, *tree));
    HORA_TRY(hora_chat_object(kwargs, c->chat_kwargs, "--chat-kwargs"));
    return hora_json_len(chat->messages)
               ? HORA_OK
               : hora_fail(HORA_EFORMAT,
                           "%s: holds no messages; write [{\"role\": \"user\", \"content\": "
                           "\"..\"}]",
                           c->chat);
}

static hora_status chat_ids(hora_model *m, config *c, hora_ids *ids, hora_str *text) {
    hora_json *tree = NULL, *kwargs = NULL;
    hora_chat chat = {0};
    HORA_TRY(hora_open_chat(&m->opened, &c->date));
    if (!m->opened.chat)
        return hora_fail(HORA_ENOTFOUND,
                         "%s has no chat template that hora can render; add chat_template.jinja or "
                         "use --prompt",
                         m->base->dir);
    hora_status s = read_chat(c, &tree, &chat, &kwargs);
    if (s == HORA_OK)
        s = hora_chat_prompt(m->opened.tokenizer, m->opened.chat, &chat, kwargs, ids, text);
    hora_chat_release(&chat);
    hora_json_free(kwargs);
    hora_json_free(tree);
    return s;
}

static hora_status prompt_ids(hora_model *m, config *c, const hora_tokenizer *tok, hora_ids *ids,
                              hora_str *text) {
    if (!c->prompt == !c->chat)
        return hora_fail(HORA_EUSAGE, "give one of --prompt TEXT and --chat FILE.json");
    HORA_TRY(c->chat ? chat_ids(m, c, ids, text)
                     : hora_tokenizer_encode(tok, c->prompt, strlen(c->prompt), true, ids));
    if (!ids->n)
        return hora_fail(HORA_EUSAGE, "the prompt has no tokens, and the tokenizer adds none; give "
                                      "a --prompt that is not empty");
    return HORA_OK;
}

static hora_json *ids_json(const int32_t *ids, size_t n) {
    hora_json *a = hora_json_new_array();
    for (size_t i = 0; i < n; i++)
        hora_json_push(a, hora_json_new_int(ids[i]));
    return a;
}

static hora_json *generation_json(const hora_generation *g, size_t prompt, double seconds) {
    hora_json *j = hora_json_new_object();
    hora_json_set(j, "text", hora_json_new_string_n(g->text.s ? g->text.s : "", g->text.n));
    hora_json_set(j, "ids", ids_json(g->ids.at, g->ids.n));
    hora_json_set(j, "prompt_tokens", hora_json_new_int((int64_t)prompt));
    hora_json_set(j, "tokens", hora_json_new_int((int64_t)g->ids.n));
    hora_json_set(j, "finish", hora_json_new_string(g->finish));
    hora_json_set(j, "seconds", hora_json_new_real(seconds));
    return j;
}

/* The context is as long as this answer can get, no longer: memory for keys and values. */
static void fit_context(hora_settings *s, const hora_model *m, size_t prompt, int64_t fresh) {
    if (hora_settings_get(s, "context"))
        return;
    const int64_t most = m->base->max_positions - hora_adapters_front(m->adapters, m->n);
    const int64_t want = hora_round_up((int64_t)prompt + fresh, 64);
    char text[32];
    hora_snprintf(text, sizeof text, "%lld", (long long)(most > 0 ? hora_min(want, most) : want));
    hora_settings_put(s, "context", text, "program");
}

static hora_status generate(hora_model *m, config *c, hora_generation *g, hora_settings *s,
                            hora_json **out) {
    hora_predictor *p = NULL;
    hora_ids ids = {0};
    hora_str text = {0};
    const double start = hora_now();
    HORA_TRY(hora_model_tokenizer(m, &g->tokenizer, NULL));
    hora_status st = prompt_ids(m, c, g->tokenizer, &ids, &text);
    if (st == HORA_OK) {
        fit_context(s, m, ids.n, g->sampling->max_new_tokens);
        st = hora_predictor_new_with(&p, m, s);
    }
    if (st == HORA_OK)
        st = hora_predictor_run(p, ids.at, ids.n, g, c->chat != NULL);
    if (st == HORA_OK) {
        *out = generation_json(g, ids.n, hora_now() - start);
        hora_json_set(*out, "cache_bytes", hora_json_new_int((int64_t)hora_predictor_cache(p)));
        hora_json_set(*out, "prompt",
                      c->chat ? hora_json_new_string_n(text.s, text.n)
                              : hora_json_new_string(c->prompt));
    }
    hora_str_release(&text);
    hora_predictor_free(p);
    hora_ids_release(&ids);
    return st;
}

static bool print_piece(void *user, const char *text, size_t n) {
    (void)user;
    return hora_cli_write(text, n, true) && !fflush(stdout);
}

/* The text itself has been streamed. */
static void print(const hora_json *r) {
    const double s = hora_cli_number(r, "seconds"), n = hora_cli_number(r, "tokens");
    putchar('\n');
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "%.0f + %.0f tokens, %s, %.1f tokens/s, %.1f KiB of cache\n",
                hora_cli_number(r, "prompt_tokens"), n, hora_cli_text(r, "finish"),
                s > 0 ? n / s : 0, hora_cli_number(r, "cache_bytes") / 1024);
}

static hora_status run(hora_cli *cli) {
    hora_settings *s = &cli->settings;
    hora_model *m = NULL;
    hora_json *r = NULL;
    config c = {0};
    hora_sampling sampling = {0};
    hora_generation g = {.sampling = &sampling, .piece = cli->json ? NULL : print_piece};
    hora_status st;
    HORA_TRY_OUT(st, hora_options_take(&options, &c, s));
    HORA_TRY_OUT(st, hora_options_take(&hora_sampling_options, &sampling, s));
    HORA_TRY_OUT(st, hora_cli_open(&m, s));
    st = generate(m, &c, &g, s, &r);
out:
    hora_cli_show(cli, r, print);
    hora_model_close(m);
    hora_ids_release(&g.ids);
    hora_str_release(&g.text);
    hora_options_release(&options, &c);
    hora_options_release(&hora_sampling_options, &sampling);
    return st;
}

const hora_command hora_command_generate = {
    .name = "generate",
    .summary = "Go on from a prompt or answer a conversation",
    .usage = "--model DIR [--adapter DIR] --prompt TEXT | --chat FILE.json [options]",
    .more =
        "Prints the new text alone. Stops at the model's end tokens and, in a conversation, at\n"
        "the end of the turn. A prompt longer than the model's positions is refused.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options, &hora_sampling_options,
               &hora_predictor_options},
    .run = run};
