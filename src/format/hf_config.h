#ifndef HORA_FORMAT_HF_CONFIG_H
#define HORA_FORMAT_HF_CONFIG_H
/* config.json and generation_config.json of Hugging Face directories, brought to one spelling:
 * transformers 5's `rope_parameters` becomes rope_theta and rope_scaling, `dtype` becomes
 * torch_dtype, "type" inside rope_scaling becomes "rope_type"; a rope_scaling of type "default"
 * becomes null. What the keys mean is the model family's business. */
#include "base/json.h"

hora_status hora_hf_config_load(hora_json **out, const char *dir_or_file);
/* eos ids: generation_config.json's, else config.json's; a number or a list. Writes up to cap; *n
 * is how many. Missing files: n = 0. */
hora_status hora_hf_eos_ids(const char *dir, int32_t *ids, int cap, int *n);
#endif
