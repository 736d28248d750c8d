#ifndef HORA_MODEL_VIT_NAMES_H
#define HORA_MODEL_VIT_NAMES_H
/*
 * What the kinds of Vision Transformers call their modules, in each release, and how else they
 * differ. '#' stands for the layer's number, '@' for the model's own prefix.
 */
#include "nn/base.h"

enum { VIT_OLDER = 2 };

typedef struct vit_names {
    const char *name; /* as transformers 5 has it; NULL: this kind has none */
    const char *older[VIT_OLDER];
    const char *bias;        /* another name of its bias */
    const char *fused;       /* the module that holds it, part `part` of `parts` */
    const char *older_fused; /* the same in older files alone */
    int part, parts;
} vit_names;

typedef struct vit_kind {
    const char *type; /* model_type */
    const char *prefix, *head, *act;
    const char *taught[2]; /* heads of class and distillation token, whose mean counts; NULL */
    double eps;
    int64_t image, patch; /* defaults */
    bool timm, video, distilled, registers;
    bool flat;      /* CLIP: token and positions without leading dimensions, no bias of pieces */
    bool joined;    /* the head reads class token and mean */
    bool mean;      /* the head reads the mean of the pieces */
    bool antialias; /* of interpolated positions */
    vit_names token[2], register_tokens, patches, positions, pre_norm, final_norm;
    vit_names norm[2], scale[2], site[HORA_SITES];
    const char *unused[8]; /* beginnings of tensors that nothing reads */
} vit_kind;

const vit_kind *hora_vit_kind_of(const char *type); /* NULL when absent */
/* A name with prefix and number put in, and `end` behind it; new string. */
char *hora_vit_name(const hora_base *b, const char *pattern, int layer, const char *end);
/* timm's config.json in transformers' words: model_args, or what the architecture's name says. */
hora_status hora_vit_timm_config(hora_json **out, const hora_json *config);
#endif
