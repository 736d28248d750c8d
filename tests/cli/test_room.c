/* What a model or a run has no room for: positions behind prompts, heads, blocks, steps. */
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char *data_file(void) {
    return tiny_file("room.txt", "a small text; and another, of some length; more of it, to the "
                                 "end of a sequence and a bit beyond, so that one is full\n");
}

/* What stands in front of a text, as rows or as keys, takes of the model's positions. */
static void test_positions(void **state) {
    static const char *const methods[] = {"prompt", "ptuning", "prefix"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        tool_check(2, "",
                   "seq_len=32 behind 65 positions of prompts is longer than the model's "
                   "context of 96 tokens",
                   "plan --model '%s' --seq-len 32 --steps 1 --method %s --virtual-tokens 65",
                   tiny_model(), methods[i]);
        tool_check(0, NULL, NULL,
                   "plan --model '%s' --seq-len 32 --steps 1 --method %s --virtual-tokens 64",
                   tiny_model(), methods[i]);
        const char *out = hora_test_path(hora_test_tmp(), methods[i]);
        tool_check(0, NULL, NULL,
                   "train --model '%s' --data '%s' --steps 1 --batch-size 1 --method %s "
                   "--virtual-tokens 64 --out '%s'",
                   tiny_model(), data_file(), methods[i], out);
        tool_check(2, "", "give --context 32",
                   "generate --model '%s' --adapter '%s' --prompt a --context 33", tiny_model(),
                   out);
        tool_check(5, "", "no share", "generate --model '%s' --adapter '%s':0.5 --prompt a",
                   tiny_model(), out);
        tool_check(0, NULL, NULL, /* off, so that all positions are free */
                   "generate --model '%s' --adapter '%s':0 --prompt a --context 96 "
                   "--max-new-tokens 2",
                   tiny_model(), out);
        tool_check(2, "", "give --context 32", "chat --model '%s' --adapter '%s' --context 33",
                   tiny_model(), out);
        tool_check(0, NULL, NULL,
                   "generate --model '%s' --adapter '%s' --prompt a --max-new-tokens 200",
                   tiny_model(), out);
        tool_check(0, "loss", NULL, "eval --model '%s' --adapter '%s' --data '%s'", tiny_model(),
                   out, data_file());
        tool_check(2, "", "give --seq-len 32",
                   "eval --model '%s' --adapter '%s' --data '%s' --seq-len 33", tiny_model(), out,
                   data_file());
    }
}

/* What a model or a run has no room for is refused before the work, and told. */
static void test_no_room(void **state) {
    (void)state;
    static const struct {
        const char *options, *text;
        int code;
    } rows[] = {
        {"adalora --tinit 30 --tfinal 20", "leave none of 50 steps", 2},
        {"adalora --total-step 30 --tinit 30", "leave none of 30 steps", 2},
        {"adalora --tinit 30 --tfinal 19", "", 0},
        {"adalora --total-step 1000", "the budget ends above target_rank", 0},
        {"kadapt --terms 31", "take a number that divides both, 16 for one", 2},
        {"head_lora --heads 99", "there is no head 99", 2},
        {"oft --block-size 7", "block_size=7 does not cut that into equal blocks", 2},
        {"boft --block-size 4 --factors 9", "factors=9", 2},
        {"alast --train-layers 99", "train_layers=99", 2},
        {"dyt --budget 1.5", "a number from 0 to 1", 2},
        {"hra --rank 1000", "rank 1000 is above the width", 2},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        tool_check(rows[i].code, NULL, rows[i].text, "plan --model '%s' --seq-len 16 --method %s",
                   tiny_model(), hora_test_text("%s --steps 50", rows[i].options));
}

HORA_TESTS(cli_room, {"positions of prompts", test_positions, HORA_SHORT},
           {"sizes and schedules", test_no_room, HORA_SHORT});
