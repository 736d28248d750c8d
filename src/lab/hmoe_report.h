#ifndef HORA_LAB_HMOE_REPORT_H
#define HORA_LAB_HMOE_REPORT_H
/*
 * The report of `hora theory hmoe`: layers go in one by one; JSON, a table for people, CSV files,
 * pictures and tensors come out.
 */
#include "base/options.h"
#include "base/outdir.h"
#include "lab/hmoe_source.h"

typedef struct hora_hmoe_config { /* filled from hora_hmoe_options */
    char *case_file, *text, *layers, *out;
    int64_t random, tokens, sequences, queries, seed; /* random 0: --text */
    bool overwrite;
    hora_input in[4]; /* what must survive, set by the caller */
    int nin;
} hora_hmoe_config;
extern const hora_options hora_hmoe_options;

/* Refuses before the work what could not be written. */
hora_status hora_hmoe_out_ready(const hora_hmoe_config *c);

/* HORA_ENOMEM when a layer of these sizes would not fit: gates are a square of the tokens. */
hora_status hora_hmoe_fits(const hora_hmoe_config *c, const hora_hmoe_layer *l);

typedef struct hora_hmoe_report hora_hmoe_report;
/* `facts` describe the run (model, adapter, tokens ..) and become the head of the JSON. */
hora_hmoe_report *hora_hmoe_report_new(const hora_hmoe_config *c, hora_json *own_facts);
void hora_hmoe_report_free(hora_hmoe_report *r); /* accepts NULL */
/* Evaluates and diagnoses a layer. layer -1: of a case file. engine (seqs, n, d): what the engine
 * gave, which should agree to `tolerance` of the largest |y|; NULL: none. */
hora_status hora_hmoe_report_layer(hora_hmoe_report *r, const hora_hmoe_source *s, int layer,
                                   const double *engine, double tolerance);
/* Writes the files; *out (owned by the caller) and `table` get the report. They are filled also
 * when a computation turns out to be wrong: HORA_ENUMERIC. */
hora_status hora_hmoe_report_finish(hora_hmoe_report *r, hora_json **out, hora_str *table);

/* hmoe_pictures.c: data, scripts and pictures of one layer, `label` "layer 3" or "case", files
 * NAME_`tag`.*; and of all layers (the last is layers - 1), when there are
 * several. *drawn: gnuplot was there. */
hora_status hora_hmoe_pictures(hora_outdir *dir, const char *label, const char *tag,
                               const hora_hmoe_layer *l, const hora_hmoe_plain *before,
                               const hora_hmoe_plain *after, const hora_hmoe_values *v,
                               bool *drawn);
hora_status hora_hmoe_picture_layers(hora_outdir *dir, const hora_str *csv, int layers,
                                     bool *drawn);
#endif
