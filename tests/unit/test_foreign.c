/* Recipes of other trainers: what their keys become, what is passed over, what is refused. */
#include "hora_test.h"

#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/yaml.h"
#include "run/run.h"

static hora_str said;

static void hear(void *user, int level, const char *text) {
    (void)user;
    (void)level;
    hora_str_puts(&said, text);
    hora_str_putc(&said, '\n');
}

static hora_status read(hora_settings *s, const char *yaml) {
    hora_json *tree;
    *s = (hora_settings){0};
    said.n = 0;
    hora_str_add(&said, "", 0);
    assert_ok(hora_yaml_parse(&tree, yaml, strlen(yaml), "recipe"));
    hora_log_sink(hear, NULL);
    const hora_status st = hora_run_settings(s, tree, "recipe");
    hora_log_sink(NULL, NULL);
    hora_json_free(tree);
    return st;
}

/* Pairs "key=value" in order, blanks between them. */
static void becomes(const char *yaml, const char *want, const char *note) {
    hora_settings s;
    hora_str got = {0};
    hora_str_add(&got, "", 0);
    const hora_status st = read(&s, yaml);
    if (st)
        fail_msg("%s: %s", yaml, hora_errmsg());
    for (int i = 0; i < s.n; i++)
        hora_str_printf(&got, "%s%s=%s", i ? " " : "", s.at[i].key, s.at[i].value);
    assert_string_equal(got.s, want);
    if (note ? !strstr(said.s, note) : said.n > 0)
        fail_msg("%s: said \"%s\", should %s", yaml, said.s, note ? note : "say nothing");
    hora_str_release(&got);
    hora_settings_release(&s);
}

static void refused(const char *yaml, const char *says) {
    hora_settings s;
    assert_fails(read(&s, yaml), HORA_EUSAGE, says);
    hora_settings_release(&s);
}

static void test_meaning(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"base_model: m", "model=m"},
        {"adapter: lora", "method=lora"},
        {"finetuning_type: full", "method=full"},
        {"lora_rank: 16\nlora_alpha: 32", "rank=16 lora_alpha=32"},
        {"lora_r: 4\nlora_target_modules: [q_proj, v_proj]", "rank=4 targets=q_proj+v_proj"},
        {"lora_target: all", "targets=all"},
        {"lora_target: q_proj,v_proj", "targets=q_proj,v_proj"},
        {"lora_target_linear: true", "targets=all-linear"},
        {"val_set_size: 0.05", "eval_split=0.05"},
        {"micro_batch_size: 2\nnum_epochs: 3\nsequence_len: 64",
         "batch_size=2 epochs=3 seq_len=64"},
        {"per_device_train_batch_size: 2", "per_device_train_batch_size=2"},
        {"optim: adamw_torch_fused", "optimizer=adamw"},
        {"optim: sgd", "optim=sgd"},
        {"lr_scheduler_type: constant_with_warmup", "schedule=constant"},
        {"bf16: true", "dtype=bf16"},
        {"torch_dtype: bfloat16\nbf16: true", "dtype=bf16"},
        {"bf16: auto", "dtype=auto"},
        {"train_on_inputs: false", "train_on_prompt=false"},
        {"assistant_only_loss: true", "train_on=assistant"},
        {"mask_history: true", "train_on=last"},
        {"dataset_text_field: content", "columns=text=content"},
        {"dataset_text_field: text\nstage: sft\nload_in_4bit: false\nfp16: false", ""},
        {"max_steps: -1\nnum_train_epochs: 2", "num_train_epochs=2"},
        {"warmup_steps: 0\nwarmup_ratio: 0.1", "warmup_ratio=0.1"},
        {"warmup_steps: 0", "warmup_steps=0"},
        {"lr_scheduler_kwargs: {min_lr: 1e-6}\nlr_scheduler_type: cosine_with_min_lr",
         "min_lr=1e-06 schedule=cosine"},
        {"training: {micro-batch-size: 2, fp16: no}", "batch_size=2"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        becomes(rows[i][0], rows[i][1], NULL);
    hora_str_release(&said);
}

static void test_without_effect(void **state) {
    (void)state;
    becomes("report_to: none\nlr: 1", "lr=1", "report_to (logs are written to OUT");
    becomes("eval_strategy: steps\neval_steps: 5", "eval_steps=5", "eval_strategy (eval_steps");
    becomes("save_strategy: epoch\nwandb_project: x\ndataloader_num_workers: 4", "",
            "save_strategy (save_steps says when), wandb_project (nothing is sent anywhere), "
            "dataloader_num_workers");
    becomes("warmup_steps: 10\nwarmup_ratio: 0.1", "warmup_steps=10",
            "warmup_steps counts, as in transformers");
    becomes("datasets: [{path: a.jsonl, type: alpaca}, {path: b.jsonl, type: alpaca}]",
            "data=a.jsonl\nb.jsonl", "records are known by their keys");
    becomes("special_tokens: {pad_token: x}", "", "sequences are never padded");
    becomes("report_to:", "", NULL); /* not set */
    hora_str_release(&said);
}

static void test_refused(void **state) {
    (void)state;
    refused("stage: dpo", "recipe key `stage`: dpo has no counterpart here (sft has)");
    refused("adapter: llama-adapter", "llama-adapter has no counterpart here (lora, qlora has)");
    refused("roles_to_train: [user]", "user has no counterpart");
    refused("bf16: true\ndtype: f32", "`dtype`");
    refused("lora_r: 4\nrank: 8", "rank");
    refused("lr: 1\nlearning_rate: 2", "the same option, which is set twice");
    refused("lr_scheduler: cosine\nlr_scheduler_type: linear", "the same option");
    refused("datasets: [{path: a, field: text}]", "`field` has no counterpart");
    refused("train: {lr: 1}\nlr: 2", "set twice");
    /* left to whoever knows all options */
    hora_settings s;
    assert_ok(read(&s, "load_in_4bit: true\nfp16: true\nno_such_key: 1"));
    assert_int_equal(s.n, 3);
    hora_settings_release(&s);
    hora_str_release(&said);
}

static void test_structures(void **state) {
    (void)state;
    becomes("data: [a+b.jsonl, \"c,d.jsonl:2\"]", "data=a+b.jsonl\nc,d.jsonl:2", NULL);
    becomes("targets: [q, v]", "targets=q+v", NULL);
    becomes("rank_pattern: {q_proj: 4, \"layers.0.*\": 2}",
            "rank_pattern={\"q_proj\": 4, \"layers.0.*\": 2}", NULL);
    becomes("chat_kwargs: {enable_thinking: false, n: 123456789012345678901234567890}",
            "chat_kwargs={\"enable_thinking\": false, \"n\": 123456789012345678901234567890}",
            NULL);
    becomes("columns: {prompt: q}", "columns={\"prompt\": \"q\"}", NULL);
    becomes("methods:\n- {method: lora, rank_pattern: {q_proj: 4}}",
            "methods.0.method=lora methods.0.rank_pattern={\"q_proj\": 4}", NULL);
    refused("rank: {q: 4}\nmethods:\n- {method: lora, alpha: {q: 2}}", "nested too deep");
    hora_str_release(&said);
}

HORA_TESTS(unit_foreign, {"keys with a meaning", test_meaning, HORA_SHORT},
           {"keys without effect", test_without_effect, HORA_SHORT},
           {"keys that are refused", test_refused, HORA_SHORT},
           {"lists and mappings", test_structures, HORA_SHORT});
