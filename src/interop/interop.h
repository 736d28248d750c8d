#ifndef HORA_INTEROP_INTEROP_H
#define HORA_INTEROP_INTEROP_H
/*
 * Files for other programs. One file export_x.c, one row EXPORTER(x) in exporters.def; `hora export
 * --to` takes its choices from the rows.
 */
#include "format/safetensors.h"
#include "peft/peft.h"
#include "token/tokenizer.h"

typedef struct hora_export {
    const hora_base *base; /* with its data where the row is `whole` */
    hora_adapter *const *adapters;
    int n;
    hora_dtype dtype; /* of matrices in a whole model; HORA_DTYPE_OTHER: the exporter's choice */
    const hora_tokenizer *tokenizer; /* where the row is `whole` */
    const char *note;                /* one line about where it comes from, for model cards */
    /* An object that gets what `write` made: "rank", "enough", "modules", "magnitudes" of a LoRA, or "dtype" of a
     * whole model's matrices; NULL: nobody asks. */
    hora_json *made;
} hora_export;

typedef struct hora_exporter {
    const char *name; /* "gguf-lora" */
    const char *summary;
    bool file;  /* one file, not a folder */
    bool whole; /* the model with its adapters merged in, not the adapter */
    /* Refuses what `write` would, before anything is written; NULL: nothing to refuse. */
    hora_status (*check)(const hora_export *x);
    /* Into an existing, empty folder; or the file `path`, atomic. */
    hora_status (*write)(const hora_export *x, const char *path);
} hora_exporter;

int hora_exporter_count(void);
const hora_exporter *hora_exporter_at(int i);
const hora_exporter *hora_exporter_named(const char *name); /* NULL when there is none */
#define HORA_EXPORTER_NAMES                                                                        \
    "peft"                                                                                         \
    " mlx"                                                                                         \
    " gguf-lora"                                                                                   \
    " gguf"

/* --- what adapter formats are made of --------------------------------------------------------- */
/* W' = W + B A of one site, the scale folded into B; with a magnitude its rows are stretched to
 * that norm (DoRA). Several adapters on one site: ranks one after another, which is their exact
 * sum. */
typedef struct hora_flat {
    int site;         /* index into base->sites */
    int64_t rank;     /* 0: nothing is here */
    float *a, *b;     /* (rank, in), (out, rank) */
    float *magnitude; /* (out); NULL: none */
} hora_flat;
/* Sites of the base, its two ends (embedding, head) among them. */
static inline int hora_flat_sites(const hora_base *b) {
    return b->nsites + b->nends;
}
/* One entry per site and end of the base. HORA_EUNSUPPORTED for an adapter that is more than this:
 * a method without factors whose change has no low rank either, weights or rows of the embedding
 * trained whole, biases (lora_bias), magnitudes below another adapter. */
hora_status hora_flat_of(hora_flat **out, const hora_export *x);
/* The same, but weights trained whole that are modules of modules_to_save (a new head) are no
 * obstacle: hora_flat_write_peft writes them beside. */
hora_status hora_flat_of_saved(hora_flat **out, const hora_export *x);
/* Puts rank and number of modules of what is written into x->made, and the rank that would be
 * enough: no matrix has more than its smaller side. */
void hora_flat_say(const hora_flat *f, const hora_export *x);
/* The part of either that looks at whole adapters with factors: before the work. */
hora_status hora_flat_only(const hora_export *x, bool saved);
/* Rank at most of what the adapters together add to a weight, where one of them has no factors; 0:
 * none is known. Call hora_adapter_materialise first. */
int64_t hora_flat_change_rank(const hora_export *x);
/* The first adapter that has neither factors nor a change of known rank; -1: all have. */
int hora_flat_unranked(const hora_export *x);
/* What a merge adds to each weight, its n largest singular values. `list` gets what is left out
 * (hora_flat_say_cut); NULL: nobody asks. HORA_EUNSUPPORTED where it changes more than sites. */
hora_status hora_flat_of_change(hora_flat **out, const hora_export *x, int64_t n, hora_json *list);
/* Takes b (out, rank) and a (rank, in) in. */
void hora_flat_put(hora_flat *f, const hora_site *s, int64_t rank, const double *b,
                   const double *a);
/* {name, rank, norm, left, error} of a site of which `left` is left out; norms. */
void hora_flat_say_cut(hora_json *list, const hora_site *s, int64_t rank, double left, double all);
/* Weight w is trained whole, as a module that PEFT saves beside its factors. */
bool hora_flat_saves(const hora_export *x, int w);
/* The first weight that adapter k trains whole and that no LoRA could change, as it changes
 * projections alone; -1: none. */
int hora_flat_beyond(const hora_export *x, int k);
/* Writes it into the existing folder as PEFT's plainest LoRA, ranks padded to one, with the modules
 * that the adapters train whole and a model card; what is written is read back. */
hora_status hora_flat_write_peft(hora_flat *f, const hora_export *x, const char *dir);
/* Reads another program's adapter for this base: a GGUF LoRA, an MLX-LM folder. A tensor that the
 * base has no place for is HORA_EMISMATCH. */
hora_status hora_flat_read_gguf(hora_flat **out, const hora_base *b, const char *path);
hora_status hora_flat_read_mlx(hora_flat **out, const hora_base *b, const char *dir);
/* W' of each site into w, an entry per base weight, NULL at first: new blocks of f32, to free with
 * hora_free. */
hora_status hora_flat_apply(const hora_flat *f, const hora_base *b, float **w);
void hora_flat_free(hora_flat *f, const hora_base *b);          /* accepts NULL */
int64_t hora_flat_rank(const hora_flat *f, const hora_base *b); /* the largest */
/* Rank raised to `rank` by rows of zeros in A and columns of zeros in B. */
void hora_flat_pad(hora_flat *f, const hora_site *s, int64_t rank);
#endif
