/* Saving and merging: what the method's row says, and the model card. */
#include "base/file.h"
#include "base/text.h"
#include "peft/beside.h"
#include "peft/identity.h"
#include "peft/replaced.h"
#include "peft/store.h"
#include "peft/targets.h"
#include "peft/typed.h"

hora_status hora_peft_save(hora_adapter *a, const char *dir, const char *card_note) {
    if (a->weight != 1)
        return hora_fail(HORA_EUSAGE,
                         "adapter `%s` counts with weight %g, which its files cannot say; set it "
                         "to 1, or write the mixture with `hora combine`",
                         a->name, a->weight);
    hora_adapter_refresh(a);
    HORA_TRY(a->method->save(a, dir));
    HORA_TRY(hora_base_save_task(a->base, dir));
    if (a->method->save != hora_model_save)
        HORA_TRY(hora_identity_write(a->base, dir));
    return hora_card_write(a, dir, card_note);
}

const char *hora_method_export(const hora_method *m) {
    return m->peft_type                  ? m->peft_type
           : m->save == hora_model_save  ? "a model"
           : m->save == hora_delta_save  ? "hora"
           : m->load == hora_beside_load ? "LORA, own state beside"
                                         : "LORA";
}

/* --- merging ---------------------------------------------------------------------------------- */

hora_view hora_merging_leaf(const hora_merging *m, int i) {
    for (int k = 0; k < m->n; k++) {
        const hora_param *p = m->at[k]->replaces ? m->at[k]->replaces[i] : NULL;
        if (p)
            return (hora_view){p->value, m->at[k]->dtype, p->shape};
    }
    return m->at[0]->base->weights[i].view;
}

hora_status hora_merging_weight(const hora_merging *m, int i, float **out) {
    if (!m->w[i]) {
        const hora_view v = hora_merging_leaf(m, i);
        m->w[i] = hora_malloc((size_t)hora_elems(&v) * sizeof **m->w);
        HORA_TRY(hora_convert(m->w[i], HORA_F32, v.data, v.dtype, hora_elems(&v)));
    }
    *out = m->w[i];
    return HORA_OK;
}

void hora_merging_outside(const hora_merging *m, const hora_site *s, const double *c) {
    float *bias = s->bias >= 0 ? m->w[s->bias] : NULL;
    if (!bias)
        return;
    const hora_view leaf = hora_merging_leaf(m, s->bias);
    for (int64_t o = 0; o < s->out; o++)
        bias[o] =
            (float)(c[o] * (double)bias[o] + (1 - c[o]) * hora_value_at(leaf.data, leaf.dtype, o));
}

hora_status hora_merging_apart(const hora_merging *m) {
    const hora_base *b = m->at[0]->base;
    float *unused;
    return b->tied ? hora_merging_weight(m, b->head, &unused) : HORA_OK;
}

/* Both ends of a tied pair are one parameter, or none is. */
static bool together(const hora_adapter *a) {
    return !a->base->tied || a->replaces[a->base->head] == a->replaces[a->base->embed];
}

hora_status hora_merging_rows(const hora_merging *m, const hora_site *s,
                              void (*row)(void *arg, double *row), void *arg) {
    float *w;
    HORA_TRY(hora_merging_weight(m, s->weight, &w));
    double *one = hora_malloc((size_t)s->in * sizeof *one);
    for (int64_t o = 0; o < s->out; o++) {
        for (int64_t k = 0; k < s->in; k++)
            one[k] = (double)w[o * s->in + k];
        row(arg, one);
        for (int64_t k = 0; k < s->in; k++)
            w[o * s->in + k] = (float)one[k];
    }
    hora_free(one);
    return HORA_OK;
}

static hora_status put_replaced(const hora_merging *m) {
    for (int k = 0; k < m->n; k++) {
        const hora_adapter *a = m->at[k];
        if (a->replaces && !together(a))
            HORA_TRY(hora_merging_apart(m));
        for (int i = 0; a->replaces && i < a->base->nweights; i++) {
            float *unused;
            if (a->replaces[i] && !(a->base->weights[i].tied && together(a)))
                HORA_TRY(hora_merging_weight(m, i, &unused));
        }
    }
    return HORA_OK;
}

static float *copy_of(const float *w, int64_t n) {
    float *c = hora_malloc((size_t)n * sizeof *c);
    memcpy(c, w, (size_t)n * sizeof *c);
    return c;
}

/* Weight i goes a's share of the way from what it was to what the adapter makes of it. */
static void share(const hora_adapter *a, const hora_merging *m, int i, const float *before) {
    const hora_view leaf = hora_merging_leaf(m, i);
    for (int64_t k = 0; k < hora_elems(&leaf); k++) {
        const double old = before ? (double)before[k] : hora_value_at(leaf.data, leaf.dtype, k);
        m->w[i][k] = (float)(old + a->weight * ((double)m->w[i][k] - old));
    }
}

static hora_status fold(hora_adapter *a, const hora_merging *m) {
    const hora_base *b = a->base;
    if (a->weight == 1)
        return a->method->merge(a, m);
    float **before = hora_calloc((size_t)b->nweights + 1, sizeof *before);
    for (int i = 0; i < b->nweights; i++)
        if (m->w[i])
            before[i] = copy_of(m->w[i], hora_elems(&b->weights[i].view));
    const hora_status s = a->method->merge(a, m);
    for (int i = 0; i < b->nweights; i++) {
        if (s == HORA_OK && m->w[i])
            share(a, m, i, before[i]);
        hora_free(before[i]);
    }
    hora_free(before);
    return s;
}

hora_status hora_peft_merge(hora_adapter *const *at, int n, float **w) {
    const hora_merging m = {at, n, w};
    for (int i = 0; i < n; i++)
        hora_adapter_refresh(at[i]);
    for (int i = 0; i < n; i++)
        if (!at[i]->method->merge)
            return hora_fail(HORA_EUNSUPPORTED,
                             "method %s cannot be merged into the base's weights; use the adapter "
                             "beside its base, or switch it off",
                             at[i]->method->name);
    hora_status s = n ? put_replaced(&m) : HORA_OK;
    for (int i = n - 1; i >= 0 && !s; i--)
        s = fold(at[i], &m);
    for (int i = 0; s && i < at[0]->base->nweights; i++) { /* half of it is nothing */
        hora_free(w[i]);
        w[i] = NULL;
    }
    return s;
}

/* --- PEFT's files ----------------------------------------------------------------------------- */

static hora_status write_text(const char *dir, const char *name, const hora_str *text) {
    char *path = hora_path_join(dir, name);
    hora_status s = hora_file_write(path, text->s, text->n);
    hora_free(path);
    return s;
}

/* Appends the module `name`, borrowed, unless it stands there. */
static void save_module(hora_peft_config *c, const char *name) {
    for (int i = 0; i < c->n_save; i++)
        if (hora_eq(c->modules_to_save[i], name))
            return;
    c->modules_to_save[c->n_save++] = (char *)(uintptr_t)name;
}

static bool replaces(const hora_adapter *a, int w) {
    return w >= 0 && a->replaces && a->replaces[w];
}

/* PEFT refuses words for tasks that it does not know; pictures have none. */
static const char *task_type(const hora_base *b) {
    static const char *const known[] = {"SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION"};
    for (size_t i = 0; i < HORA_COUNT(known); i++)
        if (hora_eq(b->task_type, known[i]))
            return known[i];
    return b->task_type || b->vision ? NULL : "CAUSAL_LM";
}

hora_status hora_peft_config_write(const hora_adapter *a, const hora_peft_config *config,
                                   const char *dir) {
    hora_peft_config c = *config; /* shallow: nothing of it is released */
    const hora_base *b = a->base;
    char **save = hora_calloc((size_t)c.n_save + 2, sizeof *save);
    char *head = replaces(a, b->head) ? hora_base_module(b, b->head) : NULL;
    if (c.n_save)
        memcpy(save, c.modules_to_save, (size_t)c.n_save * sizeof *save);
    c.modules_to_save = save;
    if (head)
        save_module(&c, b->head_saved ? b->head_saved : head);
    if (b->neck_module && b->nneck && replaces(a, b->neck[0]))
        save_module(&c, b->neck_module);
    hora_targets_rename(&c.target_modules, &c.n_targets, a->base);
    hora_targets_rename(&c.exclude_modules, &c.n_exclude, a->base);
    hora_status s = hora_patterns_rename(&c.rank_pattern, &c.n_rank, a->base);
    if (!s)
        s = hora_patterns_rename(&c.alpha_pattern, &c.n_alpha, a->base);
    c.task_type = (char *)(uintptr_t)task_type(a->base);
    c.base_model = a->base->dir;
    hora_str text = {0};
    if (!s)
        hora_peft_config_dump(&c, &text);
    if (!s)
        s = write_text(dir, "adapter_config.json", &text);
    hora_str_release(&text);
    hora_list_free(c.target_modules, c.n_targets);
    hora_list_free(c.exclude_modules, c.n_exclude);
    hora_peft_patterns_free(c.rank_pattern, c.n_rank);
    hora_peft_patterns_free(c.alpha_pattern, c.n_alpha);
    hora_free(head);
    hora_free(save);
    return s;
}

hora_status hora_peft_files_save(hora_adapter *a, const hora_peft_config *config, const char *dir) {
    if (hora_typed_parts(a))
        return hora_delta_save(a, dir);
    HORA_TRY(hora_params_write(a, dir, "adapter_model.safetensors", "", NULL, 0));
    return hora_peft_config_write(a, config, dir);
}

hora_status hora_peft_files_load(hora_adapter *a, const hora_foreign *f) {
    if (f->delta)
        return hora_delta_load(a, f);
    return hora_params_read(a, f->dir, "adapter_model.safetensors", "");
}

/* --- model card ------------------------------------------------------------------------------- */

static const char *pipeline(const hora_base *b) {
    return hora_eq(b->task_type, "IMAGE_SEG")            ? "image-segmentation"
           : b->vision                                   ? "image-classification"
           : !b->task_type                               ? "text-generation"
           : hora_eq(b->task_type, "TOKEN_CLS")          ? "token-classification"
           : hora_eq(b->task_type, "FEATURE_EXTRACTION") ? "sentence-similarity"
                                                         : "text-classification";
}

hora_status hora_card_write(const hora_adapter *a, const char *dir, const char *note) {
    hora_str t = {0};
    char *config = hora_path_join(dir, "adapter_config.json");
    bool pefts;
    const hora_status looked = hora_path_is_there(config, &pefts);
    const char *name = hora_path_base(a->base->dir);
    hora_free(config);
    HORA_TRY(looked);
    hora_str_puts(&t, "---\n");
    hora_str_puts(&t, "base_model: ");
    hora_json_quote(&t, a->base->dir, strlen(a->base->dir));
    hora_str_printf(&t, "\n%spipeline_tag: %s\ntags:\n- %s\n- made-with-hora\n---\n\n",
                    pefts ? "library_name: peft\n" : "", pipeline(a->base), a->method->name);
    hora_str_puts(&t, "# ");
    hora_markdown(&t, name, false);
    hora_str_printf(&t, ", fine-tuned with %s\n\n%s%s%s.\n\n", a->method->name, a->method->summary,
                    a->method->paper ? "; " : "", a->method->paper ? a->method->paper : "");
    hora_str_printf(&t, "%lld trained numbers in %d tensors; the base model has %lld.\n\n",
                    (long long)hora_adapter_trainable(a), a->nparams,
                    (long long)hora_base_parameters(a->base));
    if (pefts)
        hora_str_printf(&t,
                        "Load it with PEFT: `PeftModel.from_pretrained(base, \"this folder\")`, "
                        "or with `hora %s --adapter`.\n\n",
                        a->base->task_type ? "eval" : "generate");
    hora_str_puts(&t, "| option | value |\n|---|---|\n");
    for (int i = 0; a->method->options && i < a->method->options->n; i++) {
        hora_str v = {0};
        hora_option_format(&a->method->options->rows[i], a->config, &v);
        if (v.n) {
            hora_str_printf(&t, "| %s | ", a->method->options->rows[i].name);
            hora_markdown(&t, v.s, false);
            hora_str_puts(&t, " |\n");
        }
        hora_str_release(&v);
    }
    if (note)
        hora_str_printf(&t, "\n%s\n", note);
    hora_status s = write_text(dir, "README.md", &t);
    hora_str_release(&t);
    return s;
}
