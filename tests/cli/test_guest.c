/* The tool among others: two processes on one model, a model that is only read, no home. */
#include "base/text.h"
#include "hora_test.h"
#include "tiny_model.h"

/* A shell script with $H the tool, $M a model, $D data, $T a folder of its own. */
static void script(const char *lines) {
    hora_str text = {0}, out = {0}, err = {0};
    for (int i = 0; i < 60; i++)
        hora_str_puts(&text, "the cat sat on the mat\n");
    char *command = hora_format("set -e; H=%s M='%s' D='%s' T='%s'; %s", hora_test_tool(),
                                tiny_model(), tiny_file("d.txt", text.s), hora_test_tmp(), lines);
    const int code = hora_test_run(command, &out, &err);
    if (code)
        fail_msg("exit %d: %s\n%s%s", code, lines, out.s ? out.s : "", err.s ? err.s : "");
    hora_free(command);
    hora_str_release(&text);
    hora_str_release(&out);
    hora_str_release(&err);
}

#define TRAIN "$H train --model $M --data $D --method hora --steps 8 --batch-size 2 --seq-len 32 "

static void two_on_one_model(void **state) {
    (void)state;
    script(TRAIN "--out $T/alone; " TRAIN "--out $T/a & first=$!; " TRAIN
                 "--out $T/b; wait $first; "
                 "for f in adapter_model.safetensors hora_state.safetensors; do "
                 "cmp $T/alone/$f $T/a/$f; cmp $T/alone/$f $T/b/$f; done");
}

/* Nothing is made, changed or read as if it could be written: not even the times of the folder. As
 * root nothing is refused, so the listing has to say it. */
static void model_is_only_read(void **state) {
    (void)state;
    script("chmod -R a-w $M; list() { find $M -printf '%p %m %s %T@ %C@\\n' | sort; }; "
           "list > $T/before; " TRAIN "--out $T/a; "
           "$H eval --model $M --adapter $T/a --data $D --seq-len 32; "
           "$H generate --model $M --adapter $T/a --prompt 'the c' --max-new-tokens 4; "
           "$H merge --model $M --adapter $T/a --out $T/merged; "
           "$H inspect $M; $H plan --model $M --data $D --method lora --steps 1 --seq-len 32; "
           "list > $T/after; chmod -R u+w $M; cmp $T/before $T/after");
}

/* Neither a home that is not there nor an empty environment matters, and nothing is left outside of
 * OUT. */
static void no_home(void **state) {
    (void)state;
    script("mkdir $T/w; cd $T/w; "
           "HOME=$T/nowhere XDG_CACHE_HOME=$T/nowhere TMPDIR=$T/nowhere " TRAIN "--out $T/a; "
           "env -i $H eval --model $M --adapter $T/a --data $D --seq-len 32; "
           "test ! -e $T/nowhere; test -z \"$(ls -A)\"");
}

HORA_TESTS(cli_guest, {"two processes on one model", two_on_one_model, HORA_SHORT},
           {"a model is only read", model_is_only_read, HORA_SHORT},
           {"no home, no environment", no_home, HORA_SHORT});
