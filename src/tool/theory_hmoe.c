/*
 * hora theory hmoe: an attention layer as attention and as a mixture of experts. Opens the case
 * file, or the model with its adapter and what it shall read, and hands layer after layer to the
 * report.
 */
#include "api/handles.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "lab/hmoe_report.h"
#include "tool/tool.h"

/* How far the engine may be from f64, relative to the largest output. */
static double tolerance_of(hora_dtype t) {
    return t == HORA_F64 ? 1e-10 : t == HORA_F32 ? 1e-4 : 5e-2;
}

/* --- what is read ----------------------------------------------------------------------------- */
typedef struct tokens { /* ids (seqs, n) */
    int32_t *ids;
    int64_t seqs, n;
} tokens;

static hora_status text_tokens(hora_model *m, const hora_hmoe_config *c, tokens *out) {
    const hora_tokenizer *tok;
    hora_str text = {0};
    hora_ids ids = {0};
    HORA_TRY(hora_model_tokenizer(m, &tok, NULL));
    HORA_TRY(hora_file_read(&text, c->text));
    hora_status s = hora_utf8_valid(text.s ? text.s : "", text.n, NULL)
                        ? hora_tokenizer_encode(tok, text.s ? text.s : "", text.n, true, &ids)
                        : hora_fail(HORA_EFORMAT, "%s is not UTF-8; convert the file", c->text);
    if (s == HORA_OK && (!text.n || !ids.n))
        s = hora_fail(HORA_EUSAGE, "%s has no tokens to read; give a text", c->text);
    for (size_t i = 0; i < ids.n && s == HORA_OK; i++)
        if (ids.at[i] >= m->base->vocab)
            s = hora_fail(HORA_EMISMATCH,
                          "the tokenizer makes token %d, but the model has %lld; put the right "
                          "tokenizer.json beside the weights",
                          ids.at[i], (long long)m->base->vocab);
    if (s == HORA_OK) {
        out->n = hora_min(c->tokens, (int64_t)ids.n);
        out->seqs = hora_min(c->sequences, (int64_t)ids.n / out->n);
        out->ids = hora_malloc((size_t)(out->seqs * out->n) * sizeof *out->ids);
        memcpy(out->ids, ids.at, (size_t)(out->seqs * out->n) * sizeof *out->ids);
    }
    hora_ids_release(&ids);
    hora_str_release(&text);
    return s;
}

static hora_status take_tokens(hora_model *m, const hora_hmoe_config *c, tokens *out) {
    const hora_base *b = m->base; /* recomputed with the frequencies of short sequences */
    const int64_t most = b->far_positions ? b->far_positions : b->max_positions;
    if (most > 0 && c->tokens > most)
        return hora_fail(HORA_EUSAGE, "--tokens %lld, but the model has %lld positions; give fewer",
                         (long long)c->tokens, (long long)most);
    if (c->text)
        return text_tokens(m, c, out);
    hora_rng r = hora_rng_new((uint64_t)c->seed, "hmoe tokens");
    *out = (tokens){.seqs = c->random, .n = c->tokens};
    out->ids = hora_malloc((size_t)(out->seqs * out->n) * sizeof *out->ids);
    for (int64_t i = 0; i < out->seqs * out->n; i++)
        out->ids[i] = (int32_t)hora_rng_below(&r, m->base->vocab);
    return HORA_OK;
}

static hora_status no_layer(const char *word, int64_t layers) {
    return hora_fail(HORA_EUSAGE,
                     "--layers: `%s` is no layer of this model; choose among 0 .. %lld, as 0,5",
                     word, (long long)layers - 1);
}

/* "0,5" (or 0+5) into want[layers]; NULL: all. */
static hora_status take_layers(const char *list, int64_t layers, bool *want) {
    const char *given = list;
    hora_status s = HORA_OK;
    int n = 0;
    for (int64_t i = 0; !list && i < layers; i++)
        want[i] = true;
    for (char *word; !s && (word = hora_list_word(&list, HORA_LIST)); hora_free(word), n++) {
        int64_t layer = -1;
        if (hora_parse_int(word, &layer) && layer >= 0 && layer < layers)
            want[layer] = true;
        else
            s = no_layer(word, layers);
    }
    return given && !n ? no_layer(given, layers) : s;
}

/* --- the two sources -------------------------------------------------------------------------- */
static hora_status from_case(const hora_hmoe_config *c, hora_hmoe_report **r) {
    hora_hmoe_source s = {0};
    hora_status st = hora_hmoe_case_open(&s, c->case_file);
    if (st == HORA_OK)
        st = hora_hmoe_fits(c, &s.layer);
    if (st == HORA_OK) {
        hora_json *facts = hora_json_new_object();
        hora_json_set(facts, "case", hora_json_new_string(c->case_file));
        hora_json_set(facts, "sequences", hora_json_new_int(s.layer.seqs));
        hora_json_set(facts, "tokens", hora_json_new_int(s.layer.n));
        *r = hora_hmoe_report_new(c, facts);
        st = hora_hmoe_report_layer(*r, &s, -1, NULL, 0);
    }
    hora_hmoe_source_release(&s);
    return st;
}

static hora_json *model_facts(const hora_model *m, const char *adapter, const hora_hmoe_config *c,
                              const tokens *t) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "model", hora_json_new_string(m->base->dir));
    hora_json_set(o, "adapter", adapter ? hora_json_new_string(adapter) : hora_json_new_null());
    hora_json_set(o, "method",
                  m->n ? hora_json_new_string(m->adapters[0]->method->name) : hora_json_new_null());
    hora_json_set(o, "dtype", hora_json_new_string(hora_dtype_name(m->base->dtype)));
    hora_json_set(o, "text", c->text ? hora_json_new_string(c->text) : hora_json_new_null());
    hora_json_set(o, "sequences", hora_json_new_int(t->seqs));
    hora_json_set(o, "tokens", hora_json_new_int(t->n));
    hora_json_set(o, "queries", hora_json_new_int(hora_min(c->queries, t->n)));
    if (!c->text)
        hora_json_set(o, "seed", hora_json_new_int(c->seed));
    return o;
}

static hora_status all_layers(hora_model *m, const bool *want, const hora_hmoe_catch *caught,
                              hora_hmoe_report *r) {
    hora_status st = HORA_OK;
    for (int i = 0; i < m->base->layers && st == HORA_OK; i++) {
        hora_hmoe_source s = {0};
        if (!want[i])
            continue;
        st = hora_hmoe_model_layer(&s, m->base, m->n ? m->adapters[0] : NULL, i, caught);
        if (st == HORA_OK)
            st = hora_hmoe_report_layer(r, &s, i, caught->y[i], tolerance_of(m->base->dtype));
        hora_hmoe_source_release(&s);
    }
    return st;
}

static hora_status from_model(hora_model *m, const char *adapter, const hora_hmoe_config *c,
                              hora_hmoe_report **r) {
    tokens t = {0};
    hora_hmoe_catch caught = {0};
    if (adapter && !m->n)
        return hora_fail(HORA_EUSAGE,
                         "%s is a whole model, not an adapter with heads; give it as --model",
                         adapter);
    HORA_TRY(hora_hmoe_model_ready(m->base, m->n ? m->adapters[0] : NULL));
    bool *want = hora_calloc((size_t)m->base->layers + 1, sizeof *want);
    hora_status st;
    HORA_TRY_OUT(st, take_layers(c->layers, m->base->layers, want));
    HORA_TRY_OUT(st, take_tokens(m, c, &t));
    HORA_TRY_OUT(st, hora_hmoe_fits(c, &(hora_hmoe_layer){.seqs = t.seqs,
                                                          .n = t.n,
                                                          .d = m->base->hidden,
                                                          .heads = m->base->heads,
                                                          .dh = m->base->head_dim}));
    HORA_TRY_OUT(st, hora_hmoe_catch_run(&caught, m->base, m->adapters, m->n, m->device, t.ids,
                                         t.seqs, t.n, want));
    *r = hora_hmoe_report_new(c, model_facts(m, adapter, c, &t));
    st = all_layers(m, want, &caught, *r);
out:
    hora_hmoe_catch_release(&caught);
    hora_free(want);
    hora_free(t.ids);
    return st;
}

/* --- the command ------------------------------------------------------------------------------ */
static hora_status ready(const hora_hmoe_config *c, const hora_settings *s) {
    const bool model = hora_settings_get(s, "model") != NULL;
    if (model == (c->case_file != NULL))
        return hora_fail(HORA_EUSAGE, "give one of --model DIR and --case FILE.safetensors");
    if (model && !c->text == !c->random)
        return hora_fail(HORA_EUSAGE, "a model has to read something: give one of --text FILE and "
                                      "--random N");
    if (!model && (c->text || c->random || c->layers || hora_settings_get(s, "adapter")))
        return hora_fail(HORA_EUSAGE, "--case brings its own layer, input and adapter; --text, "
                                      "--random, --layers and --adapter go with --model");
    hora_cli_sources from;
    const hora_status st = hora_cli_sources_of(&from, s);
    const bool one = from.n < 2 && (!from.n || from.adapters[0].weight == 1);
    hora_cli_sources_free(&from);
    HORA_TRY(st);
    if (!one)
        return hora_fail(HORA_EUSAGE, "the theory is about one adapter as it was trained; give "
                                      "--adapter once, without a weight");
    return hora_hmoe_out_ready(c);
}

static hora_status look(hora_settings *s, hora_json **out, hora_str *table) {
    hora_model *m = NULL;
    hora_hmoe_config c = {0};
    hora_hmoe_report *r = NULL;
    hora_status st = hora_options_take(&hora_hmoe_options, &c, s);
    char *adapter = NULL;
    if (hora_settings_get(s, "adapter"))
        adapter = hora_strdup(hora_settings_get(s, "adapter"));
    const hora_input in[] = {{"model", hora_settings_get(s, "model")},
                             {"adapter", adapter},
                             {"text", c.text},
                             {"case", c.case_file}};
    memcpy(c.in, in, sizeof in);
    c.nin = (int)HORA_COUNT(in);
    if (st == HORA_OK)
        st = ready(&c, s);
    if (st == HORA_OK && c.case_file)
        st = from_case(&c, &r);
    else if (st == HORA_OK && (st = hora_cli_open(&m, s)) == HORA_OK)
        st = from_model(m, adapter, &c, &r);
    if (st == HORA_OK)
        st = hora_hmoe_report_finish(r, out, table);
    hora_hmoe_report_free(r);
    hora_model_close(m);
    hora_free(adapter);
    hora_options_release(&hora_hmoe_options, &c);
    return st;
}

static hora_status run(hora_cli *c) {
    return hora_cli_report(c, look);
}

const hora_command hora_theory_hmoe = {
    .name = "theory hmoe",
    .summary = "Adapted attention is a hierarchical mixture of experts: check, and look inside",
    .usage = "--model DIR [--adapter DIR] --text FILE | --random N  [options]\n"
             "       hora theory hmoe --case FILE.safetensors [--out FILE.safetensors]",
    .more = "Each layer is evaluated in f64 as attention and as the mixture, written as such; the\n"
            "largest difference is printed, then what adaptation did to gates and experts.",
    .tables = {&hora_cli_source_options, &hora_model_options, &hora_hmoe_options},
    .run = run};
