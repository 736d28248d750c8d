#ifndef HORA_FORMAT_JAX_VIT_H
#define HORA_FORMAT_JAX_VIT_H
/*
 * A checkpoint of the ViT paper's authors (JAX, .npz) as the Hugging Face directory it would be:
 * config.json out of the shapes of its arrays, tensors under their names and in their layout there
 * (kernels are (in, out) in JAX, heads a dimension of their own). Families and everything behind
 * them need not know the difference.
 * Source: github.com/google-research/vision_transformer, vit_jax/models_vit.py and checkpoint.py.
 */
#include "base/json.h"
#include "format/npz.h"

/* config.json of a ViT; new. HORA_EUNSUPPORTED for an archive that holds another model. */
hora_status hora_jax_vit_config(hora_json **out, const char *path);
#endif
