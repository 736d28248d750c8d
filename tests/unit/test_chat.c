/*
 * Which rows a conversation becomes and what of them counts, on templates of a line or two: each is
 * one way in which templates of the hub are built. The tokenizer has a token per character.
 */
#include "hora_test.h"
#include "task/task.h"

#include <string.h>

#include "base/file.h"
#include "data/data_impl.h"
#include "tiny_tokenizer.h"

typedef struct how {
    int turns, train_on;
    const char *kwargs;
} how;

/* JSON is written with ' for ". */
static char *quoted(const char *s) {
    char *copy = hora_strdup(s);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return copy;
}

static hora_status open_rows(hora_dataset **d, hora_tokenizer *tok, hora_template **t,
                             const char *template_, const char *record, how h) {
    char *path = hora_path_join(hora_test_tmp(), "one.jsonl"), *text = quoted(record),
         *kwargs = h.kwargs ? quoted(h.kwargs) : NULL;
    hora_data_config c = {
        .seq_len = 512, .turns = h.turns, .train_on = h.train_on, .chat_kwargs = kwargs};
    *d = NULL;
    assert_ok(hora_file_write(path, text, strlen(text)));
    assert_ok(hora_template_open(t, template_, strlen(template_), "case"));
    hora_status s = hora_dataset_open(d, path, tok, *t, &c, &hora_objective_causal()->rule);
    hora_free(path);
    hora_free(text);
    hora_free(kwargs);
    return s;
}

/* The rows with what counts in [[ ]], joined by " / ". */
static void rows_are_with(const char *template_, const char *record, how h, const char *want) {
    hora_tokenizer *tok = tiny_tokenizer();
    hora_template *t;
    hora_dataset *d;
    hora_str got = {0};
    assert_ok(open_rows(&d, tok, &t, template_, record, h));
    int64_t n = 0;
    for (int64_t i = 0; i < hora_data_about(d)->sequences; i++, n++) {
        hora_str_puts(&got, i ? " / " : "");
        assert_ok(hora_data_show(d, i, &got));
    }
    assert_string_equal(got.s, want);
    hora_str_release(&got);
    hora_dataset_close(d);
    hora_template_close(t);
    hora_tokenizer_close(tok);
}

static void rows_are(const char *template_, const char *record, const char *want) {
    rows_are_with(template_, record, (how){0}, want);
}

static void refused(const char *template_, const char *record, how h, const char *part) {
    hora_tokenizer *tok = tiny_tokenizer();
    hora_template *t;
    hora_dataset *d;
    hora_status s = open_rows(&d, tok, &t, template_, record, h);
    assert_int_not_equal(s, HORA_OK);
    if (!strstr(hora_errmsg(), part))
        fail_msg("\"%s\" should hold \"%s\"", hora_errmsg(), part);
    hora_template_close(t);
    hora_tokenizer_close(tok);
}

#define U(text)    "{'role': 'user', 'content': '" text "'}"
#define A(text)    "{'role': 'assistant', 'content': '" text "'}"
#define TALK(...)  "{'messages': [" __VA_ARGS__ "]}"
#define TWO        TALK(U("q") "," A("a") "," U("r") "," A("b"))
#define ASKED      "{% if add_generation_prompt %}<|a|>{% endif %}"
#define ROLE       "{{ '<|a|>' if m.role == 'assistant' else '<|u|>' }}"
#define EACH(body) "{% for m in messages %}" body "{% endfor %}"

static void common_part(void **state) {
    (void)state;
    rows_are(EACH(ROLE "{{ m.content }}<|end|>") ASKED, TWO,
             "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|><|a|>[[b<|end|>]]");
    /* no generation prompt at all: the model writes the role too */
    rows_are(EACH(ROLE "{{ m.content }}<|end|>"), TALK(U("q") "," A("a")),
             "<|u|>q<|end|>[[<|a|>a<|end|>]]");
    /* the prompt goes on beyond what the turn begins with: an opened block, parting inside of a
     * mark */
    rows_are(
        EACH(ROLE "{{ m.content }}<|end|>") "{% if add_generation_prompt %}<|a|><t>{% endif %}",
        TWO, "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|><|a|>[[b<|end|>]]");
    rows_are(
        EACH(ROLE "{{ m.content }}<|end|>") "{% if add_generation_prompt %}<|a|><tk>{% endif %}",
        TALK(U("q") "," A("<tool>x")), "<|u|>q<|end|><|a|>[[<tool>x<|end|>]]");
    /* .. and the turn that begins as it does has it given */
    rows_are(
        EACH(ROLE "{{ m.content }}<|end|>") "{% if add_generation_prompt %}<|a|><tk>{% endif %}",
        TALK(U("q") "," A("<tk>x")), "<|u|>q<|end|><|a|><tk>[[x<|end|>]]");
    /* a blank or line break that the turn leaves out */
    rows_are(EACH(ROLE "{{ m.content }}<|end|>") "{% if add_generation_prompt %}<|a|>\n{% endif %}",
             TALK(U("q") "," A("a")), "<|u|>q<|end|><|a|>[[a<|end|>]]");
    /* several turns of the assistant in a row */
    rows_are(EACH(ROLE "{{ m.content }}<|end|>") ASKED, TALK(U("q") "," A("a") "," A("b")),
             "<|u|>q<|end|><|a|>[[a<|end|>]]<|a|>[[b<|end|>]]");
    /* a last question is context */
    rows_are(EACH(ROLE "{{ m.content }}<|end|>") ASKED, TALK(U("q") "," A("a") "," U("r")),
             "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|>");
    /* the earlier messages are written in another way once the turn follows */
    refused(EACH("{{ '+' if messages | length > 1 and loop.first }}{{ m.content }};") ASKED,
            TALK(U("q") "," A("a")), (how){0},
            "writes the messages before message 2 in another way once it follows");
}

/* A system text stands in the last question only, which is the last while it waits for its
 * answer. */
static void last_question(void **state) {
    (void)state;
    const char *last =
        EACH("{% if m.role == 'user' %}[I]{{ 'S' if loop.last }}{{ m.content }}[/I]{% else %}{{ "
             "m.content }}</s>{% endif %}");
    rows_are(last, TWO, "[I]Sq[/I][[a</s>]] / [I]q[/I]a</s>[I]Sr[/I][[b</s>]]");
    rows_are_with(last, TWO, (how){.train_on = HORA_TRAIN_ON_LAST},
                  "[I]q[/I]a</s>[I]Sr[/I][[b</s>]]");
}

static void end_marks(void **state) {
    (void)state;
    const char *behind_last = EACH(
        ROLE
        "{{ m.content }}<|end|>") "{% if add_generation_prompt %}<|a|>{% else %}</s>{% endif %}";
    rows_are(behind_last, TWO, "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|><|a|>[[b<|end|></s>]]");
    rows_are(behind_last, TALK(U("q") "," A("a") "," U("r")),
             "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|></s>");
    /* the end mark begins as the next message does: <x> and <|u|>, <|end|> and <|u|> */
    rows_are(
        EACH(ROLE "{{ m.content }}") "{% if add_generation_prompt %}<|a|>{% else %}<x>{% endif %}",
        TWO, "<|u|>q<|a|>[[a]]<|u|>r<|a|>[[b<x>]]");
    rows_are(
        EACH(ROLE
             "{{ m.content }}") "{% if add_generation_prompt %}<|a|>{% else %}<|end|>{% endif %}",
        TWO, "<|u|>q<|a|>[[a]]<|u|>r<|a|>[[b<|end|>]]");
    rows_are(EACH("[{{ m.role[0] }}]{{ m.content }}") "{% if add_generation_prompt %}[a]{% else "
                                                      "%}[x]{% endif %}",
             TWO, "[u]q[a][[a]][u]r[a][[b[x]]]");
    /* the question ends in another way once it is answered: what differs is what the model adds */
    rows_are(EACH(ROLE "{{ m.content }}{{ '.' if loop.last else ',' }}") ASKED, TWO,
             "<|u|>q[[,<|a|>a]],<|u|>r[[,<|a|>b.]]");
    /* what the user wrote is no mark */
    rows_are(behind_last, TALK(U("1<2") "," A("3<4") "," U("x") "," A("5>4")),
             "<|u|>1<2<|end|><|a|>[[3<4<|end|>]]<|u|>x<|end|><|a|>[[5>4<|end|></s>]]");
}

/* What remembers is run anew for every cut. */
static void joiners(void **state) {
    (void)state;
    rows_are("{% set j = joiner('-') %}{% set c = cycler('1', '2') %}" EACH(
                 "{{ j() }}{{ c.next() }}{{ m.content }};") "{% if add_generation_prompt %}{{ j() "
                                                            "}}{{ c.next() }}{% endif %}",
             TWO, "1q;-2[[a;]]-1r;-2[[b;]]");
}

/* What an earlier turn thought is dropped. */
#define DROPS                                                                                      \
    "{% set ns = namespace(u=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.u = "  \
    "loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}" ROLE                            \
    "{% if m.role == 'assistant' and loop.index0 > ns.u %}#{{ m.why }}#{% endif %}{{ m.content "   \
    "}}<|end|>{% endfor %}" ASKED

static void rewritten_turns(void **state) {
    (void)state;
    const char *two = "<|u|>q<|end|><|a|>[[##a<|end|>]] / "
                      "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[##b<|end|>]]";
    rows_are(DROPS, TWO, two);
    rows_are_with(DROPS, TWO, (how){.turns = HORA_TURNS_SPLIT}, two);
    rows_are_with(DROPS, TWO, (how){.turns = HORA_TURNS_LAST},
                  "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[##b<|end|>]]");
    rows_are_with(DROPS, TWO, (how){.train_on = HORA_TRAIN_ON_LAST},
                  "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[##b<|end|>]]");
    rows_are_with(DROPS, TWO, (how){.train_on = HORA_TRAIN_ON_ALL},
                  "[[<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>##b<|end|>]]");
    /* equal answers are not one end mark */
    rows_are(DROPS, TALK(U("q") "," A("a") "," U("r") "," A("a")),
             "<|u|>q<|end|><|a|>[[##a<|end|>]] / "
             "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[##a<|end|>]]");
    /* the conversation ends with a question: no row without an answer */
    rows_are(DROPS, TALK(U("q") "," A("a") "," U("r")), "<|u|>q<|end|><|a|>[[##a<|end|>]]");
    /* two turns behind the last question stand in one row */
    rows_are(DROPS, TALK(U("q") "," A("a") "," A("b")),
             "<|u|>q<|end|><|a|>[[##a<|end|>]]<|a|>[[##b<|end|>]]");
}

static void plain_rows(void **state) {
    (void)state;
    const char *plain = EACH(ROLE "{{ m.content }}<|end|>") ASKED;
    rows_are_with(plain, TWO, (how){.turns = HORA_TURNS_SPLIT},
                  "<|u|>q<|end|><|a|>[[a<|end|>]] / "
                  "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[b<|end|>]]");
    rows_are_with(plain, TWO, (how){.turns = HORA_TURNS_SPLIT, .train_on = HORA_TRAIN_ON_ALL},
                  "[[<|u|>q<|end|><|a|>a<|end|>]] / "
                  "[[<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>b<|end|>]]");
    rows_are_with(plain, TWO, (how){.train_on = HORA_TRAIN_ON_LAST},
                  "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[b<|end|>]]");
    rows_are_with(plain, TALK(U("q") "," A("a") "," U("r")), (how){.turns = HORA_TURNS_LAST},
                  "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|>");
    rows_are_with(plain, TALK(U("q")), (how){.train_on = HORA_TRAIN_ON_ALL}, "[[<|u|>q<|end|>]]");
    refused(plain, TALK(U("q")), (how){0}, "no message of the role `assistant`");
}

static void speaks_first(void **state) {
    (void)state;
    const char *first = "{{ messages[0].role[0] }}" EACH(ROLE "{{ m.content }}<|end|>") ASKED;
    rows_are(first, TALK(A("h") "," U("q") "," A("a")),
             "a<|a|>h<|end|><|u|>q<|end|><|a|>[[a<|end|>]]");
    refused(first, TALK(A("h") "," U("q")), (how){0},
            "the prompt before message 1 cannot be rendered, so there is nothing to learn");
    /* a system text of the template's own is nobody's answer; P and C part inside of it, or at its
     * end where P is nothing at all */
    const char *own = "{% if messages and messages[0].role != 'system' %}<|s|>be kind<|end|>{% "
                      "endif %}" EACH(ROLE "{{ m.content }}<|end|>") ASKED,
               *mute = "{% if messages and messages[0].role != 'system' %}<|s|>be kind<|end|>{% "
                       "endif %}" EACH(ROLE "{{ m.content }}<|end|>");
    rows_are(own, TALK(A("h") "," U("q") "," A("a")),
             "<|s|>be kind<|end|><|a|>h<|end|><|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are(mute, TALK(A("h") "," U("q") "," A("a")),
             "<|s|>be kind<|end|><|a|>h<|end|><|u|>q<|end|>[[<|a|>a<|end|>]]");
    refused(own, TALK(A("h") "," U("q")), (how){0}, "the assistant speaks first");
    rows_are(EACH(ROLE "{{ m.content }}<|end|>") ASKED, TALK(A("h") "," U("q") "," A("a")),
             "<|a|>[[h<|end|>]]<|u|>q<|end|><|a|>[[a<|end|>]]");
    /* roles that have to alternate: the second of two turns is context */
    const char *strict =
        EACH("{% if not loop.first and m.role == messages[loop.index0 - 1].role %}{{ "
             "raise_exception('twice') }}{% endif %}" ROLE
             "{{ m.content }}<|end|>") "{% if add_generation_prompt %}{% if messages[-1].role == "
                                       "'assistant' %}{{ "
                                       "raise_exception('answered') }}{% endif %}<|a|>{% endif %}";
    rows_are(strict, TWO, "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|><|a|>[[b<|end|>]]");
    refused(strict, TALK(U("q") "," A("a") "," A("b")), (how){0}, "twice");
}

static void weights(void **state) {
    (void)state;
    const char *plain = EACH(ROLE "{{ m.content }}<|end|>") ASKED;
#define W(text, w) "{'role': 'assistant', 'content': '" text "', 'weight': " w "}"
    rows_are(plain, TALK(U("q") "," W("a", "0") "," U("r") "," W("b", "1")),
             "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[b<|end|>]]");
    rows_are(plain,
             "{'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a', "
             "'weight': 0}, {'from': 'human', 'value': 'r'}, {'from': 'gpt', 'value': 'b'}]}",
             "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[b<|end|>]]");
    rows_are_with(plain, TALK(U("q") "," W("a", "0") "," U("r") "," W("b", "1.0")),
                  (how){.train_on = HORA_TRAIN_ON_ALL},
                  "[[<|u|>q<|end|><|a|>]]a<|end|>[[<|u|>r<|end|><|a|>b<|end|>]]");
    rows_are_with(plain, TALK(U("q") "," A("a") "," U("r") "," W("b", "0")),
                  (how){.train_on = HORA_TRAIN_ON_LAST},
                  "<|u|>q<|end|><|a|>[[a<|end|>]]<|u|>r<|end|><|a|>b<|end|>");
    static const char *const flags[] = {"train", "training", "loss"};
    for (size_t i = 0; i < HORA_COUNT(flags); i++) {
        char *record = hora_format(
            "{'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a', "
            "'%s': false}, {'role': 'user', 'content': 'r'}, {'role': 'assistant', 'content': 'b', "
            "'%s': true}]}",
            flags[i], flags[i]);
        rows_are(plain, record, "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[b<|end|>]]");
        hora_free(record);
    }
    refused(
        plain,
        TALK(U("q") ",{'role': 'assistant', 'content': 'a', 'train_detail': [{'train': false}]}"),
        (how){0}, "`train_detail` of message 2");
    refused(plain, TALK(U("q") "," W("a", "0.5")), (how){0}, "neither 0 (not to be learned) nor 1");
    refused(plain, TALK(U("q") "," W("a", "'x'")), (how){0}, "neither 0");
    refused(plain, TALK(U("q") "," W("a", "0")), (how){0}, "no message of the assistant counts");
    refused(DROPS, TALK(U("q") "," W("a", "0") "," U("r") "," A("b")),
            (how){.train_on = HORA_TRAIN_ON_ALL}, "of weight 0, stands in the text is not certain");
#undef W
}

static void generation(void **state) {
    (void)state;
    const char *say =
        EACH(ROLE "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
                  "<|end|>{% endgeneration %}\n{% else %}{{ m.content }}{% endif %}") ASKED;
    rows_are(say, TWO, "<|u|>q<|a|>[[a<|end|>]]<|u|>r<|a|>[[b<|end|>]]");
    rows_are_with(say, TWO, (how){.train_on = HORA_TRAIN_ON_LAST},
                  "<|u|>q<|a|>a<|end|><|u|>r<|a|>[[b<|end|>]]");
    rows_are_with(say, TWO, (how){.train_on = HORA_TRAIN_ON_ALL},
                  "[[<|u|>q<|a|>a<|end|><|u|>r<|a|>b<|end|>]]");
    rows_are_with(say, TWO, (how){.turns = HORA_TURNS_SPLIT},
                  "<|u|>q<|a|>[[a<|end|>]] / <|u|>q<|a|>a<|end|><|u|>r<|a|>[[b<|end|>]]");
    rows_are(say,
             TALK(U("q") ",{'role': 'assistant', 'content': 'a', 'weight': 0}," U("r") "," A("b")),
             "<|u|>q<|a|>a<|end|><|u|>r<|a|>[[b<|end|>]]");
    /* two blocks in a turn belong to it */
    const char *twice = EACH(ROLE "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
                                  "{% endgeneration %}-{% generation %}<|end|>{% endgeneration %}"
                                  "{% else %}{{ m.content }}{% endif %}") ASKED;
    rows_are(twice, TWO, "<|u|>q<|a|>[[a]]-[[<|end|>]]<|u|>r<|a|>[[b]]-[[<|end|>]]");
    rows_are_with(twice, TWO, (how){.train_on = HORA_TRAIN_ON_LAST},
                  "<|u|>q<|a|>a-<|end|><|u|>r<|a|>[[b]]-[[<|end|>]]");
    refused(
        EACH("{% if m.role == 'x' %}{% generation %}{% endgeneration %}{% endif %}{{ m.content }}"),
        TWO, (how){0}, "generation blocks hold nothing");
}

static void variables(void **state) {
    (void)state;
    const char *with =
        "{{ 'T' ~ (tools | length) if tools }}{{ documents[0] if documents }}{{ '!' if "
        "think is defined and not think }}" EACH(ROLE "{{ m.content }}<|end|>") ASKED;
    rows_are(with, TALK(U("q") "," A("a")), "<|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are(with, "{'messages': [" U("q") "," A("a") "], 'tools': [{'a': 1}, {'b': 2}]}",
             "T2<|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are(with, "{'messages': [" U("q") "," A("a") "], 'tools': {'a': 1}, 'documents': ['D']}",
             "T1D<|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are(with, "{'messages': [" U("q") "," A("a") "], 'tools': '[{\\'a\\': 1}]'}",
             "T1<|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are(with, "{'messages': [" U("q") "," A("a") "], 'tools': ['{\\'a\\': 1}']}",
             "T1<|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are(with, "{'messages': [" U("q") "," A("a") "], 'tools': ''}",
             "<|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are_with(with, TALK(U("q") "," A("a")), (how){.kwargs = "{'think': false}"},
                  "!<|u|>q<|end|><|a|>[[a<|end|>]]");
    rows_are_with(with,
                  "{'messages': [" U("q") "," A("a") "], 'chat_template_kwargs': {'think': true}}",
                  (how){.kwargs = "{'think': false}"}, "<|u|>q<|end|><|a|>[[a<|end|>]]");
    refused(with, "{'messages': [" U("q") "," A("a") "], 'tools': 5}", (how){0},
            "`tools` should be a list");
    refused(with, "{'messages': [" U("q") "," A("a") "], 'tools': 'rotate'}", (how){0}, "tools");
    refused(with, TALK(U("q") "," A("a")), (how){.kwargs = "[1]"}, "should be a JSON object");
}

static void spellings(void **state) {
    (void)state;
    const char *calls = EACH("{{ m.role[0] }}{{ m.content }}{% for c in m.tool_calls or [] %}{{ "
                             "c.function.name }}({{ c.function.arguments.x }}){% endfor %};") ASKED;
    rows_are(calls,
             "{'system': 's', 'conversations': [{'from': 'human', 'value': 'q'}, {'from': "
             "'function_call', 'value': '{\\'name\\': \\'f\\', \\'arguments\\': {\\'x\\': 7}}'}, "
             "{'from': "
             "'observation', 'value': 'o'}, {'from': 'gpt', 'value': 'a'}], 'tools': '[]'}",
             "ss;uq;[[af(7);]]to;[[aa;]]");
    refused(calls, "{'conversations': [{'from': 'function_call', 'value': 'f()'}]}", (how){0},
            "function_call");
    refused(calls, "{'conversations': [{'from': 'elf', 'value': 'f()'}]}", (how){0}, "is elf");
    const char *plain = EACH(ROLE "{{ m.content }}<|end|>") ASKED;
    rows_are(plain, "{'prompt': [" U("q") "," A("a") "," U("r") "], 'completion': [" A("b") "]}",
             "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[b<|end|>]]");
    rows_are(plain, "{'prompt': [" U("q") "], 'completion': 'b'}",
             "<|u|>q<|end|><|a|>[[b<|end|>]]");
    rows_are_with(plain,
                  "{'prompt': [" U("q") "," A("a") "," U("r") "], 'completion': [" A("b") "]}",
                  (how){.train_on = HORA_TRAIN_ON_ALL},
                  "[[<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>b<|end|>]]");
    rows_are(
        plain, "{'instruction': 'r', 'output': 'b', 'system': 'S', 'history': [['q', 'a']]}",
        "<s>S\n\n### Instruction:\nq\n\n### Response:\n[[a</s>]]\n\n### Instruction:\nr\n\n### "
        "Response:\n[[b</s>]]");
}

/* A system text beside the messages is the first of them, once. */
static void system_beside(void **state) {
    (void)state;
    const char *plain = EACH("<|{{ m.role[0] }}|>{{ m.content }}<|end|>") ASKED,
               *want = "<|s|>S<|end|><|u|>q<|end|><|a|>[[a<|end|>]]";
    rows_are(plain, "{'system': 'S', 'messages': [" U("q") "," A("a") "]}", want);
    rows_are(
        plain,
        "{'system': 'S', 'messages': [{'role': 'system', 'content': 'S'}," U("q") "," A("a") "]}",
        want);
    rows_are(plain,
             "{'system': 'S', 'conversations': [{'from': 'system', 'value': 'S'}," U("q") "," A(
                 "a") "]}",
             want);
    rows_are(plain, "{'system': 'S', 'prompt': [" U("q") "], 'completion': [" A("a") "]}", want);
    rows_are(plain, "{'system': '', 'messages': [" U("q") "," A("a") "]}",
             want + strlen("<|s|>S<|end|>"));
    refused(plain, "{'system': [1], 'messages': [" U("q") "," A("a") "]}", (how){0}, "`system`");
}

/* What a record says in training, it says to `generate --chat` as well. */
static void asked_as_trained(void **state) {
    (void)state;
    char *text = quoted("{'system': 's', 'conversation': [{'from': 'human', 'value': 'q'}]}");
    hora_json *record;
    hora_chat chat;
    assert_ok(hora_json_parse(&record, text, strlen(text), "record"));
    assert_ok(hora_chat_read(&chat, record));
    assert_int_equal(hora_json_len(chat.messages), 2);
    const hora_json *first = hora_json_at(chat.messages, 0);
    assert_string_equal(hora_json_string(hora_json_get(first, "role"), NULL), "system");
    assert_string_equal(hora_json_string(hora_json_get(first, "content"), NULL), "s");
    hora_chat_release(&chat);
    hora_json_free(record);
    hora_free(text);
}

HORA_TESTS(unit_chat, {"the common part", common_part, HORA_SHORT},
           {"words around the last question", last_question, HORA_SHORT},
           {"joiners and cyclers", joiners, HORA_SHORT},
           {"end marks behind the last message", end_marks, HORA_SHORT},
           {"turns that later ones rewrite", rewritten_turns, HORA_SHORT},
           {"rows and what counts in them", plain_rows, HORA_SHORT},
           {"the assistant speaks first", speaks_first, HORA_SHORT},
           {"weights", weights, HORA_SHORT}, {"generation blocks", generation, HORA_SHORT},
           {"tools, documents, variables", variables, HORA_SHORT},
           {"ShareGPT, lists of messages, Alpaca", spellings, HORA_SHORT},
           {"a system text beside the messages", system_beside, HORA_SHORT},
           {"asked as trained", asked_as_trained, HORA_SHORT});
