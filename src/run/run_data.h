#ifndef HORA_RUN_RUN_DATA_H
#define HORA_RUN_RUN_DATA_H
/* Which files a run reads: found and checked before anything is opened. */
#include "base/outdir.h"
#include "run/run.h"

typedef struct hora_run_files {
    char *train, *eval; /* lists as hora_dataset_open takes them; NULL: none */
    char **paths;       /* of both, one by one */
    int npaths;
    int ntrain; /* of those: training data */
    hora_str said;
    hora_status status; /* of finding them, and what was wrong */
    char *error;
} hora_run_files;

/* A folder among the training data brings its evaluation data, unless others are named. What cannot
 * be found is said by _found, behind what is refused without looking at data. */
void hora_run_files_find(hora_run_files *f, const hora_run_config *run,
                         const hora_data_config *data);
hora_status hora_run_files_found(const hora_run_files *f);
/* Sets of pictures are folders and archives: what was named is what is opened. */
void hora_run_files_as_named(hora_run_files *f, const hora_run_config *run);
void hora_run_files_release(hora_run_files *f);
/* A run that read standard input goes on only where the data are named again: nothing else says
 * where they are. `given`: what stands beside resume; `run`: with the recipe of the run. */
hora_status hora_run_files_resumable(const hora_run_config *given, const hora_run_config *run);
/* Warns when evaluation data are training data. */
void hora_run_files_compare(const hora_dataset *train, const hora_dataset *eval);
#endif
