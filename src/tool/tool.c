/*
 * The subcommands that run a model: train, plan, eval, generate, forward. They open what the
 * settings name, call the rooms and give results as JSON.
 */
#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "infer/forward.h"
#include "lab/bench.h"
#include "tool/tool_options.h"

/* --- model and adapter ------------------------------------------------------------------------ */
/* `full` writes a model, not an adapter: then that is what is opened. */
static bool is_model(const char *dir) {
    static const char *const adapter_files[] = {"adapter_config.json", "delta_config.json"};
    bool found = false;
    for (int i = 0; i < 2; i++) {
        char *path = hora_path_join(dir, adapter_files[i]);
        found |= hora_path_exists(path);
        hora_free(path);
    }
    char *config = hora_path_join(dir, "config.json");
    const bool model = !found && hora_path_exists(config);
    hora_free(config);
    return model;
}

hora_status hora_tool_open(hora_model **m, hora_settings *s) {
    static const char *const prefer[] = {NULL, "native", "materialised"};
    hora_tool_source c;
    hora_adapter *a;
    hora_status st = hora_options_take(&hora_tool_source_options, &c, s);
    if (st == HORA_OK)
        st = hora_tool_required("model", c.model, "a model directory");
    if (st == HORA_OK && c.adapter && is_model(c.adapter)) {
        st = hora_model_open_with(m, c.adapter, s, false);
    } else if (st == HORA_OK) {
        st = hora_model_open_with(m, c.model, s, false);
        if (st == HORA_OK && c.adapter)
            st = hora_model_load_adapter(&a, *m, c.adapter, prefer[c.prefer]);
    }
    hora_options_release(&hora_tool_source_options, &c);
    return st;
}

/* --- train, plan ------------------------------------------------------------------------------ */
hora_status hora_tool_train(hora_settings *s, volatile int *stop, hora_json **out) {
    hora_progress progress = {0};
    const hora_run_hooks hooks = {hora_progress_event, &progress, stop};
    hora_run_result result = {0};
    HORA_TRY(hora_tool_check("train", "*", s));
    HORA_TRY(hora_run_train(s, &hooks, &result));
    *out = hora_run_summary(&result);
    return HORA_OK;
}

/* Takes the command's own options out of the settings: what is left is the recipe of a run. */
static void drop(hora_settings *s, const hora_options *table) {
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (hora_options_find(table, s->at[i].key)) {
            hora_free(s->at[i].key);
            hora_free(s->at[i].value);
        } else {
            s->at[n++] = s->at[i];
        }
    s->n = n;
}

hora_status hora_tool_plan(hora_settings *s, hora_json **out, hora_str *table) {
    hora_train_report r = {0};
    hora_tool_plan_config c;
    hora_str schedule = {0};
    HORA_TRY(hora_tool_check("plan", "*", s));
    HORA_TRY(hora_options_take(&hora_tool_plan_options, &c, s));
    drop(s, &hora_tool_plan_options);
    hora_status st = hora_run_plan(s, &r, c.dump ? &schedule : NULL);
    if (st == HORA_OK || st == HORA_ENOMEM) {
        *out = hora_train_report_json(&r);
        hora_train_report_text(&r, table);
        hora_str_add(table, schedule.s, schedule.n);
    }
    hora_str_release(&schedule);
    return st;
}

/* --- bench ------------------------------------------------------------------------------------ */
hora_status hora_tool_bench(hora_settings *s, volatile int *stop, hora_json **out, hora_str *text) {
    return hora_bench_run(s, stop, out, text);
}

/* --- eval ------------------------------------------------------------------------------------- */
static hora_status evaluate(hora_model *m, const hora_tool_eval_config *c, hora_settings *s,
                            hora_json **out) {
    hora_data *d = NULL;
    hora_dataset *held_out = NULL; /* with eval_split: what train would hold out */
    hora_eval_info info = {0};
    const double start = hora_now();
    HORA_TRY(hora_tool_required("data", c->data, "a text or JSONL file"));
    HORA_TRY(hora_model_data(&d, m, c->data, s));
    hora_status st = d->config.eval_split > 0 ? hora_data_split(d->set, &held_out) : HORA_OK;
    const hora_eval_parts parts = {.base = m->base,
                                   .adapters = m->adapters,
                                   .nadapters = m->n,
                                   .device = m->device,
                                   .data = held_out ? held_out : d->set,
                                   .seq_len = d->config.seq_len,
                                   .batch_size = c->batch_size};
    if (st == HORA_OK)
        st = hora_evaluate(&parts, &info);
    hora_dataset_close(held_out);
    hora_data_close(d);
    HORA_TRY(st);
    *out = hora_json_new_object();
    hora_json_set(*out, "loss", hora_json_new_real(info.loss));
    hora_json_set(*out, "perplexity", hora_json_new_real(info.perplexity));
    hora_json_set(*out, "tokens", hora_json_new_int(info.tokens));
    hora_json_set(*out, "bits_per_byte",
                  info.bits_per_byte > 0 ? hora_json_new_real(info.bits_per_byte)
                                         : hora_json_new_null());
    hora_json_set(*out, "seconds", hora_json_new_real(hora_now() - start));
    return HORA_OK;
}

hora_status hora_tool_eval(hora_settings *s, hora_json **out) {
    hora_model *m = NULL;
    hora_tool_eval_config c = {0};
    HORA_TRY(hora_tool_check("eval", NULL, s));
    hora_status st = hora_options_take(&hora_tool_eval_options, &c, s);
    if (st == HORA_OK)
        st = hora_tool_open(&m, s);
    if (st == HORA_OK)
        st = evaluate(m, &c, s, out);
    hora_model_close(m);
    hora_options_release(&hora_tool_eval_options, &c);
    return st;
}

/* --- generate --------------------------------------------------------------------------------- */
static hora_status chat_ids(hora_model *m, const hora_tokenizer *tok, const char *path,
                            hora_ids *ids) {
    const hora_template *tmpl = NULL;
    hora_json *tree = NULL;
    hora_str text = {0};
    HORA_TRY(hora_model_tokenizer(m, &tok, &tmpl));
    if (!tmpl)
        return hora_fail(HORA_ENOTFOUND,
                         "%s has no chat template that hora can render; add chat_template.jinja or "
                         "use --prompt",
                         m->base->dir);
    HORA_TRY(hora_json_load(&tree, path));
    const hora_json *messages =
        hora_json_type(tree) == HORA_JOBJECT ? hora_json_get(tree, "messages") : tree;
    hora_status s = hora_json_len(messages)
                        ? hora_chat_prompt(tok, tmpl, messages, ids, &text)
                        : hora_fail(HORA_EFORMAT,
                                    "%s: holds no messages; write [{\"role\": \"user\", "
                                    "\"content\": \"..\"}]",
                                    path);
    hora_json_free(tree);
    hora_str_release(&text);
    return s;
}

static hora_status prompt_ids(hora_model *m, const hora_tool_generate_config *c,
                              const hora_tokenizer *tok, hora_ids *ids) {
    if (!c->prompt == !c->chat)
        return hora_fail(HORA_EUSAGE, "give one of --prompt TEXT and --chat FILE.json");
    HORA_TRY(c->chat ? chat_ids(m, tok, c->chat, ids)
                     : hora_tokenizer_encode(tok, c->prompt, strlen(c->prompt), true, ids));
    if (!ids->n)
        return hora_fail(HORA_EUSAGE, "the prompt has no tokens, and the tokenizer adds none; give "
                                      "a --prompt that is not empty");
    return HORA_OK;
}

static hora_json *ids_json(const int32_t *ids, size_t n) {
    hora_json *a = hora_json_new_array();
    for (size_t i = 0; i < n; i++)
        hora_json_push(a, hora_json_new_int(ids[i]));
    return a;
}

static hora_json *generation_json(const hora_generation *g, size_t prompt, double seconds) {
    hora_json *j = hora_json_new_object();
    hora_json_set(j, "text", hora_json_new_string_n(g->text.s ? g->text.s : "", g->text.n));
    hora_json_set(j, "ids", ids_json(g->ids.at, g->ids.n));
    hora_json_set(j, "prompt_tokens", hora_json_new_int((int64_t)prompt));
    hora_json_set(j, "tokens", hora_json_new_int((int64_t)g->ids.n));
    hora_json_set(j, "finish", hora_json_new_string(g->finish));
    hora_json_set(j, "seconds", hora_json_new_real(seconds));
    return j;
}

/* The context is as long as this answer can get, no longer: memory for keys and values. */
static void fit_context(hora_settings *s, const hora_model *m, size_t prompt, int64_t fresh) {
    if (hora_settings_get(s, "context"))
        return;
    const int64_t most = m->base->max_positions;
    const int64_t want = hora_round_up((int64_t)prompt + fresh, 64);
    char text[32];
    hora_snprintf(text, sizeof text, "%lld", (long long)(most > 0 ? hora_min(want, most) : want));
    hora_settings_put(s, "context", text, "program");
}

static hora_status generate(hora_model *m, const hora_tool_generate_config *c, hora_generation *g,
                            hora_settings *s, hora_json **out) {
    hora_predictor *p = NULL;
    hora_ids ids = {0};
    const double start = hora_now();
    HORA_TRY(hora_model_tokenizer(m, &g->tokenizer, NULL));
    hora_status st = prompt_ids(m, c, g->tokenizer, &ids);
    if (st == HORA_OK) {
        fit_context(s, m, ids.n, g->sampling->max_new_tokens);
        st = hora_predictor_new_with(&p, m, s);
    }
    if (st == HORA_OK)
        st = hora_predictor_run(p, ids.at, ids.n, g, c->chat != NULL);
    if (st == HORA_OK)
        *out = generation_json(g, ids.n, hora_now() - start);
    hora_predictor_free(p);
    hora_ids_release(&ids);
    return st;
}

hora_status hora_tool_generate(hora_settings *s, hora_tool_text piece, void *user,
                               hora_json **out) {
    hora_model *m = NULL;
    hora_tool_generate_config c = {0};
    hora_sampling sampling = {0};
    hora_generation g = {.sampling = &sampling, .piece = piece, .user = user};
    HORA_TRY(hora_tool_check("generate", NULL, s));
    hora_status st = hora_options_take(&hora_tool_generate_options, &c, s);
    if (st == HORA_OK)
        st = hora_options_take(&hora_sampling_options, &sampling, s);
    if (st == HORA_OK)
        st = hora_tool_open(&m, s);
    if (st == HORA_OK)
        st = generate(m, &c, &g, s, out);
    hora_model_close(m);
    hora_ids_release(&g.ids);
    hora_str_release(&g.text);
    hora_options_release(&hora_tool_generate_options, &c);
    hora_options_release(&hora_sampling_options, &sampling);
    return st;
}

/* --- forward ---------------------------------------------------------------------------------- */
static hora_status forward(hora_model *m, const hora_tool_forward_config *c,
                           const hora_forward_batch *b, hora_json **out) {
    hora_forward f = {.base = m->base,
                      .adapters = m->adapters,
                      .nadapters = m->n,
                      .device = m->device,
                      .grads = c->grads};
    void *logits;
    const size_t bytes = (size_t)(b->b * b->t * m->base->vocab) * sizeof(float);
    HORA_TRY(hora_block_new(&logits, bytes, "logits"));
    f.logits = logits;
    hora_status s = HORA_OK;
    for (int i = 0; i < m->n && f.grads && s == HORA_OK; i++)
        s = hora_forward_grads(m->adapters[i]);
    if (s == HORA_OK)
        s = hora_forward_run(&f, b);
    if (s == HORA_OK)
        s = hora_forward_save(&f, b, c->out);
    for (int i = 0; i < m->n && f.grads; i++)
        hora_forward_grads_free(m->adapters[i]);
    hora_block_free(logits, bytes);
    HORA_TRY(s);
    *out = hora_json_new_object();
    hora_json_set(*out, "samples", hora_json_new_int(b->b));
    hora_json_set(*out, "tokens", hora_json_new_int(b->b * b->t));
    if (b->labels)
        hora_json_set(*out, "loss", hora_json_new_real(f.loss));
    hora_json_set(*out, "out", hora_json_new_string(c->out));
    return HORA_OK;
}

static hora_status forward_ready(const hora_tool_forward_config *c, const hora_settings *s) {
    HORA_TRY(hora_tool_required("batch", c->batch, "a safetensors or JSON file with input_ids"));
    HORA_TRY(hora_tool_required("out", c->out, "the safetensors file to write"));
    if (hora_path_exists(c->out) && !c->overwrite)
        return hora_fail(HORA_EEXISTS, "%s exists; give another --out or --overwrite", c->out);
    const bool adapter = hora_settings_get(s, "adapter") != NULL;
    if (adapter && c->method)
        return hora_fail(HORA_EUSAGE, "--adapter and --method exclude each other; give one");
    if (c->grads && !adapter && !c->method)
        return hora_fail(HORA_EUSAGE, "--grads needs something that trains; give --adapter DIR or "
                                      "--method NAME");
    return HORA_OK;
}

hora_status hora_tool_forward(hora_settings *s, hora_json **out) {
    hora_model *m = NULL;
    hora_adapter *a;
    hora_tool_forward_config c = {0};
    hora_forward_batch b = {0};
    HORA_TRY(hora_tool_check("forward", hora_settings_get(s, "method"), s));
    hora_status st = hora_options_take(&hora_tool_forward_options, &c, s);
    if (st == HORA_OK)
        st = forward_ready(&c, s);
    if (st == HORA_OK)
        st = hora_forward_batch_load(&b, c.batch);
    if (st == HORA_OK)
        st = hora_tool_open(&m, s);
    if (st == HORA_OK && c.method)
        st = hora_model_attach(&a, m, c.method, s);
    if (st == HORA_OK && c.grads && !m->n)
        st = hora_model_attach(&a, m, "full", s); /* --adapter was a whole model */
    if (st == HORA_OK)
        st = forward(m, &c, &b, out);
    hora_model_close(m);
    hora_forward_batch_release(&b);
    hora_options_release(&hora_tool_forward_options, &c);
    return st;
}
