/*
 * A run from settings to a finished output folder. Everything that can be refused is refused before
 * the first large allocation: options, output folder, model, data, memory, disk. What an earlier
 * run left in OUT stays aside until the new one has written something whole (base/outdir.h).
 */
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "base/yaml.h"
#include "run/run_impl.h"
#include "run/semantic.h"
#include "run/unused.h"

/* --- settings --------------------------------------------------------------------------------- */
static hora_status read_recipe(const run *r, hora_json **recipe) {
    char *path = hora_path_join(r->run.out, "recipe.yaml");
    const hora_status s = hora_path_exists(path)
                              ? hora_yaml_load(recipe, path)
                              : hora_fail(HORA_ENOTFOUND,
                                          "%s is no run that could be resumed (no recipe.yaml); "
                                          "start it without resume",
                                          r->run.out);
    hora_free(path);
    return s;
}

/* Rank 0 reads it, for all. */
static hora_status recipe_of_out(run *r) {
    hora_json *recipe = NULL;
    hora_str text = {0};
    hora_status s;
    if (r->leads)
        HORA_TRY_OUT(s, read_recipe(r, &recipe));
    if (recipe)
        hora_json_dump(recipe, 0, false, &text);
    HORA_TRY_OUT(s, hora_comm_broadcast_text(r->comm, &text));
    if (!recipe)
        HORA_TRY_OUT(s, hora_json_parse(&recipe, text.s, text.n, "recipe of out"));
    s = hora_run_settings(&r->all, recipe, "recipe of out");
out:
    hora_str_release(&text);
    hora_json_free(recipe);
    return s;
}

/* The folder is checked and locked before anything is read; nothing is written yet. */
static hora_status open_out(run *r, const hora_settings *given) {
    const bool resume = r->run.resume;
    const hora_input others[] = {{"model", r->run.model},
                                 /* a resume reads its own recipe, and init_adapter no more */
                                 {"adapter of init_adapter", resume ? NULL : r->init_home},
                                 {"recipe", resume ? NULL : given->file}};
    const int nothers = (int)HORA_COUNT(others), n = r->files.npaths + nothers;
    hora_input *in = hora_calloc((size_t)n, sizeof *in);
    memcpy(in, others, sizeof others);
    for (int i = 0; i < r->files.npaths; i++)
        in[nothers + i] =
            (hora_input){i < r->files.ntrain ? "data" : "evaluation data", r->files.paths[i]};
    const hora_outdir_how how = {.mode = resume             ? HORA_OUT_ADD
                                         : r->run.overwrite ? HORA_OUT_REPLACE
                                                            : HORA_OUT_NEW,
                                 .advice = "--resume goes on with it, --overwrite replaces it",
                                 .in = in,
                                 .n = n};
    if (!r->leads) {
        hora_free(in);
        return HORA_OK;
    }
    hora_outdir_close(r->out);
    r->out = NULL;
    const hora_status s = hora_outdir_open(&r->out, r->run.out, &how);
    hora_free(in);
    return s;
}

/* Before anything that ranks do together depends on it. */
static hora_status same_start(const run *r) {
    if (hora_comm_size(r->comm) == 1)
        return HORA_OK;
    hora_json *here = hora_json_new_object();
    hora_json *program = hora_json_set(here, "program", hora_json_new_object());
    hora_json_set(program, "hash", hora_ranks_program());
    hora_json *o = hora_json_set(here, "option", hora_json_new_object());
    hora_json_set(o, "resume", hora_json_new_bool(r->run.resume));
    const hora_status s = hora_ranks_compare(r->comm, here);
    hora_json_free(here);
    return s;
}

/* Where things lie, and threads, are each rank's own; what lies there is compared when it is
 * read. */
static hora_status same_options(const run *r) {
    if (hora_comm_size(r->comm) == 1)
        return HORA_OK;
    hora_json *here = hora_json_new_object();
    hora_json *o = hora_json_set(here, "option", hora_json_new_object());
    hora_ranks_options(o, &hora_run_options, &r->run,
                       "model data eval_data out overwrite init_adapter threads comm_timeout");
    hora_ranks_options(o, &hora_data_options, &r->data, "seq_len eval_split seed");
    const hora_status s = hora_ranks_compare(r->comm, here);
    hora_json_free(here);
    return s;
}

/* OUT/NAME of init_adapter has no folder of its own where NAME is the first of OUT. */
static hora_status find_init(run *r) {
    char *name = NULL;
    if (!r->run.init_adapter || r->run.resume)
        return HORA_OK;
    const hora_status s = hora_adapters_home(r->run.init_adapter, &r->init_home, &name);
    hora_free(name);
    return s;
}

/* writes: the folder will be written to. */
static hora_status take_settings(run *r, hora_settings *given, bool writes) {
    HORA_TRY(hora_options_take(&hora_run_options, &r->run, given));
    if (r->run.resume && !r->run.out)
        return hora_fail(HORA_EUSAGE, "resume: give out, the folder of the run to go on with");
    if (r->run.resume && r->run.overwrite)
        return hora_fail(HORA_EUSAGE, "resume and overwrite contradict each other; give one");
    hora_comm_timeout(r->comm, (double)r->run.comm_timeout);
    HORA_TRY(same_start(r));
    if (r->run.resume && writes) /* takes back what a killed run left half done */
        HORA_TRY(open_out(r, given));
    if (r->run.resume)
        HORA_TRY(recipe_of_out(r));
    for (int i = 0; i < given->n; i++)
        hora_settings_put(&r->all, given->at[i].key, given->at[i].value, given->at[i].origin);
    hora_run_config alone = r->run;
    r->run = (hora_run_config){0};
    hora_status s = hora_options_take(&hora_run_options, &r->run, &r->all);
    if (!s && r->run.resume)
        s = hora_run_files_resumable(&alone, &r->run);
    hora_options_release(&hora_run_options, &alone);
    HORA_TRY(s);
    HORA_TRY(hora_options_take(&hora_train_options, &r->train, &r->all));
    HORA_TRY(hora_options_take(&hora_data_options, &r->data, &r->all));
    HORA_TRY(same_options(r));
    r->train.dtype = hora_train_dtype(&r->train) == HORA_BF16 ? HORA_TRAIN_BF16 : HORA_TRAIN_F32;
    if (!r->run.model)
        return hora_fail(HORA_EUSAGE, "no model: give --model DIR");
    if (r->run.eval_data && r->data.eval_split > 0)
        return hora_fail(HORA_EUSAGE, "eval_data and eval_split contradict each other; give one");
    if (r->run.threads)
        hora_threads_limit((int)r->run.threads);
    else if (r->comm)
        hora_threads_limit(hora_comm_cores(r->comm));
    hora_comm_timeout(r->comm, (double)r->run.comm_timeout);
    if (hora_comm_size(r->comm) > 1 &&
        (hora_data_reads_input(r->run.data) || hora_data_reads_input(r->run.eval_data)))
        return hora_fail(HORA_EUSAGE, "of several ranks only one has standard input (-): put the "
                                      "data into a file that all can read");
    hora_run_files_find(&r->files, &r->run, &r->data);
    return find_init(r);
}

/* --- parts ------------------------------------------------------------------------------------ */
/* Tables of what stands in the recipe by itself: without a list, the method's too. */
static int own_tables(const run *r, const hora_options *tables[HORA_RUN_TABLES]) {
    return hora_run_tables(r->methods.list ? NULL : r->run.method, tables);
}

/* From headers: what a plan needs. */
static hora_status open_model(run *r) {
    const hora_open_options o = {.dtype = hora_train_dtype(&r->train),
                                 .headers_only = true,
                                 .config_alone = r->config_alone,
                                 .quantize = hora_quantize_type(r->run.quantize),
                                 .double_quant = r->run.double_quant,
                                 .quantize_cache = r->run.quantize_cache,
                                 .task = r->run.task,
                                 .frames = r->run.frames,
                                 .frame_attention = r->run.frame_attention,
                                 .adapter = r->run.resume ? r->run.init_adapter : r->init_home,
                                 .sharing = hora_comm_sharing(r->comm)};
    r->opened.comm = r->comm;
    HORA_TRY(hora_open_model(&r->opened, r->run.model, &o));
    r->opened.base->any_base = r->run.any_base;
    if (!hora_settings_get(&r->all, "seq_len"))
        hora_open_length(&r->opened, 0, &r->data.seq_len);
    return hora_open_pictures(&r->opened, &r->data.seq_len);
}

/* An adapter of a resized vocabulary holds embedding and head whole, or nobody can load it. */
static hora_status keeps_vocabulary(const hora_base *b, hora_adapter *const *at, int n) {
    const int need[] = {b->embed, b->bare || b->weights[b->head].tied ? b->embed : b->head};
    if (!b->file_vocab)
        return HORA_OK;
    for (size_t k = 0; k < HORA_COUNT(need); k++) {
        bool kept = false;
        for (int i = 0; i < n; i++)
            for (int p = 0; p < at[i]->nparams; p++)
                kept |= at[i]->params[p]->weight == need[k];
        if (!kept)
            return hora_fail(HORA_EUSAGE,
                             "init_adapter brings a vocabulary of %lld tokens, the model has %lld: "
                             "an adapter that goes on from it must hold %s; add "
                             "modules_to_save=%s",
                             (long long)b->vocab, (long long)b->file_vocab,
                             b->weights[need[k]].name,
                             b->bare ? "embed_tokens" : "embed_tokens,lm_head");
    }
    return HORA_OK;
}

/* Blocks are for what stays frozen: a matrix that trains would only start from rounded values. */
static hora_status blocks_serve(const hora_base *b, hora_adapter *const *at, int n) {
    for (int w = 0; w < b->nweights; w++) {
        bool trains = b->weights[w].tied || b->weights[w].view.shape.n != 2;
        for (int i = 0; i < n; i++)
            trains |= at[i]->replaces && at[i]->replaces[w];
        if (!trains)
            return HORA_OK;
    }
    return hora_fail(HORA_EUSAGE, "quantize: no matrix of this model stays frozen, all of them "
                                  "train; leave quantize out");
}

static hora_status attach(run *r) {
    const hora_options *tables[HORA_RUN_TABLES];
    HORA_TRY(hora_run_methods_attach(&r->methods, r->opened.base, &r->all, r->run.method,
                                     (uint64_t)r->train.seed));
    HORA_TRY(keeps_vocabulary(r->opened.base, r->methods.at, r->methods.n));
    if (hora_quantize_type(r->run.quantize) != HORA_F32)
        HORA_TRY(blocks_serve(r->opened.base, r->methods.at, r->methods.n));
    if (!r->methods.list)
        HORA_TRY(hora_method_foreign(&r->all, r->run.method));
    return hora_settings_finish(&r->all, tables, own_tables(r, tables));
}

static hora_status check_before_data(run *r) {
    HORA_TRY(hora_check_context(r->opened.base, r->data.seq_len));
    HORA_TRY(hora_train_check(&r->train));
    HORA_TRY(hora_data_check(&r->data));
    if (r->init_home && !hora_path_is_dir(r->init_home))
        return hora_fail(HORA_ENOTFOUND, "init_adapter: %s is no folder; give that of an adapter",
                         r->run.init_adapter);
    if (r->opened.base->vision)
        hora_run_files_as_named(&r->files, &r->run);
    return hora_run_files_found(&r->files);
}

/* Which folder each adapter starts from, once the methods are known. */
static hora_status choose_init(run *r) {
    return r->init_home && !r->init_from
               ? hora_run_methods_from(&r->methods, r->run.init_adapter, &r->init_from)
               : HORA_OK;
}

static void say_files(const hora_dataset *d, hora_str *out) {
    hora_data_part_info p;
    char records[32], times[32];
    for (int i = 0; hora_data_part_at(d, i, &p); i++) {
        hora_human_count(records, (double)p.records);
        hora_str_printf(out, "%s%s", i ? ", " : "", p.path);
        if (hora_data_part_at(d, 1, &(hora_data_part_info){0}) || p.times != 1)
            hora_str_printf(out, " (%s records%s%s%s)", records, p.times != 1 ? ", " : "",
                            p.times != 1 ? hora_format_real(times, p.times) : "",
                            p.times != 1 ? " times an epoch" : "");
    }
}

/* held: said of what was held out; NULL: the files are named. */
static void say_data(run *r, const hora_dataset *d, const char *held) {
    const hora_data_info *i = hora_data_about(d);
    char records[32], tokens[32];
    hora_str text = {0}, notes = {0};
    hora_human_count(records, (double)i->records);
    hora_human_count(tokens, (double)i->tokens);
    hora_data_notes(d, &notes);
    if (held)
        hora_str_puts(&text, held);
    else
        say_files(d, &text);
    hora_str_printf(&text,
                    ": %s records, %lld sequences, %s tokens, %.1f %% of them supervised%s%s%s",
                    records, (long long)i->sequences, tokens,
                    i->tokens ? 100.0 * (double)i->supervised / (double)i->tokens : 0,
                    notes.n ? " (" : "", notes.n ? notes.s : "", notes.n ? ")" : "");
    hora_run_tell(r, HORA_RUN_DATA, text.s);
    hora_str_release(&notes);
    hora_str_release(&text);
}

static hora_status open_data(run *r) {
    hora_comm_enter(r->comm, HORA_COMM_READING);
    if (r->files.said.n)
        hora_run_tell(r, HORA_RUN_DATA, r->files.said.s);
    HORA_TRY(hora_open_data(&r->opened, &r->set, r->files.train, &r->data));
    if (r->files.eval) {
        hora_data_config c = r->data;
        c.eval_split = 0;
        HORA_TRY(hora_open_data(&r->opened, &r->eval_set, r->files.eval, &c));
        hora_run_files_compare(r->set, r->eval_set);
    } else if (r->data.eval_split > 0) {
        HORA_TRY(hora_data_split(r->set, &r->eval_set));
    }
    say_data(r, r->set, NULL);
    if (r->eval_set)
        say_data(r, r->eval_set, r->files.eval ? NULL : "held out for evaluation");
    return HORA_OK;
}

static hora_status open_training(run *r) {
    hora_training_parts p = {.base = r->opened.base,
                             .adapters = r->methods.at,
                             .nadapters = r->methods.n,
                             .train = r->set,
                             .eval = r->eval_set,
                             .objective = &r->opened.objective,
                             .comm = r->comm,
                             .seq_len = r->data.seq_len};
    HORA_TRY(hora_train_memory(r->comm, &p.memory));
    HORA_TRY(hora_training_open(&r->training, &p, &r->train));
    r->result.report = *hora_training_report(r->training);
    return HORA_OK;
}

/* --- the output folder ------------------------------------------------------------------------ */
static hora_status check_space(run *r) {
    if (!r->leads)
        return HORA_OK;
    const hora_train_report *p = &r->result.report;
    uint64_t kept = (uint64_t)(r->train.save_limit ? r->train.save_limit + 2 : 3);
    return hora_check_writable(r->run.out, (4 * p->values + p->moments) * kept + (1 << 20));
}

/* Marks a folder from before the mark, and mends what a kill left in one. */
static hora_status begin_out(run *r) {
    const bool marked = hora_outdir_marked(r->out);
    HORA_TRY(hora_outdir_begin(r->out));
    if (!r->run.resume)
        return HORA_OK;
    if (!marked)
        HORA_TRY(hora_training_adopt(r->out));
    HORA_TRY(hora_outdir_expect(r->out, "README.md adapter_config.json adapter_model.safetensors "
                                        "hora_state.safetensors delta_config.json "
                                        "delta.safetensors"));
    return hora_training_mend(r->out);
}

static hora_status write_recipe(run *r) {
    if (!r->leads)
        return HORA_OK;
    const hora_options *tables[HORA_RUN_TABLES];
    const hora_adapter *only = r->methods.list ? NULL : r->methods.at[0];
    const hora_adapter_config named = {
        .name = only && !hora_eq(only->name, only->method->name) ? only->name : NULL,
        .task = only ? only->task : NULL};
    int n = own_tables(r, tables);
    r->train.lr = r->result.report.lr;
    hora_run_config as_run = r->run;
    as_run.resume = as_run.overwrite = false;
    if (!only)
        as_run.method = NULL;
    const void *objects[HORA_RUN_TABLES] = {&as_run, &r->train, &r->data, &named,
                                            only ? only->config : NULL};
    hora_json *recipe = hora_run_recipe(tables, objects, n);
    if (!only)
        hora_run_methods_recipe(&r->methods, recipe);
    hora_str text = {0};
    hora_yaml_dump(recipe, &text);
    hora_status s = hora_outdir_write(r->out, "recipe.yaml", text.s, text.n);
    hora_str_release(&text);
    hora_json_free(recipe);
    return s;
}

/* --- before the first step -------------------------------------------------------------------- */
static hora_status soften(run *r) {
    r->opened.objective.similarity_scale = r->train.similarity_scale;
    const hora_augment *a = &r->data.augment;
    if (r->run.resume && r->opened.objective.task->labels != HORA_LABELS_CLASS)
        return HORA_OK; /* a difference from the checkpoint, which says so */
    return hora_objective_soften(&r->opened.objective, r->train.label_smoothing,
                                 a->mixup > 0 || a->cutmix > 0);
}

static hora_status weigh(run *r) {
    return r->train.class_weights && r->set ? hora_objective_balance(&r->opened.objective, r->set)
                                            : HORA_OK;
}

static void say_local(run *r) {
    if (!r->train.sync_every)
        return;
    char *text = hora_format("local steps (DiLoCo): %d workers meet every %lld steps; this is "
                             "another algorithm, with another result for every number of workers",
                             hora_comm_size(r->comm), (long long)r->train.sync_every);
    hora_run_tell(r, HORA_RUN_DATA, text);
    hora_free(text);
}

/* segment: the head that model or adapter have, and their loss, unless others are asked for. */
static void choose_shape(run *r) {
    hora_objective *o = &r->opened.objective;
    if (o->told && !hora_settings_get(&r->all, "segment_head"))
        r->train.segment_head = o->upsampled;
    if (o->told && !hora_settings_get(&r->all, "dice"))
        r->train.dice = o->dice;
    hora_objective_shape(o, r->train.dice, r->train.segment_head == 1);
}

/* All that can be refused before anything large is taken or anything is written. */
static hora_status plan(run *r) {
    HORA_TRY(open_model(r));
    const bool settled = r->opened.objective.settled; /* else the head waits for the data */
    if (settled)
        HORA_TRY(attach(r));
    if (settled && !hora_settings_get(&r->all, "seq_len") && !r->opened.base->vision)
        hora_open_length(&r->opened, hora_adapters_front(r->methods.at, r->methods.n),
                         &r->data.seq_len);
    HORA_TRY(check_before_data(r));
    if (settled)
        HORA_TRY(choose_init(r));
    HORA_TRY(hora_run_unused(r));
    if (r->files.train)
        HORA_TRY(open_data(r));
    if (!settled)
        choose_shape(r);
    HORA_TRY(hora_open_settle(&r->opened, r->set, r->eval_set, true, (uint64_t)r->train.seed));
    if (!settled)
        HORA_TRY(attach(r));
    HORA_TRY(choose_init(r));
    HORA_TRY(soften(r));
    if (!r->run.resume)
        HORA_TRY(weigh(r));
    return open_training(r);
}

/* What stands in OUT: rank 0 reads it, and the others hear of it. */
static hora_status read_out(run *r) {
    if (!r->leads)
        return HORA_OK;
    HORA_TRY(begin_out(r));
    if (!r->run.resume)
        return HORA_OK;
    HORA_TRY(hora_training_resume(r->training, r->run.out));
    return hora_training_prune(r->training, r->out); /* what a kill left beyond the limit */
}

static hora_status start_from_classes(run *r) {
    int classes;
    if (!r->run.semantic_start || r->run.resume)
        return HORA_OK;
    if (!r->set)
        return hora_fail(HORA_EUSAGE, "semantic_start needs training data");
    HORA_TRY(hora_semantic_start(r->methods.at, r->methods.n, r->opened.base, &r->opened.objective,
                                 r->set, r->data.seq_len, r->train.batch_size, &classes));
    char *text = hora_format("A starts in the span of the means of %d classes", classes);
    hora_run_tell(r, HORA_RUN_DATA, text);
    hora_free(text);
    return HORA_OK;
}

static hora_status start(run *r) {
    HORA_TRY(hora_base_complete(r->opened.base));
    HORA_TRY(hora_base_finite(r->opened.base));
    for (int i = 0; i < r->methods.n; i++)
        HORA_TRY(hora_adapter_allocate(r->methods.at[i]));
    if (r->init_from)
        HORA_TRY(hora_run_methods_read(&r->methods, r->init_from));
    HORA_TRY(start_from_classes(r));
    HORA_TRY(hora_training_prepare(r->training));
    hora_training_watch(r->training, r->hooks ? r->hooks->stop : NULL);
    HORA_TRY(hora_comm_barrier(r->comm)); /* all of them can: only now anything is written */
    HORA_TRY(read_out(r));
    HORA_TRY(hora_training_share(r->training));
    if (r->run.resume)
        HORA_TRY(weigh(r)); /* now that the checkpoint's own options are known to be these */
    hora_training_get(r->training, &r->result.status);
    r->saved = r->run.resume ? r->result.status.step : -1;
    HORA_TRY(write_recipe(r));
    return r->leads ? hora_train_log_open(&r->log, r->out, r->result.status.step) : HORA_OK;
}

static void release(run *r) {
    hora_train_log_close(r->log);
    hora_outdir_close(r->out);
    hora_training_free(r->training);
    if (r->init_from)
        hora_list_free(r->init_from, r->methods.n);
    hora_free(r->init_home);
    hora_run_methods_release(&r->methods);
    hora_dataset_close(r->eval_set);
    hora_dataset_close(r->set);
    hora_open_close(&r->opened);
    hora_options_release(&hora_run_options, &r->run);
    hora_options_release(&hora_train_options, &r->train);
    hora_options_release(&hora_data_options, &r->data);
    hora_run_files_release(&r->files);
    hora_settings_release(&r->all);
    hora_free(r->losses);
}

static void init(run *r, const hora_run_hooks *hooks) {
    *r = (run){.hooks = hooks,
               .comm = hooks ? hooks->comm : NULL,
               .started = hora_now(),
               .saved = -1,
               .first_step = -1};
    r->leads = hora_comm_leads(r->comm);
    r->result.first_eval.step = r->result.last_eval.step = -1;
}

static hora_status train_all(run *r, hora_settings *given) {
    hora_comm_enter(r->comm, HORA_COMM_OPENING);
    HORA_TRY(take_settings(r, given, true));
    if (!r->run.out)
        return hora_fail(HORA_EUSAGE, "no output folder: give --out DIR");
    if (!r->run.data)
        return hora_fail(HORA_EUSAGE, "no training data: give --data FILE");
    HORA_TRY(open_out(r, given));
    HORA_TRY(plan(r));
    HORA_TRY(check_space(r));
    HORA_TRY(hora_train_report_fits(&r->result.report));
    HORA_TRY(hora_training_compare(r->training));
    say_local(r);
    hora_run_tell(r, HORA_RUN_PLANNED, NULL);
    HORA_TRY(start(r));
    HORA_TRY(hora_run_loop(r));
    HORA_TRY(hora_run_finish(r));
    return hora_comm_barrier(r->comm); /* nobody leaves before rank 0 has written */
}

/* What is of one class bears the objective's name for it, which does not outlive the run: it is in
 * the log. */
static void drop_classes(hora_metrics *m) {
    int n = 0;
    for (int i = 0; i < m->n; i++)
        if (!m->at[i].of)
            m->at[n++] = m->at[i];
    m->n = n;
}

hora_status hora_run_train(hora_settings *s, const hora_run_hooks *hooks, hora_run_result *result) {
    run r;
    init(&r, hooks);
    double started = hora_now();
    hora_comm_last_words(r.comm, hora_run_add_way_on, &r);
    hora_status status = train_all(&r, s);
    hora_comm_last_words(r.comm, NULL, NULL);
    if (status < 0) {
        hora_run_add_way_on(&r, status);
        hora_comm_fail(r.comm, status);
    }
    hora_run_average(&r);
    if (r.training && status)
        hora_training_get(r.training, &r.result.status);
    r.result.seconds = hora_now() - started;
    drop_classes(&r.result.first_eval.metrics);
    drop_classes(&r.result.last_eval.metrics);
    *result = r.result;
    release(&r);
    return status;
}

hora_status hora_run_plan(hora_settings *s, hora_train_report *report, hora_str *dump) {
    run r;
    init(&r, NULL);
    r.config_alone = true;
    hora_status status = take_settings(&r, s, false);
    if (!status)
        status = plan(&r);
    *report = r.result.report;
    if (!status && dump)
        hora_training_dump(r.training, dump);
    if (!status)
        status = hora_train_report_fits(report);
    release(&r);
    return status;
}
