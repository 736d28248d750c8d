/* The files of a run: lists taken apart, folders, what stands against each other. */
#include "run/run_data.h"

#include "base/log.h"
#include "base/text.h"

/* Evaluation data that folders hold: valid.jsonl beside train.jsonl. */
static hora_status of_folders(hora_run_files *f, const hora_run_config *run,
                              const hora_data_config *data) {
    char *found = NULL;
    HORA_TRY(hora_data_resolve(&found, run->data, HORA_DATA_VALID, true));
    if (!found)
        return HORA_OK;
    if (run->eval_data || data->eval_split > 0) {
        hora_str_printf(&f->said, "%s is not used: %s says what is", found,
                        run->eval_data ? "eval_data" : "eval_split");
        hora_free(found);
        return HORA_OK;
    }
    hora_str_printf(&f->said, "evaluation data: %s", found);
    f->eval = found;
    return HORA_OK;
}

static hora_status add_paths(hora_run_files *f, const char *list) {
    char **paths;
    int n;
    if (!list)
        return HORA_OK;
    HORA_TRY(hora_data_paths(list, &paths, &n));
    f->paths = hora_realloc(f->paths, (size_t)(f->npaths + n + 1) * sizeof *f->paths);
    for (int i = 0; i < n; i++)
        f->paths[f->npaths++] = paths[i];
    hora_free(paths);
    return HORA_OK;
}

static hora_status find(hora_run_files *f, const hora_run_config *run,
                        const hora_data_config *data) {
    if (run->data) {
        HORA_TRY(hora_data_resolve(&f->train, run->data, HORA_DATA_TRAIN, false));
        HORA_TRY(of_folders(f, run, data));
    }
    if (run->eval_data)
        HORA_TRY(hora_data_resolve(&f->eval, run->eval_data, HORA_DATA_VALID, false));
    HORA_TRY(add_paths(f, f->train));
    f->ntrain = f->npaths;
    HORA_TRY(add_paths(f, f->eval));
    if (hora_data_reads_input(f->train) && hora_data_reads_input(f->eval))
        return hora_fail(HORA_EUSAGE, "data and eval_data are both to come from standard input, "
                                      "which can be read once only; write one to a file");
    return HORA_OK;
}

void hora_run_files_find(hora_run_files *f, const hora_run_config *run,
                         const hora_data_config *data) {
    *f = (hora_run_files){0};
    f->status = find(f, run, data);
    if (!f->status)
        return;
    f->error = hora_strdup(hora_errmsg());
    const char *lists[] = {run->data, run->eval_data};
    for (size_t i = 0; i < HORA_COUNT(lists); i++) { /* to be protected all the same */
        int n = f->npaths, cap = n;
        for (char *word; (word = hora_list_word(&lists[i], "\n"));)
            HORA_PUSH(f->paths, n, cap, word);
        f->npaths = n;
        f->ntrain = i ? f->ntrain : n;
    }
}

void hora_run_files_as_named(hora_run_files *f, const hora_run_config *run) {
    hora_free(f->train);
    hora_free(f->eval);
    f->train = run->data ? hora_strdup(run->data) : NULL;
    f->eval = run->eval_data ? hora_strdup(run->eval_data) : NULL;
    f->status = HORA_OK;
    f->said.n = 0;
}

hora_status hora_run_files_found(const hora_run_files *f) {
    return f->status ? hora_fail(f->status, "%s", f->error) : HORA_OK;
}

void hora_run_files_release(hora_run_files *f) {
    hora_free(f->train);
    hora_free(f->eval);
    hora_list_free(f->paths, f->npaths);
    hora_str_release(&f->said);
    hora_free(f->error);
    *f = (hora_run_files){0};
}

static hora_status named_again(const char *given, const char *recorded, const char *flag) {
    if (given || !hora_data_reads_input(recorded))
        return HORA_OK;
    return hora_fail(HORA_EUSAGE,
                     "resume: this run read its data from standard input, so they have to be given "
                     "again, the same: %s FILE, or %s - and a pipe (they are compared)",
                     flag, flag);
}

hora_status hora_run_files_resumable(const hora_run_config *given, const hora_run_config *run) {
    HORA_TRY(named_again(given->data, run->data, "--data"));
    return named_again(given->eval_data, run->eval_data, "--eval-data");
}

void hora_run_files_compare(const hora_dataset *train, const hora_dataset *eval) {
    hora_data_part_info a, b;
    for (int i = 0; eval && hora_data_part_at(eval, i, &a); i++)
        for (int k = 0; hora_data_part_at(train, k, &b); k++)
            if (a.hash == b.hash)
                hora_warn("%s is evaluation data, and %s, which is trained on, holds the same: the "
                          "evaluation says nothing about new data",
                          a.path, b.path);
}
