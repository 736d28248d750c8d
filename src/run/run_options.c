/* The options of a whole run that belong to no part of it, and the recipe as run. */
#include <stddef.h>

#include "base/text.h"
#include "model/family.h"
#include "run/foreign.h"
#include "run/run.h"
#include "task/task.h"

#define OPT_OF hora_run_config
static const hora_option rows[] = {
    OPT_STRING(model, "model", "base_model_name_or_path model_name_or_path", NULL, "DIR",
               "base model: a Hugging Face directory or a GGUF file"),
    OPT_CHOICE(quantize, "quantize", NULL, "none", HORA_QUANTIZE_NAMES,
               "frozen matrices become blocks of this type as the model is opened"),
    OPT_BOOL(double_quant, "double_quant", "bnb_4bit_use_double_quant", "false",
             "nf4: its scales rounded to 8 bits too, as QLoRA's double quantization does",
             .with = "quantize=nf4"),
    OPT_BOOL(quantize_cache, "quantize_cache", NULL, "false",
             "keep those blocks beside the model, in hora-TYPE.safetensors, and take them from "
             "there the next time"),
    OPT_FILES(data, "data", "train_file dataset", NULL, "FILE",
              "training data: text, JSONL, CSV, TSV, also in .gz or .zst; - is standard input, a "
              "folder holds train.jsonl; may be given several times, FILE:2 counts twice an epoch"),
    OPT_FILES(eval_data, "eval_data", "validation_file valid", NULL, "FILE",
              "evaluation data, likewise; eval_split takes some of the training data instead"),
    OPT_STRING(method, "method", "peft_type", "hora", "NAME",
               "what trains; `hora methods` lists them"),
    OPT_STRING(task, "task", "task_type", NULL, "NAME",
               "what the model learns: " HORA_TASK_NAMES "; unset: what its class is made for"),
    OPT_INT(frames, "frames", NULL, NULL, 2, HORA_FRAMES_MOST,
            "clips, folders of frames, for a model of pictures: so many frames of each; unset: "
            "what model or adapter says, else pictures"),
    OPT_CHOICE(frame_attention, "frame_attention", NULL, "auto", HORA_FRAMES_NAMES,
               "apart: each frame is a picture, and logits their mean; joint: tokens see the "
               "pieces of all frames; auto: what model or adapter says, else apart"),
    OPT_STRING(out, "out", "output_dir", NULL, "DIR",
               "folder for the adapter, checkpoints and logs"),
    OPT_STRING(
        init_adapter, "init_adapter", NULL, NULL, "DIR",
        "start from the values of this adapter (same method and options); of several in a folder, "
        "each from the one of its adapter_name, or OUT/NAME"),
    OPT_BOOL(any_base, "any_base", NULL, "false",
             "init_adapter may have been trained on another base: a warning, no refusal",
             .with = "init_adapter"),
    OPT_BOOL(semantic_start, "semantic_start", NULL, "false",
             "A of LoRA starts in the span of the class means of what it reads: one pass over the "
             "training data"),
    OPT_BOOL(resume, "resume", "resume_from_checkpoint", "false",
             "go on from the newest whole checkpoint in out"),
    OPT_BOOL(overwrite, "overwrite", "overwrite_output_dir", "false",
             "replace what an earlier run left in out"),
    OPT_INT(
        threads, "threads", NULL, NULL, 0, 256,
        "threads; unset: all cores, of several ranks on a machine each its share (the result does "
        "not depend on it)"),
    OPT_INT(comm_timeout, "comm_timeout", NULL, "600", 0, 1e9,
            "several ranks: seconds without a word after which a rank counts as lost; 0: never"),
};
const hora_options hora_run_options = {"Run", rows, (int)HORA_COUNT(rows)};

int hora_run_tables(const char *method, const hora_options *tables[HORA_RUN_TABLES]) {
    const hora_method *m = method ? hora_method_named(method) : NULL;
    static const hora_options *const own[] = {HORA_RUN_OPTIONS};
    int n = 0;
    for (; n < (int)HORA_COUNT(own); n++)
        tables[n] = own[n];
    if (m && m->options)
        tables[n++] = m->options;
    return n;
}

/* Those of a run and of every method. */
static int all_tables(const hora_options *tables[128]) {
    int n = hora_run_tables(NULL, tables);
    for (int i = 0; i < hora_method_count(); i++)
        if (hora_method_at(i)->options) {
            HORA_ASSERT(n < 128);
            tables[n++] = hora_method_at(i)->options;
        }
    return n;
}

static bool known(const char *key) {
    const hora_options *tables[128];
    const int n = all_tables(tables);
    for (int i = 0; i < n; i++)
        if (hora_options_find(tables[i], key))
            return true;
    return false;
}

hora_status hora_run_settings(hora_settings *s, const hora_json *recipe, const char *origin) {
    const hora_options *tables[128];
    const int n = all_tables(tables);
    hora_json *own = NULL;
    if (hora_json_type(recipe) == HORA_JOBJECT)
        HORA_TRY(hora_run_foreign(recipe, known, &own));
    const hora_status st = hora_settings_json(s, own ? own : recipe, origin, tables, n);
    hora_json_free(own);
    return st;
}

/* Files stand in a list where there are several. */
static hora_json *texts(const char *s, char join) {
    const char sign[] = {join, 0};
    if (join != '\n' || !strchr(s, join))
        return hora_json_new_string(s);
    hora_json *list = hora_json_new_array();
    for (char *word; (word = hora_list_word(&s, sign)); hora_free(word))
        hora_json_push(list, hora_json_new_string(word));
    return list;
}

static hora_json *typed(const hora_option *row, const void *object) {
    const void *at = (const char *)object + row->offset;
    switch (row->type) {
    case HORA_OPT_BOOL:
        return hora_json_new_bool(*(const bool *)at);
    case HORA_OPT_INT:
        return hora_json_new_int(*(const int64_t *)at);
    case HORA_OPT_REAL:
        return hora_json_new_real(*(const double *)at);
    case HORA_OPT_STRING:
        return texts(*(char *const *)at, row->join);
    case HORA_OPT_CHOICE: {
        char *name = hora_option_choice(row, *(const int *)at);
        hora_json *v = hora_json_new_string(name);
        hora_free(name);
        return v;
    }
    }
    HORA_BUG("option `%s` has no such type", row->name);
}

/* What was never set says nothing: no default, and zero in the field. */
static bool is_unset(const hora_option *row, const void *object) {
    const void *at = (const char *)object + row->offset;
    switch (row->type) {
    case HORA_OPT_STRING:
        return !*(char *const *)at;
    case HORA_OPT_INT:
        return !row->def && *(const int64_t *)at == 0;
    case HORA_OPT_REAL:
        return !row->def && *(const double *)at == 0;
    case HORA_OPT_BOOL:
    case HORA_OPT_CHOICE:
        return false;
    }
    return false;
}

hora_json *hora_run_recipe(const hora_options *const *tables, const void *const *objects, int n) {
    hora_json *o = hora_json_new_object();
    for (int t = 0; t < n; t++)
        for (int i = 0; i < tables[t]->n; i++) {
            const hora_option *row = &tables[t]->rows[i];
            if (!is_unset(row, objects[t]) && !hora_json_get(o, row->name))
                hora_json_set(o, row->name, typed(row, objects[t]));
        }
    return o;
}
