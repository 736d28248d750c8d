/* One .npz archive: what its directory says of each array lies in the file, and every array is read
 * to its last element; then the same as a JAX checkpoint. */
#include "format/npz.h"

#include "format/safetensors.h"
#include "fuzz.h"

enum { MOST = 1 << 16 };

static void read_array(const hora_npz *z, const hora_npz_array *a, size_t n) {
    const hora_view v = {NULL, a->dtype, a->shape};
    must(hora_npz_find(z, a->name));
    must(a->at <= n && a->bytes <= n - a->at);
    if (a->dtype == HORA_DTYPE_OTHER || hora_elems(&v) > MOST)
        return;
    float *out = hora_malloc((size_t)hora_elems(&v) * sizeof *out + 1);
    must_say(hora_npz_read(z, a, out), "x.npz");
    hora_free(out);
}

HORA_FUZZ(npz) {
    hora_npz *z;
    hora_st *st;
    const char *path = hora_fuzz_file("x.npz", data, n);
    const hora_status s = hora_npz_open(&z, path);
    must((s == HORA_OK) == (z != NULL));
    must_say(s, "x.npz");
    if (s)
        return false;
    for (int i = 0; i < hora_npz_count(z); i++)
        read_array(z, hora_npz_at(z, i), n);
    hora_npz_close(z);
    if (hora_npz_is(path)) {
        must_say(hora_st_open_model(&st, path), "x.npz");
        uint64_t hash = st ? hora_st_hash(st) : 1;
        must(hash);
        hora_st_close(st);
    }
    return true;
}
