#ifndef HORA_FORMAT_HF_CONFIG_H
#define HORA_FORMAT_HF_CONFIG_H
/*
 * config.json and generation_config.json of Hugging Face directories, brought to one spelling, that
 * of transformers 4:
 *
 *   rope_parameters {..} (transformers 5)    rope_theta and partial_rotary_factor move to the top,
 *                                            the rest becomes rope_scaling
 *   dtype                                    torch_dtype
 *   rope_scaling {"type": ..}                "rope_type"; of type "default": null
 *
 * After loading there is no rope_parameters and no dtype; rope_scaling is an object with rope_type,
 * null, or absent. All other keys stay as they are, in their order. What the keys mean is the model
 * family's business. Source: transformers 5, modeling_rope_utils.py (RotaryEmbeddingConfigMixin).
 */
#include "base/json.h"

/* A folder's config.json, or the file itself. HORA_ENOTFOUND when there is none, HORA_EUNSUPPORTED
 * for rotary parameters per kind of layer. The caller frees *out. */
hora_status hora_hf_config_load(hora_json **out, const char *dir_or_file);
/* The same for a parsed object; `*out` is new, `config` stays the caller's. */
hora_status hora_hf_config_normalize(hora_json **out, const hora_json *config);
/* eos ids: generation_config.json's, else config.json's; a number or a list. *n is how many were
 * written; more than cap is an error, since a lost stop token would go unnoticed. Missing files or
 * keys: n = 0. */
hora_status hora_hf_eos_ids(const char *dir, int32_t *ids, int cap, int *n);
#endif
