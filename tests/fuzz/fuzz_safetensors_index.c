/* model.safetensors.index.json over two shards that are right. */
#include "format/safetensors.h"
#include "fuzz.h"

#include <stdio.h>

static void shard(const char *file, const char *name) {
    char path[512];
    const float v[2] = {1, 2};
    const hora_st_entry e = {name, {(void *)(uintptr_t)v, HORA_F32, HORA_SHAPE1(2)}, HORA_F32};
    snprintf(path, sizeof path, "%s/%s", hora_fuzz_dir(), file);
    must(hora_st_write(path, &e, 1, NULL, 0) == HORA_OK);
}

HORA_FUZZ(safetensors_index) {
    static bool made;
    hora_st *st;
    if (!made) {
        shard("a.safetensors", "a");
        shard("b.safetensors", "b");
        made = true;
    }
    hora_fuzz_file("model.safetensors.index.json", data, n);
    const hora_status s = hora_st_open_model(&st, hora_fuzz_dir());
    must((s == HORA_OK) == (st != NULL));
    must_say(s, "safetensors");
    must(s || hora_st_count(st) <= 2);
    hora_st_close(st);
    return s == HORA_OK;
}
