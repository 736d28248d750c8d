#ifndef HORA_RUN_RUN_IMPL_H
#define HORA_RUN_RUN_IMPL_H
/* A run in progress: run.c opens and ends it, run_loop.c is its steps and what they leave. */
#include "run/methods.h"
#include "run/open.h"
#include "run/run.h"
#include "run/run_data.h"
#include "run/train_log.h"

typedef struct run {
    hora_comm *comm;   /* NULL: one alone */
    bool leads;        /* rank 0: the one that writes */
    int64_t saved;     /* step of the last checkpoint of this run or before; -1: none */
    hora_settings all; /* recipe of OUT when resuming, then what was given */
    hora_run_config run;
    hora_train_config train;
    hora_data_config data;
    hora_run_files files;
    const hora_run_hooks *hooks;
    hora_opened opened;
    char *init_home;  /* where the files of init_adapter lie together; NULL: not asked for */
    char **init_from; /* the folder of each adapter's first values; NULL: drawn */
    hora_run_methods methods;
    hora_dataset *set, *eval_set;
    hora_training *training;
    hora_train_log *log;
    hora_outdir *out;
    double started;
    int64_t first_step;
    bool config_alone; /* a plan needs no weights */
    double *losses;    /* of the steps of this run */
    int nlosses, losses_cap;
    hora_run_result result;
} run;

void hora_run_tell(run *r, hora_run_event_kind kind, const char *text);
/* Steps, evaluations and checkpoints until the run ends or is stopped. */
hora_status hora_run_loop(run *r);
/* The result in OUT, of the best evaluation where there was one. */
hora_status hora_run_finish(run *r);
/* The means of the first and the last losses, for the summary. */
void hora_run_average(run *r);
/* What several ranks lose when one of them fails, and how they go on, is added to the failure. */
void hora_run_add_way_on(void *r, hora_status why);
#endif
