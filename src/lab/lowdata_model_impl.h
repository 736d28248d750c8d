#ifndef HORA_LAB_LOWDATA_MODEL_IMPL_H
#define HORA_LAB_LOWDATA_MODEL_IMPL_H
/* Shared by lowdata_model.c (trainings) and lowdata_model_report.c (what comes out of them). */
#include "base/outdir.h"
#include "lab/lowdata_model.h"

enum {
    HORA_LOWDATA_STUDENTS = 12,
    HORA_LOWDATA_SIZES = 16,
    HORA_LOWDATA_RATES = 16,
    HORA_LOWDATA_LORA = 0, /* rows of the two that the claim is about */
    HORA_LOWDATA_EQUAL = 1
};

typedef struct hora_lowdata_student {
    const char *name, *method;
    char options[64];   /* "rank=4,hidden=4" */
    int64_t parameters; /* stored numbers that train */
} hora_lowdata_student;

typedef struct hora_lowdata_run { /* one training */
    bool done;
    double val_loss, eval_loss, bits_per_byte; /* NaN: the training blew up */
    double seconds, steps_per_s, bytes;        /* bytes: what the training took, as planned */
} hora_lowdata_run;

typedef struct hora_lowdata_grid { /* every run of the experiment */
    const hora_lowdata_model_config *config;
    hora_lowdata_student student[HORA_LOWDATA_STUDENTS];
    int64_t n[HORA_LOWDATA_SIZES], train[HORA_LOWDATA_SIZES], steps[HORA_LOWDATA_SIZES];
    double rate[HORA_LOWDATA_RATES];
    int students, sizes, rates, seeds;
    int64_t sequences, eval_sequences; /* of the whole data; of the evaluation set */
    double base_loss;                  /* of the model as it is, on the evaluation set */
    hora_lowdata_run *run;             /* (students, sizes, rates, seeds) */
} hora_lowdata_grid;
static inline hora_lowdata_run *hora_lowdata_at(const hora_lowdata_grid *g, int student, int size,
                                                int rate, int seed) {
    return &g->run[((student * g->sizes + size) * g->rates + rate) * g->seeds + seed];
}
/* Report as JSON and text; files into dir (begun) when it is not NULL. */
hora_status hora_lowdata_report(const hora_lowdata_grid *g, hora_outdir *dir, hora_json **out,
                                hora_str *table);
#endif
