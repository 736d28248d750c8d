/*
 * Reading GGUF: a cursor over the mapped file that cannot leave it, the keys, the table of tensors,
 * then the checks that need all of it. A count is believed only as far as the bytes behind it go.
 */
#include "format/gguf.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/text.h"
#include "format/gguf_impl.h"

#define MAX_KEYS 10000 /* they are searched one by one */
#define DAMAGED  "; the file is damaged or is no GGUF: fetch or convert it again"

typedef struct part {
    hora_map map;
    uint64_t data; /* offset of the tensor data */
} part;

typedef struct key_list {
    hora_gguf_value *v;
    int n, cap;
} key_list;

struct hora_gguf {
    char *path;
    part *parts;
    int nparts;
    key_list keys; /* of the first part */
    hora_gguf_tensor *tensors;
    int n, cap;
    int *slots; /* index + 1 of tensors by hash of name, open addressing */
    size_t nslots;
};

/* --- types ------------------------------------------------------------------------------------ */
static const struct {
    const char *name; /* NULL: the number is free or was withdrawn */
    hora_dtype dtype; /* HORA_DTYPE_OTHER: not read here */
} types[] = {
    {"f32", HORA_F32},
    {"f16", HORA_F16},
    {"q4_0", HORA_Q4_0},
    {"q4_1", HORA_Q4_1},
    {NULL, HORA_DTYPE_OTHER},
    {NULL, HORA_DTYPE_OTHER},
    {"q5_0", HORA_Q5_0},
    {"q5_1", HORA_Q5_1},
    {"q8_0", HORA_Q8_0},
    {"q8_1", HORA_DTYPE_OTHER},
    {"q2_k", HORA_Q2_K},
    {"q3_k", HORA_Q3_K},
    {"q4_k", HORA_Q4_K},
    {"q5_k", HORA_Q5_K},
    {"q6_k", HORA_Q6_K},
    {"q8_k", HORA_DTYPE_OTHER},
    {"iq2_xxs", HORA_DTYPE_OTHER},
    {"iq2_xs", HORA_DTYPE_OTHER},
    {"iq3_xxs", HORA_DTYPE_OTHER},
    {"iq1_s", HORA_DTYPE_OTHER},
    {"iq4_nl", HORA_IQ4_NL},
    {"iq3_s", HORA_DTYPE_OTHER},
    {"iq2_s", HORA_DTYPE_OTHER},
    {"iq4_xs", HORA_DTYPE_OTHER},
    {"i8", HORA_I8},
    {"i16", HORA_I16},
    {"i32", HORA_I32},
    {"i64", HORA_I64},
    {"f64", HORA_F64},
    {"iq1_m", HORA_DTYPE_OTHER},
    {"bf16", HORA_BF16},
    {NULL, HORA_DTYPE_OTHER},
    {NULL, HORA_DTYPE_OTHER},
    {NULL, HORA_DTYPE_OTHER},
    {"tq1_0", HORA_DTYPE_OTHER},
    {"tq2_0", HORA_DTYPE_OTHER},
    {NULL, HORA_DTYPE_OTHER},
    {NULL, HORA_DTYPE_OTHER},
    {NULL, HORA_DTYPE_OTHER},
    {"mxfp4", HORA_DTYPE_OTHER},
};

int hora_gguf_type_of(hora_dtype t) {
    for (size_t i = 0; t != HORA_DTYPE_OTHER && i < HORA_COUNT(types); i++)
        if (types[i].dtype == t)
            return (int)i;
    return -1;
}

/* The dtype of a type number; HORA_DTYPE_OTHER: one that hora does not read. *name: as ggml calls
 * it, NULL for a number that means nothing. */
static hora_dtype dtype_of(uint32_t type, const char **name) {
    const bool known = type < HORA_COUNT(types);
    *name = known ? types[type].name : NULL;
    return known ? types[type].dtype : HORA_DTYPE_OTHER;
}

/* --- the cursor ------------------------------------------------------------------------------- */
typedef struct cursor {
    const unsigned char *bytes;
    uint64_t at, n;
} cursor;

static hora_status ends(const cursor *c, const char *what) {
    return hora_fail(HORA_EFORMAT, "the file ends at byte %" PRIu64 ", inside %s" DAMAGED, c->n,
                     what);
}

static hora_status take(cursor *c, size_t size, const char *what, uint64_t *out) {
    *out = 0;
    if (c->n - c->at < size)
        return ends(c, what);
    *out = hora_gguf_number(c->bytes + c->at, size);
    c->at += size;
    return HORA_OK;
}

static hora_status skip(cursor *c, uint64_t n, const char *what) {
    if (n > c->n - c->at)
        return ends(c, what);
    c->at += n;
    return HORA_OK;
}

/* A name as a string of its own: file names and tensor names end up in C strings and messages. */
static hora_status take_name(cursor *c, const char *what, uint64_t most, char **out) {
    uint64_t n;
    HORA_TRY(take(c, 8, what, &n));
    const char *text = (const char *)c->bytes + c->at;
    HORA_TRY(skip(c, n, what));
    if (!n || n > most || memchr(text, 0, (size_t)n))
        return hora_fail(HORA_EFORMAT,
                         "%s has %" PRIu64 " bytes%s, the format allows 1 to %" PRIu64 DAMAGED,
                         what, n, memchr(text, 0, (size_t)n) ? ", some of them zero" : "", most);
    *out = hora_strndup(text, (size_t)n);
    return HORA_OK;
}

/* --- keys ------------------------------------------------------------------------------------- */
static hora_status read_strings(cursor *c, hora_gguf_value *v) {
    uint64_t *at = NULL;
    int64_t n = 0, cap = 0;
    hora_status s = HORA_OK;
    const uint64_t from = c->at;
    while (s == HORA_OK && n < v->n) {
        uint64_t length;
        HORA_PUSH(at, n, cap, c->at - from);
        s = take(c, 8, "a string", &length);
        if (s == HORA_OK)
            s = skip(c, length, "a string");
    }
    v->at = at;
    return s;
}

static hora_status read_value(cursor *c, hora_gguf_value *v) {
    uint64_t type, count = 1;
    HORA_TRY(take(c, 4, "the type of a value", &type));
    v->array = type == HORA_GGUF_ARRAY;
    if (v->array) {
        HORA_TRY(take(c, 4, "the type of an array", &type));
        HORA_TRY(take(c, 8, "the length of an array", &count));
    }
    if (type >= HORA_GGUF_TYPES || type == HORA_GGUF_ARRAY)
        return hora_fail(HORA_EFORMAT, "values of type %" PRIu64 " do not exist%s" DAMAGED, type,
                         v->array ? " in arrays" : "");
    v->type = (hora_gguf_type)type;
    const size_t size = hora_gguf_value_size(v->type);
    if (count > (c->n - c->at) / (size ? size : 8))
        return hora_fail(HORA_EFORMAT,
                         "it claims %" PRIu64 " elements, the file has %" PRIu64
                         " bytes left" DAMAGED,
                         count, c->n - c->at);
    v->n = (int64_t)count;
    v->bytes = c->bytes + c->at;
    return size ? skip(c, count * size, "a value") : read_strings(c, v);
}

static const hora_gguf_value *find_key(const key_list *keys, const char *name) {
    for (int i = 0; i < keys->n; i++)
        if (hora_eq(keys->v[i].key, name))
            return &keys->v[i];
    return NULL;
}

static void release_keys(key_list *keys) {
    for (int i = 0; i < keys->n; i++) {
        hora_free((char *)keys->v[i].key);
        hora_free((void *)keys->v[i].at);
    }
    hora_free(keys->v);
}

static hora_status read_key(key_list *keys, cursor *c) {
    char *name;
    HORA_TRY(take_name(c, "the name of a key", 65535, &name));
    hora_gguf_value v = {.key = name};
    hora_status s = find_key(keys, name)
                        ? hora_fail(HORA_EFORMAT, "the key stands twice in the file" DAMAGED)
                        : read_value(c, &v);
    if (s) {
        hora_context(s, "key `%.80s`", name);
        hora_free((void *)v.at);
        hora_free(name);
        return s;
    }
    HORA_PUSH(keys->v, keys->n, keys->cap, v);
    return HORA_OK;
}

/* --- tensors ---------------------------------------------------------------------------------- */
static hora_status read_shape(cursor *c, hora_shape *shape, int64_t *elems) {
    uint64_t dims;
    HORA_TRY(take(c, 4, "the table of tensors", &dims));
    if (dims > HORA_GGUF_MAX_DIMS)
        return hora_fail(HORA_EFORMAT,
                         "it has %" PRIu64 " dimensions, the format allows %d" DAMAGED, dims,
                         HORA_GGUF_MAX_DIMS);
    shape->n = (int)dims;
    for (int i = shape->n; i-- > 0;) {
        uint64_t d;
        HORA_TRY(take(c, 8, "the table of tensors", &d));
        if (d > INT64_MAX)
            return hora_fail(HORA_EFORMAT, "a dimension of %" PRIu64 " is too large" DAMAGED, d);
        shape->d[i] = (int64_t)d;
    }
    if (!hora_shape_checked(shape, elems) || *elems > INT64_MAX / 8)
        return hora_fail(HORA_EFORMAT, "the product of its shape overflows" DAMAGED);
    return HORA_OK;
}

static hora_status check_rows(const hora_view *v) {
    const int64_t width = v->shape.n ? v->shape.d[v->shape.n - 1] : 1;
    const int64_t block = hora_dtype_block(v->dtype);
    return width % block == 0 ? HORA_OK
                              : hora_fail(HORA_EFORMAT,
                                          "rows of %" PRId64 " values are no whole blocks of %s, "
                                          "which have %" PRId64 DAMAGED,
                                          width, hora_dtype_name(v->dtype), block);
}

/* Leaves the offset in view.data for the second look, when the data's place is known. */
static hora_status read_tensor_body(cursor *c, hora_view *v) {
    int64_t elems;
    uint64_t type, offset;
    const char *name;
    HORA_TRY(read_shape(c, &v->shape, &elems));
    HORA_TRY(take(c, 4, "the table of tensors", &type));
    HORA_TRY(take(c, 8, "the table of tensors", &offset));
    v->dtype = dtype_of((uint32_t)type, &name);
    if (!name)
        return hora_fail(HORA_EFORMAT, "there is no tensor type %" PRIu64 DAMAGED, type);
    if (v->dtype == HORA_DTYPE_OTHER)
        return hora_fail(HORA_EUNSUPPORTED,
                         "type %s is not read here; take a file of f32, f16, bf16, q8_0, q4_0, "
                         "q4_1, q5_0, q5_1, q2_k to q6_k or iq4_nl",
                         name);
    v->data = (void *)(uintptr_t)offset;
    return check_rows(v);
}

static hora_status read_tensor(hora_gguf *g, cursor *c, int file) {
    char *name;
    HORA_TRY(take_name(c, "the name of a tensor", HORA_GGUF_MAX_NAME, &name));
    hora_gguf_tensor t = {.name = name, .file = file};
    hora_status s = read_tensor_body(c, &t.view);
    if (s) {
        hora_context(s, "tensor `%.80s`", name);
        hora_free(name);
        return s;
    }
    HORA_PUSH(g->tensors, g->n, g->cap, t);
    return HORA_OK;
}

static int by_data(const void *pa, const void *pb) {
    const hora_gguf_tensor *const *a = pa, *const *b = pb;
    return ((*a)->view.data > (*b)->view.data) - ((*a)->view.data < (*b)->view.data);
}

static hora_status place_tensor(const part *p, hora_gguf_tensor *t, uint64_t alignment) {
    const uint64_t offset = (uintptr_t)t->view.data, room = p->map.n - p->data;
    const uint64_t bytes = hora_view_bytes(&t->view);
    t->view.data = NULL;
    if (offset % alignment)
        return hora_fail(HORA_EFORMAT,
                         "its offset %" PRIu64 " is no multiple of the alignment, %" PRIu64 DAMAGED,
                         offset, alignment);
    if (offset > room || bytes > room - offset)
        return hora_fail(HORA_EFORMAT,
                         "its %" PRIu64 " bytes at offset %" PRIu64
                         " are not in the file, which holds %" PRIu64 " bytes of data" DAMAGED,
                         bytes, offset, room);
    t->view.data = (void *)(p->map.data + p->data + offset);
    return HORA_OK;
}

/* The tensors [from, n) lie in part `p`, each in bytes of its own. */
static hora_status place_tensors(hora_gguf *g, const part *p, int from, uint64_t alignment) {
    const int n = g->n - from;
    for (int i = from; i < g->n; i++) {
        hora_status s = place_tensor(p, &g->tensors[i], alignment);
        if (s)
            return hora_context(s, "tensor `%.80s`", g->tensors[i].name);
    }
    const hora_gguf_tensor **order = hora_calloc((size_t)n + 1, sizeof *order);
    for (int i = 0; i < n; i++)
        order[i] = &g->tensors[from + i];
    qsort(order, (size_t)n, sizeof *order, by_data);
    hora_status s = HORA_OK;
    for (int i = 1; i < n && s == HORA_OK; i++)
        if ((const char *)order[i - 1]->view.data + hora_view_bytes(&order[i - 1]->view) >
            (const char *)order[i]->view.data)
            s = hora_fail(HORA_EFORMAT, "tensors `%.80s` and `%.80s` overlap" DAMAGED,
                          order[i - 1]->name, order[i]->name);
    hora_free(order);
    return s;
}

/* --- a file ----------------------------------------------------------------------------------- */
static hora_status read_alignment(const key_list *keys, uint64_t *alignment) {
    const hora_gguf_value *v = find_key(keys, "general.alignment");
    int64_t a = HORA_GGUF_ALIGNMENT;
    if (v && (v->array || v->type != HORA_GGUF_U32 || !hora_gguf_int(v, 0, &a) || a < 1 ||
              (a & (a - 1)) || a > (1 << 20)))
        return hora_fail(HORA_EFORMAT,
                         "general.alignment should be a power of two as a u32" DAMAGED);
    *alignment = (uint64_t)a;
    return HORA_OK;
}

static hora_status read_counts(cursor *c, uint64_t *tensors, uint64_t *keys) {
    uint64_t version;
    if (c->n < 4 || memcmp(c->bytes, "GGUF", 4) != 0)
        return hora_fail(HORA_EFORMAT,
                         "%s: fetch it again, or convert the model again with a "
                         "current llama.cpp",
                         c->n ? "this is no GGUF file: it does not begin with GGUF"
                              : "the file is empty");
    c->at = 4;
    HORA_TRY(take(c, 4, "the header", &version));
    if (version != 2 && version != 3)
        return hora_fail(HORA_EUNSUPPORTED, "GGUF version %" PRIu64 " is not read here%s; %s",
                         version, version && version << 40 == 0 ? " (a big-endian file?)" : "",
                         "convert the model again with a current llama.cpp");
    HORA_TRY(take(c, 8, "the header", tensors));
    HORA_TRY(take(c, 8, "the header", keys));
    /* The smallest of each: a name of one byte and what follows it. */
    if (*keys > MAX_KEYS)
        return hora_fail(HORA_EFORMAT,
                         "the header claims %" PRIu64 " keys, models have dozens" DAMAGED, *keys);
    if (*keys > (c->n - c->at) / 14 || *tensors > (c->n - c->at) / 25)
        return hora_fail(HORA_EFORMAT,
                         "the header claims %" PRIu64 " keys and %" PRIu64
                         " tensors, more than the file's %" PRIu64 " bytes hold" DAMAGED,
                         *keys, *tensors, c->n);
    return HORA_OK;
}

/* Keys of later parts tell about themselves alone: they are read, checked and let go. */
static hora_status read_part(hora_gguf *g, int file, key_list *keys) {
    part *p = &g->parts[file];
    cursor c = {p->map.data, 0, p->map.n};
    uint64_t tensors = 0, count = 0, alignment = HORA_GGUF_ALIGNMENT;
    const int from = g->n;
    HORA_TRY(read_counts(&c, &tensors, &count));
    for (uint64_t i = 0; i < count; i++)
        HORA_TRY(read_key(keys, &c));
    HORA_TRY(read_alignment(keys, &alignment));
    for (uint64_t i = 0; i < tensors; i++)
        HORA_TRY(read_tensor(g, &c, file));
    p->data = (c.at + alignment - 1) / alignment * alignment;
    if (p->data > p->map.n) {
        if (tensors)
            return ends(&c, "the padding in front of the data");
        p->data = p->map.n;
    }
    return place_tensors(g, p, from, alignment);
}

static hora_status open_part(hora_gguf *g, int i, const char *path) {
    HORA_TRY(hora_map_open(&g->parts[i].map, path));
    HORA_TRY(hora_refuse_pointer(path, g->parts[i].map.data, g->parts[i].map.n));
    key_list own = {0};
    hora_status s = read_part(g, i, i ? &own : &g->keys);
    release_keys(&own);
    return s ? hora_context(s, "%s", path) : HORA_OK;
}

/* The name of part `i` of `n` beside `path`, which ends in -00001-of-0000n.gguf; NULL: it does not.
 */
static char *part_path(const char *path, int i, int n) {
    char *tail = hora_format("-00001-of-%05d.gguf", n);
    const size_t whole = strlen(path), end = strlen(tail), head = whole > end ? whole - end : 0;
    char *name = hora_eq(path + head, tail)
                     ? hora_format("%.*s-%05d-of-%05d.gguf", (int)head, path, i + 1, n)
                     : NULL;
    hora_free(tail);
    return name;
}

static hora_status open_parts(hora_gguf *g) {
    int64_t n, first;
    HORA_TRY(hora_gguf_get_int(g, "split.count", false, 1, &n));
    HORA_TRY(hora_gguf_get_int(g, "split.no", false, 0, &first));
    if (n <= 1)
        return HORA_OK;
    if (n > 10000 || first != 0)
        return hora_fail(HORA_EFORMAT,
                         "%s: this is part %" PRId64 " of %" PRId64 "; name the first of them",
                         g->path, first + 1, n);
    part *parts = hora_calloc((size_t)n, sizeof *parts);
    parts[0] = g->parts[0];
    hora_free(g->parts);
    g->parts = parts;
    while (g->nparts < n) {
        char *path = part_path(g->path, g->nparts, (int)n);
        hora_status s =
            !path ? hora_fail(HORA_EFORMAT,
                              "%s is the first of %" PRId64
                              " parts, so its name should end in -00001-of-%05" PRId64 ".gguf",
                              g->path, n, n)
            : hora_path_exists(path)
                ? open_part(g, g->nparts, path)
                : hora_fail(HORA_ENOTFOUND,
                            "%s: part %d of %" PRId64 " is missing, it should be %s; fetch it",
                            g->path, g->nparts + 1, n, path);
        hora_free(path);
        HORA_TRY(s);
        g->nparts++;
    }
    return HORA_OK;
}

/* --- the name table --------------------------------------------------------------------------- */
static int *slot_of(const hora_gguf *g, const char *name) {
    size_t i = (size_t)hora_hash_text(name) & (g->nslots - 1);
    while (g->slots[i] && !hora_eq(g->tensors[g->slots[i] - 1].name, name))
        i = (i + 1) & (g->nslots - 1);
    return &g->slots[i];
}

static hora_status index_names(hora_gguf *g) {
    for (g->nslots = 16; g->nslots < (size_t)g->n * 2; g->nslots *= 2)
        ;
    g->slots = hora_calloc(g->nslots, sizeof *g->slots);
    for (int i = 0; i < g->n; i++) {
        int *slot = slot_of(g, g->tensors[i].name);
        if (*slot)
            return hora_fail(HORA_EFORMAT, "%s: tensor `%.80s` stands twice" DAMAGED, g->path,
                             g->tensors[i].name);
        *slot = i + 1;
    }
    return HORA_OK;
}

hora_status hora_gguf_open(hora_gguf **out, const char *path) {
    hora_gguf *g = hora_calloc(1, sizeof *g);
    g->path = hora_strdup(path);
    g->parts = hora_calloc(1, sizeof *g->parts);
    g->nparts = 1;
    hora_status s = open_part(g, 0, path);
    if (s == HORA_OK)
        s = open_parts(g);
    if (s == HORA_OK)
        s = index_names(g);
    if (s) {
        hora_gguf_close(g);
        g = NULL;
    }
    *out = g;
    return s;
}

void hora_gguf_close(hora_gguf *g) {
    if (!g)
        return;
    release_keys(&g->keys);
    for (int i = 0; i < g->n; i++)
        hora_free((char *)g->tensors[i].name);
    for (int i = 0; i < g->nparts; i++)
        hora_map_release(&g->parts[i].map);
    hora_free(g->tensors);
    hora_free(g->parts);
    hora_free(g->slots);
    hora_free(g->path);
    hora_free(g);
}

bool hora_gguf_is(const char *path) {
    hora_map m;
    if (!hora_path_exists(path) || hora_path_is_dir(path) || hora_map_open(&m, path))
        return false;
    const bool is = hora_ends(path, ".gguf") || (m.n >= 4 && memcmp(m.data, "GGUF", 4) == 0);
    hora_map_release(&m);
    return is;
}

/* --- what is in it ---------------------------------------------------------------------------- */
int hora_gguf_count(const hora_gguf *g) {
    return g->n;
}

const hora_gguf_tensor *hora_gguf_at(const hora_gguf *g, int i) {
    return &g->tensors[i];
}

const hora_gguf_tensor *hora_gguf_find(const hora_gguf *g, const char *name) {
    const int i = *slot_of(g, name);
    return i ? &g->tensors[i - 1] : NULL;
}

int hora_gguf_keys(const hora_gguf *g) {
    return g->keys.n;
}

const hora_gguf_value *hora_gguf_key_at(const hora_gguf *g, int i) {
    return &g->keys.v[i];
}

const hora_gguf_value *hora_gguf_get(const hora_gguf *g, const char *key) {
    return find_key(&g->keys, key);
}

const char *hora_gguf_path(const hora_gguf *g) {
    return g->path;
}

int hora_gguf_parts(const hora_gguf *g) {
    return g->nparts;
}

const hora_map *hora_gguf_part(const hora_gguf *g, int i) {
    return &g->parts[i].map;
}
