/*
 * Files that hold many pictures: mapped, or unpacked where they are compressed, and what their
 * names say of that.
 */
#include "base/log.h"
#include "base/text.h"
#include "data/files_impl.h"
#include "data/images_impl.h"
#include "format/unpack.h"

void hora_images_file_release(hora_images_file *f) {
    hora_map_release(&f->map);
    hora_str_release(&f->own);
    hora_free(f->path);
}

hora_status hora_images_map(hora_images *s, const char *path, int64_t *file) {
    hora_images_file f = {.path = hora_strdup(path)};
    char size[32];
    hora_status st = hora_map_open(&f.map, path);
    if (st == HORA_OK)
        st = hora_refuse_pointer(path, f.map.data, f.map.n);
    f.data = f.map.data;
    f.n = f.map.n;
    if (st == HORA_OK && hora_unpack_kind(f.data, f.n)) {
        st = hora_bytes_unpack(path, f.data, f.n, &f.own);
        hora_map_release(&f.map);
        f.data = (const unsigned char *)f.own.s;
        f.n = f.own.n;
        if (st == HORA_OK)
            hora_info(
                "%s: unpacked in memory, %s; unpacked on the disk it would be read from there",
                path, hora_human_bytes(size, (double)f.n));
    }
    if (st != HORA_OK) {
        hora_images_file_release(&f);
        return st;
    }
    *file = (int64_t)s->nfiles;
    HORA_PUSH(s->files, s->nfiles, s->cfiles, f);
    return HORA_OK;
}

size_t hora_images_ending(const char *path, const char *const *endings, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (hora_ends(path, endings[i]))
            return strlen(endings[i]);
    return 0;
}

size_t hora_images_compressed(const char *path) {
    static const char *const endings[] = {".gz", ".zst"};
    return hora_images_ending(path, endings, HORA_COUNT(endings));
}

size_t hora_images_compressed_otherwise(const char *path) {
    static const char *const endings[] = {".xz", ".bz2", ".lz4", ".lzma", ".Z"};
    return hora_images_ending(path, endings, HORA_COUNT(endings));
}

bool hora_images_other_archive(const char *path) {
    static const char *const endings[] = {".zip", ".7z", ".rar", ".tbz", ".tbz2", ".txz"};
    char *inner = hora_strndup(path, strlen(path) - hora_images_compressed_otherwise(path));
    const bool tar = hora_ends(inner, ".tar") && !hora_eq(inner, path);
    hora_free(inner);
    return tar || hora_images_ending(path, endings, HORA_COUNT(endings));
}
