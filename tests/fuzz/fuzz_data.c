/* Data files: the first byte says which kind of file, the second how it is read and for which task.
 * What opens fills batches that keep their promises. */
#include "base/file.h"
#include "data/data.h"
#include "fuzz.h"
#include "task/task.h"

static const char *const names[] = {"a.jsonl", "a.json", "a.txt", "a.csv", "a.tsv"};
static const char *const tasks[] = {"causal", "sequence_classification", "token_classification",
                                    "regression"};
static const char source[] = "{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}"
                             "{% if add_generation_prompt %}assistant: {% endif %}";

static void promises(const hora_dataset *d, int32_t vocabulary) {
    const hora_data_info *info = hora_data_about(d);
    int64_t tokens = 0, rows = hora_min(info->sequences, 64);
    hora_batch b;
    must(info->sequences > 0);
    must(hora_batch_init(&b, 64, NULL) == HORA_OK);
    for (int64_t row = 0; row < rows; row++) {
        must(hora_data_fill(d, row, 1, info->sequences, false, &b) == HORA_OK);
        must(b.supervised == hora_data_supervised(d, row, 1, info->sequences, false));
        for (int64_t i = 0; i < b.rows; i++)
            must(b.ids[i] >= 0 && b.ids[i] < vocabulary && b.lo[i] >= 0 && b.hi[i] <= b.rows);
        tokens += b.tokens;
    }
    must(rows < info->sequences || tokens == info->tokens);
    hora_batch_release(&b);
    for (int64_t i = 0; i < hora_min(info->records, 16); i++) {
        hora_str s = {0};
        must(hora_data_show(d, i, &s) == HORA_OK);
        hora_str_release(&s);
    }
}

HORA_FUZZ(data) {
    static hora_tokenizer *tok;
    static hora_template *tmpl;
    hora_dataset *d = NULL, *e = NULL;
    hora_objective o;
    if (n < 2)
        return false;
    if (!tok) {
        must(hora_tokenizer_open(&tok, hora_fuzz_model()) == HORA_OK);
        must(hora_template_open(&tmpl, source, sizeof source - 1, "template") == HORA_OK);
    }
    const unsigned kind = (unsigned char)data[0], how = (unsigned char)data[1];
    const char *path = hora_fuzz_file(names[kind % HORA_COUNT(names)], data + 2, n - 2);
    const hora_data_config cfg = {.seq_len = how & 1 ? 3 : 40,
                                  .packing = how & 2,
                                  .shuffle = how & 4,
                                  .train_on_prompt = how & 8,
                                  .add_bos = how & 16,
                                  .skip_bad = how & 32,
                                  .eval_split = how & 64 ? 0.5 : 0};
    must(hora_objective_choose(&o, tasks[kind / 5 % HORA_COUNT(tasks)], NULL) == HORA_OK);
    const hora_status s = hora_dataset_open(&d, path, tok, tmpl, &cfg, &o.rule);
    must((s == HORA_OK) == (d != NULL));
    must_say(s, hora_path_base(path));
    if (d && !o.task->head) {
        promises(d, hora_tokenizer_size(tok));
        if (hora_data_split(d, &e) == HORA_OK && e)
            promises(e, hora_tokenizer_size(tok));
    }
    hora_dataset_close(d);
    hora_dataset_close(e);
    hora_objective_release(&o);
    return s == HORA_OK;
}
