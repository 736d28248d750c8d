/*
 * Laws of methods that leave rows out or look beside the blocks: rows that take no part are skipped
 * outside of training and the result is that of multiplying by 0; all losses of a training are
 * differentiated; a window shows what it should and nothing else; a side network keeps less.
 * [dyt] [adavit] [alternate] [losa]
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "graph/graph_impl.h"
#include "vectors/golden.h"

static const char text[] =
    "{\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":3,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6,\"vocab_size\":29,"
    "\"initializer_range\":0.3,\"tie_word_embeddings\":false}";
static const char picture[] =
    "{\"model_type\":\"vit\",\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":3,"
    "\"num_attention_heads\":4,\"initializer_range\":0.3,\"image_size\":8,\"patch_size\":2}";
enum { CLASSES = 3, PICTURES = 5 };
static const int lengths[] = {11, 6, 1};

static hora_base *open_base(bool pictures, hora_dtype dtype) {
    char *path = hora_path_join(hora_test_tmp(), "config.json");
    hora_base *b = NULL;
    const hora_base_options o = {.dtype = dtype, .headers_only = true, .bare = true};
    if (pictures) {
        assert_ok(hora_file_write(path, picture, strlen(picture)));
        assert_ok(hora_base_fresh(&b, path, &o, 5));
        assert_ok(hora_base_head(b, "IMAGE_CLS", CLASSES, true, true, 5));
        assert_ok(hora_base_complete(b));
    } else
        b = golden_fresh(text, dtype, false);
    hora_free(path);
    return b;
}

static hora_adapter *attach(const hora_base *b, const char *method, const char *options) {
    hora_adapter *a = golden_attach(b, method, options);
    assert_ok(hora_adapter_allocate(a));
    hora_rng r = hora_rng_new(3, "perturb");
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems; k++) {
            const double by = 0.3 * hora_rng_normal(&r);
            if (a->dtype == HORA_F64)
                ((double *)a->params[i]->value)[k] += by;
            else
                ((float *)a->params[i]->value)[k] += (float)by;
        }
    return a;
}

/* *a outlives the run. */
static void record(golden_run *r, hora_base *b, hora_adapter **a, const golden_options *o) {
    hora_rng rng = hora_rng_new(1, "batch");
    if (b->vision)
        golden_pictures(r, &rng, b, PICTURES, CLASSES);
    else
        golden_synthetic(r, &rng, b->vocab, lengths, 3, 2);
    golden_record(r, b, a, 1, o);
}

static int64_t logit_count(const hora_base *b, const golden_run *r) {
    return b->vision ? PICTURES * CLASSES : (r->rows.rows - 2) * b->vocab; /* no padding */
}

static void check_skipped(const char *backends, bool pictures, const char *method,
                          const char *options) {
    hora_base *b = open_base(pictures, HORA_F32);
    hora_adapter *a = attach(b, method, options);
    golden_run whole, packed;
    record(&whole, b, &a, &(golden_options){.backends = backends, .mode = HORA_NET_TRAIN});
    record(&packed, b, &a,
           &(golden_options){.backends = backends, .mode = HORA_NET_EVAL, .poison = true});
    hora_assert_close(golden_logits(&packed), golden_logits(&whole), (size_t)logit_count(b, &whole),
                      1e-5, options);
    int64_t least = packed.rows.rows, most = 0;
    assert_true(packed.g->packed_count > 0 && whole.g->packed_count == 0);
    for (int p = 1; p <= packed.g->packed_count; p++) {
        least = hora_min(least, packed.g->packed[p].batch.rows);
        most = hora_max(most, packed.g->packed[p].batch.rows);
    }
    assert_true(least < packed.rows.rows && most > 0); /* some take part, some do not */
    golden_close(&whole);
    golden_close(&packed);
    hora_peft_detach(a);
    hora_base_close(b);
}

static void skipped_is_multiplied(void **state) {
    static const char *const backends[] = {"cpu ref", "ref"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(backends); i++) {
        const char *on = backends[i];
        check_skipped(on, false, "dyt", "bottleneck=3,dropout=0,noise=false,gate_start=0");
        check_skipped(on, true, "dyt", "bottleneck=3,dropout=0,noise=false,gate_start=0");
        check_skipped(on, false, "adavit", "per=token,noise=false,gate_start=0");
        check_skipped(on, true, "adavit", "per=sample,noise=false,gate_start=0");
        check_skipped(on, true, "adavit", "per=sample,noise=false,gate_start=0,heads=false");
    }
}

/* All gates shut: what is left are the residual stream and the adapter. All open: the base. */
static void the_ends(void **state) {
    (void)state;
    for (int pictures = 0; pictures < 2; pictures++) {
        hora_base *b = open_base(pictures, HORA_F32);
        hora_adapter *open = golden_attach(b, "dyt", "gate_start=900"),
                     *shut = golden_attach(b, "dyt", "gate_start=-900");
        golden_run base, r;
        assert_ok(hora_adapter_allocate(open));
        assert_ok(hora_adapter_allocate(shut));
        open->enabled = false;
        record(&base, b, &open, &(golden_options){.mode = HORA_NET_EVAL});
        open->enabled = true;
        record(&r, b, &open, &(golden_options){.mode = HORA_NET_EVAL});
        const size_t n = (size_t)logit_count(b, &base);
        hora_assert_close(golden_logits(&r), golden_logits(&base), n, 1e-5, "all open");
        golden_close(&r);
        record(&r, b, &shut, &(golden_options){.mode = HORA_NET_EVAL});
        double moved = 0;
        for (size_t i = 0; i < n; i++)
            moved = fmax(moved, fabs((double)golden_logits(&r)[i] - golden_logits(&base)[i]));
        assert_true(moved > 1e-2);
        golden_close(&r);
        golden_close(&base);
        hora_peft_detach(open);
        hora_peft_detach(shut);
        hora_base_close(b);
    }
}

/* --- losses ----------------------------------------------------------------------------------- */
static double all_losses(golden_run *r) {
    double sum = 0;
    golden_again(r);
    for (int t = 0; t < r->g->tensor_count; t++)
        if (r->g->tensors[t].loss_weight != 0)
            sum += r->g->tensors[t].loss_weight * hora_graph_scalar(r->g, t);
    return sum;
}

static double error_of(golden_run *r, hora_param *p, const double *grad, hora_rng *rng) {
    const size_t bytes = (size_t)p->elems * sizeof(double);
    double *p0 = hora_malloc(bytes), *dir = hora_malloc(bytes), want = 0, best = INFINITY;
    memcpy(p0, p->value, bytes);
    for (int64_t k = 0; k < p->elems; k++)
        want += (dir[k] = hora_rng_normal(rng)) * grad[k];
    for (double h = 1e-3; h > 1e-6; h /= 10) {
        double at[2];
        for (int side = 0; side < 2; side++) {
            for (int64_t k = 0; k < p->elems; k++)
                ((double *)p->value)[k] = p0[k] + (side ? -h : h) * dir[k];
            at[side] = all_losses(r);
        }
        const double got = (at[0] - at[1]) / (2 * h);
        best = fmin(best, fabs(got - want) / fmax(fmax(fabs(got), fabs(want)), 1e-4));
    }
    memcpy(p->value, p0, bytes);
    hora_free(p0);
    hora_free(dir);
    return best;
}

static void check_losses(bool pictures, const char *method, const char *options, int count) {
    hora_base *b = open_base(pictures, HORA_F64);
    hora_adapter *a = attach(b, method, options);
    hora_rng rng = hora_rng_new(1, options);
    golden_run r;
    record(&r, b, &a,
           &(golden_options){.backward = true, .poison = true, .recompute = 2, .hold = true});
    int losses = 0;
    for (int t = 0; t < r.g->tensor_count; t++)
        losses += r.g->tensors[t].loss_weight != 0;
    assert_int_equal(losses, count);
    double *grads = hora_malloc(r.grad_bytes);
    memcpy(grads, r.grads, r.grad_bytes);
    for (int i = 0; i < a->nparams; i++) {
        hora_param *p = a->params[i];
        const double e = error_of(&r, p, grads + ((double *)p->grad - (double *)r.grads), &rng);
        if (!(e <= 1e-6))
            fail_msg("%s %s: %s is off by %.3g relative", method, options, p->name, e);
    }
    hora_free(grads);
    golden_close(&r);
    hora_peft_detach(a);
    hora_base_close(b);
}

static void losses_are_differentiated(void **state) {
    (void)state;
    for (int pictures = 0; pictures < 2; pictures++) {
        check_losses(pictures, "dyt", "bottleneck=2,gate_start=0,dropout=0.25", 2);
        check_losses(pictures, "dyt", "bottleneck=2,gate_start=0,second_pass=loss", 3);
        check_losses(pictures, "dyt", "bottleneck=2,gate_start=0,second_pass=loss+kl,budget=0.3",
                     4);
        check_losses(pictures, "adavit",
                     pictures ? "gate_start=0,per=sample" : "gate_start=0,per=token", 2);
    }
    check_losses(true, "adavit", "gate_start=0,sublayers=false", 2);
}

/* A micro-batch with half of a step's targets counts half: what is beside the task's own loss too.
 */
static void losses_count_once(void **state) {
    (void)state;
    hora_base *b = open_base(false, HORA_F64);
    hora_adapter *a = attach(b, "dyt", "bottleneck=2,gate_start=0,second_pass=loss+kl");
    golden_run r;
    record(&r, b, &a, &(golden_options){.backward = true});
    const double whole = all_losses(&r);
    r.rows.scale /= 2;
    assert_true(fabs(all_losses(&r) - whole / 2) < 1e-9 * whole);
    golden_close(&r);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* --- windows ---------------------------------------------------------------------------------- */
enum { N = 14 };

/* Does changing token `at` change the logits of the last row? */
static bool reaches(const char *options, int at) {
    static const int one[] = {N};
    hora_base *b = open_base(false, HORA_F32);
    hora_adapter *a = golden_attach(b, "alternate", options);
    assert_ok(hora_adapter_allocate(a));
    hora_rng rng = hora_rng_new(1, "batch");
    golden_run r;
    golden_synthetic(&r, &rng, b->vocab, one, 1, 0);
    golden_record(&r, b, &a, 1, &(golden_options){.mode = HORA_NET_EVAL});
    float *was = hora_malloc((size_t)b->vocab * sizeof *was);
    memcpy(was, golden_logits(&r) + (N - 1) * b->vocab, (size_t)b->vocab * sizeof *was);
    r.ints[0][at] = (r.ints[0][at] + 1) % (int32_t)b->vocab;
    golden_again(&r);
    const bool yes =
        memcmp(was, golden_logits(&r) + (N - 1) * b->vocab, (size_t)b->vocab * sizeof *was) != 0;
    hora_free(was);
    golden_close(&r);
    hora_peft_detach(a);
    hora_base_close(b);
    return yes;
}

/* Three blocks with a window of 3 see 2 tokens further back each; with one that sees all, all. */
static void windows_end(void **state) {
    (void)state;
    const char *local = "every=9,first=8,window=3", *mixed = "every=3,first=1,window=3";
    assert_true(reaches(local, N - 1 - 6));
    assert_false(reaches(local, N - 1 - 7));
    assert_true(reaches(mixed, N - 1 - 7));
    assert_true(reaches(mixed, 0));
}

/* --- beside the blocks ------------------------------------------------------------------------ */
static size_t kept(const char *method, const char *options) {
    hora_base *b = open_base(true, HORA_F32);
    hora_adapter *a = attach(b, method, options);
    golden_run r;
    record(&r, b, &a, &(golden_options){.backward = true});
    const size_t bytes = hora_graph_info(r.g)->kept;
    int through = 0; /* backward steps through a frozen weight */
    for (int i = 0; i < r.g->step_count; i++) {
        const step *s = &r.g->steps[i];
        through += s->phase == HORA_BACKWARD && s->call.op->flops && s->call.frozen & HORA_IN(1) &&
                   r.g->nodes[s->node].segment >= 0;
    }
    assert_true((through == 0) == hora_eq(method, "losa"));
    golden_close(&r);
    hora_peft_detach(a);
    hora_base_close(b);
    return bytes;
}

static void the_backbone_keeps_nothing(void **state) {
    (void)state;
    assert_true(kept("losa", "rank=3,token_rank=2") < kept("adaptformer", "bottleneck=3"));
}

HORA_TESTS(law_gates, {"skipped is multiplied by 0", skipped_is_multiplied, HORA_SHORT},
           {"all open and all shut", the_ends, HORA_SHORT},
           {"every loss is differentiated", losses_are_differentiated, HORA_SHORT},
           {"losses count once a step", losses_count_once, HORA_SHORT},
           {"windows end where they should", windows_end, HORA_SHORT},
           {"the backbone keeps nothing", the_backbone_keeps_nothing, HORA_SHORT});
