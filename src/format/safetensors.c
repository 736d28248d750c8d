/*
 * Reading safetensors: one file or the shards of a model. Owns mappings, parsed headers and the
 * name table. Everything a header claims is checked here, before any view exists, so that nobody
 * downstream needs to distrust a view: it lies inside its file, is aligned to its element, and no
 * two views share a byte. Specification: safetensors.h.
 */
#include "format/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "format/bnb.h"
#include "format/gguf_hf.h"
#include "format/npz.h"
#include "format/safetensors_impl.h"

#define DAMAGED    "; the file is damaged or mislabelled: fetch or write it again"
#define HASH_CHUNK ((size_t)16 << 20) /* pages touched before they are given back */

/* A header entry before the tensors are in the order of their bytes. */
typedef struct st_claim {
    hora_st_tensor t;
    int64_t begin, end;
} st_claim;

static const hora_st_dtype dtypes[] = {
    {"BOOL", 8, HORA_BOOL},
    {"F4", 4, HORA_DTYPE_OTHER},
    {"F6_E2M3", 6, HORA_DTYPE_OTHER},
    {"F6_E3M2", 6, HORA_DTYPE_OTHER},
    {"U8", 8, HORA_U8},
    {"I8", 8, HORA_I8},
    {"F8_E5M2", 8, HORA_F8_E5M2},
    {"F8_E4M3", 8, HORA_F8_E4M3},
    {"F8_E8M0", 8, HORA_DTYPE_OTHER},
    {"F8_E4M3FNUZ", 8, HORA_DTYPE_OTHER},
    {"F8_E5M2FNUZ", 8, HORA_DTYPE_OTHER},
    {"I16", 16, HORA_I16},
    {"U16", 16, HORA_U16},
    {"F16", 16, HORA_F16},
    {"BF16", 16, HORA_BF16},
    {"I32", 32, HORA_I32},
    {"U32", 32, HORA_U32},
    {"F32", 32, HORA_F32},
    {"C64", 64, HORA_DTYPE_OTHER},
    {"F64", 64, HORA_F64},
    {"I64", 64, HORA_I64},
    {"U64", 64, HORA_U64},
};

/* Row index by the name in the file; -1: not in the format. */
static int dtype_named(const char *name) {
    for (size_t i = 0; i < HORA_COUNT(dtypes); i++)
        if (hora_eq(dtypes[i].name, name))
            return (int)i;
    return -1;
}

int hora_st_dtype_row(hora_dtype t) {
    for (size_t i = 0; t != HORA_DTYPE_OTHER && i < HORA_COUNT(dtypes); i++)
        if (dtypes[i].dtype == t)
            return (int)i;
    return -1;
}

const hora_st_dtype *hora_st_dtype_at(int row) {
    return &dtypes[row];
}

/* --- one header ------------------------------------------------------------------------------- */

static hora_status read_shape(const hora_json *v, hora_shape *s, int64_t *elems) {
    size_t n = hora_json_len(v);
    if (hora_json_type(v) != HORA_JARRAY)
        return hora_fail(HORA_EFORMAT, "`shape` should be an array" DAMAGED);
    if (n > HORA_MAX_DIMS)
        return hora_fail(HORA_EUNSUPPORTED,
                         "has %zu dimensions and hora reads at most %d; reshape it before", n,
                         HORA_MAX_DIMS);
    /* Zeros count as one here: [0, 2^62, 8] holds nothing, but its rows would overflow. */
    hora_shape ones = {.n = (int)n};
    bool empty = false;
    s->n = (int)n;
    for (size_t i = 0; i < n; i++) {
        if (!hora_json_int(hora_json_at(v, i), &s->d[i]) || s->d[i] < 0)
            return hora_fail(HORA_EFORMAT, "`shape` should hold integers of 0 or more" DAMAGED);
        empty |= s->d[i] == 0;
        ones.d[i] = s->d[i] ? s->d[i] : 1;
    }
    if (!hora_shape_checked(&ones, elems) || *elems > INT64_MAX / 64)
        return hora_fail(HORA_EFORMAT, "the product of its shape overflows" DAMAGED);
    if (empty)
        *elems = 0;
    return HORA_OK;
}

static hora_status read_claim(const hora_json *v, size_t data_n, st_claim *c) {
    const char *dtype = hora_json_string(hora_json_get(v, "dtype"), NULL);
    const hora_json *offsets = hora_json_get(v, "data_offsets");
    int64_t elems;
    if (hora_json_type(v) != HORA_JOBJECT || !dtype)
        return hora_fail(HORA_EFORMAT,
                         "should be an object with dtype, shape and data_offsets" DAMAGED);
    int row = dtype_named(dtype);
    if (row < 0)
        return hora_fail(HORA_EUNSUPPORTED,
                         "dtype `%.40s` is not in the format; convert the file to F32, F16 or BF16",
                         dtype);
    HORA_TRY(read_shape(hora_json_get(v, "shape"), &c->t.view.shape, &elems));
    if (hora_json_len(offsets) != 2 || !hora_json_int(hora_json_at(offsets, 0), &c->begin) ||
        !hora_json_int(hora_json_at(offsets, 1), &c->end))
        return hora_fail(HORA_EFORMAT, "`data_offsets` should be two integers" DAMAGED);
    if (c->begin < 0 || c->end < c->begin || (uint64_t)c->end > data_n)
        return hora_fail(HORA_EFORMAT,
                         "its bytes [%" PRId64 ", %" PRId64 ") are not in the file, which holds %zu"
                         " bytes of data" DAMAGED,
                         c->begin, c->end, data_n);
    int64_t bits = elems * dtypes[row].bits;
    if (bits % 8 || bits / 8 != c->end - c->begin) {
        char text[128];
        return hora_fail(HORA_EFORMAT,
                         "%s %s does not take the %" PRId64 " bytes that data_offsets say" DAMAGED,
                         dtype, hora_shape_text(text, &c->t.view.shape), c->end - c->begin);
    }
    c->t.dtype_name = dtypes[row].name;
    c->t.view.dtype = dtypes[row].dtype;
    c->t.bytes = (uint64_t)(c->end - c->begin);
    return HORA_OK;
}

/* Empty tensors sort before the one that begins where they do. */
static int by_bytes(const void *pa, const void *pb) {
    const st_claim *a = pa, *b = pb;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return strcmp(a->t.name, b->t.name);
}

static hora_status check_cover(const st_claim *c, size_t n, size_t data_n) {
    int64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (c[i].begin != end)
            return hora_fail(
                HORA_EFORMAT, "tensor `%.80s` begins at byte %" PRId64 ", %s byte %" PRId64 DAMAGED,
                c[i].t.name, c[i].begin,
                c[i].begin < end ? "inside a tensor that ends at" : "after a hole that begins at",
                end);
        end = c[i].end;
    }
    if ((uint64_t)end != data_n)
        return hora_fail(HORA_EFORMAT,
                         "the tensors end at byte %" PRId64 " of %zu bytes of data" DAMAGED, end,
                         data_n);
    return HORA_OK;
}

static hora_status read_meta(hora_st *st, const hora_json *v, bool keep) {
    if (hora_json_type(v) == HORA_JNULL)
        return HORA_OK;
    if (hora_json_type(v) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT, HORA_ST_META_KEY " should be an object" DAMAGED);
    for (void *it = hora_json_iter(v); it; it = hora_json_next(v, it)) {
        hora_pair p = {hora_json_iter_key(it), hora_json_string(hora_json_iter_value(it), NULL)};
        if (!p.value)
            return hora_fail(HORA_EFORMAT, HORA_ST_META_KEY ": `%.80s` should be a string" DAMAGED,
                             p.key);
        if (keep)
            HORA_PUSH(st->meta, st->nmeta, st->capmeta, p);
    }
    return HORA_OK;
}

/* Parses the header of file `i` and appends its tensors to `st`, in the order of their bytes. */
static hora_status read_claims(hora_st *st, int i, st_claim *claims, size_t *n) {
    hora_st_file *f = &st->files[i];
    size_t data_n = f->map.n - f->data_at;
    for (void *it = hora_json_iter(f->header); it; it = hora_json_next(f->header, it)) {
        const char *name = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        if (hora_eq(name, HORA_ST_META_KEY)) {
            HORA_TRY(read_meta(st, v, i == 0));
            continue;
        }
        st_claim c = {.t = {.name = name, .file = i}};
        hora_status s = read_claim(v, data_n, &c);
        if (s != HORA_OK)
            return hora_context(s, "tensor `%.80s`", name);
        claims[(*n)++] = c;
    }
    if (*n)
        qsort(claims, *n, sizeof *claims, by_bytes);
    HORA_TRY(check_cover(claims, *n, data_n));
    for (size_t k = 0; k < *n; k++) {
        claims[k].t.view.data = (void *)(f->map.data + f->data_at + (size_t)claims[k].begin);
        HORA_PUSH(st->at, st->n, st->cap, claims[k].t);
    }
    return HORA_OK;
}

static bool is_aligned(const hora_st_tensor *t) {
    size_t size = hora_dtype_size(t->view.dtype);
    return size < 2 || !t->bytes || (uintptr_t)t->view.data % size == 0;
}

/* Gives the tensors [from, n) of file `f` that no kernel could read in place an aligned home. */
static hora_status align_tensors(hora_st *st, hora_st_file *f, int from) {
    size_t need = 0, at = 0;
    for (int i = from; i < st->n; i++)
        if (!is_aligned(&st->at[i]))
            need += (size_t)hora_round_up((int64_t)st->at[i].bytes, 64);
    if (!need)
        return HORA_OK;
    HORA_TRY(hora_block_new(&f->copy, need, "tensors that the file does not align"));
    f->copy_bytes = need;
    if (need > (size_t)64 << 20) {
        char text[32];
        hora_warn("%s: tensors are not aligned, %s are copied into memory; write the file again "
                  "with a current safetensors to map them instead",
                  f->map.path, hora_human_bytes(text, (double)need));
    }
    for (int i = from; i < st->n; i++) {
        hora_view *v = &st->at[i].view;
        if (is_aligned(&st->at[i]))
            continue;
        size_t off = (size_t)((const unsigned char *)v->data - f->map.data);
        void *home = (char *)f->copy + at;
        memcpy(home, v->data, st->at[i].bytes);
        hora_map_forget(&f->map, off, st->at[i].bytes);
        at += (size_t)hora_round_up((int64_t)st->at[i].bytes, 64);
        v->data = home;
    }
    return HORA_OK;
}

static hora_status read_header(hora_st_file *f) {
    uint64_t n = 0;
    if (f->map.n < 8)
        return hora_fail(HORA_EFORMAT, "%zu bytes are too few for a safetensors file" DAMAGED,
                         f->map.n);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | f->map.data[i];
    if (n > HORA_ST_MAX_HEADER)
        return hora_fail(HORA_EFORMAT,
                         "the header claims %" PRIu64 " bytes, the format allows %u" DAMAGED, n,
                         HORA_ST_MAX_HEADER);
    if (n > f->map.n - 8)
        return hora_fail(HORA_EFORMAT,
                         "the header claims %" PRIu64
                         " bytes, the file has %zu after its length" DAMAGED,
                         n, f->map.n - 8);
    const char *text = (const char *)f->map.data + 8;
    if (!n || text[0] != '{')
        return hora_fail(HORA_EFORMAT, "the header does not start with '{'" DAMAGED);
    HORA_TRY(hora_json_parse(&f->header, text, (size_t)n, "header"));
    f->data_at = 8 + (size_t)n;
    return HORA_OK;
}

static hora_status open_file(hora_st *st, int i, const char *path) {
    hora_st_file *f = &st->files[i];
    int from = st->n;
    HORA_TRY(hora_map_open(&f->map, path));
    HORA_TRY(hora_refuse_pointer(path, f->map.data, f->map.n));
    hora_status s = read_header(f);
    if (s == HORA_OK) {
        size_t n = 0;
        st_claim *claims = hora_calloc(hora_json_len(f->header) + 1, sizeof *claims);
        s = read_claims(st, i, claims, &n);
        hora_free(claims);
    }
    if (s == HORA_OK)
        s = align_tensors(st, f, from);
    return s == HORA_OK ? s : hora_context(s, "%s", path);
}

/* --- the name table --------------------------------------------------------------------------- */

static int *slot_of(const hora_st *st, const char *name) {
    size_t i = (size_t)hora_hash_text(name) & (st->nslots - 1);
    while (st->slots[i] && strcmp(st->at[st->slots[i] - 1].name, name))
        i = (i + 1) & (st->nslots - 1);
    return &st->slots[i];
}

hora_status hora_st_index(hora_st *st) {
    for (st->nslots = 16; st->nslots < (size_t)st->n * 2; st->nslots *= 2)
        ;
    st->slots = hora_calloc(st->nslots, sizeof *st->slots);
    for (int i = 0; i < st->n; i++) {
        int *slot = slot_of(st, st->at[i].name);
        if (*slot)
            return hora_fail(HORA_EFORMAT,
                             "tensor `%.80s` is in two shards, %s and %s; remove the shard that "
                             "does not belong to the model",
                             st->at[i].name, hora_st_file_path(st, st->at[*slot - 1].file),
                             hora_st_file_path(st, st->at[i].file));
        *slot = i + 1;
    }
    return HORA_OK;
}

hora_st *hora_st_new(int nfiles) {
    hora_st *st = hora_calloc(1, sizeof *st);
    st->files = hora_calloc((size_t)nfiles, sizeof *st->files);
    st->nfiles = nfiles;
    return st;
}

hora_status hora_st_open(hora_st **out, const char *path) {
    *out = NULL;
    hora_st *st = hora_st_new(1);
    hora_status s = open_file(st, 0, path);
    if (s == HORA_OK)
        s = hora_st_index(st);
    if (s != HORA_OK) {
        hora_st_close(st);
        return s;
    }
    *out = st;
    return HORA_OK;
}

void hora_st_close(hora_st *st) {
    if (!st)
        return;
    for (int i = 0; i < st->nfiles; i++) {
        if (!st->gguf) /* else the maps are its */
            hora_map_release(&st->files[i].map);
        hora_json_free(st->files[i].header);
        if (st->files[i].copy)
            hora_block_free(st->files[i].copy, st->files[i].copy_bytes);
    }
    for (int i = 0; i < st->n; i++)
        hora_free((void *)(uintptr_t)st->at[i].parts);
    for (int i = 0; st->own_names && i < st->n; i++)
        hora_free((char *)st->at[i].name);
    hora_gguf_close(st->gguf);
    hora_free(st->files);
    hora_free(st->at);
    hora_free(st->hashes);
    hora_free(st->slots);
    hora_free(st->meta);
    hora_free(st);
}

/* --- shards ----------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of the weight map, sorted; borrowed from it. */
static hora_status shard_names(const hora_json *map, const char ***out, int *n) {
    const char **names = NULL;
    size_t count = 0, cap = 0;
    *n = 0;
    for (void *it = hora_json_iter(map); it; it = hora_json_next(map, it)) {
        const char *file = hora_json_string(hora_json_iter_value(it), NULL);
        /* a name with a folder in it could lead anywhere on the machine */
        if (!file || !*file || strpbrk(file, "/\\") || hora_eq(file, ".") || hora_eq(file, "..")) {
            hora_free(names);
            return hora_fail(HORA_EFORMAT,
                             "weight_map: `%.80s` should name a file of this folder" DAMAGED,
                             hora_json_iter_key(it));
        }
        HORA_PUSH(names, count, cap, file);
    }
    if (!count)
        return hora_fail(HORA_EFORMAT, "weight_map should be an object with the file of each "
                                       "tensor" DAMAGED);
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++)
        if (!i || strcmp(names[i], names[i - 1]))
            names[(*n)++] = names[i];
    *out = names;
    return HORA_OK;
}

static hora_status check_places(const hora_st *st, const hora_json *map) {
    for (void *it = hora_json_iter(map); it; it = hora_json_next(map, it)) {
        const char *name = hora_json_iter_key(it);
        const char *file = hora_json_string(hora_json_iter_value(it), NULL);
        const hora_st_tensor *t = hora_st_find(st, name);
        const char *real = t ? hora_path_base(hora_st_file_path(st, t->file)) : "no shard";
        if (!hora_eq(real, file))
            return hora_fail(HORA_EFORMAT,
                             "the index places tensor `%.80s` in %.80s, but it is in %s; index and "
                             "shards are of different models: fetch them again",
                             name, file, real);
    }
    return HORA_OK;
}

static hora_status open_shards(hora_st **out, const char *dir, const hora_json *map) {
    const char **names = NULL;
    int n = 0;
    HORA_TRY(shard_names(map, &names, &n));
    hora_st *st = hora_st_new(n);
    hora_status s = HORA_OK;
    for (int i = 0; i < n && s == HORA_OK; i++) {
        char *path = hora_path_join(dir, names[i]);
        if (hora_path_exists(path))
            s = open_file(st, i, path);
        else
            s = hora_fail(HORA_ENOTFOUND, "shard %.80s is missing, one of %d; fetch it again",
                          names[i], n);
        hora_free(path);
    }
    hora_free(names);
    if (s)
        goto out;
    HORA_TRY_OUT(s, hora_st_index(st));
    s = check_places(st, map);
out:
    if (s != HORA_OK) {
        hora_st_close(st);
        return s;
    }
    *out = st;
    return HORA_OK;
}

bool hora_st_model_there(const char *dir) {
    char *one = hora_path_join(dir, HORA_ST_ONE_FILE),
         *many = hora_path_join(dir, HORA_ST_INDEX_FILE);
    const bool there = hora_path_exists(one) || hora_path_exists(many) || hora_model_file(dir);
    hora_free(one);
    hora_free(many);
    return there;
}

hora_status hora_st_open_model(hora_st **out, const char *dir) {
    *out = NULL;
    hora_status s;
    hora_json *index = NULL;
    if (hora_gguf_is(dir))
        return hora_st_open_gguf(out, dir);
    if (hora_npz_is(dir))
        return hora_st_open_jax(out, dir);
    char *one = hora_path_join(dir, HORA_ST_ONE_FILE);
    char *path = hora_path_join(dir, HORA_ST_INDEX_FILE);
    if (hora_path_exists(one)) {
        s = hora_st_open(out, one);
    } else if (!hora_path_exists(path)) {
        s = hora_fail(HORA_ENOTFOUND,
                      "%s: neither " HORA_ST_ONE_FILE " nor " HORA_ST_INDEX_FILE
                      " is there; name the folder of a Hugging Face model in safetensors (others "
                      "are converted with transformers' save_pretrained)",
                      dir);
    } else {
        s = hora_json_load(&index, path);
        if (s == HORA_OK) {
            s = open_shards(out, dir, hora_json_get(index, "weight_map"));
            if (s != HORA_OK)
                hora_context(s, "%s", path);
        }
    }
    if (s == HORA_OK)
        s = hora_bnb_gather(*out);
    if (s != HORA_OK) {
        hora_st_close(*out);
        *out = NULL;
    }
    hora_json_free(index);
    hora_free(one);
    hora_free(path);
    return s;
}

/* --- looking ---------------------------------------------------------------------------------- */

int hora_st_count(const hora_st *st) {
    return st->n;
}

const hora_st_tensor *hora_st_at(const hora_st *st, int i) {
    return i >= 0 && i < st->n ? &st->at[i] : NULL;
}

const hora_st_tensor *hora_st_find(const hora_st *st, const char *name) {
    int slot = *slot_of(st, name);
    return slot ? &st->at[slot - 1] : NULL;
}

int hora_st_meta_count(const hora_st *st) {
    return st->nmeta;
}

void hora_st_meta_at(const hora_st *st, int i, const char **key, const char **value) {
    *key = st->meta[i].key;
    *value = st->meta[i].value;
}

const char *hora_st_meta(const hora_st *st, const char *key) {
    for (int i = 0; i < st->nmeta; i++)
        if (hora_eq(st->meta[i].key, key))
            return st->meta[i].value;
    return NULL;
}

hora_status hora_st_unchanged(const hora_st *st) {
    for (int i = 0; i < st->nfiles; i++)
        HORA_TRY(hora_map_unchanged(&st->files[i].map));
    return HORA_OK;
}

int hora_st_files(const hora_st *st) {
    return st->nfiles;
}

const char *hora_st_file_path(const hora_st *st, int i) {
    return st->files[i].map.path;
}

void hora_st_forget(const hora_st *st, const hora_st_tensor *t) {
    const hora_st_file *f = &st->files[t->file];
    const unsigned char *p = t->view.data;
    bool mapped =
        (uintptr_t)p >= (uintptr_t)f->map.data && (uintptr_t)p < (uintptr_t)f->map.data + f->map.n;
    if (mapped && t->bytes)
        hora_map_forget(&f->map, (size_t)(p - f->map.data), t->bytes);
}

/* --- hash ------------------------------------------------------------------------------------- */

typedef struct hash_job {
    const hora_st *st;
    uint64_t *of; /* one per tensor */
} hash_job;

/* Chained over chunks, so that a tensor larger than memory passes through a few pages. */
static void hash_tensor(void *arg, int64_t tile, int thread) {
    const hash_job *job = arg;
    const hora_st_tensor *t = &job->st->at[tile];
    (void)thread;
    uint64_t h = hora_hash_text(t->name);
    h = hora_hash64(t->dtype_name, strlen(t->dtype_name), h);
    h = hora_hash64(t->view.shape.d, (size_t)t->view.shape.n * sizeof t->view.shape.d[0], h);
    for (uint64_t at = 0; at < t->bytes; at += HASH_CHUNK) {
        hora_st_tensor part = *t;
        part.view.data = (char *)t->view.data + at;
        part.bytes = t->bytes - at < HASH_CHUNK ? t->bytes - at : HASH_CHUNK;
        h = hora_hash64(part.view.data, part.bytes, h);
        hora_st_forget(job->st, &part);
    }
    job->of[tile] = h;
}

static int by_value(const void *pa, const void *pb) {
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return (a > b) - (a < b);
}

const uint64_t *hora_st_hashes(hora_st *st) {
    hash_job job = {st, st->hashes};
    if (!job.of) {
        job.of = st->hashes = hora_calloc((size_t)st->n + 1, sizeof *job.of);
        hora_parallel(st->n, hash_tensor, &job);
    }
    return st->hashes;
}

uint64_t hora_st_hash_as(const hora_st *st, const hora_st_tensor *t, hora_dtype as) {
    const char *name = hora_dtype_name(as);
    const int64_t all = hora_elems(&t->view), step = (int64_t)(HASH_CHUNK / hora_dtype_size(as));
    const size_t size = hora_dtype_size(t->view.dtype);
    void *piece = hora_malloc(HASH_CHUNK);
    uint64_t h = hora_hash_text(t->name);
    h = hora_hash64(name, strlen(name), h);
    h = hora_hash64(t->view.shape.d, (size_t)t->view.shape.n * sizeof t->view.shape.d[0], h);
    for (int64_t at = 0; at < all; at += step) {
        const int64_t n = hora_min(step, all - at);
        hora_st_tensor part = *t;
        part.view.data = (char *)t->view.data + (size_t)at * size;
        part.bytes = (size_t)n * size;
        if (hora_convert(piece, as, part.view.data, t->view.dtype, n))
            HORA_BUG("hash of %s as %s: %s", t->name, name, hora_errmsg());
        h = hora_hash64(piece, (size_t)n * hora_dtype_size(as), h);
        hora_st_forget(st, &part);
    }
    hora_free(piece);
    return h;
}

uint64_t hora_st_hash(hora_st *st) {
    hash_job job = {st, hora_calloc((size_t)st->n + 1, sizeof *job.of)};
    memcpy(job.of, hora_st_hashes(st), (size_t)st->n * sizeof *job.of);
    qsort(job.of, (size_t)st->n, sizeof *job.of, by_value); /* neither order nor sharding matters */
    uint64_t h = hora_hash64(job.of, (size_t)st->n * sizeof *job.of, 0);
    hora_free(job.of);
    return h;
}
