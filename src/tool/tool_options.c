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
static const hora_option source_rows[] = {
    {"model", NULL, HORA_OPT_STRING, offsetof(hora_tool_source, model), NULL, 0, 0, NULL, "DIR",
     "model directory as Hugging Face writes it"},
    {"adapter", NULL, HORA_OPT_STRING, offsetof(hora_tool_source, adapter), NULL, 0, 0, NULL, "DIR",
     "adapter directory: an OUT of train, a checkpoint, or PEFT's"},
    {"prefer", NULL, HORA_OPT_CHOICE, offsetof(hora_tool_source, prefer), "none", 0, 0,
     "none native materialised", NULL,
     "which one counts when an adapter's native state and its PEFT file differ"},
};
const hora_options hora_tool_source_options = {"Model and adapter", source_rows,
                                               HORA_COUNT(source_rows)};

static const hora_option plan_rows[] = {
    {"dump", NULL, HORA_OPT_BOOL, offsetof(hora_tool_plan_config, dump), "false", 0, 0, NULL, NULL,
     "the whole schedule too: a line per kernel call with its buffers"},
};
const hora_options hora_tool_plan_options = {"Plan", plan_rows, HORA_COUNT(plan_rows)};

static const hora_option eval_rows[] = {
    {"data", NULL, HORA_OPT_STRING, offsetof(hora_tool_eval_config, data), NULL, 0, 0, NULL, "FILE",
     "text or JSONL to evaluate on"},
    {"batch_size", NULL, HORA_OPT_INT, offsetof(hora_tool_eval_config, batch_size), "8", 1, 1e6,
     NULL, "N", "rows at a time"},
};
const hora_options hora_tool_eval_options = {"Evaluation", eval_rows, HORA_COUNT(eval_rows)};

static const hora_option generate_rows[] = {
    {"prompt", NULL, HORA_OPT_STRING, offsetof(hora_tool_generate_config, prompt), NULL, 0, 0, NULL,
     "TEXT", "text to go on from; may be empty where the tokenizer adds a BOS token"},
    {"chat", NULL, HORA_OPT_STRING, offsetof(hora_tool_generate_config, chat), NULL, 0, 0, NULL,
     "FILE",
     "JSON list of {\"role\", \"content\"}, or an object with `messages`; rendered with the "
     "model's chat template"},
};
const hora_options hora_tool_generate_options = {"Prompt", generate_rows,
                                                 HORA_COUNT(generate_rows)};

static const hora_option forward_rows[] = {
    {"batch", NULL, HORA_OPT_STRING, offsetof(hora_tool_forward_config, batch), NULL, 0, 0, NULL,
     "FILE", "safetensors or .json with input_ids, attention_mask, labels"},
    {"out", NULL, HORA_OPT_STRING, offsetof(hora_tool_forward_config, out), NULL, 0, 0, NULL,
     "FILE", "safetensors to write: logits, loss, grad.NAME"},
    {"grads", NULL, HORA_OPT_BOOL, offsetof(hora_tool_forward_config, grads), "false", 0, 0, NULL,
     NULL, "gradients of every trainable tensor too"},
    {"method", NULL, HORA_OPT_STRING, offsetof(hora_tool_forward_config, method), NULL, 0, 0, NULL,
     "NAME", "attach a fresh adapter instead of --adapter; its options as in train"},
    {"seed", NULL, HORA_OPT_INT, offsetof(hora_tool_forward_config, seed), "42", 0, 0, NULL, "N",
     "of a fresh adapter"},
    {"overwrite", NULL, HORA_OPT_BOOL, offsetof(hora_tool_forward_config, overwrite), "false", 0, 0,
     NULL, NULL, "replace --out when it exists"},
};
const hora_options hora_tool_forward_options = {"Forward", forward_rows, HORA_COUNT(forward_rows)};

static const hora_option tokenize_rows[] = {
    {"model", "tokenizer", HORA_OPT_STRING, offsetof(hora_tool_tokenize_config, model), NULL, 0, 0,
     NULL, "DIR", "directory with tokenizer.json or tokenizer.model; nothing else is needed"},
    {"text", NULL, HORA_OPT_STRING, offsetof(hora_tool_tokenize_config, text), NULL, 0, 0, NULL,
     "TEXT", "this text; with --decode one JSON list of ids per line"},
    {"file", NULL, HORA_OPT_STRING, offsetof(hora_tool_tokenize_config, file), NULL, 0, 0, NULL,
     "FILE", "the whole file as one text; with --decode one JSON list of ids per line"},
    {"jsonl", NULL, HORA_OPT_STRING, offsetof(hora_tool_tokenize_config, jsonl), NULL, 0, 0, NULL,
     "FILE", "each line's {\"text\": ..}; with --decode its {\"ids\": ..}"},
    {"decode", NULL, HORA_OPT_BOOL, offsetof(hora_tool_tokenize_config, decode), "false", 0, 0,
     NULL, NULL, "ids to text"},
    {"special", NULL, HORA_OPT_BOOL, offsetof(hora_tool_tokenize_config, special), "true", 0, 0,
     NULL, NULL, "add BOS and the like as Hugging Face does by default"},
    {"keep_special", NULL, HORA_OPT_BOOL, offsetof(hora_tool_tokenize_config, keep_special),
     "false", 0, 0, NULL, NULL, "--decode: spell special tokens out instead of dropping them"},
};
const hora_options hora_tool_tokenize_options = {"Tokenize", tokenize_rows,
                                                 HORA_COUNT(tokenize_rows)};

static const hora_option inspect_rows[] = {
    {"heads", NULL, HORA_OPT_BOOL, offsetof(hora_tool_inspect_config, heads), "false", 0, 0, NULL,
     NULL, "adapters: singular values, norms and angles of what each head learned"},
    {"model", NULL, HORA_OPT_STRING, offsetof(hora_tool_inspect_config, model), NULL, 0, 0, NULL,
     "DIR", "base of the adapter, where adapter_config.json names none that is here"},
};
const hora_options hora_tool_inspect_options = {"Inspect", inspect_rows, HORA_COUNT(inspect_rows)};

static const hora_option new_rows[] = {
    {"config", NULL, HORA_OPT_STRING, offsetof(hora_tool_new_config, config), NULL, 0, 0, NULL,
     "FILE", "config.json of the model to make"},
    {"out", NULL, HORA_OPT_STRING, offsetof(hora_tool_new_config, out), NULL, 0, 0, NULL, "DIR",
     "model directory to write"},
    {"seed", NULL, HORA_OPT_INT, offsetof(hora_tool_new_config, seed), "42", 0, 0, NULL, "N",
     "of the initial values"},
    {"dtype", NULL, HORA_OPT_CHOICE, offsetof(hora_tool_new_config, dtype), "f32", 0, 0, "f32 bf16",
     NULL, "of the written weights"},
    {"tokenizer", NULL, HORA_OPT_STRING, offsetof(hora_tool_new_config, tokenizer), NULL, 0, 0,
     NULL, "DIR", "copy the tokenizer's files from here"},
    {"overwrite", NULL, HORA_OPT_BOOL, offsetof(hora_tool_new_config, overwrite), "false", 0, 0,
     NULL, NULL, "replace --out when it exists"},
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
