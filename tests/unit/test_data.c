/*
 * Data by hand, with a tokenizer of single characters: which ids and which mask each kind of record
 * becomes, packing, what stands in a micro-batch, windows and splits, the order of epochs.

 */
#include "data_kit.h"

/* ---- masks ---- */
static void shows(const kit *k, const char *record, const char *want) {
    hora_dataset *d = opened(k, "one.jsonl", record);
    hora_str out = {0};
    assert_ok(hora_data_show(d, 0, &out));
    assert_string_equal(out.s, want);
    hora_str_release(&out);
    hora_dataset_close(d);
}

static void masks(void **state) {
    (void)state;
    kit k = set_up();
    shows(&k, "{\"text\": \"hello\"}", "[[<s>hello</s>]]");
    shows(&k, "{\"prompt\": \"q:\", \"completion\": \" yes\"}", "<s>q:[[ yes</s>]]");
    shows(&k, "{\"prompt\": \"q\", \"completion\": \"\"}", "<s>q[[</s>]]");
    shows(&k, "{\"prompt\": \"\", \"completion\": \"q\"}", "[[<s>q</s>]]"); /* BOS is no target */
    shows(&k, "{\"prompt\": \"q\", \"completion\": \"a</s>\"}", "<s>q[[a</s>]]"); /* EOS once */
    /* a token that begins in the prompt is given: abc is one token, of which a is prompt */
    shows(&k, "{\"prompt\": \"-a\", \"completion\": \"bc\"}", "<s>-abc[[</s>]]");
    /* alone the prompt ends in xy, in the whole text in x|yz */
    shows(&k, "{\"prompt\": \"-xy\", \"completion\": \"z\"}", "<s>-xyz[[</s>]]");
    shows(&k,
          "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", "
          "\"content\": \"yo\"}, {\"role\": \"user\", \"content\": \"ab\"}, {\"role\": "
          "\"assistant\", "
          "\"content\": \"c\"}]}",
          "<|u|>hi<|end|><|a|>[[yo<|end|>]]<|u|>ab<|end|><|a|>[[c<|end|>]]");
    shows(&k,
          "{\"conversations\": [{\"from\": \"system\", \"value\": \"s\"}, {\"from\": \"human\", "
          "\"value\": \"h\"}, {\"from\": \"gpt\", \"value\": \"g\"}]}",
          "<|u|>s<|end|><|u|>h<|end|><|a|>[[g<|end|>]]");
    k.cfg.seq_len = 1024;
    shows(&k, "{\"instruction\": \"I\", \"output\": \"O\"}",
          "<s>Below is an instruction that describes a task. Write a response that appropriately "
          "completes the request.\n\n### Instruction:\nI\n\n### Response:\n[[O</s>]]");
    shows(&k, "{\"instruction\": \"I\", \"input\": \"N\", \"output\": \"O\"}",
          "<s>Below is an instruction that describes a task, paired with an input that provides "
          "further context. Write a response that appropriately completes the request.\n\n### "
          "Instruction:\nI\n\n### Input:\nN\n\n### Response:\n[[O</s>]]");
    k.cfg.train_on_prompt = true;
    shows(&k, "{\"prompt\": \"q\", \"completion\": \"a\"}", "[[<s>qa</s>]]");
    shows(&k, "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}", "[[<|u|>hi<|end|>]]");
    take_down(&k);
}

static void check_row(const hora_batch *b, int64_t i, int32_t id, int pos, int lo, int hi,
                      int32_t target) {
    int64_t from = i, end = i + 1; /* of its segment: positions count from 0 in each */
    while (from > 0 && b->pos[from] > 0)
        from--;
    while (end < b->tokens && b->pos[end] > 0)
        end++;
    if (i < b->tokens && b->reach[i] != end - from)
        fail_msg("row %lld: reach %d, of a segment of %lld", (long long)i, b->reach[i],
                 (long long)(end - from));
    if (b->ids[i] != id || b->pos[i] != pos || b->lo[i] != lo || b->hi[i] != hi ||
        b->target[i] != target || b->weight[i] != (target >= 0))
        fail_msg("row %lld: id %d pos %d lo %d hi %d target %d weight %g, wanted %d %d %d %d %d",
                 (long long)i, b->ids[i], b->pos[i], b->lo[i], b->hi[i], b->target[i],
                 (double)b->weight[i], id, pos, lo, hi, target);
}

static const char three[] = "{\"prompt\": \"p\", \"completion\": \"qr\"}\n\n"
                            "{\"text\": \"ab\"}\n"
                            "{\"prompt\": \"stu\", \"completion\": \"v\"}\n";

static void batch_by_hand(void **state) {
    (void)state;
    kit k = set_up();
    k.cfg.seq_len = 9; /* 5 + 3 tokens fit, 6 more do not */
    k.cfg.packing = true;
    hora_dataset *d = opened(&k, "three.jsonl", three);
    const hora_data_info *info = hora_data_about(d);
    hora_batch b;
    hora_data_origin lines[4];
    int32_t p = tiny_id(k.tok, "p"), q = tiny_id(k.tok, "q"), r = tiny_id(k.tok, "r"),
            ab = tiny_id(k.tok, "ab"), v = tiny_id(k.tok, "v");
    assert_int_equal(info->records, 3);
    assert_int_equal(info->sequences, 2);
    assert_int_equal(info->tokens, 14);
    assert_int_equal(info->supervised, 3 + 2 + 2); /* q r EOS, ab EOS, v EOS */
    assert_int_equal(info->bytes, 2 + 2 + 1);
    assert_ok(hora_batch_init(&b, 2 * 9, NULL));
    assert_int_equal(b.capacity, 64);
    assert_ok(hora_data_fill(d, 0, 2, 100, true, &b));
    assert_int_equal(b.tokens, 14);
    assert_int_equal(b.rows, 64);
    assert_int_equal(b.supervised, 7);
    assert_int_equal(b.target_bytes, 5);
    check_row(&b, 0, TINY_BOS, 0, 0, 1, -1);
    check_row(&b, 1, p, 1, 0, 2, q);
    check_row(&b, 2, q, 2, 0, 3, r);
    check_row(&b, 3, r, 3, 0, 4, TINY_EOS);
    check_row(&b, 4, TINY_EOS, 4, 0, 5, -1);
    check_row(&b, 5, TINY_BOS, 0, 5, 6, ab);
    check_row(&b, 6, ab, 1, 5, 7, TINY_EOS);
    check_row(&b, 7, TINY_EOS, 2, 5, 8, -1);
    check_row(&b, 8, TINY_BOS, 0, 8, 9, -1); /* the second sequence follows without padding */
    check_row(&b, 11, tiny_id(k.tok, "u"), 3, 8, 12, v);
    check_row(&b, 13, TINY_EOS, 5, 8, 14, -1);
    for (int64_t i = 14; i < b.rows; i++)
        check_row(&b, i, 0, 0, 0, 0, -1);
    assert_int_equal(hora_data_supervised(d, 0, 2, 100, true), 7);
    assert_int_equal(hora_data_supervised(d, 1, 1, 100, true), 2);
    assert_int_equal(hora_data_records(d, 0, true, lines, 4), 2);
    assert_int_equal(lines[0].line, 1);
    assert_int_equal(lines[1].line, 3); /* line 2 is blank */
    assert_int_equal(hora_data_records(d, 0, true, lines, 1), 1);
    /* the end of training: sequence 1 is there, sequence 2 is not */
    assert_ok(hora_data_fill(d, 1, 2, 2, true, &b));
    assert_int_equal(b.tokens, 6);
    assert_ok(hora_data_fill(d, 2, 2, 2, true, &b));
    assert_int_equal(b.rows, 0);
    assert_fails(hora_data_fill(d, 0, 20, 100, true, &b), HORA_EUSAGE, "do not fit");
    assert_fails(hora_data_fill(d, -1, 1, 100, true, &b), HORA_EUSAGE, "do not exist");
    hora_dataset_close(d);
    k.cfg.packing = false;
    d = opened(&k, "three.jsonl", three);
    assert_int_equal(hora_data_about(d)->sequences, 3);
    assert_int_equal(hora_data_about(d)->supervised, 7);
    hora_dataset_close(d);
    hora_batch_release(&b);
    take_down(&k);
}

static void row_classes(void **state) {
    (void)state;
    static const int64_t rows[][3] = {{1024, 1, 256},    {1024, 256, 256},  {1024, 257, 512},
                                      {1024, 513, 768},  {1024, 769, 1024}, {1000, 1000, 1024},
                                      {100, 1, 64},      {100, 65, 128},    {64, 64, 64},
                                      {2048, 1025, 1536}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        assert_int_equal(hora_row_class(rows[i][0], rows[i][1]), rows[i][2]);
}

static void filling_allocates_nothing(void **state) {
    (void)state;
    kit k = set_up();
    k.cfg.shuffle = true;
    hora_dataset *d = opened(&k, "three.jsonl", three);
    hora_batch b;
    assert_ok(hora_batch_init(&b, 64 * 3, NULL));
    uint64_t before = hora_alloc_count();
    for (int64_t i = 0; i < 100; i++)
        assert_ok(hora_data_fill(d, 2 * i, 2, 1000, false, &b));
    assert_int_equal(hora_data_supervised(d, 0, 300, 1000, false), 700);
    assert_true(hora_alloc_count() == before);
    hora_batch_release(&b);
    hora_dataset_close(d);
    take_down(&k);
}

/* ---- plain text ---- */
static char *numbered(size_t n) { /* a character that tells its place, no merges */
    char *s = hora_malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        s[i] = (char)('0' + (i * 7 + i / 10) % 10);
    s[n] = 0;
    return s;
}

static void windows_and_split(void **state) {
    (void)state;
    kit k = set_up();
    char *text = numbered(103);
    k.cfg.seq_len = 10;
    k.cfg.eval_split = 4;
    hora_dataset *d = opened(&k, "plain.txt", text), *e;
    assert_int_equal(hora_data_about(d)->sequences, 11);
    assert_int_equal(hora_data_about(d)->tokens, 103);
    assert_int_equal(hora_data_about(d)->supervised, 103 - 11);
    assert_int_equal(hora_data_about(d)->bytes, 103 - 11);
    sequence_is(d, k.tok, 0, text, 10);
    sequence_is(d, k.tok, 10, text + 100, 3);
    assert_ok(hora_data_split(d, &e));
    assert_int_equal(hora_data_about(e)->sequences, 4);
    assert_int_equal(hora_data_about(e)->tokens, 40);
    sequence_is(e, k.tok, 0, text + 63, 10); /* cut back from the end */
    sequence_is(e, k.tok, 3, text + 93, 10);
    assert_int_equal(hora_data_about(d)->sequences, 7);
    assert_int_equal(hora_data_about(d)->tokens, 63);
    sequence_is(d, k.tok, 6, text + 60, 3);
    assert_true(hora_data_about(d)->hash != hora_data_about(e)->hash);
    hora_dataset_close(d);
    sequence_is(e, k.tok, 1, text + 73, 10); /* lives without the other piece */
    hora_dataset_close(e);

    k.cfg.eval_split = 0.2;
    k.cfg.add_bos = true; /* windows of BOS and 9 tokens: 12, the last one 4 */
    d = opened(&k, "plain.txt", text);
    assert_int_equal(hora_data_about(d)->sequences, 12);
    assert_int_equal(hora_data_about(d)->tokens, 103 + 12);
    assert_int_equal(hora_data_about(d)->supervised, 103);
    assert_ok(hora_data_split(d, &e));
    assert_int_equal(hora_data_about(e)->sequences, 2);
    hora_str want = {0};
    hora_str_printf(&want, "<s>%.9s", text + 103 - 9);
    sequence_is(e, k.tok, 1, want.s, want.n);
    hora_str_release(&want);
    hora_dataset_close(e);
    hora_dataset_close(d);

    k.cfg.eval_split = 12;
    d = opened(&k, "plain.txt", text);
    assert_fails(hora_data_split(d, &e), HORA_EUSAGE, "none of 12 sequences");
    assert_null(e);
    hora_dataset_close(d);
    hora_free(text);
    take_down(&k);
}

static void split_of_records(void **state) {
    (void)state;
    kit k = set_up();
    k.cfg.packing = true;
    k.cfg.seq_len = 9;
    k.cfg.eval_split = 1;
    hora_dataset *d = opened(&k, "three.jsonl", three), *e;
    assert_ok(hora_data_split(d, &e));
    assert_int_equal(hora_data_about(d)->sequences, 1);
    assert_int_equal(hora_data_about(d)->records, 2);
    assert_int_equal(hora_data_about(e)->records, 1);
    hora_str shown = {0};
    assert_ok(hora_data_show(d, 1, &shown));
    assert_ok(hora_data_show(e, 0, &shown));
    assert_string_equal(shown.s, "[[<s>ab</s>]]<s>stu[[v</s>]]");
    assert_fails(hora_data_show(e, 1, &shown), HORA_EUSAGE, "there are 1");
    hora_str_release(&shown);
    hora_dataset_close(e);
    hora_dataset_close(d);
    k.cfg.eval_split = 0;
    d = opened(&k, "three.jsonl", three);
    assert_ok(hora_data_split(d, &e));
    assert_null(e);
    hora_dataset_close(d);
    take_down(&k);
}

/* ---- order ---- */
static int first_id(const hora_dataset *d, int64_t at, hora_batch *b) {
    assert_ok(hora_data_fill(d, at, 1, at + 1, false, b));
    return b->ids[0];
}

static void order_of_epochs(void **state) {
    (void)state;
    kit k = set_up();
    enum { ROWS = 90 };
    hora_str text = {0}; /* sequences of two characters, the first one different in each */
    for (int i = 0; i < ROWS; i++)
        hora_str_printf(&text, "%c%c", '!' + i, '!');
    k.cfg.seq_len = 2;
    k.cfg.shuffle = true;
    k.cfg.seed = 7;
    hora_dataset *d = opened(&k, "order.txt", text.s);
    hora_batch b;
    int moved = 0, differ = 0, rows = (int)hora_data_about(d)->sequences;
    int *place = hora_calloc(1024, sizeof *place), seen;
    assert_ok(hora_batch_init(&b, 2, NULL));
    for (int e = 0; e < 3; e++) {
        memset(place, 0, 1024 * sizeof *place);
        for (int i = 0; i < rows; i++) {
            int id = first_id(d, (int64_t)e * rows + i, &b);
            place[id]++;
            moved += id != TINY_FIRST + 2 + i;
            differ += id != first_id(d, i, &b);
        }
        for (int id = seen = 0; id < 1024; id++) {
            assert_true(place[id] <= 1);
            seen += place[id];
        }
        assert_int_equal(seen, rows);
    }
    assert_true(moved > rows);
    assert_true(differ > rows);
    hora_free(place);
    hora_dataset_close(d);
    hora_batch_release(&b);
    hora_str_release(&text);
    take_down(&k);
}

static void same_batch(const hora_batch *a, const hora_batch *b) {
    size_t n = (size_t)a->rows * sizeof *a->ids;
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->tokens, b->tokens);
    assert_int_equal(a->supervised, b->supervised);
    assert_int_equal(a->target_bytes, b->target_bytes);
    assert_memory_equal(a->ids, b->ids, n);
    assert_memory_equal(a->pos, b->pos, n);
    assert_memory_equal(a->lo, b->lo, n);
    assert_memory_equal(a->hi, b->hi, n);
    assert_memory_equal(a->target, b->target, n);
    assert_memory_equal(a->weight, b->weight, n);
}

/* Batches of the thread, from any position on, are those of hora_data_fill. */
static void prefetched_from(const hora_dataset *d, int64_t first, int64_t rows, int64_t limit) {
    hora_prefetch *p;
    const hora_batch *got;
    hora_batch want;
    int64_t n = 0;
    assert_ok(hora_batch_init(&want, rows * 16, NULL));
    assert_ok(hora_prefetch_new(&p, d, first, rows, limit, false, NULL, NULL));
    uint64_t before = hora_alloc_count();
    for (; first < limit; first += rows, n++) {
        assert_ok(hora_prefetch_next(p, &got));
        assert_ok(hora_data_fill(d, first, rows, limit, false, &want));
        same_batch(got, &want);
    }
    assert_true(hora_alloc_count() == before);
    assert_int_equal(hora_prefetch_next(p, &got), HORA_DONE);
    assert_int_equal(hora_prefetch_next(p, &got), HORA_DONE);
    assert_null(got);
    hora_prefetch_free(p);
    hora_batch_release(&want);
}

/* The micro-batches of every step of 4 (the last is shorter), shared by ranks: each once. */
static void shared_by(const hora_dataset *d, int parts, int64_t first, int64_t limit) {
    enum { ROWS = 3, STEP = 12 };
    hora_prefetch *of[6];
    const hora_batch *got;
    hora_batch want;
    assert_ok(hora_batch_init(&want, ROWS * 16, NULL));
    for (int r = 0; r < parts; r++) {
        const hora_data_share share = {STEP, r, parts};
        assert_ok(hora_prefetch_new(&of[r], d, first, ROWS, limit, false, NULL, &share));
    }
    for (int64_t at = first; at < limit; at += STEP) {
        const int64_t micro = hora_ceil_div(hora_min(STEP, limit - at), ROWS);
        for (int r = 0; r < parts; r++) {
            int64_t from, n;
            hora_part_of(micro, r, parts, &from, &n);
            for (int64_t i = from; i < from + n; i++) {
                assert_ok(hora_prefetch_next(of[r], &got));
                assert_ok(hora_data_fill(d, at + i * ROWS, ROWS, limit, false, &want));
                same_batch(got, &want);
            }
        }
    }
    for (int r = 0; r < parts; r++) {
        assert_int_equal(hora_prefetch_next(of[r], &got), HORA_DONE);
        hora_prefetch_free(of[r]);
    }
    hora_batch_release(&want);
}

static void prefetching(void **state) {
    (void)state;
    kit k = set_up();
    char *text = numbered(700);
    k.cfg.seq_len = 16;
    k.cfg.shuffle = true;
    hora_dataset *d = opened(&k, "plain.txt", text);
    hora_prefetch *p;
    const hora_batch *b;
    prefetched_from(d, 0, 3, 200);
    prefetched_from(d, 57, 3, 200); /* a resumed run */
    prefetched_from(d, 199, 3, 200);
    prefetched_from(d, 5, 1, 5);
    for (int parts = 1; parts <= 6; parts++) {
        shared_by(d, parts, 0, 41);
        shared_by(d, parts, 24, 48);
        shared_by(d, parts, 12, 14);
    }
    for (int taken = 0; taken < 5; taken++) { /* given back at any time */
        assert_ok(hora_prefetch_new(&p, d, 0, 4, INT64_MAX, true, NULL, NULL));
        for (int i = 0; i < taken; i++)
            assert_ok(hora_prefetch_next(p, &b));
        hora_prefetch_free(p);
    }
    assert_fails(hora_prefetch_new(&p, d, 0, 0, 10, false, NULL, NULL), HORA_EUSAGE, "batch_size");
    assert_null(p);
    hora_prefetch_free(NULL);
    hora_dataset_close(d);
    hora_free(text);
    take_down(&k);
}

static void failures_in_the_thread_come_back(void **state) {
    (void)state;
    kit k = set_up();
    char *text = numbered(400);
    k.cfg.seq_len = 100;
    hora_dataset *d = opened(&k, "plain.txt", text);
    hora_prefetch *p;
    const hora_batch *b;
    d->seq_len = 1; /* rows of 100 tokens into batches of 64: what cannot happen, happens */
    assert_ok(hora_prefetch_new(&p, d, 0, 1, 4, false, NULL, NULL));
    assert_fails(hora_prefetch_next(p, &b), HORA_EUSAGE, "do not fit");
    assert_null(b);
    assert_fails(hora_prefetch_next(p, &b), HORA_EUSAGE, "do not fit");
    hora_prefetch_free(p);
    hora_dataset_close(d);
    hora_free(text);
    take_down(&k);
}

static void chat_prompt(void **state) {
    (void)state;
    kit k = set_up();
    static const char talk[] = "[{\"role\": \"user\", \"content\": \"hi\"}]";
    hora_json *messages;
    hora_chat chat;
    hora_ids ids = {0};
    hora_str text = {0};
    assert_ok(hora_json_parse(&messages, talk, sizeof talk - 1, "talk"));
    assert_ok(hora_chat_read(&chat, messages));
    assert_ok(hora_chat_prompt(k.tok, k.tmpl, &chat, NULL, &ids, &text));
    assert_string_equal(text.s, "<|u|>hi<|end|><|a|>");
    assert_int_equal(ids.n, 5); /* no BOS but what the template writes */
    assert_int_equal(ids.at[0], TINY_U);
    assert_int_equal(ids.at[4], TINY_A);
    assert_fails(hora_chat_prompt(k.tok, NULL, &chat, NULL, &ids, &text), HORA_EUNSUPPORTED,
                 "chat template");
    hora_chat_release(&chat);
    hora_json_free(messages);
    hora_ids_release(&ids);
    hora_str_release(&text);
    take_down(&k);
}

static void options_have_defaults(void **state) {
    (void)state;
    hora_data_config c = {0};
    hora_settings s = {0};
    hora_settings_put(&s, "max_length", "128", "test");
    hora_settings_put(&s, "no_such", "1", "test");
    assert_ok(hora_options_take(&hora_data_options, &c, &s));
    assert_int_equal(c.seq_len, 128);
    assert_string_equal(c.format, "auto");
    assert_true(c.packing && c.shuffle && !c.skip_bad && !c.train_on_prompt && !c.add_bos);
    assert_true(c.eval_split == 0 && c.seed == 42);
    hora_options_release(&hora_data_options, &c);
    hora_settings_release(&s);
}

/* Rows picked out of a set keep their tokens, outlive it, and come in an order of their own. */
static void test_pick(void **state) {
    (void)state;
    kit k = set_up();
    k.cfg.seq_len = 10;
    k.cfg.shuffle = true;
    static const int64_t at[] = {4, 0, 2}, lone[] = {3};
    char *text = numbered(103);
    hora_dataset *d = opened(&k, "pick.txt", text), *e, *f;
    hora_batch b;
    assert_int_equal(hora_data_about(d)->sequences, 11);
    assert_ok(hora_data_pick(&e, d, at, 3, 7));
    assert_ok(hora_data_pick(&f, d, lone, 1, 7));
    const uint64_t whole = hora_data_about(d)->hash;
    hora_dataset_close(d);
    assert_int_equal(hora_data_about(e)->sequences, 3);
    assert_int_equal(hora_data_about(e)->tokens, 30);
    assert_int_equal(hora_data_about(f)->supervised, 9);
    assert_true(hora_data_about(e)->hash != whole &&
                hora_data_about(e)->hash != hora_data_about(f)->hash);
    for (int i = 0; i < 3; i++)
        sequence_is(e, k.tok, i, text + 10 * at[i], 10);
    sequence_is(f, k.tok, 0, text + 30, 10);
    assert_ok(hora_batch_init(&b, 64, NULL));
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        assert_ok(hora_data_fill(e, 3 * epoch, 3, 6, false, &b)); /* every row once an epoch */
        assert_int_equal(b.tokens, 30);
        assert_true(memcmp(b.ids, b.ids + 10, 40) && memcmp(b.ids, b.ids + 20, 40) &&
                    memcmp(b.ids + 10, b.ids + 20, 40));
    }
    hora_batch_release(&b);
    hora_dataset_close(e);
    hora_dataset_close(f);
    hora_free(text);
    take_down(&k);
}

HORA_TESTS(unit_data, {"rows picked out of a set", test_pick, HORA_SHORT},
           {"masks of every kind of record", masks, HORA_SHORT},
           {"a batch by hand", batch_by_hand, HORA_SHORT}, {"row classes", row_classes, HORA_SHORT},
           {"filling allocates nothing", filling_allocates_nothing, HORA_SHORT},
           {"windows of plain text, and their split", windows_and_split, HORA_SHORT},
           {"split of records", split_of_records, HORA_SHORT},
           {"every epoch is a permutation", order_of_epochs, HORA_SHORT},
           {"prefetched batches are the filled ones", prefetching, HORA_SHORT},
           {"failures in the thread come back", failures_in_the_thread_come_back, HORA_SHORT},
           {"prompt of a conversation", chat_prompt, HORA_SHORT},
           {"options", options_have_defaults, HORA_SHORT});
