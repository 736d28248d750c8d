/*
 * Option tables of the subcommands, and which subcommand has which.
 */
#include "tool/tool_options.h"

#include "api/handles.h"
#include "base/text.h"
#include "lab/bench.h"
#include "lab/hmoe_report.h"
#include "lab/lowdata_model.h"
#include "lab/rates.h"

/* --- option tables ---------------------------------------------------------------------------- */
#define OPT_OF hora_tool_source
static const hora_option source_rows[] = {
    OPT_STRING(model, "model", NULL, NULL, "DIR", "model directory as Hugging Face writes it"),
    OPT_STRING(adapter, "adapter", NULL, NULL, "DIR",
               "adapter directory: an OUT of train, a checkpoint, or PEFT's"),
    OPT_CHOICE(prefer, "prefer", NULL, "none", "none native materialised",
               "which one counts when an adapter's native state and its PEFT file differ"),
};
const hora_options hora_tool_source_options = {"Model and adapter", source_rows,
                                               HORA_COUNT(source_rows)};

#undef OPT_OF
#define OPT_OF hora_tool_plan_config
static const hora_option plan_rows[] = {
    OPT_BOOL(dump, "dump", NULL, "false",
             "the whole schedule too: a line per kernel call with its buffers"),
};
const hora_options hora_tool_plan_options = {"Plan", plan_rows, HORA_COUNT(plan_rows)};

#undef OPT_OF
#define OPT_OF hora_tool_eval_config
static const hora_option eval_rows[] = {
    OPT_STRING(data, "data", NULL, NULL, "FILE", "text or JSONL to evaluate on"),
    OPT_INT(batch_size, "batch_size", NULL, "8", 1, 1e6, "rows at a time"),
};
const hora_options hora_tool_eval_options = {"Evaluation", eval_rows, HORA_COUNT(eval_rows)};

#undef OPT_OF
#define OPT_OF hora_tool_generate_config
static const hora_option generate_rows[] = {
    OPT_STRING(prompt, "prompt", NULL, NULL, "TEXT",
               "text to go on from; may be empty where the tokenizer adds a BOS token"),
    OPT_STRING(
        chat, "chat", NULL, NULL, "FILE",
        "JSON list of {\"role\", \"content\"}, or an object with `messages`; rendered with the "
        "model's chat template"),
};
const hora_options hora_tool_generate_options = {"Prompt", generate_rows,
                                                 HORA_COUNT(generate_rows)};

#undef OPT_OF
#define OPT_OF hora_tool_forward_config
static const hora_option forward_rows[] = {
    OPT_STRING(batch, "batch", NULL, NULL, "FILE",
               "safetensors or .json with input_ids, attention_mask, labels"),
    OPT_STRING(out, "out", NULL, NULL, "FILE", "safetensors to write: logits, loss, grad.NAME"),
    OPT_BOOL(grads, "grads", NULL, "false", "gradients of every trainable tensor too"),
    OPT_STRING(method, "method", NULL, NULL, "NAME",
               "attach a fresh adapter instead of --adapter; its options as in train"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of a fresh adapter"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace --out when it exists"),
};
const hora_options hora_tool_forward_options = {"Forward", forward_rows, HORA_COUNT(forward_rows)};

#undef OPT_OF
#define OPT_OF hora_tool_tokenize_config
static const hora_option tokenize_rows[] = {
    OPT_STRING(model, "model", "tokenizer", NULL, "DIR",
               "directory with tokenizer.json or tokenizer.model; nothing else is needed"),
    OPT_STRING(text, "text", NULL, NULL, "TEXT",
               "this text; with --decode one JSON list of ids per line"),
    OPT_STRING(file, "file", NULL, NULL, "FILE",
               "the whole file as one text; with --decode one JSON list of ids per line"),
    OPT_STRING(jsonl, "jsonl", NULL, NULL, "FILE",
               "each line's {\"text\": ..}; with --decode its {\"ids\": ..}"),
    OPT_BOOL(decode, "decode", NULL, "false", "ids to text"),
    OPT_BOOL(special, "special", NULL, "true",
             "add BOS and the like as Hugging Face does by default"),
    OPT_BOOL(keep_special, "keep_special", NULL, "false",
             "--decode: spell special tokens out instead of dropping them"),
};
const hora_options hora_tool_tokenize_options = {"Tokenize", tokenize_rows,
                                                 HORA_COUNT(tokenize_rows)};

#undef OPT_OF
#define OPT_OF hora_tool_inspect_config
static const hora_option inspect_rows[] = {
    OPT_BOOL(heads, "heads", NULL, "false",
             "adapters: singular values, norms and angles of what each head learned"),
    OPT_STRING(model, "model", NULL, NULL, "DIR",
               "base of the adapter, where adapter_config.json names none that is here"),
};
const hora_options hora_tool_inspect_options = {"Inspect", inspect_rows, HORA_COUNT(inspect_rows)};

#undef OPT_OF
#define OPT_OF hora_tool_new_config
static const hora_option new_rows[] = {
    OPT_STRING(config, "config", NULL, NULL, "FILE", "config.json of the model to make"),
    OPT_STRING(out, "out", NULL, NULL, "DIR", "model directory to write"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of the initial values"),
    OPT_CHOICE(dtype, "dtype", NULL, "f32", "f32 bf16", "of the written weights"),
    OPT_STRING(tokenizer, "tokenizer", NULL, NULL, "DIR", "copy the tokenizer's files from here"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace --out when it exists"),
};
const hora_options hora_tool_new_options = {"New model", new_rows, HORA_COUNT(new_rows)};

static void add(hora_tool_tables *t, const hora_options *table) {
    if (!table)
        return;
    HORA_ASSERT(t->n < (int)HORA_COUNT(t->at));
    t->at[t->n++] = table;
}

static void add_methods(hora_tool_tables *t) {
    for (int i = 0; i < hora_method_count(); i++)
        add(t, hora_method_at(i)->options);
}

void hora_tool_tables_of(const char *command, hora_tool_tables *t) {
    t->n = 0;
    if (hora_eq(command, "train") || hora_eq(command, "plan")) {
        const hora_options *run[HORA_RUN_TABLES];
        const int n = hora_run_tables(NULL, run);
        for (int i = 0; i < n; i++)
            add(t, run[i]);
        if (hora_eq(command, "plan"))
            add(t, &hora_tool_plan_options);
        add_methods(t);
    } else if (hora_eq(command, "eval") || hora_eq(command, "generate") ||
               hora_eq(command, "forward")) {
        add(t, &hora_tool_source_options);
        add(t, &hora_model_options);
        if (hora_eq(command, "eval")) {
            add(t, &hora_tool_eval_options);
            add(t, &hora_data_options);
        } else if (hora_eq(command, "generate")) {
            add(t, &hora_tool_generate_options);
            add(t, &hora_sampling_options);
            add(t, &hora_predictor_options);
        } else {
            add(t, &hora_tool_forward_options);
            add_methods(t);
        }
    } else if (hora_eq(command, "theory hmoe")) {
        add(t, &hora_tool_source_options);
        add(t, &hora_model_options);
        add(t, &hora_hmoe_options);
    } else if (hora_eq(command, "tokenize")) {
        add(t, &hora_tool_tokenize_options);
    } else if (hora_eq(command, "bench")) {
        add(t, &hora_bench_options);
        add_methods(t);
    } else if (hora_eq(command, "inspect")) {
        add(t, &hora_tool_inspect_options);
    } else if (hora_eq(command, "new")) {
        add(t, &hora_tool_new_options);
    } else if (hora_eq(command, "theory rates")) {
        add(t, &hora_rates_options);
    } else if (hora_eq(command, "theory lowdata")) {
        add(t, &hora_lowdata_options);
        add(t, &hora_lowdata_model_options);
    }
}

hora_status hora_tool_check(const char *command, const char *method, hora_settings *s) {
    hora_tool_tables all, t = {.n = 0};
    hora_tool_tables_of(command, &all);
    for (int i = 0; i < all.n; i++) {
        bool others = false;
        for (int k = 0; k < hora_method_count(); k++)
            others |= all.at[i] == hora_method_at(k)->options && !hora_eq(method, "*") &&
                      !hora_eq(method, hora_method_at(k)->name);
        if (!others)
            t.at[t.n++] = all.at[i];
    }
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < t.n; k++)
            if (hora_options_find(t.at[k], s->at[i].key))
                s->at[i].taken = true;
    return hora_settings_finish(s, t.at, t.n);
}

hora_status hora_tool_required(const char *flag, const char *value, const char *what) {
    return value ? HORA_OK : hora_fail(HORA_EUSAGE, "--%s is missing; give %s", flag, what);
}
