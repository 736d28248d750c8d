/* The options of a training: one table, from which flags, recipe keys, help and documentation
 * come. Names of PEFT and transformers are aliases in the same row. */
#include "train/train.h"

#include <stddef.h>

#include "base/cpu.h"

#define BIG   9.2e18
#define HUGE_ 1e300

#define OPT_OF hora_train_config
static const hora_option rows[] = {
    OPT_INT(steps, "steps", "max_steps", NULL, 0, BIG,
            "optimizer steps; unset or 0: as many as epochs need", HORA_OPT_RESUMABLE),
    OPT_REAL(epochs, "epochs", "num_train_epochs", "1", 1e-9, 1e9,
             "passes over the training data, when steps is unset", HORA_OPT_RESUMABLE,
             .with = "!steps"),
    OPT_INT(batch_size, "batch_size", "per_device_train_batch_size bs", "8", 1, 1e6,
            "sequences of seq_len tokens in a micro-batch"),
    OPT_INT(grad_accum, "grad_accum", "gradient_accumulation_steps", "1", 1, 1e6,
            "micro-batches in a step, weighted by their tokens"),
    OPT_REAL(lr, "lr", "learning_rate", NULL, 0, 1e3,
             "learning rate; unset: the method's own (hora methods shows it)"),
    OPT_CHOICE(optimizer, "optimizer", "optim", "adamw", HORA_OPTIMIZER_NAMES, "update rule"),
    OPT_CHOICE(schedule, "schedule", "lr_scheduler_type scheduler", "cosine", HORA_SCHEDULE_NAMES,
               "learning rate over the run, after warm-up"),
    OPT_REAL(warmup, "warmup", "warmup_ratio warmup_steps", "0.03", 0, 1e12,
             "steps of warm-up; below 1: share of the steps"),
    OPT_REAL(min_lr, "min_lr", NULL, "0", 0, 1e3,
             "learning rate at the end of linear, cosine and wsd",
             .with = "schedule=linear cosine wsd"),
    OPT_REAL(decay_share, "decay_share", NULL, "0.1", 0, 1,
             "wsd: share of the steps that the final decay takes", .with = "schedule=wsd"),
    OPT_REAL(weight_decay, "weight_decay", "wd", "0", 0, 1e3,
             "decoupled weight decay; spares biases and norms"),
    OPT_BOOL(decay_all, "decay_all", NULL, "false", "weight decay on biases and norms too",
             .with = "weight_decay"),
    OPT_REAL(beta1, "beta1", "adam_beta1", "0.9", 0, 0.9999999,
             "adamw, lion: decay of the first moment", .with = "optimizer=adamw lion"),
    OPT_REAL(beta2, "beta2", "adam_beta2", "0.999", 0, 0.9999999,
             "adamw: decay of the second moment; lion: of the momentum (its paper: 0.99)",
             .with = "optimizer=adamw lion"),
    OPT_REAL(eps, "eps", "adam_epsilon", "1e-8", 1e-30, 1,
             "adamw: added to the root of the second moment", .with = "optimizer=adamw"),
    /* a method may have an option of this name: run/unused.c asks for optimizer=sgd */
    OPT_REAL(momentum, "momentum", NULL, "0.9", 0, 0.9999999, "sgd: momentum"),
    OPT_INT(sync_every, "sync_every", NULL, "0", 0, 1e9,
            "local steps, another algorithm (DiLoCo) for slow links: ranks train apart and meet "
            "every so many steps; 0: the gradients of every step are added up"),
    OPT_REAL(outer_lr, "outer_lr", NULL, "0.7", 0, 100,
             "sync_every: learning rate of a meeting (1 with outer_momentum 0: the plain mean)",
             .with = "sync_every"),
    OPT_REAL(outer_momentum, "outer_momentum", NULL, "0.9", 0, 0.9999999,
             "sync_every: Nesterov momentum of the meetings", .with = "sync_every"),
    OPT_REAL(clip, "clip", "max_grad_norm", "1.0", 0, HUGE_,
             "largest norm of the gradient; 0: no clipping"),
    OPT_REAL(drop_path, "drop_path", "drop_path_rate", "0", 0, 0.999,
             "stochastic depth: probability that a sample goes past a sublayer of the last layer; "
             "falls to 0 at the first"),
    OPT_BOOL(body_dropout, "body_dropout", NULL, "false",
             "dropout inside an encoder, as its config.json says"),
    OPT_REAL(loraplus, "loraplus", "loraplus_lr_ratio", "1", 1e-6, 1e6,
             "LoRA+: factor of the learning rate of the B matrices"),
    OPT_CHOICE(
        dtype, "dtype", NULL, "auto", "auto f32 bf16",
        "of activations and frozen weights; auto: bf16 where the device multiplies it, else f32"),
    OPT_STRING(recompute, "recompute", "gradient_checkpointing", "none", "N",
               "layers recomputed in backward: none, all, auto (as few as fit) or a number",
               HORA_OPT_RESUMABLE),
    OPT_CHOICE(
        pack, "pack", NULL, "auto", "auto both one",
        "frozen weights in memory: both orientations packed, or one plain copy packed on the way"),
    OPT_SIZE(memory, "memory", NULL, NULL, 0, BIG,
             "memory the training may take (8G, 500M); unset: what is free", HORA_OPT_RESUMABLE),
    OPT_INT(seed, "seed", NULL, "42", 0, BIG,
            "of initial values, dropout and the order of the data"),
    OPT_INT(save_every, "save_every", "save_steps", "500", 0, BIG,
            "steps between checkpoints; 0: only at the end", HORA_OPT_RESUMABLE),
    OPT_INT(save_limit, "save_limit", "save_total_limit", "2", 0, 1e9,
            "checkpoints to keep, the best one besides; 0: all", HORA_OPT_RESUMABLE),
    OPT_INT(eval_every, "eval_every", "eval_steps", "0", 0, BIG,
            "steps between evaluations; 0: only before and after", HORA_OPT_RESUMABLE),
    OPT_BOOL(eval_start, "eval_start", "eval_on_start", "true", "evaluate before the first step",
             HORA_OPT_RESUMABLE),
    OPT_INT(patience, "patience", "early_stopping_patience", "0", 0, 1e9,
            "evaluations without improvement before the run stops; 0: never", HORA_OPT_RESUMABLE),
    OPT_REAL(min_delta, "min_delta", "early_stopping_threshold", "0", 0, 1e9,
             "how much lower the loss must be to count as improvement", HORA_OPT_RESUMABLE,
             .with = "patience"),
    OPT_INT(log_every, "log_every", "logging_steps", "10", 1, BIG,
            "steps between lines of progress (log files have every step)", HORA_OPT_RESUMABLE),
    OPT_REAL(label_smoothing, "label_smoothing", "label_smoothing_factor", "0", 0, 0.999,
             "share of a label that all classes get, in training"),
    OPT_CHOICE(class_weights, "class_weights", NULL, "none", "none balanced",
               "weight of each class in the loss; balanced: records / (classes x its records)"),
    OPT_CHOICE(segment_head, "segment_head", NULL, "linear", "linear upsampled",
               "segment: one layer on the pieces, or two, the second on a grid twice as fine; "
               "unset: the model's, where it has one"),
    OPT_REAL(dice, "dice", NULL, "1", 0, 1e6,
             "segment: factor of soft Dice loss beside cross-entropy; unset: the model's, where it "
             "was trained with one"),
    OPT_REAL(similarity_scale, "similarity_scale", NULL, "20", 1e-3, 1e6,
             "embedding: factor of cosines before their softmax; 1 / temperature"),
    OPT_REAL(explode, "explode", NULL, "4", 0, 1e9,
             "stop when the loss exceeds this many times max(first loss, ln vocabulary); 0: never",
             HORA_OPT_RESUMABLE),
    OPT_LIST(backends, "backends", NULL, NULL, "NAMES",
             "kernels in order of preference (cpu ref); unset: the fastest"),
    OPT_STRING(device, "device", NULL, NULL, "NAME",
               "where the steps run: host (or cpu) or cuda; unset: the host", HORA_OPT_RESUMABLE),
};

hora_dtype hora_train_dtype(const hora_train_config *c) {
    const hora_device_kind *k = hora_device_kind_named(c->device);
    const hora_dtype best = k && k->prefers_bf16() ? HORA_BF16 : HORA_F32;
    const hora_dtype dtypes[] = {best, HORA_F32, HORA_BF16};
    return dtypes[c->dtype];
}

const hora_options hora_train_options = {"Training", rows, (int)HORA_COUNT(rows)};
