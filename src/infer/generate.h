#ifndef HORA_INFER_GENERATE_H
#define HORA_INFER_GENERATE_H
/*
 * Predicting tokens one after another. A decoder keeps keys and values of the sequence so far and
 * has two recordings over them: one of many rows that takes a prompt in chunks, one of a single row
 * for what is generated. Without cache it has one recording of the whole context and computes
 * everything anew for each token: slow, simple, and what the cache is tested against.
 */
#include "base/options.h"
#include "graph/graph.h"
#include "nn/net.h"
#include "token/tokenizer.h"

typedef struct hora_decoder hora_decoder;
typedef struct hora_decoder_config {
    const hora_base *base;
    hora_adapter *const *adapters; /* allocated; disabled ones are ignored */
    int nadapters;
    hora_device *device;
    int64_t context; /* longest sequence, at most the model's positions; 0: those */
    int64_t prefill; /* rows of a prompt chunk; 0: 128 */
    bool cache;
} hora_decoder_config;
/* Refuses a context (0: none is asked for) that the model's positions have no room for behind what
 * adapters put in front (hora_adapters_front). */
hora_status hora_decoder_fits(const hora_base *b, hora_adapter *const *at, int n, int64_t context);
/* Records, plans and takes all memory. */
hora_status hora_decoder_new(hora_decoder **out, const hora_decoder_config *c);
void hora_decoder_free(hora_decoder *d); /* accepts NULL */
void hora_decoder_reset(hora_decoder *d);
/* Instead of a reset: goes back to the longest beginning of ids[0..n) that is there already, its
 * last token excepted, and returns its length; what is behind it is to be fed. */
size_t hora_decoder_rewind(hora_decoder *d, const int32_t *ids, size_t n);
int64_t hora_decoder_length(const hora_decoder *d); /* tokens fed since the last reset */
int64_t hora_decoder_context(const hora_decoder *d);
size_t hora_decoder_cache_bytes(const hora_decoder *d); /* for the whole context; 0: no cache */
int64_t hora_decoder_vocab(const hora_decoder *d);
/* Appends n >= 1 tokens; *logits (vocab numbers of what comes next, f32, borrowed until the next
 * call). HORA_EUSAGE, before any work, when the context would overflow. Allocates nothing. */
hora_status hora_decoder_feed(hora_decoder *d, const int32_t *ids, size_t n, const float **logits);

typedef struct hora_sampling { /* filled from hora_sampling_options */
    int64_t max_new_tokens;
    double temperature; /* 0: the likeliest token; ties: the smallest id */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
    int64_t seed;
    char *stop; /* text that ends the answer; NULL: none */
} hora_sampling;
extern const hora_options hora_sampling_options;
/* One draw from logits[0..n) (scratch: n pairs, see hora_sampler). Step k of a seed is one number,
 * independent of everything before. */
typedef struct hora_sampler hora_sampler;
hora_sampler *hora_sampler_new(const hora_sampling *c, int64_t vocab); /* c borrowed */
void hora_sampler_free(hora_sampler *s);                               /* accepts NULL */
int32_t hora_sampler_draw(hora_sampler *s, const float *logits, uint64_t step);

/* The tokens that end an answer: generation_config.json's or config.json's eos, the tokenizer's
 * eos, and with `chat` the token with which the chat template ends a turn. Appends, each once. */
hora_status hora_stop_ids(const hora_tokenizer *t, const char *dir, bool chat, hora_ids *out);

typedef struct hora_generation {
    const hora_sampling *sampling;
    const hora_tokenizer *tokenizer; /* NULL: no text */
    const int32_t *stop_ids;
    size_t nstop;
    bool (*piece)(void *user, const char *text, size_t n); /* NULL; false stops */
    void *user;
    bool go_on;    /* what an earlier call computed of the same beginning is not computed again */
    hora_ids ids;  /* out: new tokens, the one that stopped included */
    hora_str text; /* out: new text, without special tokens and the stop text */
    const char *finish; /* out: "eos" "stop" "length" "context" "caller" */
} hora_generation;
/* Feeds the prompt and goes on until something stops it. Outputs of `g` are appended to. */
hora_status hora_generate(hora_decoder *d, const int32_t *prompt, size_t n, hora_generation *g);
#endif
