/*
 * hora chat: a conversation on the terminal. A line is a message, a line that begins with `/` a
 * command of the table below; the whole conversation goes through the model's chat template each
 * time, and what was computed of it stays in the decoder.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/handles.h"
#include "base/text.h"
#include "tool/tool.h"

typedef struct config {
    char *system, *chat_kwargs, *date;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(system, "system", NULL, NULL, "TEXT", "what stands in front of the conversation"),
    OPT_STRING(chat_kwargs, "chat_kwargs", NULL, NULL, "JSON",
               "more variables for the chat template: {\"enable_thinking\": false}"),
    OPT_STRING(date, "date", NULL, NULL, "DATE",
               "2026-01-31: the date that a chat template writes; unset: today"),
};
static const hora_options options = {"Chat", rows, HORA_COUNT(rows)};

typedef struct talk {
    hora_cli *cli;
    config c;
    hora_sampling sampling;
    hora_model *m;
    hora_predictor *p;   /* of the model with its adapters as they are on now */
    hora_json *all;      /* {"messages": [..]} */
    hora_json *messages; /* the list in it */
    hora_json *kwargs;
    volatile int *stop;
    bool done;
} talk;

static void say(talk *t, const char *role, const char *text, size_t n) {
    hora_chat_say(t->messages, role, hora_json_new_string_n(text, n));
}

static void reset(talk *t) {
    hora_json_free(t->all);
    t->all = hora_json_new_object();
    t->messages = hora_json_set(t->all, "messages", hora_json_new_array());
    if (t->c.system)
        say(t, "system", t->c.system, strlen(t->c.system));
}

static hora_status renew(talk *t) {
    hora_predictor_free(t->p);
    t->p = NULL;
    return hora_predictor_new_with(&t->p, t->m, &t->cli->settings);
}

/* --- commands of the conversation ------------------------------------------------------------- */
static hora_status on_reset(talk *t, const char *rest) {
    (void)rest;
    reset(t);
    fprintf(stderr, "the conversation begins anew\n");
    return HORA_OK;
}

static hora_status show_adapters(const talk *t) {
    for (int i = 0; i < t->m->n; i++) {
        const hora_adapter *a = t->m->adapters[i];
        fprintf(stderr, "  %-16s %s, weight %g\n", a->name, a->enabled ? "on" : "off", a->weight);
    }
    if (t->m->n == 1)
        fprintf(stderr, "the adapter is %s; ", t->m->adapters[0]->enabled ? "on" : "off");
    fprintf(stderr, "say /adapter on, /adapter off, or /adapter NAME on, off or a weight\n");
    return HORA_OK;
}

/* What `word` says of an adapter: on, off, or how much of it counts. False: none of these. */
static bool turn(hora_adapter *a, const char *word, hora_status *s) {
    double weight;
    const bool on = hora_eq(word, "on"), number = hora_parse_double(word, &weight);
    *s = HORA_OK;
    if (!on && !number && !hora_eq(word, "off"))
        return false;
    if (number)
        *s = hora_peft_weigh(a, weight);
    if (*s == HORA_OK)
        hora_adapter_enable(a, on || number);
    return true;
}

static hora_status on_adapter(talk *t, const char *rest) {
    const char *space = strrchr(rest, ' '), *word = space ? space + 1 : rest;
    char *name = space ? hora_strndup(rest, (size_t)(space - rest)) : NULL;
    hora_status s = HORA_OK;
    bool any = false, known = *rest != 0;
    for (int i = 0; i < t->m->n && known && s == HORA_OK; i++)
        if (!name || hora_eq(name, t->m->adapters[i]->name)) {
            any = true;
            known = turn(t->m->adapters[i], word, &s);
        }
    hora_free(name);
    if (s) { /* the talk goes on */
        fprintf(stderr, "%s\n", hora_errmsg());
        return HORA_OK;
    }
    if (!t->m->n)
        fprintf(stderr, "there is no adapter; start with --adapter OUT\n");
    if (!any || !known)
        return t->m->n ? show_adapters(t) : HORA_OK;
    fprintf(stderr, "adapter %s, from the next answer on\n", rest);
    return renew(t);
}

static hora_status on_quit(talk *t, const char *rest) {
    (void)rest;
    t->done = true;
    return HORA_OK;
}

static hora_status on_help(talk *t, const char *rest);

static const struct {
    const char *word, *what;
    hora_status (*run)(talk *t, const char *rest);
} commands[] = {
    {"/reset", "forget the conversation", on_reset},
    {"/adapter", "on, off, or NAME on, off or a weight: what counts; alone: what there is",
     on_adapter},
    {"/help", "this list", on_help},
    {"/quit", "leave; so do Ctrl-D and, at the prompt, Ctrl-C", on_quit},
};

static hora_status on_help(talk *t, const char *rest) {
    (void)t, (void)rest;
    for (size_t i = 0; i < HORA_COUNT(commands); i++)
        fprintf(stderr, "  %-9s %s\n", commands[i].word, commands[i].what);
    fprintf(stderr, "A line is a message; one that ends in \\ goes on in the next. Ctrl-C stops an "
                    "answer.\n");
    return HORA_OK;
}

static hora_status command(talk *t, const char *line) {
    const size_t n = strcspn(line, " ");
    for (size_t i = 0; i < HORA_COUNT(commands); i++)
        if (strlen(commands[i].word) == n && strncmp(line, commands[i].word, n) == 0)
            return commands[i].run(t, line + n + strspn(line + n, " "));
    fprintf(stderr, "no command %.*s; /help lists them\n", (int)n, line);
    return HORA_OK;
}

/* --- answers ---------------------------------------------------------------------------------- */
static bool print_piece(void *user, const char *text, size_t n) {
    const talk *t = user;
    return !*t->stop && (t->cli->json || (fwrite(text, 1, n, stdout) == n && !fflush(stdout)));
}

static hora_status prompt(talk *t, hora_ids *ids) {
    hora_chat chat = {0};
    hora_str text = {0};
    hora_status s = hora_chat_read(&chat, t->all);
    if (s == HORA_OK)
        s = hora_chat_prompt(t->m->opened.tokenizer, t->m->opened.chat, &chat, t->kwargs, ids,
                             &text);
    hora_str_release(&text);
    hora_chat_release(&chat);
    return s;
}

static void show(const talk *t, const hora_generation *g) {
    if (t->cli->json) {
        hora_json *r = hora_json_new_object();
        hora_json_set(r, "text", hora_json_new_string_n(g->text.s ? g->text.s : "", g->text.n));
        hora_json_set(r, "tokens", hora_json_new_int((int64_t)g->ids.n));
        hora_json_set(r, "finish", hora_json_new_string(g->finish));
        hora_cli_show(t->cli, r, NULL);
    } else {
        putchar('\n');
    }
    if (hora_eq(g->finish, "length"))
        fprintf(stderr, "(cut after %lld tokens; --max-new-tokens takes more)\n",
                (long long)t->sampling.max_new_tokens);
}

/* A stopped or cut answer stays in the conversation as far as it came. */
static hora_status answer(talk *t, const char *line) {
    hora_generation g = {.sampling = &t->sampling,
                         .tokenizer = t->m->opened.tokenizer,
                         .piece = print_piece,
                         .user = t,
                         .go_on = true};
    hora_ids ids = {0};
    hora_json *before = hora_json_copy(t->messages);
    say(t, "user", line, strlen(line));
    *t->stop = 0;
    hora_cli_interrupts();
    hora_status s = prompt(t, &ids);
    if (s == HORA_OK)
        s = hora_predictor_run(t->p, ids.at, ids.n, &g, true);
    signal(SIGINT, SIG_DFL);
    if (s == HORA_OK) {
        say(t, "assistant", g.text.s ? g.text.s : "", g.text.n);
        show(t, &g);
        s = hora_cli_flush();
    } else if (s == HORA_EUSAGE) { /* too long: the question is taken back, the talk goes on */
        fprintf(stderr, "%s; /reset begins anew\n", hora_errmsg());
        t->messages = hora_json_set(t->all, "messages", before);
        before = NULL;
        s = HORA_OK;
    }
    hora_json_free(before);
    hora_ids_release(&ids);
    hora_ids_release(&g.ids);
    hora_str_release(&g.text);
    return s;
}

/* --- lines ------------------------------------------------------------------------------------ */
/* The next message, without its line break; false at the end of the input. */
static bool read_message(hora_str *out, bool asks) {
    char *line = NULL;
    size_t room = 0;
    bool more = true, any = false;
    out->n = 0;
    hora_str_puts(out, "");
    while (more) {
        if (asks)
            fputs(any ? ". " : "> ", stderr);
        ssize_t n = getline(&line, &room, stdin);
        if (n < 0)
            break;
        any = true;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        more = n > 0 && line[n - 1] == '\\';
        hora_str_add(out, line, (size_t)(more ? n - 1 : n));
        if (more)
            hora_str_putc(out, '\n');
    }
    free(line);
    return any;
}

static hora_status converse(talk *t) {
    const bool asks = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    hora_str line = {0};
    hora_status s = HORA_OK;
    if (asks)
        fprintf(stderr, "%s%s. /help lists the commands, /quit leaves.\n", t->m->base->dir,
                t->m->n > 1 ? " with its adapters"
                : t->m->n   ? " with its adapter"
                            : "");
    while (s == HORA_OK && !t->done && read_message(&line, asks))
        if (line.n && line.s[strspn(line.s, " \t")])
            s = *line.s == '/' ? command(t, line.s) : answer(t, line.s);
    if (asks && !t->done)
        fputc('\n', stderr);
    hora_str_release(&line);
    return s;
}

static hora_status open_talk(talk *t) {
    hora_settings *s = &t->cli->settings;
    HORA_TRY(hora_options_take(&options, &t->c, s));
    HORA_TRY(hora_options_take(&hora_sampling_options, &t->sampling, s));
    HORA_TRY(hora_chat_object(&t->kwargs, t->c.chat_kwargs, "--chat-kwargs"));
    HORA_TRY(hora_cli_open(&t->m, s));
    HORA_TRY(hora_open_chat(&t->m->opened, &t->c.date));
    if (!t->m->opened.chat)
        return hora_fail(HORA_ENOTFOUND,
                         "%s has no chat template that hora can render; add chat_template.jinja or "
                         "use hora generate --prompt",
                         t->m->base->dir);
    t->stop = hora_cli_interrupts();
    signal(SIGINT, SIG_DFL); /* until there is an answer to stop */
    signal(SIGTERM, SIG_DFL);
    reset(t);
    return renew(t);
}

static hora_status run(hora_cli *cli) {
    talk t = {.cli = cli};
    hora_status s = open_talk(&t);
    if (s == HORA_OK)
        s = converse(&t);
    hora_predictor_free(t.p);
    hora_model_close(t.m);
    hora_json_free(t.all);
    hora_json_free(t.kwargs);
    hora_options_release(&options, &t.c);
    hora_options_release(&hora_sampling_options, &t.sampling);
    return s;
}

const hora_command hora_command_chat = {
    .name = "chat",
    .summary = "Talk with a model on the terminal",
    .usage = "--model DIR [--adapter OUT[:X] ..] [--system TEXT] [options]",
    .more = "A line is a message, the answer is streamed; /adapter off lets the base answer. "
            "Messages may\n"
            "come through a pipe, a line each. Ctrl-C stops an answer, a second one leaves.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options, &hora_sampling_options,
               &hora_predictor_options},
    .run = run};
