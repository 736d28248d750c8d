/*
 * Writes the material of the embedded model into a folder: pretrain.jsonl (records of all tasks),
 * tokenizer.json and tokenizer_config.json, config.json, and train.jsonl and test.jsonl of the task
 * that pretrain.jsonl leaves out. No question of the test file stands in the training file. Seeded,
 * so the files are the same wherever this runs; make-base does the rest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tiny.h"

enum {
    PRETRAIN = 120000,
    TRAIN = 4000,
    TEST = 200,
    VOCAB = 1024 /* at most; the words run out before */
};

static void die(const char *path) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

static FILE *create(const char *dir, const char *name, text *path) {
    path->n = 0;
    add(path, "%s/%s", dir, name);
    FILE *f = fopen(path->at, "wb");
    if (!f)
        die(path->at);
    return f;
}

static void finish(FILE *f, const char *path) {
    int bad = ferror(f);
    if (fclose(f) || bad)
        die(path);
}

/* The language needs no escapes in JSON. Only completions are learned: the letters of a question
 * follow no rule. */
static void write_record(FILE *f, const record *r) {
    fprintf(f, "{\"prompt\": \"%s\", \"completion\": \"%s\"}\n", r->prompt.at, r->completion.at);
}

static void pretraining(const char *dir, bpe *b) {
    text path;
    FILE *f = create(dir, "pretrain.jsonl", &path);
    dice d = {.state = 1};
    for (int i = 0; i < PRETRAIN; i++) {
        record r;
        task_record((int)roll(&d, (uint32_t)task_count()), &d, &r);
        write_record(f, &r);
        bpe_count(b, r.prompt.at);
        bpe_count(b, r.completion.at);
    }
    finish(f, path.at);
}

static void held_out(const char *dir) {
    text path;
    static char test[TEST][sizeof path.at];
    dice d = {.state = 2};
    record r;
    FILE *f = create(dir, "test.jsonl", &path);
    for (int i = 0; i < TEST; i++) {
        held_out_record(&d, &r);
        strcpy(test[i], r.prompt.at);
        write_record(f, &r);
    }
    finish(f, path.at);
    f = create(dir, "train.jsonl", &path);
    for (int i = 0; i < TRAIN;) {
        held_out_record(&d, &r);
        int known = 0;
        for (int j = 0; j < TEST && !known; j++)
            known = strcmp(test[j], r.prompt.at) == 0;
        if (known)
            continue;
        write_record(f, &r);
        i++;
    }
    finish(f, path.at);
}

static void configs(const char *dir, const bpe *b) {
    text path;
    FILE *f = create(dir, "config.json", &path);
    fprintf(
        f,
        "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
        "  \"vocab_size\": %d,\n  \"hidden_size\": 96,\n  \"intermediate_size\": 256,\n"
        "  \"num_hidden_layers\": 4,\n  \"num_attention_heads\": 4,\n  \"num_key_value_heads\": "
        "2,\n"
        "  \"head_dim\": 24,\n  \"hidden_act\": \"silu\",\n  \"max_position_embeddings\": 256,\n"
        "  \"rms_norm_eps\": 1e-05,\n  \"rope_theta\": 10000.0,\n  \"rope_scaling\": null,\n"
        "  \"attention_bias\": false,\n  \"mlp_bias\": false,\n  \"tie_word_embeddings\": true,\n"
        "  \"initializer_range\": 0.02,\n  \"bos_token_id\": 0,\n  \"eos_token_id\": 1,\n"
        "  \"torch_dtype\": \"float32\"\n}\n",
        bpe_vocab(b));
    finish(f, path.at);
    f = create(dir, "tokenizer_config.json", &path);
    fputs("{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"bos_token\": \"<s>\",\n  "
          "\"eos_token\": \"</s>\",\n"
          "  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": 256\n}\n",
          f);
    finish(f, path.at);
    path.n = 0;
    add(&path, "%s/tokenizer.json", dir);
    if (bpe_write(b, path.at))
        die(path.at);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    if (mkdir(argv[1], 0777) && errno != EEXIST)
        die(argv[1]);
    bpe *b = bpe_new();
    pretraining(argv[1], b);
    bpe_learn(b, VOCAB);
    configs(argv[1], b);
    held_out(argv[1]);
    bpe_free(b);
    return 0;
}
