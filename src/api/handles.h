#ifndef HORA_API_HANDLES_H
#define HORA_API_HANDLES_H
/* What stands behind the handles of hora.h. Shared by the files of this room and the tool, seen
 * by nobody else. */
#include "base/options.h"
#include "base/outdir.h"
#include "data/data.h"
#include "infer/forward.h"
#include "infer/generate.h"
#include "model/family.h"
#include "peft/peft.h"
#include "run/open.h"
#include "run/run.h"
#include "train/train.h"

extern const hora_options hora_model_options;

struct hora_model {
    hora_opened opened; /* tokenizer and template when first asked for */
    hora_base *base;    /* its */
    hora_device *device;
    hora_adapter **adapters; /* in attach order */
    int n, cap;
    void **merged; /* blocks that replaced weights, hora_free */
    int nmerged, cmerged;
    char **loaded; /* adapter folders, owned: an export must not touch them */
    int nloaded, cloaded;
};

struct hora_data {
    hora_dataset *set;
    hora_data_config config;
};

/* adapter: folder that will be loaded, or NULL. */
hora_status hora_model_open_with(hora_model **out, const char *dir, hora_settings *s,
                                 const char *adapter);
/* The tokenizer beside the model (and *tmpl, which may become NULL or be NULL), borrowed. */
hora_status hora_model_tokenizer(hora_model *m, const hora_tokenizer **tok,
                                 const hora_template **tmpl);
hora_status hora_model_attach(hora_adapter **out, hora_model *m, const char *method,
                              hora_settings *s);
hora_status hora_model_load_adapter(hora_adapter **out, hora_model *m, const char *dir,
                                    const char *prefer);
/* A folder of adapters, and how much of them counts. */
typedef struct hora_adapter_source {
    char *dir;
    char *only; /* of those of tasks: this one; NULL: all */
    double weight;
} hora_adapter_source;
/* All that lie in the folder together. several: others were or will be given, so that they are
 * called by their folders. */
hora_status hora_model_load_adapters(hora_model *m, const hora_adapter_source *from,
                                     const char *prefer, bool several);
/* A pass of the model with its adapters on its device: what it gives is for the caller to ask. */
hora_forward hora_model_forward(const hora_model *m);
/* Data sequences of `path` as the settings say. seq_len that nobody set is at most the model's. */
hora_status hora_model_data(hora_data **out, hora_model *m, const char *path, hora_settings *s);

struct hora_trainer {
    hora_training *t;
    hora_model *m;
    hora_step_info last;
    int64_t batch_size;
    bool prepared;
};

/* The options of hora_predictor_new, and the same from settings. */
extern const hora_options hora_predictor_options;
hora_status hora_predictor_new_with(hora_predictor **out, hora_model *m, hora_settings *s);
/* hora_generate with the model's stop tokens (chat: the template's turn end too); g->sampling and
 * g->tokenizer are set by the caller. */
hora_status hora_predictor_run(hora_predictor *p, const int32_t *prompt, size_t n,
                               hora_generation *g, bool chat);
/* Bytes of keys and values, or latents, for the whole context; 0: no cache, or nothing was made. */
size_t hora_predictor_cache(const hora_predictor *p);
/* A model directory, whole or not at all; companions: directory to copy those files from, or NULL;
 * in: what must survive (base/outdir.h). dtype HORA_DTYPE_OTHER: dtypes and shards of the source
 * (hora_base_save_like). */
hora_status hora_write_model(const hora_base *b, const char *dir, float *const *replace,
                             hora_dtype dtype, const char *companions, bool overwrite,
                             const hora_input *in, int n);
/* Option text as settings, released by the caller also after a failure. */
hora_status hora_settings_of(hora_settings *s, const char *options);
/* Refuses what nobody took and releases the settings; a status that failed before wins. */
hora_status hora_settings_done(hora_status st, hora_settings *s, const hora_options *const *tables,
                               int n);
#endif
