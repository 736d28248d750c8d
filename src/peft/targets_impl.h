#ifndef HORA_PEFT_TARGETS_IMPL_H
#define HORA_PEFT_TARGETS_IMPL_H
/* Parts of module paths, for the files of targets.h. */
#include "base/text.h"

/* "q_proj" of "model.layers.0.self_attn.q_proj" */
static inline const char *hora_target_last(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* The path is the name, or ends in it behind a dot. */
static inline bool hora_target_ends(const char *path, const char *name) {
    const size_t n = strlen(path), k = strlen(name);
    return hora_eq(path, name) || (k < n && path[n - k - 1] == '.' && hora_eq(path + n - k, name));
}
#endif
