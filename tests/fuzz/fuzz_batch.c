/* Batches of other programs for `hora forward`: JSON; safetensors where the first byte is odd. */
#include "base/file.h"
#include "fuzz.h"
#include "infer/forward.h"

HORA_FUZZ(batch) {
    hora_forward_batch b;
    if (!n)
        return false;
    const char *path = hora_fuzz_file(data[0] & 1 ? "b.safetensors" : "b.json", data + 1, n - 1);
    const hora_status s = hora_forward_batch_load(&b, path);
    must_say(s, hora_path_base(path));
    if (s)
        return false;
    int64_t sum = 0;
    for (int64_t i = 0; i < b.b * b.t; i++)
        sum += b.ids[i] & (b.mask ? b.mask[i] : 1);
    for (int64_t i = 0; b.labels && i < b.b * b.per; i++)
        sum += b.labels[i] == b.labels[i];
    must(sum >= -INT64_MAX);
    hora_forward_batch_release(&b);
    return true;
}
