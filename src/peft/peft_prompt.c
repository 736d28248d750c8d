/*
 * Prompt tuning: rows in front of every text, which train. [arXiv 2104.08691; PEFT's form]
 *
 *   H = [P ; E[ids]]     P (n, d), in the embedding's place, so with positions and all that follows
 *
 * Texts alone: pictures have vpt. Rows of P come first in every sample, of encoders too, whose
 * class is then read at the first of them, as PEFT does. Does not merge.
 */
#include "base/text.h"
#include "peft/prompts.h"

typedef struct config {
    hora_prompt_config prompt;
    int init;
} config;

enum { RANDOM, VOCAB };
#define OPT_OF config
static const hora_option rows[] = {
    HORA_PROMPT_OPTIONS,
    OPT_CHOICE(init, "init", "prompt_tuning_init", "RANDOM", "RANDOM SAMPLE_VOCAB TEXT",
               "where the prompts start: normal, or embeddings of random tokens; TEXT is PEFT's"),
};
static const hora_options options = {"Method prompt", rows, HORA_COUNT(rows)};

typedef struct state {
    hora_param *p;
} state;

/* Rows of the embedding, drawn with the adapter's seed. */
static hora_status sample(const hora_adapter *a, const hora_param *p, double *out) {
    const hora_view *e = &a->base->weights[a->base->embed].view;
    const int64_t d = p->shape.d[1];
    hora_rng r = hora_rng_new(a->seed, "prompt tokens");
    for (int64_t i = 0; i < p->shape.d[0]; i++) {
        const int64_t token = hora_rng_below(&r, e->shape.d[0]);
        for (int64_t k = 0; k < d; k++)
            out[i * d + k] = hora_value_at(e->data, e->dtype, token * d + k);
    }
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    HORA_TRY(hora_prompt_check(a));
    if (c->init > VOCAB && !c->prompt.typed.from_folder)
        return hora_fail(HORA_EUSAGE, "init=TEXT is not made here; give RANDOM or SAMPLE_VOCAB");
    const hora_init init = c->init == VOCAB
                               ? (hora_init){.kind = HORA_INIT_COMPUTED, .compute = sample}
                               : (hora_init){.kind = HORA_INIT_NORMAL, .value = 1};
    st->p =
        hora_adapter_param(a, "prompt_embeddings", HORA_SHAPE2(c->prompt.n, a->base->hidden), init);
    return HORA_OK;
}

static hora_t tokens(hora_net *n, hora_adapter *a, hora_t h) {
    const state *st = a->state;
    return hora_lookup(n->g, hora_net_param(n, st->p), HORA_LEAF_ids, -hora_prompt_slots(a), h);
}

const hora_method hora_method_prompt = {
    .name = "prompt",
    .summary = "rows in front of every text, which train",
    .form = "H = [P ; E[ids]]",
    .paper = "arXiv 2104.08691",
    .default_lr = 3e-2,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .tokens = tokens, .slots = hora_prompt_slots},
    .setup = setup,
    .release = hora_typed_release,
    .claims = hora_typed_claims,
    .configure = hora_typed_configure,
    .save = hora_typed_save,
    .load = hora_peft_files_load,
    .peft_type = "PROMPT_TUNING",
    .peft_keys = "prompt_tuning_init prompt_tuning_init_text=null tokenizer_name_or_path=null "
                 "tokenizer_kwargs=null " HORA_PROMPT_KEYS,
};
