/*
 * Byte-level BPE, learned: starting from single bytes, the most frequent pair of neighbours becomes
 * one token, again and again. Words are cut as GPT-2 cuts them - an optional space, then letters,
 * or digits, or other marks - so that the tokenizer that reads the file finds the same words.
 * Numbers of several digits teach nothing: they stay digit by digit. Ids: <s> 0, </s> 1, the 256
 * bytes, then the merges in the order they were learned.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tiny.h"

enum { SPECIAL = 2, BYTES = SPECIAL + 256, MAX_MERGES = 1024, MAX_WORDS = 4096, MAX_WORD = 24 };
typedef struct word {
    char text[MAX_WORD];
    int id[MAX_WORD], n; /* its tokens so far */
    long count;
} word;
struct bpe {
    word words[MAX_WORDS];
    int nwords;
    int left[MAX_MERGES], right[MAX_MERGES], nmerges; /* merge i makes id BYTES + i */
};

bpe *bpe_new(void) {
    bpe *b = calloc(1, sizeof *b);
    if (!b)
        abort();
    return b;
}

void bpe_free(bpe *b) {
    free(b);
}

int bpe_vocab(const bpe *b) {
    return BYTES + b->nmerges;
}

static void see(bpe *b, const char *s, size_t n) {
    if (n >= MAX_WORD || (n > 2 && isdigit((unsigned char)s[n - 1])))
        return;
    int w = 0;
    while (w < b->nwords && (strncmp(b->words[w].text, s, n) || b->words[w].text[n]))
        w++;
    if (w == MAX_WORDS)
        return;
    if (w == b->nwords) {
        word *new = &b->words[b->nwords++];
        memcpy(new->text, s, n);
        for (size_t i = 0; i < n; i++)
            new->id[new->n++] = SPECIAL + (unsigned char)s[i];
    }
    b->words[w].count++;
}

static int kind(char c) {
    return isalpha((unsigned char)c) ? 1 : isdigit((unsigned char)c) ? 2 : c == ' ' || !c ? 0 : 3;
}

void bpe_count(bpe *b, const char *line) {
    while (*line) {
        const char *end = line + (*line == ' ');
        int k = kind(*end);
        while (*end && kind(*end) == k)
            end++;
        if (k)
            see(b, line, (size_t)(end - line));
        line = end;
    }
}

/* Count of pair (left, right) over all words. */
static long frequency(const bpe *b, int left, int right) {
    long sum = 0;
    for (int w = 0; w < b->nwords; w++)
        for (int i = 0; i + 1 < b->words[w].n; i++)
            if (b->words[w].id[i] == left && b->words[w].id[i + 1] == right)
                sum += b->words[w].count;
    return sum;
}

static void join(word *w, int left, int right, int id) {
    int n = 0;
    for (int i = 0; i < w->n; i++) {
        int both = i + 1 < w->n && w->id[i] == left && w->id[i + 1] == right;
        w->id[n++] = both ? id : w->id[i];
        i += both;
    }
    w->n = n;
}

void bpe_learn(bpe *b, int size) {
    while (bpe_vocab(b) < size && b->nmerges < MAX_MERGES) {
        long best = 0;
        int left = 0, right = 0;
        for (int w = 0; w < b->nwords; w++) /* ties: the pair that was seen first */
            for (int i = 0; i + 1 < b->words[w].n; i++) {
                long f = frequency(b, b->words[w].id[i], b->words[w].id[i + 1]);
                if (f > best) {
                    best = f;
                    left = b->words[w].id[i];
                    right = b->words[w].id[i + 1];
                }
            }
        if (!best)
            return;
        b->left[b->nmerges] = left;
        b->right[b->nmerges] = right;
        b->nmerges++;
        for (int w = 0; w < b->nwords; w++)
            join(&b->words[w], left, right, bpe_vocab(b) - 1);
    }
}

/* --- tokenizer.json --------------------------------------------------------------------------- */

/* GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and on. */
static void put_byte(FILE *f, int byte) {
    int point = byte;
    if (byte < 33 || (byte > 126 && byte < 161) || byte == 173) {
        point = 256;
        for (int i = 0; i < byte; i++)
            point += i < 33 || (i > 126 && i < 161) || i == 173;
    }
    if (point == '"' || point == '\\')
        fputc('\\', f);
    if (point < 128) {
        fputc(point, f);
    } else {
        fputc(0xc0 | point >> 6, f);
        fputc(0x80 | (point & 63), f);
    }
}

static void put_token(FILE *f, const bpe *b, int id) {
    if (id >= BYTES) {
        put_token(f, b, b->left[id - BYTES]);
        put_token(f, b, b->right[id - BYTES]);
    } else {
        put_byte(f, id - SPECIAL);
    }
}

int bpe_write(const bpe *b, const char *path) {
    FILE *f = fopen(path, "wb");
    if (!f)
        return -1;
    fputs(
        "{\n\"version\": \"1.0\",\n\"truncation\": null,\n\"padding\": null,\n\"added_tokens\": [",
        f);
    for (int i = 0; i < SPECIAL; i++)
        fprintf(f,
                "%s\n{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, "
                "\"rstrip\": false, \"normalized\": false, \"special\": true}",
                i ? "," : "", i, i ? "</s>" : "<s>");
    fputs(
        "],\n\"normalizer\": null,\n\"pre_tokenizer\": {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": false, "
        "\"trim_offsets\": true, \"use_regex\": true},\n\"post_processor\": {\"type\": "
        "\"TemplateProcessing\", "
        "\"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": "
        "{\"id\": \"A\", "
        "\"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, "
        "{\"Sequence\": "
        "{\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
        "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [0], \"tokens\": [\"<s>\"]}}},\n"
        "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": "
        "true, "
        "\"use_regex\": true},\n\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": "
        "null, "
        "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false, "
        "\"byte_fallback\": false, \"ignore_merges\": false,\n\"vocab\": {\"<s>\": 0, \"</s>\": 1",
        f);
    for (int id = SPECIAL; id < bpe_vocab(b); id++) {
        fputs(",\n\"", f);
        put_token(f, b, id);
        fprintf(f, "\": %d", id);
    }
    fputs("},\n\"merges\": [", f);
    for (int i = 0; i < b->nmerges; i++) {
        fputs(i ? ",\n\"" : "\n\"", f);
        put_token(f, b, b->left[i]);
        fputc(' ', f);
        put_token(f, b, b->right[i]);
        fputc('"', f);
    }
    fputs("]}\n}\n", f);
    int bad = ferror(f);
    return fclose(f) || bad ? -1 : 0;
}
