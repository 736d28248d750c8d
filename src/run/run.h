#ifndef HORA_RUN_RUN_H
#define HORA_RUN_RUN_H
/*
 * A whole run: from settings (recipe, command line) to a finished output folder, as `hora train`
 * and `hora plan` need it. Opens model, tokenizer and data itself.
 *
 * OUT holds the adapter (last, or best when evaluating), checkpoint-N/, log.jsonl, log.csv, a
 * TensorBoard event file and recipe.yaml, the recipe as run.
 */
#include "comm/net.h"
#include "train/train.h"

typedef struct hora_run_config { /* filled from hora_run_options */
    char *model, *data, *eval_data, *method, *task, *out, *init_adapter;
    bool resume, overwrite, semantic_start, any_base;
    int64_t threads;      /* 0: all cores, of several ranks on a machine this one's share */
    int64_t comm_timeout; /* seconds that ranks wait for each other; 0: for ever */
    int quantize;         /* choice of HORA_QUANTIZE_NAMES */
    bool double_quant, quantize_cache;
    int64_t frames;      /* of clips for a model of pictures; 0: what it says */
    int frame_attention; /* HORA_FRAMES_AUTO .. */
} hora_run_config;
extern const hora_options hora_run_options;
/* The tables of a run without those of its method, for an array. */
#define HORA_RUN_OPTIONS                                                                           \
    &hora_run_options, &hora_train_options, &hora_data_options, &hora_adapter_options
/* Tables of a run for flags, help and hora_settings_finish: run, train, data, adapter, and the
 * options of `method` (NULL: none of them). Returns how many. */
#define HORA_RUN_TABLES 5
int hora_run_tables(const char *method, const hora_options *tables[HORA_RUN_TABLES]);
/* Members of a recipe as settings, with the tables of a run and of every method; keys of other
 * trainers become ours (foreign.h). */
hora_status hora_run_settings(hora_settings *s, const hora_json *recipe, const char *origin);

typedef enum {
    HORA_RUN_PLANNED, /* report */
    HORA_RUN_DATA,    /* text: what was read */
    HORA_RUN_STEP,    /* step */
    HORA_RUN_EVAL,    /* eval */
    HORA_RUN_SAVED,   /* text: path */
    HORA_RUN_END      /* text: where the result is */
} hora_run_event_kind;
typedef struct hora_run_event {
    hora_run_event_kind kind;
    const hora_train_report *report;
    const hora_step_info *step;
    const hora_eval_info *eval;
    int64_t steps;      /* of the whole run */
    int64_t log_every;  /* of the configuration */
    double seconds;     /* since the first step of this run */
    int64_t first_step; /* steps taken before this run (resumed) */
    const char *text;
} hora_run_event;
typedef struct hora_run_hooks {
    void (*event)(void *user, const hora_run_event *e); /* NULL: quiet */
    void *user;
    volatile int *stop; /* a signal handler sets it to 1; NULL: never */
    hora_comm *comm;    /* the ranks that train together; NULL: one alone */
} hora_run_hooks;
/* An `event` that prints progress to stderr: one line kept up to date on a terminal, plain lines
 * elsewhere. `user` is a zeroed hora_progress. */
typedef struct hora_progress {
    bool started, terminal, open_line;
    double last, average;
} hora_progress;
void hora_progress_event(void *user, const hora_run_event *e);
/* Makes a line of fields, two blanks apart, shorter than `columns`: one field after the other goes,
 * the least important first, then the end is cut. */
void hora_progress_fit(char *line, size_t columns);

typedef struct hora_run_result {
    hora_train_report report;
    hora_training_status status;
    hora_step_info last;
    hora_eval_info first_eval, last_eval; /* step -1: none; without what is of one class */
    double seconds;
    int64_t averaged; /* steps of this run behind each of the two means: a tenth of them */
    double first_mean, last_mean;
} hora_run_result;

/* With `resume` set in the settings (or OUT as the only one), the recipe of OUT comes first and the
 * settings must not contradict its checkpoint. Returns HORA_EINTERRUPTED when stopped: a checkpoint
 * is there and the text says how to go on. */
hora_status hora_run_train(hora_settings *s, const hora_run_hooks *hooks, hora_run_result *result);
/* The result as JSON: steps, losses, numbers, seconds. */
hora_json *hora_run_summary(const hora_run_result *r);
/* The report alone; reads headers and data, takes no arena. HORA_ENOMEM (with `report` filled) when
 * it cannot fit. dump: the schedule of the training graph, may be NULL. */
hora_status hora_run_plan(hora_settings *s, hora_train_report *report, hora_str *dump);
/* What so many ranks over a network would make of the run: rows for 1, 2, 4 .. ranks, as text and
 * as JSON (owned by the caller). */
hora_json *hora_run_scaling(const hora_train_report *r, const hora_link *net, int ranks,
                            hora_str *text);
/* Writes the options of `n` tables as one flat object of typed values. */
hora_json *hora_run_recipe(const hora_options *const *tables, const void *const *objects, int n);
#endif
