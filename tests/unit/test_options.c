/* Options and settings: one table gives flags, strings and recipes the same meaning. */
#include "hora_test.h"

#include <string.h>

#include "base/options.h"

typedef struct sample {
    bool json, packed;
    int64_t steps;
    double lr, share, any;
    char *out, *targets;
    int schedule;
} sample;

#define OPT_OF sample
static const hora_option sample_rows[] = {
    OPT_BOOL(json, "json", NULL, "false", "results for machines"),
    OPT_BOOL(packed, "packed", NULL, "true", "share rows"),
    OPT_INT(steps, "steps", "max_steps", "0", 1, 1e18, "steps to take"),
    OPT_REAL(lr, "learning_rate", "lr rate", "2e-4", 0, 10, "peak rate"),
    OPT_REAL(share, "share", NULL, NULL, -1, 1, "a share"),
    OPT_REAL(any, "any", NULL, NULL, 0, 0, "any number"),
    OPT_STRING(out, "out", NULL, NULL, "DIR",
               "where results go; a text that is long enough to be broken into two lines of the "
               "help page"),
    OPT_STRING(targets, "targets", NULL, "q+v", NULL, "sites"),
    OPT_CHOICE(schedule, "schedule", NULL, "cosine", "constant linear cosine",
               "how the rate changes"),
};
static const hora_options sample_table = {"Sample", sample_rows, HORA_COUNT(sample_rows)};
static const hora_options *const tables[] = {&sample_table};

/* Reads an option string into *o; the settings are gone afterwards. */
static hora_status take(sample *o, const char *text) {
    hora_settings s = {0};
    memset(o, 0x5a, sizeof *o); /* what was there before must not matter */
    hora_status bad = hora_settings_parse(&s, text, "test");
    if (bad == HORA_OK)
        bad = hora_options_take(&sample_table, o, &s);
    else
        memset(o, 0, sizeof *o);
    if (bad == HORA_OK)
        bad = hora_settings_finish(&s, tables, 1);
    hora_settings_release(&s);
    return bad;
}

static void assert_refused(const char *text, const char *part) {
    sample o;
    assert_fails(take(&o, text), HORA_EUSAGE, part);
    hora_options_release(&sample_table, &o);
}

static void defaults(void **state) {
    (void)state;
    sample o;
    assert_ok(take(&o, ""));
    assert_false(o.json);
    assert_true(o.packed);
    assert_int_equal(o.steps, 0); /* outside the range on purpose: not given */
    assert_true(o.lr == 2e-4 && o.share == 0);
    assert_null(o.out);
    assert_string_equal(o.targets, "q+v");
    assert_int_equal(o.schedule, 2);
    hora_options_release(&sample_table, &o);
    assert_null(o.targets);
}

static void strings(void **state) {
    (void)state;
    sample o;
    assert_ok(
        take(&o, " steps = 5k ,lr=0.5, json,packed=no,out=\"a, \\\"b\\\" \",schedule=linear"));
    assert_int_equal(o.steps, 5000);
    assert_true(o.lr == 0.5 && o.json && !o.packed);
    assert_string_equal(o.out, "a, \"b\" ");
    assert_int_equal(o.schedule, 1);
    hora_options_release(&sample_table, &o);
    assert_ok(take(&o, "lr=1,learning-rate=2,rate=3,targets=x=y"));
    assert_true(o.lr == 3); /* the last wins, by whatever name */
    assert_string_equal(o.targets, "x=y");
    hora_options_release(&sample_table, &o);
    assert_ok(take(&o, "targets="));
    assert_string_equal(o.targets, "");
    hora_options_release(&sample_table, &o);
    assert_refused("out=\"a", "quote");
    assert_refused("steps=1,,lr=1", "name is missing");
    assert_refused("=3", "name is missing");
    assert_refused("steps=1,", "name is missing");
}

static void values_are_checked(void **state) {
    (void)state;
    assert_refused("steps=0", "at least 1");
    assert_refused("steps=1.5", "whole number");
    assert_refused("steps=", "whole number");
    assert_refused("lr=11", "from 0 to 10");
    assert_refused("lr=nan", "a number");
    assert_refused("lr=inf", "from 0 to 10");
    assert_refused("share=-1.5", "from -1 to 1");
    assert_refused("any=inf", "finite");
    assert_refused("out=", "this name is empty");
    assert_refused("json=maybe", "true or false");
    assert_refused("schedule=cosin", "did you mean cosine?");
    assert_refused("schedule=zzz", "constant, linear, cosine");
    assert_refused("steps=0,steps=5", "at least 1"); /* overridden, still wrong */
}

static void unknown_keys(void **state) {
    (void)state;
    assert_refused("stepz=3", "unknown option `stepz` (test); did you mean `steps`?");
    assert_refused("learning-rat=3", "did you mean `learning_rate`?");
    assert_refused("zzzzzzzz=3", "--help");
}

static void recipes(void **state) {
    (void)state;
    const char *text =
        "{\"steps\": 7, \"method\": {\"name\": \"hora\", \"rank\": 8}, \"lr\": 1e-5,"
        " \"train\": {\"json\": true, \"out\": null}, \"targets\": [\"q\", \"v\", 3]}";
    hora_settings s = {0};
    hora_json *v;
    assert_ok(hora_json_parse(&v, text, strlen(text), "recipe"));
    assert_ok(hora_settings_json(&s, v, "recipe", NULL, 0));
    assert_string_equal(hora_settings_get(&s, "steps"), "7");
    assert_string_equal(hora_settings_get(&s, "method"), "hora");
    assert_string_equal(hora_settings_get(&s, "rank"), "8");
    assert_string_equal(hora_settings_get(&s, "lr"), "1e-05");
    assert_string_equal(hora_settings_get(&s, "json"), "true");
    assert_string_equal(hora_settings_get(&s, "targets"), "q+v+3");
    assert_null(hora_settings_get(&s, "out"));
    hora_settings_put(&s, "steps", "9", "command line");
    assert_string_equal(hora_settings_get(&s, "steps"), "9");
    hora_settings_release(&s);
    hora_json_free(v);
    static const char *const bad[][2] = {{"{\"a\": {\"b\": {\"c\": 1}}}", "nested"},
                                         {"{\"a\": [[1]]}", "element 1"},
                                         {"{\"a\": [\"x+y\"]}", "separates"},
                                         {"{\"a\": {\"p\": 1}, \"b\": {\"p\": 2}}", "twice"},
                                         {"{\"max-steps\": 1, \"max_steps\": 2}", "twice"},
                                         {"[1]", "key: value"}};
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        assert_ok(hora_json_parse(&v, bad[i][0], strlen(bad[i][0]), "recipe"));
        assert_fails(hora_settings_json(&s, v, "recipe", NULL, 0), HORA_EUSAGE, bad[i][1]);
        hora_settings_release(&s);
        hora_json_free(v);
    }
}

typedef struct line {
    hora_settings s;
    const char *rest[32];
    int n;
} line;

/* Splits text at blanks and reads it as a command line. The words live as long as `words`. */
static hora_status read_line(line *l, char *words, bool open) {
    char *argv[32];
    int argc = 0;
    memset(l, 0, sizeof *l);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    return hora_settings_argv(&l->s, argc, argv, tables, 1, open, l->rest, &l->n);
}

static void command_line(void **state) {
    (void)state;
    line l;
    char words[] = "in.txt --max-steps 5 --lr=-1 --share -0.5 --json --no-packed --set rank=3 "
                   "--set=targets=k=v -x --out=--dir -- --steps";
    assert_ok(read_line(&l, words, false));
    assert_string_equal(hora_settings_get(&l.s, "max_steps"), "5");
    assert_string_equal(hora_settings_get(&l.s, "max-steps"), "5");
    assert_string_equal(hora_settings_get(&l.s, "lr"), "-1");
    assert_string_equal(hora_settings_get(&l.s, "share"), "-0.5");
    assert_string_equal(hora_settings_get(&l.s, "json"), "true");
    assert_string_equal(hora_settings_get(&l.s, "packed"), "false");
    assert_string_equal(hora_settings_get(&l.s, "rank"), "3");
    assert_string_equal(hora_settings_get(&l.s, "targets"), "k=v");
    assert_string_equal(hora_settings_get(&l.s, "out"), "--dir");
    assert_string_equal(l.s.at[0].origin, "command line");
    assert_int_equal(l.n, 3);
    assert_string_equal(l.rest[0], "in.txt");
    assert_string_equal(l.rest[1], "-x");
    assert_string_equal(l.rest[2], "--steps");
    hora_settings_release(&l.s);
    char told[] = "--packed false --json true in.txt";
    assert_ok(read_line(&l, told, false));
    assert_string_equal(hora_settings_get(&l.s, "packed"), "false");
    assert_string_equal(hora_settings_get(&l.s, "json"), "true");
    assert_int_equal(l.n, 1);
    hora_settings_release(&l.s);
}

static void command_line_refuses(void **state) {
    (void)state;
    static const char *const bad[][2] = {{"--stepz 5", "did you mean `--steps`?"},
                                         {"--steps", "needs a value"},
                                         {"--steps --json", "needs a value"},
                                         {"--no-steps", "unknown option"},
                                         {"--no-json=true", "unknown option"},
                                         {"--set", "key=value"},
                                         {"--set steps", "key=value"},
                                         {"--set =5", "key=value"},
                                         {"--=5", "unknown option"}};
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        line l;
        char words[64];
        strcpy(words, bad[i][0]);
        assert_fails(read_line(&l, words, false), HORA_EUSAGE, bad[i][1]);
        hora_settings_release(&l.s);
    }
}

static void open_command_line(void **state) {
    (void)state;
    line l;
    char words[] = "--rank 8 --share-a --no-bias --alpha=-2 --last";
    assert_ok(read_line(&l, words, true));
    assert_string_equal(hora_settings_get(&l.s, "rank"), "8");
    assert_string_equal(hora_settings_get(&l.s, "share_a"), "true");
    assert_string_equal(hora_settings_get(&l.s, "bias"), "false");
    assert_string_equal(hora_settings_get(&l.s, "alpha"), "-2");
    assert_string_equal(hora_settings_get(&l.s, "last"), "true");
    assert_int_equal(l.n, 0);
    hora_settings_release(&l.s);
}

/* What a take printed, taken again, is the same struct: the recipe as run can be run. */
static void format_reads_back(void **state) {
    (void)state;
    sample a, b;
    hora_settings s = {0};
    assert_ok(
        take(&a, "steps=12,lr=0.1,share=0.3333333333333333,json,schedule=constant,out=\"x y\""));
    for (int i = 0; i < sample_table.n; i++) {
        hora_str text = {0};
        hora_option_format(&sample_rows[i], &a, &text);
        hora_settings_put(&s, sample_rows[i].name, text.s, "recipe");
        hora_str_release(&text);
    }
    assert_ok(hora_options_take(&sample_table, &b, &s));
    assert_true(a.steps == b.steps && a.lr == b.lr && a.share == b.share && a.json == b.json &&
                a.packed == b.packed && a.schedule == b.schedule);
    assert_string_equal(a.out, b.out);
    assert_string_equal(a.targets, b.targets);
    hora_settings_release(&s);
    hora_options_release(&sample_table, &a);
    hora_options_release(&sample_table, &b);
}

static void help(void **state) {
    (void)state;
    hora_str s = {0};
    hora_options_help(&sample_table, &s);
    assert_string_equal(
        s.s,
        "Sample:\n"
        "  --json                      results for machines\n"
        "  --[no-]packed               share rows [true]\n"
        "  --steps N                   steps to take [0] (also --max-steps)\n"
        "  --learning-rate X           peak rate [2e-4] (also --lr, --rate)\n"
        "  --share X                   a share\n"
        "  --any X                     any number\n"
        "  --out DIR                   where results go; a text that is long enough to be broken "
        "into two\n"
        "                              lines of the help page\n"
        "  --targets TEXT              sites [q+v]\n"
        "  --schedule NAME             how the rate changes: constant, linear, cosine [cosine]\n");
    hora_str_release(&s);
}

/* An option that decides nothing as things stand is refused, of a recipe it is said. */
static void effects(void **state) {
    (void)state;
    typedef struct needy {
        bool on;
        int64_t n, steps, epochs;
        double rate;
        char *name;
        int kind;
    } needy;
#undef OPT_OF
#define OPT_OF needy
    static const hora_option rows[] = {
        OPT_BOOL(on, "on", NULL, "false", "a switch"),
        OPT_INT(n, "n", NULL, "4", 0, 9, "how many", .with = "on"),
        OPT_INT(steps, "steps", "max_steps", NULL, 0, 9, "steps"),
        OPT_INT(epochs, "epochs", NULL, "1", 0, 9, "epochs", .with = "!steps"),
        OPT_CHOICE(kind, "kind", NULL, "red", "red green blue", "a colour"),
        OPT_REAL(rate, "rate", "r", "0.5", 0, 1, "a rate", .with = "kind=green blue"),
        OPT_STRING(name, "name", NULL, NULL, NULL, "a name", .with = "n"),
    };
    static const hora_options table = {"Needy", rows, HORA_COUNT(rows)};
    static const struct {
        const char *text, *says; /* NULL: taken */
    } cases[] = {
        {"n=5", "option n=5 (test) has an effect only with on, and on is false; give that too"},
        {"n=4", NULL}, /* the default says nothing */
        {"n=5,on=true", NULL},
        {"on=true,n=5,on=false", "has an effect only with on"},
        {"epochs=2,steps=3", "has no effect beside steps=3; leave one of them out"},
        {"epochs=2,max_steps=0", NULL},
        {"epochs=2", NULL},
        {"r=0.25", "option r=0.25 (test) has an effect only with kind=green|blue, and kind is red"},
        {"r=0.25,kind=blue", NULL},
        {"r=5e-1", NULL},
        {"name=x", NULL},
        {"name=x,on=true,n=0", "has an effect only with n, and n is 0"},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        for (int recipe = 0; recipe < 2; recipe++) {
            hora_settings s = {0};
            needy o;
            assert_ok(hora_settings_parse(&s, cases[i].text, recipe ? "recipe" : "test"));
            const hora_status got = hora_options_take(&table, &o, &s);
            if (cases[i].says && !recipe)
                assert_fails(got, HORA_EUSAGE, cases[i].says);
            else
                assert_ok(got);
            hora_options_release(&table, &o);
            hora_settings_release(&s);
        }
}

HORA_TESTS(unit_options, {"defaults", defaults, HORA_SHORT},
           {"option strings", strings, HORA_SHORT},
           {"values are checked", values_are_checked, HORA_SHORT},
           {"unknown keys", unknown_keys, HORA_SHORT}, {"recipes", recipes, HORA_SHORT},
           {"command line", command_line, HORA_SHORT},
           {"command line refuses", command_line_refuses, HORA_SHORT},
           {"open command line", open_command_line, HORA_SHORT},
           {"what is printed reads back", format_reads_back, HORA_SHORT},
           {"what has no effect is refused", effects, HORA_SHORT}, {"help", help, HORA_SHORT});
