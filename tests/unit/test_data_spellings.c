/*
 * Records in the spellings that data sets have: other names for roles and fields, wrappers of a
 * whole file, content as parts; and what a line that is no record is told.
 */
#include "data_kit.h"

static char *quoted(const char *s) {
    char *copy = hora_strdup(s);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return copy;
}

/* The sequences of a file, joined by " / "; JSON is written with ' for ". */
static void reads_with(const char *template_, const char *name, const char *text,
                       const char *want) {
    kit k = set_up();
    hora_dataset *d;
    hora_str got = {0};
    char *json = quoted(text);
    k.cfg.seq_len = 512;
    if (template_) {
        hora_template_close(k.tmpl);
        k.tmpl = NULL;
        if (*template_)
            assert_ok(hora_template_open(&k.tmpl, template_, strlen(template_), "case"));
    }
    assert_ok(open_text(&d, &k, name, json));
    for (int64_t i = 0; i < hora_data_about(d)->sequences; i++) {
        hora_str_puts(&got, i ? " / " : "");
        assert_ok(hora_data_show(d, i, &got));
    }
    assert_string_equal(got.s, want);
    hora_dataset_close(d);
    hora_str_release(&got);
    hora_free(json);
    take_down(&k);
}

static void reads(const char *name, const char *text, const char *want) {
    reads_with(NULL, name, text, want);
}

static void refuses_with(const char *template_, const char *name, const char *text,
                         const char *part) {
    kit k = set_up();
    hora_dataset *d;
    if (template_) {
        hora_template_close(k.tmpl);
        assert_ok(hora_template_open(&k.tmpl, template_, strlen(template_), "case"));
    }
    assert_int_not_equal(open_text(&d, &k, name, text), HORA_OK);
    if (!strstr(hora_errmsg(), part))
        fail_msg("\"%s\" should hold \"%s\"", hora_errmsg(), part);
    take_down(&k);
}

static void refuses(const char *name, const char *text, const char *part) {
    refuses_with(NULL, name, text, part);
}

#define QA   "<|u|>q<|end|><|a|>[[a<|end|>]]"
#define QARB QA "<|u|>r<|end|><|a|>[[b<|end|>]]"

static void turns(void **state) {
    (void)state;
    static const char *const same[] = {
        "{'messages': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a'}]}",
        "{'messages': [{'role': 'human', 'content': 'q'}, {'role': 'gpt', 'content': 'a'}]}",
        "{'messages': [{'role': 'User', 'content': 'q'}, {'role': 'bot', 'content': 'a'}]}",
        "{'messages': [{'role': 'USER', 'value': 'q'}, {'role': 'model', 'text': 'a'}]}",
        "{'conversations': [{'from': 'user', 'content': 'q'}, {'from': 'ai', 'content': 'a'}]}",
        "{'conversation': [{'input': 'q', 'output': 'a'}]}",
        "{'conversation': [{'human': 'q', 'assistant': 'a'}]}",
        "[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]\n"};
    for (size_t i = 0; i + 1 < HORA_COUNT(same); i++)
        reads("a.jsonl", same[i], QA);
    char *lines = hora_format("%s%s", same[HORA_COUNT(same) - 1], same[HORA_COUNT(same) - 1]);
    reads("a.jsonl", lines, QA " / " QA); /* an array per line */
    hora_free(lines);
    reads("a.jsonl",
          "{'conversation': [{'system': 's', 'input': 'q', 'output': 'a'}, {'input': 'r', "
          "'output': 'b'}]}",
          "<|u|>s<|end|>" QARB);
    /* what stands beside the words stays: weights, names of roles that templates know */
    reads("a.jsonl",
          "{'messages': [{'role': 'human', 'content': 'q'}, {'role': 'gpt', 'content': 'a', "
          "'weight': 0}, {'role': 'human', 'content': 'r'}, {'role': 'gpt', 'content': 'b'}]}",
          "<|u|>q<|end|><|a|>a<|end|><|u|>r<|end|><|a|>[[b<|end|>]]");
    reads_with("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}", "a.jsonl",
               "{'messages': [{'role': 'observation', 'content': 'q'}, {'role': 'model', "
               "'content': 'a'}]}",
               "observation:q;[[assistant:a;]]");
    refuses("a.jsonl", "{\"conversations\": [\"q\", \"a\"]}", "message 1 is a JSON string");
    refuses("a.jsonl", "{\"messages\": [{\"content\": \"q\"}]}", "has no string `role`");
}

static void fields(void **state) {
    (void)state;
    const char *alpaca = "<s>Below is an instruction that describes a task. Write a response that "
                         "appropriately completes the request.\n\n### Instruction:\nq\n\n### "
                         "Response:\n[[a</s>]]";
    static const char *const pairs[][2] = {{"question", "answer"},    {"query", "response"},
                                           {"input", "output"},       {"question", "response"},
                                           {"instruction", "answer"}, {"instruction", "response"}};
    static const char *const completions[] = {"completion", "response", "output", "answer"};
    for (size_t i = 0; i < HORA_COUNT(pairs); i++) {
        char *record = hora_format("{'%s': 'q', '%s': 'a'}", pairs[i][0], pairs[i][1]);
        reads("a.jsonl", record, i < 4 ? QA : alpaca);
        reads_with("", "a.jsonl", record, alpaca); /* a model without template */
        hora_free(record);
    }
    for (size_t i = 0; i < HORA_COUNT(completions); i++) {
        char *record = hora_format("{'prompt': 'q', '%s': 'a'}", completions[i]),
             *list = hora_format("{'prompt': [{'role': 'user', 'content': 'q'}], '%s': 'a'}",
                                 completions[i]);
        reads("a.jsonl", record, "<s>q[[a</s>]]");
        reads("a.jsonl", list, QA);
        hora_free(record);
        hora_free(list);
    }
    reads("a.jsonl", "{'query': 'r', 'response': 'b', 'history': [['q', 'a']], 'system': 's'}",
          "<|u|>s<|end|>" QARB);
    reads("a.csv", "question,answer\nq,a\n", QA);
    reads("a.csv", "prompt,response\nq,a\n", "<s>q[[a</s>]]");
    /* the names that were first keep what they had */
    reads("a.jsonl", "{'prompt': 'q', 'completion': 'a', 'answer': 'x'}", "<s>q[[a</s>]]");
    refuses("a.jsonl", "{\"prompt\": \"q\", \"output\": \"a\", \"answer\": \"x\"}",
            "has both `output` and `answer`");
    refuses("a.jsonl", "{\"question\": \"q\", \"context\": \"c\", \"answer\": \"a\"}",
            "columns: instruction=question,input=context,output=answer");
    refuses("a.jsonl", "{\"question\": \"q\", \"response\": \"c\", \"answer\": \"a\"}",
            "`response` stands beside");
    refuses("a.jsonl", "{\"question\": \"q\", \"answer\": true}", "`answer` should be a string");
    refuses("a.jsonl", "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"x\"}",
            "completion=chosen");
}

static void wrappers(void **state) {
    (void)state;
    reads("a.json", "{'data': [{'text': 'ab'}, {'text': 'c'}]}", "[[<s>ab</s>]] / [[<s>c</s>]]");
    reads("a.json",
          "{\n 'version': '1', 'tags': ['x'],\n 'data': [\n  {'text': 'ab'}\n ],\n 'n': 1\n}\n",
          "[[<s>ab</s>]]");
    const char *talk = "{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a'}";
    char *records = hora_format("{'conversations': [{'conversations': [%s]}]}", talk),
         *lists = hora_format("{'conversations': [[%s], [%s]]}", talk, talk),
         *one = hora_format("{'messages': [\n%s\n],\n 'documents': [{'text': 'b'}]}", talk);
    reads("a.json", records, QA);
    reads("a.json", lists, QA " / " QA);
    reads("a.json", one, QA); /* one record on several lines */
    hora_free(records);
    hora_free(lists);
    hora_free(one);
    reads("a", "[{'text': 'ab'}]", "[[<s>ab</s>]]"); /* no name that says what it is */
    refuses("a.json", "{\"train\": [{\"text\": \"a\"}], \"test\": [{\"text\": \"b\"}]}",
            "several lists of records (`train` and others)");
    refuses("a.json", "{\"data\": [\n{\"foo\": 1}]}",
            "line 2, column 1: a record has the keys `foo`");
    refuses("a.json", "{\"prompt\": [\"a\"], \"completion\": [\"b\"]}",
            "`prompt` is a list of strings");
    refuses("a.json", "{\"text\": [\"a\"]}", "`text` is a list of strings");
    refuses("a.txt", "{\"text\": \"ab\"}\n", "give format=jsonl");
}

static void hints(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"{'text': 'a'}\n", "line 1, column 1: strings stand in single quotes"},
        {"{\"text\": \"a b\"}\n{\"text\": None}\n", "line 2, column 1: None, True and False"},
        {"{\"text\": \"a\", \"n\": NaN}\n", "NaN and Infinity"},
        {"{\"text\": \"a\"},\n{\"text\": \"b\"}\n", "a comma stands behind the record"},
        {"{\"text\": \"a\",}\n", "a comma stands before a closing bracket"},
        {"{\"text\": \"a\"} {\"text\": \"b\"}\n", "two records stand on one line"},
        {"# a\n", "this is a comment"},
        {"{\"text\": \"a\"} // b\n", "a comment stands in the record"},
        {"<html>\n", "a web page was saved"},
        {"a b\n", "this line is text"},
        {"{text: \"a\"}\n", "names of fields stand in double quotes"},
        {"{\"text\": \"a\tb\"}\n", "a tab or a line break"},
        {"{\xe2\x80\x9ctext\xe2\x80\x9d: 1}\n", "typographic"},
        {"\"{\\\"text\\\": \\\"a\\\"}\"\n", "written twice"},
        {"{\"text\": \"// None, NaN ,}\", x}\n", "expected near"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        refuses("a.jsonl", rows[i].text, rows[i].part);
}

#define PLAIN                                                                                      \
    "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content }}<|end|>{% endfor %}{% if "           \
    "add_generation_prompt %}<|a|>{% endif %}"
#define PARTED                                                                                     \
    "{% for m in messages %}<|{{ m.role[0] }}|>{% if m.content is string %}{{ m.content }}"        \
    "{% else %}{% for c in m.content %}{{ '[I]' if c.type == 'image' else c.text }}{% endfor %}"   \
    "{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}"

static void parts(void **state) {
    (void)state;
    const char *text = "{'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'x'}, "
                       "{'type': 'text', 'text': 'y'}]}, {'role': 'assistant', 'content': "
                       "[{'text': 'a', 'type': 'text'}]}]}",
               *image = "{'messages': [{'role': 'user', 'content': [{'type': 'image'}, {'type': "
                        "'text', 'text': 'q'}]}, {'role': 'assistant', 'content': 'a'}]}",
               *want = "<|u|>xy<|end|><|a|>[[a<|end|>]]";
    static const char *const strings[] = {
        PLAIN,
        "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content | tojson if m.content is not "
        "string else m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}",
        "{% for m in messages %}{{ '<|' + m.role[0] + '|>' + m.content + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}<|a|>{% endif %}", /* fails on lists */
        "{% for m in messages %}<|{{ m.role[0] }}|>{% if m.content is string %}{{ m.content }}{% "
        "endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}"}; /* drops */
    for (size_t i = 0; i < HORA_COUNT(strings); i++)
        reads_with(strings[i], "a.jsonl", text, want);
    reads_with(PARTED, "a.jsonl", text, want);
    reads_with(PARTED, "a.jsonl", image, "<|u|>[I]q<|end|><|a|>[[a<|end|>]]");
    /* a part that is no text: no place in a string, left out in silence, or with a place */
    static const char leaves[] =
        "{% for m in messages %}<|{{ m.role[0] }}|>{% if m.content is string %}{{ m.content }}"
        "{% else %}{% for p in m.content if p.type == 'text' %}{{ p.text }} {% endfor %}{% endif %}"
        "<|end|>{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}";
    char *json = quoted(image);
    for (size_t i = 0; i < HORA_COUNT(strings); i++)
        refuses_with(strings[i], "a.jsonl", json,
                     "message 1 has a part of type image, and the chat template writes content as "
                     "a string");
    refuses_with(leaves, "a.jsonl", json,
                 "message 1 has a part of type image, and the chat template leaves it out");
    hora_free(json);
}

/* What a template fails on is told by message, not in Jinja's words alone. */
static void stumbles(void **state) {
    (void)state;
    static const char plus[] = "{% for m in messages %}{% if m.role == 'tool' %}{{ "
                               "raise_exception('no tools') }}{% endif %}{{ '<|' + m.role[0] + "
                               "'|>' + m.content + '<|end|>' }}{% endfor %}{% if "
                               "add_generation_prompt %}<|a|>{% endif %}",
                      flat[] = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content or '' }}{% "
                               "for c in m.tool_calls or [] %}{{ c.name | tojson }}{% endfor "
                               "%}<|end|>{% endfor %}{% if add_generation_prompt %}<|a|>{% endif "
                               "%}";
#define CALL "'tool_calls': [{'type': 'function', 'function': {'name': 'f', 'arguments': {}}}]"
    static const char *const cases[][3] = {
        {plus,
         "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
         "null, " CALL "}]}",
         "content of message 2 is missing or null, and the chat template cannot write that"},
        {plus,
         "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
         "null, " CALL "}, {'role': 'tool', 'content': '1'}]}",
         "content of message 2 is missing or null, and the chat template cannot write that"},
        {plus, "{'messages': [{'role': 'user'}, {'role': 'assistant', 'content': 'a'}]}",
         "content of message 1 is missing"},
        {plus,
         "{'messages': [{'role': 'user', 'content': 7}, {'role': 'assistant', 'content': "
         "'a'}]}",
         "content of message 1 is no text"},
        {plus,
         "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
         "'x'}, {'role': 'tool', 'content': '1'}, {'role': 'assistant', 'content': 'a'}]}",
         "message 3: "},
        {flat,
         "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
         "null, " CALL "}]}",
         "message 2 calls tools in a form that the chat template does not read"},
        {flat,
         "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
         "null, " CALL "}]}",
         "without `function` around it"},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        char *json = quoted(cases[i][1]);
        refuses_with(cases[i][0], "a.jsonl", json, cases[i][2]);
        hora_free(json);
    }
#undef CALL
}

/* The notes on a file of one record. */
static void notes_are(const char *template_, const char *record, const char *part) {
    kit k = set_up();
    hora_dataset *d;
    hora_str notes = {0};
    char *json = quoted(record);
    hora_template_close(k.tmpl);
    k.cfg.seq_len = 512;
    assert_ok(hora_template_open(&k.tmpl, template_, strlen(template_), "case"));
    assert_ok(open_text(&d, &k, "a.jsonl", json));
    hora_data_notes(d, &notes);
    if (part ? !notes.n || !strstr(notes.s, part) : notes.n > 0)
        fail_msg("\"%s\" should hold \"%s\"", notes.n ? notes.s : "", part ? part : "nothing");
    hora_dataset_close(d);
    hora_str_release(&notes);
    hora_free(json);
    take_down(&k);
}

static void what_templates_leave_out(void **state) {
    (void)state;
#define CALL                                                                                       \
    "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': null, "      \
    "'tool_calls': [{'function': {'name': 'f', 'arguments': {}}}]}, {'role': 'tool', 'content': "  \
    "'x'}, {'role': 'assistant', 'content': 'a'}]"
    const char *calls = CALL "}", *described = CALL ", 'tools': [{'name': 'f'}]}";
    const char *writes = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content or '' }}{% for c "
                         "in m.tool_calls or [] %}{{ c.function.name }}(){% endfor %}<|end|>{% "
                         "endfor %}{% if add_generation_prompt %}<|a|>{% endif %}",
               *leaves = "{{ tools }}{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content or '' "
                         "}}<|end|>{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}";
    /* tools stand beside the system message, and there is none */
#define TALK                                                                                       \
    "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]"
    const char *system = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content }}{% if m.role == "
                         "'system' %}{{ tools }}{% endif %}<|end|>{% endfor %}{% if "
                         "add_generation_prompt %}<|a|>{% endif %}";
    notes_are(PLAIN, calls, "1 messages have keys that are null");
    notes_are(PLAIN, calls, "1 messages call tools, and the template does not write calls");
    notes_are(writes, calls, NULL);
    notes_are(leaves, described, "1 messages call tools");
    notes_are(writes, described, "1 conversations give tools that the template does not write");
    notes_are(system, TALK ", 'tools': [{'name': 'f'}]}",
              "1 conversations give tools that the template does not write");
    notes_are(system, TALK ", 'tools': []}", NULL);
    notes_are(system, TALK ", 'documents': [{'title': 'd', 'text': 'x'}]}",
              "1 conversations give documents that the template does not write");
    /* the name of the tool stands in what the user says */
    notes_are(PLAIN,
              "{'messages': [{'role': 'user', 'content': 'find it'}, {'role': 'assistant', "
              "'content': '', 'tool_calls': [{'function': {'name': 'find', 'arguments': {}}}]}, "
              "{'role': 'tool', 'content': 'x'}, {'role': 'assistant', 'content': 'a'}]}",
              "1 messages call tools");
    /* thinking: never written; written in other letters */
#define THOUGHT                                                                                    \
    "{'messages': [{'role': 'user', 'content': 'What do I see?'}, {'role': 'assistant', "          \
    "'content': 'a', 'reasoning_content': ' I see'}]}"
    const char *late =
        "{% for m in messages %}<|{{ m.role[0] }}|>{% if loop.last and m.reasoning_content %}({{ "
        "m.reasoning_content | trim | upper }}){% endif %}{{ m.content }}<|end|>{% endfor %}{% if "
        "add_generation_prompt %}<|a|>{% endif %}";
    notes_are(PLAIN, THOUGHT, "1 messages have thinking that the template never writes");
    notes_are(late, THOUGHT, NULL);
    /* neither is what it should be */
    notes_are(PLAIN,
              "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
              "'a', 'thinking': ['I see'], 'tool_calls': 'f()'}]}",
              "1 messages call tools, and the template does not write calls");
    notes_are(PLAIN,
              "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
              "'a', 'thinking': {'a': 1}}, {'role': 'user', 'content': 'r'}, {'role': "
              "'assistant', 'content': 'b'}]}",
              "1 messages have thinking that the template never writes");
    notes_are(PLAIN,
              "{'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'q'}]}, "
              "{'role': 'assistant', 'content': 'None'}]}",
              "1 messages are lists of parts");
    notes_are(PARTED,
              "{'messages': [{'role': 'user', 'content': [{'type': 'image'}]}, {'role': "
              "'assistant', 'content': 'a'}]}",
              "1 messages have parts that are no text (pictures)");
}

/* A message as a template of transformers 5.24 finds it; what it writes was made there, but for the
 * empty list, which it prints. */
static void keys(void **state) {
    (void)state;
    static const char dump
        [] = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m | tojson }}<|end|>{% "
             "endfor %}{% if add_generation_prompt %}<|a|>{% endif %}",
    *const cases[][2] = {
        {"'content': 'a', 'tool_calls': null, 'name': null", "\"content\": \"a\""},
        {"'content': null, 'tool_calls': [{'function': {'name': 'f', 'arguments': {'x': null}}}]",
         "\"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": null}}}]"},
        {"'content': 'a', 'thinking': 't', 'reasoning_content': 'r'",
         "\"content\": \"a\", \"reasoning_content\": \"r\""},
        {"'content': []", "\"content\": \"\""},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        char *record = hora_format("{'messages': [{'role': 'user', 'content': 'q'}, {'role': "
                                   "'assistant', %s}]}",
                                   cases[i][0]);
        char *want =
            hora_format("<|u|>{\"role\": \"user\", \"content\": \"q\"}<|end|><|a|>[[{%s\"role\""
                        ": \"assistant\", %s}<|end|>]]",
                        i == 2 ? "\"thinking\": \"t\", " : "", cases[i][1]);
        reads_with(dump, "a.jsonl", record, want);
        hora_free(record);
        hora_free(want);
    }
    static const char says[] = "{% for m in messages %}<|{{ m.role[0] }}|>{% if "
                               "m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ "
                               "m.content }}{{ m.thinking }}<|end|>{% endfor %}{% if "
                               "add_generation_prompt %}<|a|>{% endif %}",
                      *const names[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        char *record = hora_format("{'messages': [{'role': 'user', 'content': 'q'}, {'role': "
                                   "'assistant', 'content': 'a', '%s': 'why'}]}",
                                   names[i]);
        reads_with(says, "a.jsonl", record, "<|u|>q<|end|><|a|>[[(why)awhy<|end|>]]");
        hora_free(record);
    }
    reads_with(PLAIN, "a.jsonl",
               "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': "
               "[]}, {'role': 'user', 'content': 'p'}, {'role': 'assistant', 'content': 'a'}]}",
               "<|u|>q<|end|><|a|>[[<|end|>]]<|u|>p<|end|><|a|>[[a<|end|>]]");
    static const char *const texts[][2] = {{"{'type': 'text', 'text': null}", "is null"},
                                           {"{'type': 'text'}", "is missing"},
                                           {"{'type': 'input_text', 'text': 7}", "is no string"},
                                           {"{'text': null}", "is null"}};
    for (size_t i = 0; i < HORA_COUNT(texts); i++) {
        char *record = hora_format("{'messages': [{'role': 'user', 'content': [%s]}, {'role': "
                                   "'assistant', 'content': 'a'}]}",
                                   texts[i][0]);
        char *json = quoted(record);
        refuses_with(PLAIN, "a.jsonl", json, "part 1 of message 1 is a text whose `text`");
        refuses_with(PARTED, "a.jsonl", json, texts[i][1]);
        hora_free(record);
        hora_free(json);
    }
}

HORA_TESTS(unit_data_spellings, {"turns", turns, HORA_SHORT}, {"fields", fields, HORA_SHORT},
           {"a file in an object", wrappers, HORA_SHORT}, {"what is no record", hints, HORA_SHORT},
           {"content as parts", parts, HORA_SHORT}, {"keys of a message", keys, HORA_SHORT},
           {"what templates fail on", stumbles, HORA_SHORT},
           {"what templates leave out", what_templates_leave_out, HORA_SHORT});
