/*
 * A measurement: a model directory (written for a named shape), opened, planned, prepared and
 * stepped as a training does it, on a batch of random tokens that are all supervised. The machine's
 * yardsticks are measured on the spot, after the peak of memory was read.
 */
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "format/gguf_names.h"
#include "format/hf_config.h"
#include "lab/bench_impl.h"
#include "run/open.h"

#define OPT_OF hora_bench_config
static const hora_option rows[] = {
    OPT_CHOICE(shape, "shape", NULL, "smol135", HORA_BENCH_SHAPE_NAMES,
               "model to measure on, with random weights"),
    OPT_STRING(model, "model", NULL, NULL, "DIR",
               "measure this model directory instead of a shape"),
    OPT_STRING(method, "method", "peft_type", "hora", "NAME", "what trains, as in train"),
    OPT_INT(batch_size, "batch_size", "per_device_train_batch_size bs", NULL, 1, 1e6,
            "sequences in a step; unset: the shape's"),
    OPT_INT(seq_len, "seq_len", "max_length max_seq_length cutoff_len", NULL, 1, 1e9,
            "tokens of a sequence; unset: the shape's; of a picture its model's"),
    OPT_INT(grad_accum, "grad_accum", "gradient_accumulation_steps", NULL, 1, 1e6,
            "micro-batches of a step; unset: one for each rank"),
    OPT_STRING(
        dtype, "dtype", NULL, NULL, "NAME",
        "what activations and frozen weights are computed in, as in train; f32 makes the model f32 "
        "too, else its weights are bf16"),
    OPT_CHOICE(quantize, "quantize", NULL, "none", "none q8_0 q4_0 q4_k",
               "the shape as a GGUF file whose matrices are random blocks of this type"),
    OPT_STRING(recompute, "recompute", "gradient_checkpointing", NULL, "N",
               "layers recomputed in backward: none, all, auto or a number"),
    OPT_STRING(pack, "pack", NULL, NULL, "NAME",
               "frozen weights in memory, as in train: auto, both or one"),
    OPT_STRING(optimizer, "optimizer", "optim", NULL, "NAME", "update rule, as in train"),
    OPT_LIST(backends, "backends", NULL, NULL, "NAMES",
             "kernels in order of preference, as in train"),
    OPT_STRING(device, "device", NULL, NULL, "NAME", "where the steps run, as in train"),
    OPT_SIZE(memory, "memory", NULL, NULL, 0, 9.2e18,
             "memory the training may take; unset: what is free"),
    OPT_INT(seed, "seed", NULL, "42", 0, 9.2e18, "of the batch and the initial values"),
    OPT_INT(repeats, "repeats", NULL, "10", 1, 1e5,
            "steps that are timed; profiled ones stand between them"),
    OPT_INT(settle, "settle", NULL, "2", 0, 1e5, "steps before those"),
    OPT_BOOL(peak, "peak", NULL, "false",
             "measure the machine alone: products in registers and reading memory"),
};
const hora_options hora_bench_options = {"Bench", rows, (int)HORA_COUNT(rows)};

typedef struct bench {
    hora_bench_config c;
    hora_train_config train;
    hora_settings *given;
    volatile int *stop;
    hora_comm *comm;
    uint64_t memory;               /* as in hora_training_parts */
    bool borrowed;                 /* the folder is another rank's */
    const hora_bench_shape *shape; /* NULL: a model of the user's */
    char *dir;                     /* temporary folder while it is there */
    char *file;                    /* the model in it, where that is a GGUF file; NULL */
    hora_opened opened;
    hora_adapter *adapter;
    hora_training *training;
    hora_batch batch;
    hora_batch *micro; /* grad_accum times the same */
    bench_result result;
} bench;

static hora_status unless_stopped(const bench *b) {
    return b->stop && *b->stop ? hora_fail(HORA_EINTERRUPTED, "stopped; nothing is left behind")
                               : HORA_OK;
}

/* --- settings --------------------------------------------------------------------------------- */
/* The training's own table checks and reads what is passed on to it. */
static hora_status take_training(bench *b) {
    const struct {
        const char *key, *value;
    } passed[] = {{"dtype", b->c.dtype},       {"recompute", b->c.recompute},
                  {"pack", b->c.pack},         {"optimizer", b->c.optimizer},
                  {"backends", b->c.backends}, {"device", b->c.device}};
    hora_settings s = {0};
    for (size_t i = 0; i < HORA_COUNT(passed); i++)
        if (passed[i].value)
            hora_settings_put(&s, passed[i].key, passed[i].value, "command line");
    hora_status st = hora_options_take(&hora_train_options, &b->train, &s);
    hora_settings_release(&s);
    HORA_TRY(st);
    b->train.batch_size = b->c.batch_size;
    b->train.grad_accum = b->c.grad_accum;
    b->train.memory = b->c.memory;
    b->train.seed = b->c.seed;
    b->train.steps = b->c.settle + 2 * b->c.repeats;
    b->train.explode = 0; /* random targets are not learned */
    return HORA_OK;
}

static hora_status take_settings(bench *b) {
    HORA_TRY(hora_options_take(&hora_bench_options, &b->c, b->given));
    if (b->c.model && hora_settings_get(b->given, "shape"))
        return hora_fail(HORA_EUSAGE, "--model and --shape exclude each other; give one");
    if (b->c.model && b->c.quantize)
        return hora_fail(HORA_EUSAGE, "--quantize makes blocks for a --shape; a --model has its "
                                      "own: write one with `hora quantize` and measure that");
    if (!b->c.model)
        b->shape = hora_bench_shape_at(b->c.shape);
    if (b->c.quantize && !hora_gguf_arch_of(b->shape->family))
        return hora_fail(HORA_EUSAGE, "there is no GGUF of a %s; measure it without --quantize",
                         b->shape->family);
    if (!b->c.batch_size)
        b->c.batch_size = b->shape ? b->shape->batch_size : 4;
    if (!b->c.grad_accum)
        b->c.grad_accum = hora_comm_size(b->comm);
    return take_training(b);
}

/* Tokens of a row, as soon as the model is known. */
static hora_status take_length(bench *b) {
    const hora_vision *v = b->opened.base->vision;
    const int64_t given = b->c.seq_len, of = v ? hora_vision_rows(v) : 512;
    if (v && given && given != of)
        return hora_fail(HORA_EUSAGE, "a picture of this model is %lld tokens; leave --seq-len out",
                         (long long)of);
    if (!given)
        b->c.seq_len = b->shape && !v ? b->shape->seq_len : of;
    return HORA_OK;
}

/* --- model ------------------------------------------------------------------------------------ */
static hora_status make_folder(bench *b) {
    const char *parent = getenv("TMPDIR");
    char *dir = hora_path_join(parent && *parent ? parent : "/tmp", "hora-bench-XXXXXX");
    if (mkdtemp(dir)) {
        b->dir = dir;
        return HORA_OK;
    }
    hora_status s = hora_fail(HORA_EIO,
                              "cannot make a folder like %s; set TMPDIR to one where files can be "
                              "written",
                              dir);
    hora_free(dir);
    return s;
}

static hora_status remove_model(bench *b) {
    hora_status s = b->dir && !b->borrowed ? hora_remove_tree(b->dir) : HORA_OK;
    hora_free(b->dir);
    hora_free(b->file);
    b->dir = b->file = NULL;
    return s;
}

static void close_all(bench *b) {
    hora_training_free(b->training);
    hora_peft_detach(b->adapter);
    hora_open_close(&b->opened);
    b->training = NULL;
    b->adapter = NULL;
}

/* Language modelling, or what an encoder's config says it is for. */
static const char *task_of(const bench *b) {
    hora_json *config = NULL;
    const bool read = !hora_hf_config_load(&config, b->shape ? b->dir : b->c.model);
    const hora_family *family = read ? hora_family_of(config) : NULL;
    hora_json_free(config);
    return family && family->encoder ? NULL : "causal";
}

/* The opened base gets its adapter and a plan that fits. */
static hora_status plan(bench *b) {
    HORA_TRY(take_length(b));
    HORA_TRY(hora_open_settle(&b->opened, NULL, NULL, true, (uint64_t)b->c.seed));
    HORA_TRY(
        hora_peft_attach(&b->adapter, b->opened.base, b->c.method, b->given, (uint64_t)b->c.seed));
    const hora_training_parts p = {.base = b->opened.base,
                                   .objective = &b->opened.objective,
                                   .adapters = &b->adapter,
                                   .nadapters = 1,
                                   .comm = b->comm,
                                   .memory = b->memory,
                                   .seq_len = b->c.seq_len};
    HORA_TRY(hora_training_open(&b->training, &p, &b->train));
    b->result.plan = *hora_training_report(b->training);
    return hora_train_report_fits(&b->result.plan);
}

/* Options that neither we nor the method have. */
static hora_status check_options(const bench *b) {
    const hora_options *tables[] = {&hora_bench_options, b->adapter->method->options};
    return hora_settings_finish(b->given, tables, tables[1] ? 2 : 1);
}

/* The model to open. */
static const char *where(const bench *b) {
    return b->file ? b->file : b->shape ? b->dir : b->c.model;
}

/* What can be refused is refused by a plan on headers alone, before weights are written or read. */
static hora_status rehearse(bench *b) {
    const hora_open_options headers = {.dtype = hora_train_dtype(&b->train),
                                       .task = task_of(b),
                                       .headers_only = true,
                                       .config_alone = b->shape && !b->file};
    HORA_TRY(hora_open_model(&b->opened, where(b), &headers));
    HORA_TRY(plan(b));
    HORA_TRY(check_options(b));
    if (b->shape) /* it is opened again, and timed */
        close_all(b);
    return unless_stopped(b);
}

/* Types of --quantize. */
static const hora_dtype block_types[] = {HORA_DTYPE_OTHER, HORA_Q8_0, HORA_Q4_0, HORA_Q4_K};

/* Rank 0 makes the model, and whoever can see its folder has no other. */
static hora_status share_folder(bench *b, hora_status mine) {
    hora_str text = {0};
    hora_status s = mine;
    if (hora_comm_size(b->comm) == 1 || !b->shape)
        return mine;
    if (s == HORA_OK && b->dir && hora_comm_leads(b->comm))
        hora_str_puts(&text, b->dir);
    if (s == HORA_OK)
        s = hora_comm_broadcast_text(b->comm, &text);
    if (s == HORA_OK && !hora_comm_leads(b->comm) && hora_path_is_dir(text.s)) {
        b->dir = hora_strdup(text.s);
        b->borrowed = true;
        b->file = b->c.quantize ? hora_path_join(b->dir, "model.gguf") : NULL;
    }
    hora_str_release(&text);
    return s;
}

static hora_status write_model(bench *b) {
    const int64_t positions = hora_max(2048, b->c.seq_len); /* 0: the shape's */
    hora_dtype dtype = hora_eq(b->c.dtype, "f32") ? HORA_F32 : HORA_BF16;
    if (!b->shape)
        return rehearse(b);
    HORA_TRY(make_folder(b));
    HORA_TRY(hora_bench_config_write(b->shape, positions, dtype, b->dir));
    if (b->c.quantize) { /* how large it is, its file tells */
        b->file = hora_path_join(b->dir, "model.gguf");
        HORA_TRY(hora_bench_gguf_write(block_types[b->c.quantize], b->dir, b->file));
        return rehearse(b);
    }
    HORA_TRY(rehearse(b));
    HORA_TRY(hora_bench_weights_write(dtype, b->dir));
    return unless_stopped(b);
}

static hora_status make_model(bench *b) {
    hora_status s = HORA_OK;
    if (hora_comm_leads(b->comm) || !b->shape)
        s = write_model(b);
    HORA_TRY(share_folder(b, s));
    if (b->borrowed)
        return rehearse(b);
    return b->shape && !hora_comm_leads(b->comm) ? write_model(b) : HORA_OK;
}

/* Opens, plans, prepares. What is mapped stays readable when its folder goes. */
static hora_status open_all(bench *b) {
    const hora_open_options o = {.dtype = hora_train_dtype(&b->train),
                                 .task = task_of(b),
                                 .sharing = hora_comm_sharing(b->comm)};
    double started = hora_now();
    HORA_TRY(b->shape ? hora_open_model(&b->opened, where(b), &o)
                      : hora_base_complete(b->opened.base));
    b->result.open_s = hora_now() - started;
    HORA_TRY(hora_comm_barrier(b->comm)); /* all have opened it */
    HORA_TRY(remove_model(b));
    HORA_TRY(unless_stopped(b));
    started = hora_now();
    if (b->shape)
        HORA_TRY(plan(b));
    HORA_TRY(hora_training_prepare(b->training));
    b->result.prepare_s = hora_now() - started;
    return unless_stopped(b);
}

/* --- steps ------------------------------------------------------------------------------------ */
/* Normal values for the pieces of n pictures. */
static void draw_pictures(const hora_vision *v, int64_t n, hora_rng *r, hora_batch *x) {
    const int64_t t = hora_vision_rows(v), values = hora_vision_values(v);
    float *picture = hora_malloc((size_t)values * sizeof *picture);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < values; j++)
            picture[j] = (float)hora_rng_normal(r);
        hora_vision_cut(v, picture, x->patch + i * t * hora_vision_columns(v));
        hora_vision_pattern(v, x->ids + i * t, x->pos + i * t);
    }
    hora_free(picture);
}

/* Samples that see all of themselves, each with a class at its first row. */
static void make_encoder_batch(bench *b, hora_rng *r) {
    hora_batch *x = &b->batch;
    const int64_t n = b->c.batch_size, t = b->c.seq_len;
    const hora_objective *o = &b->opened.objective;
    if (x->type)
        memset(x->type, 0, (size_t)x->rows * sizeof *x->type);
    if (b->opened.base->vision)
        draw_pictures(b->opened.base->vision, n, r, x);
    x->supervised = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t class_ = (int32_t)(i % o->classes);
        const hora_segment s = {
            .from = i * t, .n = t, .ids = x->ids + i * t, .classes = &class_, .labels = 1};
        hora_batch_places(x, s.from, t, o->pad);
        o->rule.ranges(x, s.from, t, s.from, s.from + t);
        if (b->opened.base->vision)
            hora_vision_ranges(b->opened.base->vision, s.from, x->lo + s.from, x->hi + s.from);
        x->supervised += o->rule.targets(&o->rule, &s, x).rows;
    }
}

static hora_status make_batch(bench *b) {
    hora_batch *x = &b->batch;
    const int64_t n = b->c.batch_size, t = b->c.seq_len;
    const int64_t vocab = b->opened.base->vocab;
    hora_leaves leaves = hora_leaves_plain();
    leaves.columns[HORA_LEAF_patch] =
        hora_graph_leaves(hora_training_graph(b->training)).columns[HORA_LEAF_patch];
    hora_rng r = hora_rng_new((uint64_t)b->c.seed, "bench batch");
    HORA_TRY(hora_batch_init(x, b->result.plan.rows, &leaves));
    x->rows = x->capacity;
    for (int64_t i = 0; i < x->rows; i++) {
        const bool real = i < n * t && vocab > 0;
        x->ids[i] = real ? (int32_t)hora_rng_below(&r, vocab) : 0;
        x->target[i] = real ? (int32_t)hora_rng_below(&r, vocab) : -1;
        x->weight[i] = real;
        x->pos[i] = (int32_t)(real ? i % t : 0);
        x->reach[i] = (int32_t)t;
        x->lo[i] = (int32_t)(real ? i - i % t : 0);
        x->hi[i] = (int32_t)(real ? i + 1 : 0);
    }
    x->tokens = x->supervised = n * t;
    if (b->opened.objective.encoder)
        make_encoder_batch(b, &r);
    b->micro = hora_calloc((size_t)b->c.grad_accum, sizeof *b->micro);
    for (int64_t i = 0; i < b->c.grad_accum; i++)
        b->micro[i] = *x;
    return HORA_OK;
}

static hora_status one_step(bench *b, double *seconds) {
    hora_step_info info;
    HORA_TRY(unless_stopped(b));
    double started = hora_now();
    HORA_TRY(hora_training_step_on(b->training, b->micro, (int)b->c.grad_accum, &info));
    *seconds = hora_now() - started;
    b->result.loss = info.loss;
    b->result.comm_seconds = info.comm_seconds;
    b->result.slowest = info.slowest;
    return HORA_OK;
}

static int ascending(const void *pa, const void *pb) {
    const double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

/* The rows of one graph are the same in every step. */
static void add_profile(bench_result *r, const hora_graph *g, double seconds) {
    hora_op_time now[MAX_OPS];
    r->nops = hora_graph_profile_get(g, now, MAX_OPS);
    for (int i = 0; i < r->nops; i++) {
        const hora_op_time sum = r->ops[i];
        r->ops[i] = now[i];
        r->ops[i].calls += sum.calls;
        r->ops[i].seconds += sum.seconds;
        r->ops[i].flops += sum.flops;
        r->ops[i].bytes += sum.bytes;
    }
    r->profiled += seconds;
    r->nprofiled++;
}

/* Every third step is profiled, so that both kinds see the same machine; at least one is. */
static hora_status run_steps(bench *b) {
    bench_result *r = &b->result;
    hora_graph *g = hora_training_graph(b->training);
    double seconds;
    r->step = hora_calloc((size_t)b->c.repeats, sizeof *r->step);
    r->ops = hora_calloc(MAX_OPS, sizeof *r->ops);
    for (int64_t i = 0; i < b->c.settle; i++)
        HORA_TRY(one_step(b, &seconds));
    while (r->nsteps < b->c.repeats) {
        HORA_TRY(one_step(b, &r->step[r->nsteps++]));
        if (r->nsteps % 3 && r->nsteps < b->c.repeats)
            continue;
        hora_graph_profile(g, true);
        HORA_TRY(one_step(b, &seconds));
        add_profile(r, g, seconds);
        hora_graph_profile(g, false);
    }
    qsort(r->step, (size_t)r->nsteps, sizeof *r->step, ascending);
    return HORA_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */
static void describe(bench *b) {
    bench_result *r = &b->result;
    const hora_dtype blocks = block_types[b->c.quantize];
    hora_snprintf(r->name, sizeof r->name, "%s%s%s",
                  b->shape ? b->shape->name : hora_path_base(b->c.model),
                  blocks == HORA_DTYPE_OTHER ? "" : " ",
                  blocks == HORA_DTYPE_OTHER ? "" : hora_dtype_name(blocks));
    r->adapter = b->adapter;
    r->dtype = b->opened.base->dtype;
    r->threads = hora_threads();
    r->batch_size = b->c.batch_size;
    r->seq_len = b->c.seq_len;
    r->grad_accum = b->c.grad_accum;
    r->ranks = hora_comm_size(b->comm);
    r->pictures = b->opened.base->vision != NULL;
}

static hora_status measure(bench *b) {
    HORA_TRY(take_settings(b));
    if (b->c.peak)
        return hora_bench_machine_measure(&b->result.machine, b->c.device);
    HORA_TRY(hora_train_memory(b->comm, &b->memory));
    HORA_TRY(make_model(b));
    b->result.rss_exact = hora_rss_peak_reset() || !b->shape;
    HORA_TRY(open_all(b));
    HORA_TRY(make_batch(b));
    HORA_TRY(run_steps(b));
    describe(b);
    b->result.rss_peak = hora_rss_peak();
    hora_device *d = hora_training_device(b->training);
    const hora_device_kind *k = hora_device_kind_of(d);
    hora_snprintf(b->result.device, sizeof b->result.device, "%s", hora_device_variant(d));
    b->result.device_peak = k->taken ? k->taken(d) : 0;
    return hora_bench_machine_measure(&b->result.machine, b->c.device);
}

static void release(bench *b) {
    hora_batch_release(&b->batch);
    hora_free(b->micro);
    close_all(b);
    hora_free(b->result.step);
    hora_free(b->result.ops);
    hora_options_release(&hora_train_options, &b->train);
    hora_options_release(&hora_bench_options, &b->c);
}

hora_status hora_bench_run(hora_settings *s, volatile int *stop, hora_comm *comm, hora_json **out,
                           hora_str *text) {
    bench b = {.given = s, .stop = stop, .comm = comm};
    hora_status st = measure(&b);
    if (remove_model(&b) != HORA_OK)
        hora_warn("%s", hora_errmsg());
    if (st < 0)
        hora_comm_fail(comm, st);
    if (st == HORA_OK && hora_comm_leads(comm) && b.c.peak) {
        *out = hora_bench_machine_json(&b.result.machine);
        hora_bench_machine_text(&b.result.machine, text);
    } else if (st == HORA_OK && hora_comm_leads(comm)) {
        *out = hora_bench_json(&b.result);
        hora_bench_text(&b.result, text);
    }
    release(&b);
    return st;
}
