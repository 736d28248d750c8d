/* Nothing of a user's is deleted, by any command: every pair of output and input, equal, inside,
 * around, through links and other spellings; and what is not finite is no result. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char how[] = "--seq-len 16 --batch-size 2 --threads 1 -q";

/* Runs a shell script in a fresh folder W (the working folder), where $H is the tool, $M the model,
 * $D the data, and OUT is a run of two steps; returns the exit code and what was said. */
static int in_world(const char *prepare, const char *command, hora_str *said) {
    hora_str text = {0};
    for (int i = 0; i < 30; i++)
        hora_str_printf(&text, "line %d of a small text; ", i);
    const char *data = tiny_file("guards.txt", text.s);
    hora_str_release(&text);
    char *script = hora_format(
        "H=%s; W='%s/world'; A='%s'; rm -rf \"$W\"; mkdir \"$W\" && cd \"$W\" || exit 99\n"
        "cp -r '%s' model; cp '%s' data.txt; cp data.txt eval.txt\n"
        "printf 'model: model\\ndata: data.txt\\nmethod: lora\\nrank: 2\\nsteps: 2\\n' > "
        "recipe.yaml\n"
        "T=\"$H train --data data.txt --steps 2 --save-every 1 --method lora %s\"\n"
        "( %s ) >/dev/null 2>prepared || { cat prepared >&2; exit 98; }\n"
        "rm -f prepared\n"
        "list() { find . -printf '%%p %%y %%l\\n' | sort; find . -type f -print0 | sort -z | "
        "xargs -0 md5sum; }\n"
        "list > ../before; ( %s ); rc=$?; list > ../after\n"
        "cmp -s ../before ../after || { diff ../before ../after >&2; exit 97; }\nexit $rc\n",
        hora_test_tool(), hora_test_tmp(), hora_test_tmp(), tiny_model(), data, how, prepare,
        command);
    const int rc = hora_test_run(script, NULL, said);
    hora_free(script);
    return rc;
}

/* Refused, and not a byte, name or link of the world differs. */
static void assert_refused(const char *prepare, const char *command, const char *says) {
    hora_str said = {0};
    const int rc = in_world(prepare, command, &said);
    if ((rc != 9 && rc != 2) || (says && !strstr(said.s ? said.s : "", says)))
        fail_msg("`%s`, then `%s`: exit code %d, \"%s\" (should name %s)", prepare, command, rc,
                 said.s ? said.s : "", says ? says : "anything");
    hora_str_release(&said);
}

static void test_pairs(void **state) {
    (void)state;
    static const struct {
        const char *prepare, *command, *says;
    } cases[] = {
        /* the model */
        {"$T --model model --method full --out OUT", "$T --model OUT --out OUT --overwrite",
         "model"},
        {"$T --model model --method full --out OUT",
         "$T --model ./model/../OUT/ --out \"$W\"/OUT --overwrite", NULL},
        {"$T --model model --method full --out OUT; ln -s OUT L; mkdir x",
         "$T --model L --out x/../OUT --overwrite", "model"},
        {"$T --model model --method full --out OUT; ln -s OUT L",
         "$T --model OUT --out L --overwrite", "model"},
        {"$T --model model --method full --out OUT",
         "$T --model OUT/checkpoint-2 --out OUT --overwrite", "model"},
        {"$T --model model --method full --out OUT; mkdir C; "
         "cp OUT/config.json OUT/tokenizer.json C; ln -s ../OUT/model.safetensors C",
         "$T --model C --out OUT --overwrite", "model"},
        {"$T --model model --out OUT; mv model OUT/", "$T --model OUT/model --out OUT --overwrite",
         NULL},
        {"$T --model model --out model/OUT", "$T --model model --out model/OUT --overwrite",
         "model"},
        {"$T --model model --out OUT", "$T --model model --out model --overwrite", NULL},
        {"$T --model model --out OUT", "$T --model model --out . --overwrite", NULL},
        {"$T --model model --method full --out OUT", "$T --model OUT --resume --out OUT", NULL},
        /* data and evaluation data */
        {"$T --model model --out OUT; cp data.txt OUT",
         "$T --model model --data OUT/data.txt --out OUT --overwrite", "data"},
        {"$T --model model --out OUT",
         "$T --model model --data OUT/log.jsonl --out OUT --overwrite", "data"},
        {"$T --model model --out OUT; ln OUT/log.jsonl hard.jsonl",
         "$T --model model --data hard.jsonl --out OUT --overwrite", "data"},
        {"$T --model model --out OUT; ln -s OUT/log.jsonl soft.jsonl",
         "$T --model model --data soft.jsonl --out OUT --overwrite", "data"},
        {"$T --model model --out OUT",
         "$T --model model --eval-data OUT/log.csv --out OUT --overwrite", "evaluation data"},
        {"$T --model model --out OUT; mv eval.txt OUT/checkpoint-1",
         "$T --model model --eval-data OUT/checkpoint-1/eval.txt --out OUT --overwrite", "data"},
        {"$T --model model --out OUT",
         "$T --model model --data data.txt --out data.txt --overwrite", NULL},
        /* the adapter that training starts from */
        {"$T --model model --out OUT", "$T --model model --init-adapter OUT --out OUT --overwrite",
         "adapter"},
        {"$T --model model --out OUT",
         "$T --model model --init-adapter OUT/checkpoint-1 --out OUT --overwrite", "adapter"},
        {"$T --model model --out OUT; ln -s OUT/checkpoint-2 L",
         "$T --model model --init-adapter L --out OUT --overwrite", "adapter"},
        {"$T --model model --out OUT; $T --model model --out OUT/checkpoint-1/deep",
         "$T --model model --init-adapter OUT --out OUT/checkpoint-1/deep --overwrite", "adapter"},
        /* the recipe */
        {"$T --model model --out OUT", "$H train OUT/recipe.yaml --overwrite", "recipe"},
        {"$T --model model --out OUT; ln -s OUT/recipe.yaml r.yaml", "$H train r.yaml --overwrite",
         "recipe"},
        {"$T --model model --out OUT; mv recipe.yaml OUT/mine.yaml",
         "$H train OUT/mine.yaml --out OUT --overwrite", "recipe"},
        /* the working folder */
        {"$T --model model --out OUT",
         "cd OUT; $T --model ../model --data ../data.txt --out . "
         "--overwrite",
         "working folder"},
        {"$T --model model --out OUT",
         "cd OUT/checkpoint-1; $T --model ../../model --data "
         "../../data.txt --out .. --overwrite",
         "working folder"},
        {"$T --model model --out OUT; ln -s OUT L",
         "cd L; $T --model \"$W\"/model --data \"$W\"/data.txt --out \"$W\"/OUT --overwrite",
         "working folder"},
        {":", "$H train recipe.yaml --out \"$PWD\" --overwrite", NULL},
        {":", "$H train recipe.yaml --out / --overwrite", NULL},
        /* what is not hora's at all */
        {"mkdir -p OUT/src; echo x > OUT/src/a.c; cp recipe.yaml OUT",
         "$T --model model --out OUT "
         "--overwrite",
         "src"},
        {"$T --model model --out OUT; echo x > OUT/thesis.tex",
         "$T --model model --out OUT --overwrite", "thesis.tex"},
        {"$T --model model --out OUT; echo x > OUT/checkpoint-2/notes",
         "$T --model model --out OUT --overwrite", "checkpoint-2/notes"},
        {"$T --model model --out OUT; rm OUT/.hora", "$T --model model --out OUT --overwrite",
         "adapter_model.safetensors"},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        assert_refused(cases[i].prepare, cases[i].command, cases[i].says);
}

static void test_writing_commands(void **state) {
    (void)state;
    static const struct {
        const char *prepare, *command, *says;
    } cases[] = {
        {"mkdir d; echo a > d/a", "$H new --config model/config.json --out d --overwrite", "a"},
        {":", "$H new --config model/config.json --out model --overwrite", NULL},
        {"$H new --config model/config.json --out d",
         "$H new --config d/config.json --out d --overwrite", "configuration"},
        {"$H new --config model/config.json --tokenizer model --out d",
         "$H new --config model/config.json --tokenizer d --out d --overwrite", "tokenizer"},
        {"$H new --config model/config.json --out d; echo a > d/thesis",
         "$H new --config model/config.json --out d --overwrite", "thesis"},
        {"$H new --config model/config.json --out d",
         "cd d; $H new --config ../model/config.json --out . --overwrite", "working folder"},
        {"echo '{\"input_ids\": [[5, 6]]}' > b.json",
         "$H forward --model model --batch b.json --out b.json --overwrite", "batch"},
        {"echo '{\"input_ids\": [[5, 6]]}' > b.json",
         "$H forward --model model --batch b.json --out model/model.safetensors --overwrite",
         "model"},
        {"echo '{\"input_ids\": [[5, 6]]}' > b.json; ln -s model/config.json L",
         "$H forward --model model --batch b.json --out L --overwrite", "model"},
        {"echo '{\"input_ids\": [[5, 6]]}' > b.json; mkfifo p",
         "$H forward --model model --batch b.json --out p --overwrite", "regular"},
        {"mkdir d; echo a > d/a",
         "$H theory hmoe --model model --random 1 --tokens 4 --out d --overwrite", "a"},
        {"cp model/model.safetensors x.safetensors; ln x.safetensors y.safetensors",
         "$H theory hmoe --case x.safetensors --out y.safetensors --overwrite", "case"},
        {"mkdir d; echo a > d/rates.csv", "$H theory rates --quick --seeds 1 --out d --overwrite",
         "rates.csv"},
        {"mkdir d; echo a > d/lowdata.json", "$H theory lowdata --quick --seeds 1 --out d",
         "lowdata.json"},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        assert_refused(cases[i].prepare, cases[i].command, cases[i].says);
    tool_check(9, "", "regular", "forward --model '%s' --batch '%s' --out /dev/null --overwrite",
               tiny_model(), tiny_file("b.json", "{\"input_ids\": [[5, 6]]}"));
}

/* Single files: only hora's own, whole and of the kind, are replaced. */
static void test_single_files(void **state) {
    (void)state;
#define GGUF    "$H quantize --model model --type q8_0 --out "
#define LORA    "$H export --model model --adapter OUT --to gguf-lora --out "
#define FORWARD "$H forward --model model --batch b.json --out "
#define BATCH   "echo '{\"input_ids\": [[5, 6]]}' > b.json; "
#define SEEN    "for i in 1 2; do echo '{\"true\": 1, \"pred\": 1}'; done > p.jsonl; "
#define MATRIX  "$H eval --predictions p.jsonl --confusion "
    static const struct {
        const char *prepare, *command;
    } cases[] = {
        {"echo precious > x", GGUF "x --overwrite"},
        {"echo precious > x", "$H export --model model --to gguf --out x --overwrite"},
        {"$T --model model --out OUT; echo precious > x", LORA "x --overwrite"},
        {": > x", GGUF "x --overwrite"},
        {":", GGUF "data.txt --overwrite"},
        /* cut, lengthened, from before the mark, changed by a program that keeps keys */
        {GGUF "x; truncate -s -32 x", GGUF "x --overwrite"},
        {GGUF "x; head -c 100 x > y", GGUF "y --overwrite"},
        {GGUF "x; echo more >> x", GGUF "x --overwrite"},
        {GGUF "x; sed -i s/hora.file/some.file/ x", GGUF "x --overwrite"},
        {GGUF "x; sed -i 's/gguf 0000/gguf 0001/' x", GGUF "x --overwrite"},
        /* hora's, of another kind */
        {"$T --model model --out OUT; " GGUF "x", LORA "x --overwrite"},
        {"$T --model model --out OUT; " LORA "x", GGUF "x --overwrite"},
        {BATCH FORWARD "x", GGUF "x --overwrite"},
        {BATCH GGUF "x", FORWARD "x --overwrite"},
        {BATCH "echo precious > x", FORWARD "x --overwrite"},
        {BATCH "cp model/model.safetensors x", FORWARD "x --overwrite"},
        {BATCH FORWARD "x; truncate -s -4 x", FORWARD "x --overwrite"},
        {SEEN "echo precious > x", MATRIX "x --overwrite"},
        {SEEN MATRIX "x; truncate -s -1 x", MATRIX "x --overwrite"},
        {SEEN MATRIX "x; sed -i s/hora.file/some.file/ x", MATRIX "x --overwrite"},
        {"echo precious > Modelfile",
         "$H export --model model --to gguf --modelfile --out x --overwrite"},
        {"$H export --model model --to gguf --modelfile --out x; sed -i 1s/x/y/ Modelfile",
         "$H export --model model --to gguf --modelfile --out x --overwrite"},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        assert_refused(cases[i].prepare, cases[i].command, "remove it yourself");
    static const char *const own[] = {
        GGUF "x && " GGUF "x --type q4_0 --overwrite && "
             "$H export --model model --to gguf --out x --overwrite && " GGUF "x --overwrite",
        "$T --model model --out OUT && " LORA "x && " LORA "x --overwrite",
        BATCH FORWARD "x && " FORWARD "x --overwrite",
        SEEN MATRIX "x && " MATRIX "x --overwrite",
        "$H export --model model --to gguf --modelfile --out x && "
        "$H export --model model --to gguf --modelfile --out x --overwrite",
        /* what a killed run left goes with the next; what somebody writes stays */
        "t=x.hora-0123456789abcdef.tmp; echo a > $t; echo a > y$t; " GGUF "x && [ ! -e $t ] && "
        "[ -e y$t ] && echo a > $t && ( flock 9 && " GGUF
        "x --overwrite ) 9>>$t && [ -e $t ] && " GGUF "x --overwrite && [ ! -e $t ] && [ -e y$t ]",
    };
    for (size_t i = 0; i < HORA_COUNT(own); i++) {
        hora_str said = {0};
        if (in_world(own[i], ":", &said))
            fail_msg("%s: %s", own[i], said.s ? said.s : "");
        hora_str_release(&said);
    }
}

/* What is allowed works, and leaves what is not hora's as it was. */
static void test_allowed(void **state) {
    (void)state;
    static const char *const scripts[] = {
        /* overwriting a run, through a link that stays one, from a working folder around it */
        "$T --model model --out OUT && ln -s OUT L && $T --model model --out L --overwrite && "
        "[ -L L ] && [ -f OUT/adapter_model.safetensors ] && [ ! -e OUT/.hora-old.tmp ]",
        /* a folder inside the model, at first */
        "$T --model model --out model/OUT",
        /* resuming with its own recipe, with foreign things in OUT */
        "$T --model model --out OUT && echo x > OUT/thesis && mkdir OUT/src && "
        "echo y > OUT/checkpoint-1/notes && rm -r OUT/checkpoint-2 OUT/adapter_model.safetensors "
        "&& $H train OUT/recipe.yaml --resume --save-limit 1 && "
        "[ \"$(cat OUT/thesis OUT/checkpoint-1/notes)\" = \"x\ny\" ] && [ -d OUT/src ] && "
        "[ -f OUT/adapter_model.safetensors ]",
        /* data that lie in OUT, with --resume */
        "mkdir OUT && $T --model model --out OUT && mv data.txt OUT/ && ln -s OUT/data.txt . && "
        "rm -r OUT/checkpoint-2 && $T --model model --resume --out OUT && [ -f OUT/data.txt ]",
        /* a folder from before the mark: resuming marks it, then it can be overwritten */
        "$T --model model --out OUT && find OUT -name .hora -delete && rm -r OUT/checkpoint-2 && "
        "mkdir OUT/checkpoint-2.tmp && echo t > OUT/checkpoint-2.tmp/state.safetensors && "
        "$H train --resume --out OUT && [ -f OUT/.hora ] && [ -d OUT/checkpoint-2 ] && "
        "$T --model model --out OUT --overwrite",
        "$T --model model --out OUT && find OUT -name .hora -delete && rm -r OUT/checkpoint-2 && "
        "echo mine > OUT/thesis && echo mine > OUT/checkpoint-1/notes && "
        "$H train --resume --out OUT && ! $T --model model --out OUT --overwrite && "
        "rm OUT/thesis && ! $T --model model --out OUT --overwrite && rm OUT/checkpoint-1/notes && "
        "$T --model model --out OUT --overwrite",
        /* a README that is the user's is in the way, and said before the training */
        "$T --model model --out OUT && find OUT -name .hora -delete && rm -r OUT/checkpoint-2 && "
        "echo mine > OUT/README.md && ! $H train --resume --out OUT && "
        "[ \"$(cat OUT/README.md)\" = mine ] && rm OUT/README.md && $H train --resume --out OUT",
        /* an overwrite that fails leaves the old run, byte for byte */
        "$T --model model --out OUT && find OUT -type f ! -name .hora | sort | xargs md5sum > a && "
        "! $T --model model --explode 0.0001 --out OUT --overwrite && "
        "find OUT -type f ! -name .hora | sort | xargs md5sum | cmp - a",
        /* models */
        "$H new --config model/config.json --out d && $H new --config model/config.json --out d "
        "--overwrite --seed 2 && [ \"$(ls d)\" = \"config.json\nmodel.safetensors\" ]",
    };
    for (size_t i = 0; i < HORA_COUNT(scripts); i++) {
        hora_str said = {0};
        if (in_world(scripts[i], ":", &said))
            fail_msg("%s: %s", scripts[i], said.s ? said.s : "");
        hora_str_release(&said);
    }
}

/* kill -9 at many moments of an overwrite, the first write included: nothing foreign is touched,
 * and --resume or --overwrite works. */
static void test_killed(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        hora_str said = {0};
        char *script = hora_format(
            "%s; $T --model model --steps 60 --save-every 1 --out OUT "
            "%s & p=$!; sleep 0.%03d; kill -9 $p; wait $p; "
            "$T --model model --resume --out OUT || $T --model model --out OUT --overwrite || "
            "{ rmdir OUT 2>/dev/null; $T --model model --out OUT; }",
            i % 2 ? "$T --model model --out OUT" : ":", i % 2 ? "--overwrite" : "", 5 + 31 * i);
        if (in_world(script, ":", &said))
            fail_msg("%s: %s", script, said.s ? said.s : "");
        hora_free(script);
        hora_str_release(&said);
    }
}

/* A NaN in the weights: no command gives a number that nobody can trust. */
static void test_not_finite(void **state) {
    (void)state;
    const char *poison =
        "python3 - model/model.safetensors <<'E'\nimport json,struct,sys\np=sys.argv[1]\n"
        "b=bytearray(open(p,'rb').read())\nn=struct.unpack('<Q',b[:8])[0]\n"
        "h=json.loads(b[8:8+n])\n"
        "o=h['model.layers.0.mlp.up_proj.weight']['data_offsets'][0]+8+n\n"
        "b[o:o+4]=struct.pack('<f',float('nan'))\nopen(p,'wb').write(b)\nE\n";
    static const char *const commands[] = {
        "$H eval --model model --data data.txt --seq-len 16",
        "$H eval --model model --data data.txt --seq-len 16 --json",
        "$H generate --model model --prompt ab --max-new-tokens 4",
        "$H generate --model model --prompt ab --max-new-tokens 4 --json",
        "$H forward --model model --batch b.json --out o.safetensors",
        "$T --model model --out OUT && false",
        "$T --model model --eval-data eval.txt --eval-start --out OUT && false",
    };
    hora_str said = {0};
    if (hora_test_run("command -v python3", NULL, NULL))
        hora_test_skip("python3 makes the broken file");
    char *prepare = hora_format("%s echo '{\"input_ids\": [[5, 6, 7]], \"labels\": [[5, 6, 7]]}' "
                                "> b.json",
                                poison);
    for (size_t i = 0; i < HORA_COUNT(commands); i++) {
        said.n = 0;
        char *all = hora_format("(%s); rc=$?; rm -rf OUT; exit $rc", commands[i]);
        const int rc = in_world(prepare, all, &said);
        if (rc != 11)
            fail_msg("%s: exit code %d, should be 11: %s", commands[i], rc, said.s);
        hora_free(all);
    }
    hora_free(prepare);
    hora_str_release(&said);
}

/* What people write into a file of hora's is theirs. */
static void test_edited(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"$T --model model --out OUT; echo mine >> OUT/README.md",
         "$T --model model --out OUT --overwrite"},
        {"$T --model model --out OUT; echo mine >> OUT/README.md",
         "$H train --resume --out OUT --steps 3 -q"},
        {"$T --model model --out OUT; sed -i 's/lora_alpha/lora_alphb/' OUT/adapter_config.json",
         "$T --model model --out OUT --overwrite"},
        {"$T --model model --out OUT; echo mine >> OUT/README.md; cp -r OUT OUT2; rm -r OUT",
         "$T --model model --out OUT2 --overwrite"},
        {"$T --model model --out a; $H merge --model model --adapter a --out OUT; echo >> "
         "OUT/config.json",
         "$H merge --model model --adapter a --out OUT --overwrite"},
        {"$H new --config model/config.json --out OUT; echo >> OUT/config.json",
         "$H new --config model/config.json --out OUT --overwrite"},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        assert_refused(cases[i][0], cases[i][1], "OUT");
    hora_str said = {0};
    const int rc = in_world("$T --model model --out OUT; cp -rp OUT OUT2; touch OUT/README.md; "
                            "$T --model model --out OUT --overwrite; "
                            "$T --model model --out OUT2 --overwrite; "
                            "$H train --resume --out OUT2 --steps 3 -q",
                            "true", &said);
    if (rc)
        fail_msg("what nobody edited was not replaced: %s", said.s);
    hora_str_release(&said);
}

HORA_TESTS(cli_guards, {"every pair of output and input", test_pairs, HORA_SHORT},
           {"every command that writes", test_writing_commands, HORA_SHORT},
           {"single files of hora's and of others", test_single_files, HORA_SHORT},
           {"what is allowed", test_allowed, HORA_SHORT},
           {"what is not finite is no result", test_not_finite, HORA_SHORT},
           {"killed while overwriting", test_killed, HORA_SHORT},
           {"edited files", test_edited, HORA_SHORT});
