#ifndef HORA_LAB_BENCH_H
#define HORA_LAB_BENCH_H
/*
 * Speed and memory of a training step, measured on what users run: a model directory opened by the
 * ordinary path, trained by hora_training_step_on. Behind `hora bench`; docs/performance.md says
 * what the numbers mean.
 */
#include "train/train.h"

typedef struct hora_bench_config { /* filled from hora_bench_options */
    int shape;                     /* row of shapes.def, unless model is given */
    char *model, *method;
    int64_t batch_size, seq_len;    /* 0: the shape's */
    int64_t grad_accum;             /* micro-batches of a step; 0: as many as ranks */
    char *dtype, *recompute, *pack; /* options of a training, passed on as they are */
    int quantize;                   /* choice: 0: a shape in bf16 or f32; else a GGUF of it */
    char *optimizer, *backends;     /* NULL: the training's default */
    char *device;                   /* NULL: the training's default */
    int64_t memory, seed;           /* of the training */
    int64_t repeats, settle;        /* steps that are measured; steps before them */
    bool peak;                      /* measure the machine alone */
} hora_bench_config;
extern const hora_options hora_bench_options;

typedef struct hora_bench_shape {
    const char *name, *family;
    int64_t hidden, layers, heads, kv_heads, head_dim, intermediate, vocab;
    bool tied; /* head and embedding are one matrix */
    int64_t batch_size, seq_len;
} hora_bench_shape;
const hora_bench_shape *hora_bench_shape_at(int i);
extern const char hora_bench_shape_list[];
#define HORA_BENCH_SHAPE_NAMES (hora_bench_shape_list + 1) /* for a CHOICE option, in that order */
/* A model directory of that shape in the existing folder `dir`: first its config.json, with room
 * for `positions` tokens; then its weights, random of standard deviation 0.02 in `dtype`. The
 * weights take the memory of the largest tensor and give it back. */
hora_status hora_bench_config_write(const hora_bench_shape *s, int64_t positions, hora_dtype dtype,
                                    const char *dir);
hora_status hora_bench_weights_write(hora_dtype dtype, const char *dir);
/* The same model as the file `path` in GGUF, matrices in random blocks of `dtype` (or the type that
 * rows fall back to), from the config.json in `dir`, of an architecture that GGUF has. Its
 * vocabulary is that many empty tokens. */
hora_status hora_bench_gguf_write(hora_dtype dtype, const char *dir, const char *path);
/* n values, normal with standard deviation 0.02, that repeat with a prime period; n and dtype F32
 * or BF16. */
void hora_bench_draw(hora_dtype dtype, void *at, int64_t n);

/* What this machine reaches; 0 where it is not known. */
typedef struct hora_bench_machine {
    double f32_flops, bf16_flops; /* per second: products in registers, accumulated in f32 */
    double read_bytes;            /* per second, from memory */
} hora_bench_machine;
/* Of the named device, as hora_device_open has it. Takes some 256 MiB while it runs. */
hora_status hora_bench_machine_measure(hora_bench_machine *m, const char *device);

/* Measures what the settings (bench's and the method's options) say. *stop set by a signal handler
 * ends it with HORA_EINTERRUPTED; nothing is left on the disk. comm: ranks that share the
 * micro-batches of a step, NULL: one alone; *out is rank 0's. `text` gets the tables for people.
 */
hora_status hora_bench_run(hora_settings *s, volatile int *stop, hora_comm *comm, hora_json **out,
                           hora_str *text);
#endif
