#ifndef HORA_RUN_INSPECT_H
#define HORA_RUN_INSPECT_H
/*
 * What is in a safetensors file, a model directory, an adapter directory or a checkpoint, as JSON
 * with a `kind`. Reads headers; tensors only where `heads` asks for the
 * diagnostics of heads.
 */
#include "base/json.h"
#include "nn/adapter.h"

/* `base_dir` (may be NULL): the base of an adapter, where its own configuration names none that
 * can be opened. The caller owns *out. */
hora_status hora_inspect(const char *path, const char *base_dir, bool heads, hora_json **out);

/* Diagnostics of the low-rank updates of an adapter with values, one object per site: singular
 * values and effective rank of Delta W, and per head the norm of its block, cosine similarity and
 * principal angles between the heads' blocks; hidden units of a generator that never fire. Owned
 * by the caller. */
hora_status hora_inspect_heads(hora_adapter *a, hora_json **out);
#endif
