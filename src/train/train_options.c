/* The options of a training: one table, from which flags, recipe keys, help and documentation
 * come. Names of PEFT and transformers are aliases in the same row. */
#include "train/train.h"

#include <stddef.h>

#include "base/cpu.h"

#define AT(f) offsetof(hora_train_config, f)
#define BIG   9.2e18
#define HUGE_ 1e300

static const hora_option rows[] = {
    {"steps", "max_steps", HORA_OPT_INT, AT(steps), NULL, 0, BIG, NULL, NULL,
     "optimizer steps; unset: as many as epochs need"},
    {"epochs", "num_train_epochs", HORA_OPT_REAL, AT(epochs), "1", 1e-9, 1e9, NULL, NULL,
     "passes over the training data, when steps is unset"},
    {"batch_size", "per_device_train_batch_size bs", HORA_OPT_INT, AT(batch_size), "8", 1, 1e6,
     NULL, NULL, "rows of seq_len tokens in a micro-batch"},
    {"grad_accum", "gradient_accumulation_steps", HORA_OPT_INT, AT(grad_accum), "1", 1, 1e6, NULL,
     NULL, "micro-batches in a step, weighted by their tokens"},
    {"lr", "learning_rate", HORA_OPT_REAL, AT(lr), NULL, 0, 1e3, NULL, NULL,
     "learning rate; unset: the method's (lora 2e-4, hora 1e-4)"},
    {"optimizer", "optim", HORA_OPT_CHOICE, AT(optimizer), "adamw", 0, 0, "adamw sgd lion", NULL,
     "update rule"},
    {"schedule", "lr_scheduler_type scheduler", HORA_OPT_CHOICE, AT(schedule), "cosine", 0, 0,
     "constant linear cosine wsd", NULL, "learning rate over the run, after warm-up"},
    {"warmup", "warmup_ratio warmup_steps", HORA_OPT_REAL, AT(warmup), "0.03", 0, 1e12, NULL, NULL,
     "steps of warm-up; below 1: share of the steps"},
    {"min_lr", NULL, HORA_OPT_REAL, AT(min_lr), "0", 0, 1e3, NULL, NULL,
     "learning rate at the end of linear, cosine and wsd"},
    {"decay_share", NULL, HORA_OPT_REAL, AT(decay_share), "0.1", 0, 1, NULL, NULL,
     "wsd: share of the steps that the final decay takes"},
    {"weight_decay", "wd", HORA_OPT_REAL, AT(weight_decay), "0", 0, 1e3, NULL, NULL,
     "decoupled weight decay; spares biases and norms"},
    {"decay_all", NULL, HORA_OPT_BOOL, AT(decay_all), "false", 0, 0, NULL, NULL,
     "weight decay on biases and norms too"},
    {"beta1", "adam_beta1", HORA_OPT_REAL, AT(beta1), "0.9", 0, 0.9999999, NULL, NULL,
     "adamw, lion: decay of the first moment"},
    {"beta2", "adam_beta2", HORA_OPT_REAL, AT(beta2), "0.999", 0, 0.9999999, NULL, NULL,
     "adamw: decay of the second moment; lion: of the momentum (its paper: 0.99)"},
    {"eps", "adam_epsilon", HORA_OPT_REAL, AT(eps), "1e-8", 0, 1, NULL, NULL,
     "adamw: added to the root of the second moment"},
    {"momentum", NULL, HORA_OPT_REAL, AT(momentum), "0.9", 0, 0.9999999, NULL, NULL,
     "sgd: momentum"},
    {"clip", "max_grad_norm", HORA_OPT_REAL, AT(clip), "1.0", 0, HUGE_, NULL, NULL,
     "largest norm of the gradient; 0: no clipping"},
    {"loraplus", "loraplus_lr_ratio", HORA_OPT_REAL, AT(loraplus), "1", 1e-6, 1e6, NULL, NULL,
     "LoRA+: factor of the learning rate of the B matrices"},
    {"dtype", NULL, HORA_OPT_CHOICE, AT(dtype), "auto", 0, 0, "auto f32 bf16", NULL,
     "of activations and frozen weights; auto: bf16 where the processor has it, else f32"},
    {"recompute", "gradient_checkpointing", HORA_OPT_STRING, AT(recompute), "none", 0, 0, NULL, "N",
     "layers recomputed in backward: none, all, auto (as few as fit) or a number"},
    {"pack", NULL, HORA_OPT_CHOICE, AT(pack), "auto", 0, 0, "auto both one", NULL,
     "frozen weights in memory: both orientations packed, or one plain copy packed on the way"},
    {"memory", NULL, HORA_OPT_INT, AT(memory), NULL, 0, BIG, NULL, "BYTES",
     "memory the training may take (8G, 500M); unset: what is free"},
    {"seed", NULL, HORA_OPT_INT, AT(seed), "42", 0, BIG, NULL, NULL,
     "of initial values, dropout and the order of the data"},
    {"save_every", "save_steps", HORA_OPT_INT, AT(save_every), "500", 0, BIG, NULL, NULL,
     "steps between checkpoints; 0: only at the end"},
    {"save_limit", "save_total_limit", HORA_OPT_INT, AT(save_limit), "2", 0, 1e9, NULL, NULL,
     "checkpoints to keep, the best one besides; 0: all"},
    {"eval_every", "eval_steps", HORA_OPT_INT, AT(eval_every), "0", 0, BIG, NULL, NULL,
     "steps between evaluations; 0: only before and after"},
    {"eval_start", "eval_on_start", HORA_OPT_BOOL, AT(eval_start), "true", 0, 0, NULL, NULL,
     "evaluate before the first step"},
    {"patience", "early_stopping_patience", HORA_OPT_INT, AT(patience), "0", 0, 1e9, NULL, NULL,
     "evaluations without improvement before the run stops; 0: never"},
    {"min_delta", "early_stopping_threshold", HORA_OPT_REAL, AT(min_delta), "0", 0, 1e9, NULL, NULL,
     "how much lower the loss must be to count as improvement"},
    {"log_every", "logging_steps", HORA_OPT_INT, AT(log_every), "10", 1, BIG, NULL, NULL,
     "steps between lines of progress (log files have every step)"},
    {"explode", NULL, HORA_OPT_REAL, AT(explode), "4", 0, 1e9, NULL, NULL,
     "stop when the loss exceeds this many times max(first loss, ln vocabulary); 0: never"},
    {"backends", NULL, HORA_OPT_STRING, AT(backends), NULL, 0, 0, NULL, "NAMES",
     "kernels in order of preference (cpu ref); unset: the fastest"},
};

hora_dtype hora_train_dtype(const hora_train_config *c) {
    const hora_dtype best = hora_cpu_isa() >= HORA_ISA_AVX512_BF16 ? HORA_BF16 : HORA_F32;
    const hora_dtype dtypes[] = {best, HORA_F32, HORA_BF16};
    return dtypes[c->dtype];
}

const hora_options hora_train_options = {"Training", rows, (int)HORA_COUNT(rows)};
