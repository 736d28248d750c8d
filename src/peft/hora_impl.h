#ifndef HORA_PEFT_HORA_IMPL_H
#define HORA_PEFT_HORA_IMPL_H
/* State of method hora, shared by peft_hora.c (mathematics) and hora_native.c (its file). */
#include "peft/beside.h"
#include "peft/dora.h"

enum { HORA_TARGETS = 4 }; /* q k v o */
enum { HORA_GEN_HORA, HORA_GEN_REP, HORA_GEN_FREE };

typedef struct hora_cfg {
    int64_t rank, hidden, input; /* r, m, e */
    double alpha, dropout;
    int act, generator, magnitude; /* magnitude: a hora_dora_kind */
    bool share_qv, share_heads;
    hora_target_options target;
    hora_peft_config peft; /* ranks and targets as PEFT has them, for the files */
} hora_cfg;

typedef struct hora_first { /* inputs and first layers */
    hora_param *input_a, *input_b, *w1_a, *w1_b;
} hora_first;

typedef struct hora_block {
    int site[HORA_TARGETS];         /* index into base->sites; -1: not adapted */
    hora_first first[HORA_TARGETS]; /* share_qv: only [0] */
    hora_param *w2_a[HORA_TARGETS],
        *w2_b[HORA_TARGETS];                 /* generator free: the factors themselves */
    hora_t a[HORA_TARGETS], b[HORA_TARGETS]; /* of the recording in progress */
    void *value_a[HORA_TARGETS], *value_b[HORA_TARGETS],
        *value_m[HORA_TARGETS]; /* of the last materialise, adapter's dtype; m: with a magnitude */
    hora_dora dora[HORA_TARGETS];
} hora_block;

typedef struct hora_state {
    hora_block *block; /* per layer */
    int32_t *leaders;
} hora_state;

/* Callbacks of the row: PEFT's files and hora_state.safetensors beside them. */
bool hora_native_claims(const hora_method *m, const hora_foreign *f);
hora_status hora_native_configure(const hora_method *m, void *config, const hora_foreign *f);
hora_status hora_native_save(hora_adapter *a, const char *dir);
#endif
