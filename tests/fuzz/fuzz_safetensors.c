/* One safetensors file: what opens may be read to its last byte. */
#include "format/safetensors.h"
#include "fuzz.h"

HORA_FUZZ(safetensors) {
    hora_st *st;
    uint64_t bytes = 0, sum = 0;
    const hora_status s = hora_st_open(&st, hora_fuzz_file("x.safetensors", data, n));
    must((s == HORA_OK) == (st != NULL));
    must_say(s, "x.safetensors");
    must_say(s, "; ");
    if (s)
        return false;
    for (int i = 0; i < hora_st_count(st); i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        must(hora_st_find(st, t->name) == t);
        for (uint64_t k = 0; k < t->bytes; k++)
            sum += ((const unsigned char *)t->view.data)[k];
        must(t->view.dtype == HORA_DTYPE_OTHER || hora_view_bytes(&t->view) == t->bytes);
        bytes += t->bytes;
    }
    must(bytes < n && sum <= 255 * bytes);
    for (int i = 0; i < hora_st_meta_count(st); i++) {
        const char *key, *value;
        hora_st_meta_at(st, i, &key, &value);
        must(hora_st_meta(st, key) && value);
    }
    (void)hora_st_hash(st);
    hora_st_close(st);
    return true;
}
