/*
 * One layer after the other: evaluate, compare, diagnose; then JSON, table, files. Nothing is
 * judged but the computation itself: that attention and mixture agree, that the engine agrees with
 * both, that no coupling exceeds what its generator can make.
 */
#include "lab/hmoe_report.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "lab/report.h"

enum { DETAILED = 8 }; /* layers with tables per head and pictures of their own */

#define OPT_OF hora_hmoe_config
static const hora_option rows[] = {
    OPT_STRING(case_file, "case", NULL, NULL, "FILE",
               "one layer from this safetensors file instead of a model"),
    OPT_STRING(text, "text", NULL, NULL, "FILE", "text the model reads, cut into sequences"),
    OPT_INT(random, "random", NULL, NULL, 1, 4096, "sequences of random tokens instead of a text"),
    OPT_LIST(layers, "layers", NULL, NULL, "LIST", "layers such as 0,5; unset: all"),
    OPT_INT(tokens, "tokens", NULL, "64", 1, 4096, "tokens of a sequence"),
    OPT_INT(sequences, "sequences", NULL, "4", 1, 4096, "sequences taken from the text, at most"),
    OPT_INT(queries, "queries", NULL, "8", 1, 1 << 20,
            "queries of a sequence that the mixture is evaluated at, evenly spaced; a case: all"),
    OPT_INT(seed, "seed", NULL, "42", 0, 9e15, "of the random tokens"),
    OPT_STRING(
        out, "out", NULL, NULL, "PATH",
        "folder for report, data and pictures; a name in .safetensors: tensors and diagnostics"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what --out names when it exists"),
};
const hora_options hora_hmoe_options = {"Mixture of experts", rows, HORA_COUNT(rows)};

static const char limits[] =
    "Limits: that attention with low-rank updates is such a mixture is algebra; agreement says the "
    "computation is right, nothing about learning. Gates and shares depend on the tokens that were "
    "read. One adapter says nothing about a method. Nothing here says that trained transformers "
    "have shared structure across heads.";

struct hora_hmoe_report {
    const hora_hmoe_config *config;
    bool folder;      /* --out is one */
    hora_outdir *out; /* opened with the first file */
    hora_json *json;  /* root */
    hora_json *layers, *checks;
    hora_str summary, detail, layer_csv, head_csv;
    hora_st_entry *tensors;                /* names and data owned */
    int ntensors, ctensors, nlayers, last; /* layers so far, and the last one */
    bool drawn;                            /* all pictures */
};

/* --- out -------------------------------------------------------------------------------------- */
/* --out NAME.safetensors: tensors; anything else: a folder for the report. */
static bool out_is_file(const hora_hmoe_config *c) {
    return c->out && hora_ends(c->out, ".safetensors");
}

static hora_status open_folder(const hora_hmoe_config *c, hora_outdir **o) {
    const hora_outdir_how how = {.mode = c->overwrite ? HORA_OUT_REPLACE : HORA_OUT_NEW,
                                 .advice = "give another --out or --overwrite",
                                 .in = c->in,
                                 .n = c->nin};
    return hora_outdir_open(o, c->out, &how);
}

hora_status hora_hmoe_out_ready(const hora_hmoe_config *c) {
    hora_outdir *o = NULL;
    if (!c->out)
        return HORA_OK;
    const hora_outfile kind = {"hmoe", hora_st_is_ours, NULL};
    if (out_is_file(c))
        HORA_TRY(hora_outfile_check(c->out, c->overwrite, &kind, c->in, c->nin));
    else
        HORA_TRY(open_folder(c, &o));
    char *dir = o ? hora_strdup(c->out) : hora_path_dir(c->out);
    hora_status s = hora_check_writable(dir, 1 << 20);
    hora_free(dir);
    hora_outdir_close(o);
    return s;
}

hora_status hora_hmoe_fits(const hora_hmoe_config *c, const hora_hmoe_layer *l) {
    char need[32], have[32];
    const double rows = (double)(l->seqs * l->n), heads = (double)l->heads;
    const double kept = out_is_file(c) ? 2 : 1;
    const double numbers = rows * (2 * kept * heads * (double)l->n + 8 * heads * (double)l->dh +
                                   (4 + heads) * (double)l->d);
    const double free = (double)hora_memory_available();
    if (free <= 0 || 8 * numbers < free)
        return HORA_OK;
    return hora_fail(HORA_ENOMEM,
                     "the gates of %lld sequences of %lld tokens take %s, and %s are free; give "
                     "fewer sequences or tokens",
                     (long long)l->seqs, (long long)l->n, hora_human_bytes(need, 8 * numbers),
                     hora_human_bytes(have, free));
}

hora_hmoe_report *hora_hmoe_report_new(const hora_hmoe_config *c, hora_json *own_facts) {
    hora_hmoe_report *r = hora_calloc(1, sizeof *r);
    r->config = c;
    r->folder = c->out && !out_is_file(c);
    r->json = own_facts;
    r->layers = hora_json_set(r->json, "layers", hora_json_new_array());
    r->checks = hora_json_set(r->json, "checks", hora_json_new_array());
    r->drawn = true;
    return r;
}

void hora_hmoe_report_free(hora_hmoe_report *r) {
    if (!r)
        return;
    hora_outdir_close(r->out);
    for (int i = 0; i < r->ntensors; i++) {
        hora_free((char *)r->tensors[i].name);
        hora_free(r->tensors[i].view.data);
    }
    hora_free(r->tensors);
    hora_str_release(&r->summary);
    hora_str_release(&r->detail);
    hora_str_release(&r->layer_csv);
    hora_str_release(&r->head_csv);
    hora_json_free(r->json);
    hora_free(r);
}

/* A copy of the values for the tensor file. */
static void keep(hora_hmoe_report *r, int layer, const char *name, hora_shape shape,
                 const double *v) {
    const size_t bytes = (size_t)hora_shape_elems(&shape) * sizeof *v;
    hora_st_entry e = {.dtype = HORA_F64, .view = {hora_malloc(bytes + 1), HORA_F64, shape}};
    e.name = layer < 0 ? hora_strdup(name) : hora_format("layers.%d.%s", layer, name);
    memcpy(e.view.data, v, bytes);
    HORA_PUSH(r->tensors, r->ntensors, r->ctensors, e);
}

static void keep_layer(hora_hmoe_report *r, int layer, const hora_hmoe_layer *l,
                       const hora_hmoe_plain *before, const hora_hmoe_plain *after,
                       const hora_hmoe_values *v) {
    static const struct {
        const char *a, *b;
        int map;
    } names[] = {{"a_q", "b_q", HORA_HMOE_Q}, {"a_v", "b_v", HORA_HMOE_V}};
    const hora_shape y = HORA_SHAPE3(l->seqs, l->n, l->d);
    const hora_shape gate = {4, {l->seqs, l->heads, l->n, l->n}};
    keep(r, layer, "y", y, after->y);
    keep(r, layer, "y_before", y, before->y);
    keep(r, layer, "gate", gate, after->gate);
    keep(r, layer, "gate_before", gate, before->gate);
    keep(r, layer, "head_out", (hora_shape){4, {l->seqs, l->n, l->heads, l->dh}}, after->head_out);
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        const hora_hmoe_update *up = &l->update[names[i].map];
        if (!up->r)
            continue;
        keep(r, layer, names[i].a, HORA_SHAPE2(up->r, l->d), up->a);
        keep(r, layer, names[i].b, HORA_SHAPE2(hora_hmoe_out(l, names[i].map), up->r), up->b);
    }
    for (int i = 0; i < v->n; i++)
        keep(r, layer, v->at[i].name, v->at[i].shape, v->at[i].v);
}

/* --- numbers ---------------------------------------------------------------------------------- */
static double value(const hora_hmoe_values *v, const char *name) {
    const hora_hmoe_value *x = hora_hmoe_find(v, name);
    return x ? x->v[0] : NAN;
}

static double at(const hora_hmoe_values *v, const char *name, int64_t i) {
    const hora_hmoe_value *x = hora_hmoe_find(v, name);
    return x && i < hora_shape_elems(&x->shape) ? x->v[i] : NAN;
}

static double mean(const hora_hmoe_values *v, const char *name) {
    const hora_hmoe_value *x = hora_hmoe_find(v, name);
    const int64_t n = x ? hora_shape_elems(&x->shape) : 0;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x->v[i] / (double)n;
    return n ? sum : NAN;
}

/* Mean and largest of a (heads, heads) matrix over pairs that have a value. */
static void pairs(const hora_hmoe_values *v, const char *name, double *average, double *largest) {
    const hora_hmoe_value *x = hora_hmoe_find(v, name);
    const int64_t n = x ? x->shape.d[0] : 0;
    int64_t count = 0;
    double sum = 0;
    *largest = NAN;
    for (int64_t h = 0; h < n; h++)
        for (int64_t k = h + 1; k < n; k++)
            if (!isnan(x->v[h * n + k])) {
                sum += x->v[h * n + k];
                *largest = fmax(*largest, x->v[h * n + k]); /* fmax passes over NaN */
                count++;
            }
    *average = count ? sum / (double)count : NAN;
}

static hora_json *array_json(const double *v, const hora_shape *s) {
    hora_json *a = hora_json_new_array();
    const int64_t n = s->d[0], inner = s->n > 1 ? s->d[1] : 1;
    for (int64_t i = 0; i < n; i++)
        if (s->n > 1)
            hora_json_push(a, array_json(v + i * inner, &(hora_shape){1, {inner}}));
        else
            hora_json_push(a, hora_json_new_real(v[i]));
    return a;
}

static hora_json *tied_json(const double *t) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "sigma_ratio", hora_json_new_real(t[HORA_TIED_SIGMA]));
    hora_json_set(o, "dead_share", hora_json_new_real(t[HORA_TIED_DEAD]));
    hora_json_set(o, "latent_width", hora_json_new_real(t[HORA_TIED_WIDTH]));
    hora_json_set(o, "rank", hora_json_new_real(t[HORA_TIED_RANK]));
    hora_json_set(o, "v_tied_to_q", hora_json_new_bool(t[HORA_TIED_V] != 0));
    hora_json_set(o, "represents_every_pair", hora_json_new_bool(t[HORA_TIED_FREE] != 0));
    hora_json_set(o, "a_side_unconstrained", hora_json_new_bool(t[HORA_TIED_A] != 0));
    return o;
}

static double furthest(const double *x, const double *y, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = !(fabs(x[i] - y[i]) <= most) ? fabs(x[i] - y[i]) : most; /* NaN stays */
    return most;
}

/* Evenly spaced, the first and the last among them. */
static int64_t *pick_queries(int64_t n, int64_t want, int64_t *nq) {
    *nq = hora_min(n, want);
    int64_t *pick = hora_malloc((size_t)*nq * sizeof *pick);
    for (int64_t i = 0; i < *nq; i++)
        pick[i] = *nq > 1 ? i * (n - 1) / (*nq - 1) : n - 1;
    return pick;
}

/* max |i - ii| at the chosen queries. */
static double compare(const hora_hmoe_layer *l, const hora_hmoe_plain *after, int64_t queries) {
    int64_t nq;
    int64_t *pick = pick_queries(l->n, queries, &nq);
    double *y = hora_calloc((size_t)(l->seqs * nq * l->d), sizeof *y), most = 0;
    hora_hmoe_mixture(l, true, pick, nq, y);
    for (int64_t s = 0; s < l->seqs; s++)
        for (int64_t a = 0; a < nq; a++) {
            const double e =
                furthest(y + (s * nq + a) * l->d, after->y + (s * l->n + pick[a]) * l->d, l->d);
            most = !(e <= most) ? e : most;
        }
    hora_free(y);
    hora_free(pick);
    return most;
}

/* --- text ------------------------------------------------------------------------------------- */
/* v right-aligned, in %g (or %f, fixed); "-" when it has no value. */
static void put(hora_str *out, int width, int digits, bool fixed, double v) {
    if (isnan(v))
        hora_str_printf(out, "%*s", width, "-");
    else if (fixed)
        hora_str_printf(out, "%*.*f", width, digits, v);
    else
        hora_str_printf(out, "%*.*g", width, digits, v);
}

static void put_heads(hora_str *t, const hora_hmoe_layer *l, const hora_hmoe_values *v) {
    static const char *const cols[] = {"gate_entropy_before",
                                       "gate_entropy_after",
                                       "gate_entropy_ratio_before",
                                       "gate_entropy_ratio_after",
                                       "gate_kl",
                                       "head_share_before",
                                       "head_share",
                                       "head_change",
                                       "rel_q"};
    hora_str_puts(t, " head   entropy          of ln keys       KL       share            change   "
                     "|DQ|/|Q|  |DV|/|V|\n");
    for (int64_t h = 0; h < l->heads; h++) {
        hora_str_printf(t, "%5lld ", (long long)h);
        for (size_t i = 0; i < HORA_COUNT(cols); i++)
            put(t, 9, 3, false, at(v, cols[i], h));
        put(t, 9, 3, false, at(v, "rel_v", h * l->groups / l->heads));
        hora_str_putc(t, '\n');
    }
}

static void put_update(hora_str *t, const hora_hmoe_values *v, const char *of, double chance) {
    char name[32];
    double average, largest;
    hora_snprintf(name, sizeof name, "spectrum_%s", of);
    const hora_hmoe_value *sv = hora_hmoe_find(v, name);
    if (!sv)
        return;
    hora_str_printf(t, "  %s: singular values", of);
    for (int64_t i = 0; i < hora_min(sv->shape.d[0], 8); i++)
        hora_str_printf(t, " %.3g", sv->v[i]);
    hora_snprintf(name, sizeof name, "effective_rank_%s", of);
    hora_str_printf(t, "%s; effective rank %.3g", sv->shape.d[0] > 8 ? " .." : "", value(v, name));
    hora_snprintf(name, sizeof name, "stable_rank_%s", of);
    hora_str_printf(t, ", stable rank %.3g\n     between heads, mean and largest:", value(v, name));
    static const char *const kinds[] = {"cos", "overlap", "cka"};
    for (int i = 0; i < 3; i++) {
        hora_snprintf(name, sizeof name, "%s_%s", kinds[i], of);
        pairs(v, name, &average, &largest);
        hora_str_printf(t, "%s %s ", i ? "," : "", kinds[i]);
        put(t, 1, 3, false, average);
        hora_str_puts(t, " ");
        put(t, 1, 3, false, largest);
        if (i == 1)
            hora_str_printf(t, " (chance %.3g)", chance);
    }
    hora_str_putc(t, '\n');
}

static void put_tied(hora_str *t, const hora_hmoe_values *v) {
    const hora_hmoe_value *x = hora_hmoe_find(v, "tied");
    if (!x)
        return;
    hora_str_printf(
        t,
        "  generator: sigma_min/sigma_max of W2_b,q %.3g, rank %.0f, latent width %.0f; "
        "%.0f %% of its units are active for no head\n     %s\n",
        x->v[HORA_TIED_SIGMA], x->v[HORA_TIED_RANK], x->v[HORA_TIED_WIDTH],
        100 * x->v[HORA_TIED_DEAD],
        x->v[HORA_TIED_FREE] ? "it can make every pair of B's: this is LoRA in other "
                               "coordinates, V is not tied to Q"
        : x->v[HORA_TIED_V]  ? "V is tied to Q"
                             : "V is not tied to Q: the latent width exceeds d_h or the "
                               "rank of W2_b,q (flat directions)");
}

static void put_detail(hora_hmoe_report *r, const char *label, const hora_hmoe_source *s,
                       const hora_hmoe_values *v) {
    const hora_hmoe_layer *l = &s->layer;
    const double m = s->shared ? (double)hora_min(s->gen.m, l->dh) : (double)l->dh;
    hora_str *t = &r->detail;
    bool adapted = false;
    for (int i = 0; i < HORA_HMOE_MAPS; i++)
        adapted |= l->update[i].r > 0;
    hora_str_printf(t, "\n%s%s: %s\n", label,
                    l->norm[0] || l->norm[1]
                        ? " (norms on q and k: the gate is a normalised bilinear form)"
                        : "",
                    adapted ? "before and after adaptation" : "not adapted, so before is after");
    put_heads(t, l, v);
    put_update(t, v, "q", (double)l->update[HORA_HMOE_Q].r / m);
    put_update(t, v, "v", (double)l->update[HORA_HMOE_V].r / m);
    put_tied(t, v);
}

static void put_summary(hora_hmoe_report *r, int layer, const hora_hmoe_values *v, double mixture,
                        double engine, double scale, int64_t bound) {
    hora_str *t = &r->summary;
    if (layer < 0)
        hora_str_puts(t, " case");
    else
        hora_str_printf(t, "%5d", layer);
    put(t, 12, 2, false, mixture);
    put(t, 12, 2, false, engine);
    put(t, 9, 3, false, scale);
    put(t, 10, 3, true, mean(v, "gate_entropy_before"));
    put(t, 8, 3, true, mean(v, "gate_entropy_after"));
    put(t, 9, 3, true, value(v, "gate_js_before"));
    put(t, 8, 3, true, value(v, "gate_js_after"));
    put(t, 9, 2, true, value(v, "effective_heads_before"));
    put(t, 8, 2, true, value(v, "effective_heads"));
    put(t, 9, 0, true, value(v, "coupling_rank"));
    hora_str_printf(t, bound ? " of %lld\n" : "\n", (long long)bound);
}

/* --- files ------------------------------------------------------------------------------------ */
static void put_csv(hora_str *out, const double *v, int n) {
    char text[32];
    for (int i = 0; i < n; i++)
        hora_str_printf(out, ",%s", isnan(v[i]) ? "" : hora_format_real(text, v[i]));
    hora_str_putc(out, '\n');
}

static void add_csv(hora_hmoe_report *r, int layer, const hora_hmoe_layer *l,
                    const hora_hmoe_values *v, const double *differences, int64_t bound) {
    if (!r->head_csv.n) {
        hora_str_puts(&r->head_csv,
                      "layer,head,entropy_before,entropy_after,ratio_before,ratio_after,kl,"
                      "share_before,share_after,change,norm_q,rel_q,norm_v,rel_v\n");
        hora_str_puts(&r->layer_csv,
                      "layer,attention_mixture,attention_engine,largest_y,entropy_before,"
                      "entropy_after,ratio_before,ratio_after,js_before,js_after,effective_before,"
                      "effective_after,coupling_rank,coupling_bound\n");
    }
    for (int64_t h = 0; h < l->heads; h++) {
        const int64_t g = h * l->groups / l->heads;
        const double row[] = {at(v, "gate_entropy_before", h),
                              at(v, "gate_entropy_after", h),
                              at(v, "gate_entropy_ratio_before", h),
                              at(v, "gate_entropy_ratio_after", h),
                              at(v, "gate_kl", h),
                              at(v, "head_share_before", h),
                              at(v, "head_share", h),
                              at(v, "head_change", h),
                              at(v, "norm_q", h),
                              at(v, "rel_q", h),
                              at(v, "norm_v", g),
                              at(v, "rel_v", g)};
        hora_str_printf(&r->head_csv, "%d,%lld", layer, (long long)h);
        put_csv(&r->head_csv, row, HORA_COUNT(row));
    }
    const double row[] = {differences[0],
                          differences[1],
                          differences[2],
                          mean(v, "gate_entropy_before"),
                          mean(v, "gate_entropy_after"),
                          mean(v, "gate_entropy_ratio_before"),
                          mean(v, "gate_entropy_ratio_after"),
                          value(v, "gate_js_before"),
                          value(v, "gate_js_after"),
                          value(v, "effective_heads_before"),
                          value(v, "effective_heads"),
                          value(v, "coupling_rank"),
                          bound ? (double)bound : NAN};
    hora_str_printf(&r->layer_csv, "%d", layer);
    put_csv(&r->layer_csv, row, HORA_COUNT(row));
}

static hora_status begin_folder(hora_hmoe_report *r) {
    if (r->out)
        return HORA_OK;
    HORA_TRY(open_folder(r->config, &r->out));
    return hora_outdir_begin(r->out);
}

static hora_status draw_layer(hora_hmoe_report *r, const char *label, int layer,
                              const hora_hmoe_layer *l, const hora_hmoe_plain *before,
                              const hora_hmoe_plain *after, const hora_hmoe_values *v) {
    char tag[32];
    bool drawn;
    if (!r->folder || r->nlayers > DETAILED)
        return HORA_OK;
    hora_snprintf(tag, sizeof tag, layer < 0 ? "case" : "%d", layer);
    HORA_TRY(begin_folder(r));
    HORA_TRY(hora_hmoe_pictures(r->out, label, tag, l, before, after, v, &drawn));
    r->drawn &= drawn;
    return HORA_OK;
}

/* --- a layer, and the end --------------------------------------------------------------------- */
static void add_json(hora_hmoe_report *r, int layer, const hora_hmoe_source *s,
                     const hora_hmoe_values *v, const double *differences, int64_t bound) {
    static const char *const names[] = {"attention_mixture", "attention_engine", "largest_y"};
    const hora_hmoe_layer *l = &s->layer;
    hora_json *o = hora_json_push(r->layers, hora_json_new_object());
    hora_json_set(o, "layer", layer < 0 ? hora_json_new_null() : hora_json_new_int(layer));
    for (int i = 0; i < 3; i++)
        hora_json_set(o, names[i], hora_json_new_real(differences[i]));
    hora_json_set(o, "heads", hora_json_new_int(l->heads));
    hora_json_set(o, "groups", hora_json_new_int(l->groups));
    hora_json_set(o, "head_dim", hora_json_new_int(l->dh));
    hora_json_set(o, "normalised_gate", hora_json_new_bool(l->norm[0] || l->norm[1]));
    for (int i = 0; i < v->n; i++) {
        const hora_hmoe_value *x = &v->at[i];
        hora_json_set(o, x->name,
                      hora_eq(x->name, "tied") ? tied_json(x->v)
                      : hora_shape_elems(&x->shape) == 1 && !hora_starts(x->name, "spectrum")
                          ? hora_json_new_real(x->v[0])
                          : array_json(x->v, &x->shape));
    }
    if (bound)
        hora_json_set(o, "coupling_bound", hora_json_new_int(bound));
}

static void add_checks(hora_hmoe_report *r, const char *label, const hora_hmoe_values *v,
                       const double *differences, double tolerance, int64_t bound) {
    char name[96];
    hora_snprintf(name, sizeof name, "%s: |attention - mixture|", label);
    hora_check(r->checks, HORA_CHECK_SOUND, name, differences[0], 0,
               1e-10 * fmax(1, differences[2]));
    if (tolerance > 0) {
        hora_snprintf(name, sizeof name, "%s: |attention - engine| / largest |y|", label);
        hora_check(r->checks, HORA_CHECK_SOUND, name, differences[1] / differences[2], 0,
                   tolerance);
    }
    if (bound) {
        hora_snprintf(name, sizeof name, "%s: coupling rank", label);
        hora_check(r->checks, HORA_CHECK_SOUND, name, value(v, "coupling_rank"), 0, (double)bound);
    }
}

hora_status hora_hmoe_report_layer(hora_hmoe_report *r, const hora_hmoe_source *s, int layer,
                                   const double *engine, double tolerance) {
    const hora_hmoe_layer *l = &s->layer;
    const int64_t size = l->seqs * l->n * l->d;
    hora_hmoe_plain before = {0}, after = {0};
    hora_hmoe_values v = {0};
    char label[32];
    hora_snprintf(label, sizeof label, layer < 0 ? "case" : "layer %d", layer);
    r->nlayers++;
    r->last = layer;
    hora_hmoe_attention(l, false, &before);
    hora_hmoe_attention(l, true, &after);
    hora_hmoe_diagnose(l, &before, &after, s->shared ? &s->gen : NULL, &v);
    const bool coupled = hora_hmoe_find(&v, "coupling_rank");
    const int64_t bound = coupled ? hora_hmoe_coupling_bound(l, s->shared ? &s->gen : NULL) : 0;
    double scale = 0;
    for (int64_t i = 0; i < size; i++)
        scale = fmax(scale, fabs(after.y[i]));
    const double differences[] = {compare(l, &after, layer < 0 ? l->n : r->config->queries),
                                  engine ? furthest(after.y, engine, size) : NAN, scale};
    put_summary(r, layer, &v, differences[0], differences[1], scale, bound);
    if (r->nlayers <= DETAILED)
        put_detail(r, label, s, &v);
    add_json(r, layer, s, &v, differences, bound);
    add_checks(r, label, &v, differences, engine ? tolerance : 0, bound);
    add_csv(r, layer, l, &v, differences, bound);
    if (out_is_file(r->config))
        keep_layer(r, layer, l, &before, &after, &v);
    hora_status st = draw_layer(r, label, layer, l, &before, &after, &v);
    hora_hmoe_plain_release(&before);
    hora_hmoe_plain_release(&after);
    hora_hmoe_values_release(&v);
    return st;
}

static hora_status write_folder(hora_hmoe_report *r) {
    hora_str text = {0};
    bool drawn;
    HORA_TRY(begin_folder(r));
    HORA_TRY(hora_outdir_write(r->out, "hmoe_heads.csv", r->head_csv.s, r->head_csv.n));
    if (r->nlayers > 1) {
        HORA_TRY(hora_hmoe_picture_layers(r->out, &r->layer_csv, r->last + 1, &drawn));
        r->drawn &= drawn;
    } else {
        HORA_TRY(hora_outdir_write(r->out, "hmoe_layers.csv", r->layer_csv.s, r->layer_csv.n));
    }
    hora_json_dump(r->json, 1, false, &text);
    hora_status s = hora_outdir_write(r->out, "hmoe.json", text.s, text.n);
    hora_str_release(&text);
    return s ? s : hora_outdir_whole(r->out);
}

hora_status hora_hmoe_report_finish(hora_hmoe_report *r, hora_json **out, hora_str *table) {
    const char *where = r->config->out;
    hora_json_set(r->json, "limits", hora_json_new_string(limits));
    hora_str_puts(table, "layer attention   attention     largest  gate entropy      routing (JS)  "
                         "    effective heads  coupling\n"
                         "      - mixture    - engine          |y|  before   after   before   "
                         "after   before   after      rank\n");
    hora_str_add(table, r->summary.s, r->summary.n);
    if (r->detail.n)
        hora_str_add(table, r->detail.s, r->detail.n);
    if (r->nlayers > DETAILED)
        hora_str_printf(table, "\nheads of the first %d layers; --layers chooses others\n",
                        DETAILED);
    hora_str_putc(table, '\n');
    hora_checks_text(r->checks, table);
    hora_str_printf(table, "%s\n", limits);
    if (r->folder)
        HORA_TRY(write_folder(r));
    else if (where)
        HORA_TRY(hora_st_write_marked(where, r->tensors, r->ntensors, "hmoe"));
    if (where)
        hora_str_printf(table, "%s: %s\n", where,
                        !r->folder ? "tensors and diagnostics"
                        : r->drawn ? "hmoe.json, data (.csv), scripts (.gp), pictures (.svg, .png)"
                                   : "hmoe.json, data (.csv) and scripts (.gp); no pictures "
                                     "without gnuplot");
    *out = r->json;
    hora_status s = hora_checks_sound(r->checks);
    r->json = NULL;
    return s;
}
