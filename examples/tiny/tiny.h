#ifndef HORA_EXAMPLES_TINY_H
#define HORA_EXAMPLES_TINY_H
/*
 * The little language and its tokenizer: what generate.c puts together. Everything follows from the
 * seeds written in generate.c, so two runs give the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A growing line of text. */
typedef struct text {
    char at[512];
    size_t n;
} text;
void add(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Random numbers: splitmix64. */
typedef struct dice {
    uint64_t state;
} dice;
uint32_t roll(dice *d, uint32_t sides); /* 0 .. sides - 1 */

/* --- tasks.c: what the language speaks about ----------------------------------------------------
 */
/* A record is "name: question =" and " answer". */
typedef struct record {
    text prompt, completion;
} record;
/* Number of tasks in the pretraining text. */
int task_count(void);
/* A record of task i. */
void task_record(int i, dice *d, record *r);
/* A record of the task that the pretraining text never shows. */
void held_out_record(dice *d, record *r);

/* --- bpe.c: a byte-level BPE tokenizer, learned from the text ------------------------------------
 */
typedef struct bpe bpe;
bpe *bpe_new(void);
void bpe_free(bpe *b);
void bpe_count(bpe *b, const char *line); /* the words of a line are seen once more */
/* Learns merges until the vocabulary has `size` entries, or every word that was seen is one token.
 */
void bpe_learn(bpe *b, int size);
int bpe_vocab(const bpe *b); /* entries, the special tokens included */
/* Writes tokenizer.json as Hugging Face tokenizers reads it; 0, or -1 with errno. */
int bpe_write(const bpe *b, const char *path);
#endif
