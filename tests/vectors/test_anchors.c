/* Real weights on real text, through tokenizer, data, packing and evaluation: the losses that
 * PyTorch gives for the same tokens. */
#include "vectors/golden.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "train/train.h"

static double evaluate(hora_base *b, hora_dataset *d, int64_t seq_len, int64_t batch) {
    hora_eval_info info;
    assert_ok(hora_evaluate(
        &(hora_eval_parts){.base = b, .data = d, .seq_len = seq_len, .batch_size = batch}, &info,
        NULL));
    return info.loss;
}

static hora_dataset *open_data(const hora_tokenizer *tok, const char *path, const char *options) {
    hora_settings s = {0};
    hora_data_config c;
    hora_dataset *d;
    assert_ok(hora_settings_parse(&s, options, "test"));
    assert_ok(hora_options_take(&hora_data_options, &c, &s));
    assert_ok(hora_dataset_open(&d, path, tok, NULL, &c, &hora_objective_causal()->rule));
    hora_options_release(&hora_data_options, &c);
    hora_settings_release(&s);
    return d;
}

/* The last 8,192 tokens of tinyshakespeare in 64 windows of 128: 5.209515 in PyTorch. */
static void test_windows(void **state) {
    (void)state;
    const char *model = hora_test_shared("models/stories260k"),
               *text = hora_test_shared("data/text/tinyshakespeare.txt");
    hora_base *b;
    hora_tokenizer *tok;
    assert_ok(hora_base_open(&b, model, &(hora_base_options){.dtype = HORA_F32}));
    assert_ok(hora_tokenizer_open(&tok, model));
    hora_dataset *d = open_data(tok, text, "seq_len=128,eval_split=64"), *eval = NULL;
    assert_ok(hora_data_split(d, &eval));
    assert_int_equal(hora_data_about(eval)->sequences, 64);
    assert_true(fabs(evaluate(b, eval, 128, 16) - 5.209514617919922) < 5e-5);
    hora_dataset_close(eval);
    hora_dataset_close(d);
    hora_tokenizer_close(tok);
    hora_base_close(b);
}

/* The first 30 pieces of 1,000 characters, BOS first, cut to 513 ids: EXPECTED.json, 4.638040.
 * Packed and unpacked alike. */
static void test_records(void **state) {
    (void)state;
    const char *model = hora_test_shared("models/stories260k"),
               *text = hora_test_shared("data/text/tinyshakespeare.txt");
    hora_str all = {0}, lines = {0};
    assert_ok(hora_file_read(&all, text));
    for (int i = 0; i < 30; i++) {
        hora_str_puts(&lines, "{\"text\": ");
        hora_json_quote(&lines, all.s + 1000 * i, 1000); /* this text is ASCII */
        hora_str_puts(&lines, "}\n");
    }
    char *path = hora_path_join(hora_test_tmp(), "chunks.jsonl");
    assert_ok(hora_file_write(path, lines.s, lines.n));
    hora_base *b;
    hora_tokenizer *tok;
    assert_ok(hora_base_open(&b, model, &(hora_base_options){.dtype = HORA_F32}));
    assert_ok(hora_tokenizer_open(&tok, model));
    hora_dataset *d = open_data(tok, path, "seq_len=513,packing=false");
    b->max_positions = 513; /* the last id is a target alone */
    double loss = evaluate(b, d, 513, 4);
    /* the file's 30 x 512 targets; ours are the same while every piece is longer than 513 ids */
    assert_true(fabs(loss - 4.6380404790242515) < 2e-4);
    hora_dataset_close(d);
    hora_tokenizer_close(tok);
    hora_base_close(b);
    hora_str_release(&all);
    hora_str_release(&lines);
    hora_free(path);
}

HORA_TESTS(vectors_anchors, {"windows of a text", test_windows, HORA_MEDIUM},
           {"records with BOS", test_records, HORA_MEDIUM});
