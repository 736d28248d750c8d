/* What may happen to a process and its files while it works: signals, readers that leave, a second
 * process, files that change, hostile names, little memory. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

/* A shell script in a fresh folder with `model` and data.txt, where $H is the tool and $T a
 * training; fails the test with its output unless it ends with 0. */
static void run(const char *what, const char *script) {
    hora_str text = {0}, said = {0};
    for (int i = 0; i < 30; i++)
        hora_str_printf(&text, "line %d of a small text; ", i);
    const char *data = tiny_file("reliability.txt", text.s);
    char *all = hora_format(
        "H=%s; W='%s/world'; rm -rf \"$W\"; mkdir \"$W\" && cd \"$W\" || exit 99\n"
        "cp -r '%s' model; cp '%s' data.txt\n"
        "T=\"$H train --model model --data data.txt --method lora --seq-len 16 --batch-size 2 "
        "--threads 1\"\n"
        "started() { for i in $(seq 600); do [ -s $1/log.jsonl ] && return; sleep 0.05; done; }\n"
        "%s\n",
        hora_test_tool(), hora_test_tmp(), tiny_model(), data, script);
    const int rc = hora_test_run(all, NULL, &said);
    if (rc)
        fail_msg("%s: exit code %d: %s", what, rc, said.s ? said.s : "");
    hora_str_release(&text);
    hora_str_release(&said);
    hora_free(all);
}

static void test_signals(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        char *script =
            hora_format("$T --steps 1000000 --out o -q 2>err & p=$!; started o; "
                        "kill -%s $p; wait $p; rc=$?; cat err >&2; [ $rc = 12 ] && ls o | "
                        "grep -q '^checkpoint-' && grep -q resume err",
                        i ? "HUP" : "TERM");
        run(i ? "SIGHUP" : "SIGTERM", script);
        hora_free(script);
    }
    run("nohup", "(trap '' HUP; exec $T --steps 400 --out o -q) & p=$!; started o; kill -HUP $p; "
                 "wait $p && [ -f o/adapter_model.safetensors ]");
}

/* A step of very many micro-batches is given up, and leaves nothing behind. */
static void test_long_step(void **state) {
    (void)state;
    run("a long step",
        "$T --steps 3 --grad-accum 1000000 --out o -q 2>err & p=$!; "
        "for i in $(seq 600); do [ -e o/log.csv ] && break; sleep 0.05; done; sleep 0.5; "
        "kill -TERM $p || cat err >&2; (sleep 60; kill -9 $p 2>/dev/null) & wait $p; rc=$?; "
        "cat err >&2; "
        "[ $rc = 12 ] && [ -f o/checkpoint-0/state.json ] && grep -q 'after step 0' err");
    run("the same bytes",
        "A='--steps 3 --grad-accum 300 --eval-data data.txt --eval-every 1 -q --threads 1'; "
        "$T $A --out r || exit 2; $T $A --out o & p=$!; "
        "for i in $(seq 600); do [ -e o/log.csv ] && break; sleep 0.05; done; "
        "for k in $(seq 12); do sleep 0.2; kill -TERM $p 2>/dev/null; wait $p; rc=$?; "
        "[ $rc = 0 ] && break; [ $rc = 12 ] || exit 3; $H train --resume --out o -q & p=$!; done; "
        "[ $rc = 0 ] || wait $p || exit 4; "
        "cmp r/adapter_model.safetensors o/adapter_model.safetensors && cmp r/README.md "
        "o/README.md && [ $(grep -c eval_loss o/log.jsonl) = $(grep -c eval_loss r/log.jsonl) ]");
}

static void test_reader_leaves(void **state) {
    (void)state;
    run("stderr",
        "($T --steps 100 --log-every 1 --out o 2>&1; echo $? > rc) | head -n 3 > /dev/null; "
        "[ \"$(cat rc)\" -lt 128 ] && [ -f o/adapter_model.safetensors ]");
}

/* A closed stdout or stderr is not taken for a file that the tool opens. */
static void test_closed(void **state) {
    (void)state;
    run("closed streams",
        "$H new --config model/config.json --out a -q || exit 2; i=0; "
        "for c in '>&-' '2>&-' '<&- >&- 2>&-' '>/dev/full'; do i=$((i+1)); "
        "eval \"$H new --config model/config.json --out n$i -q $c\" 2>>err; rc=$?; "
        "[ $rc = 0 ] || [ $rc = 3 ] || exit 3; "
        "cmp a/model.safetensors n$i/model.safetensors && cmp a/config.json n$i/config.json || "
        "exit 4; done; $H inspect model >&- 2>err; [ $? = 3 ] && grep -q stdout err");
}

static void test_one_writer(void **state) {
    (void)state;
    run("a second run", "$T --steps 1000000 --out o -q & p=$!; started o; "
                        "for a in '' --overwrite --resume; do $T --steps 3 --out o $a -q 2> err; "
                        "[ $? = 9 ] || exit 1; grep -q \"process $p\" err || exit 2; done; "
                        "kill -TERM $p; wait $p; [ $? = 12 ] || exit 3; "
                        "kill -9 $p 2>/dev/null; $T --steps 3 --out o --overwrite -q");
    run("a killed run holds nothing",
        "$T --steps 1000000 --out o -q & p=$!; started o; kill -9 $p; "
        "wait $p; $T --steps 3 --out o --overwrite -q");
}

static void test_files_change(void **state) {
    (void)state;
    run("a model that shrinks",
        "$T --steps 1000000 --dtype f32 --out o -q 2>err & p=$!; started o; "
        "truncate -s 1000 model/model.safetensors; (sleep 20; kill -9 $p 2>/dev/null) & "
        "wait $p; rc=$?; cat err >&2; [ $rc = 3 ] && grep -q model/model.safetensors err");
    for (int i = 0; i < 3; i++) /* both threads meet the end of the file */
        run("a model that shrinks under two threads",
            "$T --threads 2 --steps 1000000 --dtype f32 --out o -q 2>err & p=$!; started o; "
            "truncate -s 1000 model/model.safetensors; (sleep 20; kill -9 $p 2>/dev/null) & "
            "wait $p; rc=$?; cat err >&2; [ $rc = 3 ] && "
            "[ $(grep -c model/model.safetensors err) = 1 ]");
    run("a model that is written to",
        "$T --steps 1000000 --save-every 5 --out o -q 2>err & p=$!; started o; "
        "touch model/model.safetensors; (sleep 20; kill -9 $p 2>/dev/null) & "
        "wait $p; rc=$?; cat err >&2; [ $rc = 3 ] && grep -q 'written to' err");
    run("a pipe as data", "mkfifo p; timeout 20 $H eval --model model --data p 2>err; rc=$?; "
                          "cat err >&2; [ $rc = 3 ] && grep -q pipe err");
    run("pipes in a model",
        "for f in config.json tokenizer.json tokenizer_config.json chat_template.jinja "
        "generation_config.json model.safetensors special_tokens_map.json; do rm -rf m; "
        "cp -r model m; rm -f m/$f; mkfifo m/$f; "
        "timeout 20 $H eval --model m --data data.txt --seq-len 16 >out 2>err; rc=$?; "
        "[ $rc = 0 ] || { [ $rc = 3 ] && grep -q \"$f.*pipe\" err; } || "
        "{ echo \"$f $rc\" >&2; cat err >&2; exit 1; }; done");
}

/* Bit by bit through state.json: what is not what was written is passed over. */
static void test_state(void **state) {
    (void)state;
    run("state.json",
        "$T --steps 4 --save-every 2 --out r -q && cp -r r o && rm -r o/adapter* o/checkpoint-4 && "
        "cp -r o x && for e in 's/\"step\": 2/\"step\": 0/' 's/\"sequences\": ./\"sequences\": 9/' "
        "'s/variant/varient/' 's/  \"files\"/   \"files\"/' 's/\"hash\"/\"hasj\"/' "
        "'s/\"format\": 2/\"format\": 3/'; do "
        "rm -rf o; cp -r x o; sed -i \"$e\" o/checkpoint-2/state.json; "
        "cmp -s x/checkpoint-2/state.json o/checkpoint-2/state.json && exit 2; "
        "$H train --resume --out o -q 2>err && exit 3; grep -q 'passed over' err || exit 4; done; "
        "rm -rf o; cp -r x o; mv o/checkpoint-2 o/checkpoint-3; "
        "$H train --resume --out o -q 2>err && exit 5; "
        "rm -rf o; cp -r x o; $H train --resume --out o -q && cmp r/adapter_model.safetensors "
        "o/adapter_model.safetensors");
}

/* Control characters of files do not reach stdout or stderr; generate's text goes to a file as it
 * is. */
static void test_escapes(void **state) {
    (void)state;
    run("escapes",
        "e=$(printf '\\033'); c=$(printf '\\302\\233'); "
        "see() { out=$(\"$@\" 2>&1 < /dev/null); case \"$out\" in *\"$e\"*|*\"$c\"*) "
        "echo \"raw from $*\" >&2; exit 1;; esac; }\n"
        "printf '{\"pro\\033[2Jmpt\\302\\233\": 1}\\n' > key.jsonl\n"
        "printf 'na\\033[2Jme: 1\\n' > r.yaml\n"
        "cp -r model m; printf '{{ raise_exception(\"no \\\\033[2J\") }}' > m/chat_template.jinja\n"
        "printf '{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": "
        "\"assistant\", "
        "\"content\": \"y\"}]}\\n' > chat.jsonl\n"
        "mkdir -p \"bad${e}[2Jdir\"; cp data.txt \"d${e}[2J.txt\"\n"
        "see $H eval --model model --data key.jsonl\n"
        "see $H train r.yaml --model model --data data.txt --out o\n"
        "see $H eval --model m --data chat.jsonl\n"
        "see $H inspect \"bad${e}[2Jdir\"\n"
        "see $H inspect \"no${c}such\"\n"
        "see $T --steps 1 --out o1 --data \"d${e}[2J.txt\"\n"
        "see $T --steps 1 --out \"o${e}[2J\" --json\n"
        "grep -q \"$e\" o1/README.md && exit 2; exit 0");
}

static void test_little_memory(void **state) {
    (void)state;
#ifdef HORA_SANITIZE
    hora_test_skip("the sanitizer takes address space without end, so no limit can be set");
#endif
    run("plan and train agree under ulimit -v",
        "set -- --seq-len 96 --batch-size 4000 --method full; "
        "(ulimit -v 400000; $H plan --model model --data data.txt \"$@\" >/dev/null 2>&1); a=$?; "
        "(ulimit -v 400000; $H train --model model --data data.txt \"$@\" --steps 1 --out o -q "
        ">/dev/null 2>&1); b=$?; echo \"$a $b\" >&2; [ $a = 7 ] && [ $b = 7 ]");
    run("rules that grow without end",
        "python3 - <<'E'\nimport json\np='model/tokenizer.json'\nt=json.load(open(p))\n"
        "t['normalizer']={'type':'Sequence','normalizers':[{'type':'Replace','pattern':"
        "{'String':'a'},'content':'aa'}]*40}\njson.dump(t,open(p,'w'))\nE\n"
        "[ $? = 0 ] || exit 0; (ulimit -v 2000000; timeout 60 $H tokenize --model model --text "
        "aaaa "
        "2>err); rc=$?; cat err >&2; [ $rc = 5 ] && grep -q Replace err");
    run("many keys", "i=0; while [ $i -lt 20000 ]; do echo \"k$i: 1\"; i=$((i+1)); done > r.yaml; "
                     "timeout 30 $H train r.yaml --model model 2>/dev/null; [ $? = 2 ]");
}

/* Names in the model card stay names. */
static void test_card(void **state) {
    (void)state;
    run("README.md",
        "b=$(printf 'mo\\n---\\nlicense: mit <img>'); mv model \"$b\"; "
        "d=$(printf 'da`\\n# Heading\\n<img>.txt'); mv data.txt \"$d\"; "
        "$H train --model \"$b\" --data \"$d\" --method lora --seq-len 16 --batch-size 2 --steps 1 "
        "--out o -q || exit 1; sed -e '/^base_model/d' -e 's/`[^`]*`//' o/README.md | "
        "grep -E '^(license|# Heading|<img)|[^\\\\]<img' >&2 && exit 2; exit 0");
}

HORA_TESTS(cli_reliability, {"signals end with a checkpoint", test_signals, HORA_SHORT},
           {"a long step stops at once", test_long_step, HORA_MEDIUM},
           {"a reader that leaves", test_reader_leaves, HORA_SHORT},
           {"closed streams", test_closed, HORA_SHORT}, {"one writer", test_one_writer, HORA_SHORT},
           {"files that change", test_files_change, HORA_SHORT},
           {"state.json", test_state, HORA_SHORT}, {"control characters", test_escapes, HORA_SHORT},
           {"little memory, little time", test_little_memory, HORA_SHORT},
           {"names in the model card", test_card, HORA_SHORT});
