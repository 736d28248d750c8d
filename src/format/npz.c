/* The archive and the headers of its members; see npz.h. */
#include "format/npz.h"

#include "base/text.h"
#include "format/unpack.h"

enum { END = 22, LOCATOR = 20, END64 = 56, ENTRY = 46, LOCAL = 30, MOST_MEMBERS = 10000 };
enum { MOST_HEADER = 1 << 16 }; /* bytes of a .npy header */

struct hora_npz {
    hora_map map;
    hora_npz_array *at;
    int n, cap;
};

static uint64_t number(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static hora_status damaged(const hora_npz *z, const char *why) {
    return hora_fail(HORA_EFORMAT, "%s: the archive is damaged: %s; fetch the file again",
                     z->map.path, why);
}

static hora_status bad(const hora_npz *z, const char *member, const char *why) {
    return hora_fail(HORA_EFORMAT, "%s: %.80s: %s; fetch the file again", z->map.path, member, why);
}

/* --- the header of an array ------------------------------------------------------------------- */

static const struct {
    const char *descr;
    hora_dtype dtype;
} dtypes[] = {{"<f4", HORA_F32}, {"<f2", HORA_F16}, {"<f8", HORA_F64}, {"<i4", HORA_I32},
              {"<i8", HORA_I64}, {"<i2", HORA_I16}, {"|i1", HORA_I8},  {"|u1", HORA_U8}};

static const char *blanks(const char *p) {
    while (*p == ' ')
        p++;
    return p;
}

/* A word in quotes; the place behind it, or NULL. */
static const char *quoted(const char *p, char *out, size_t room) {
    const char quote = *p;
    size_t n = 0;
    if (quote != '\'' && quote != '"')
        return NULL;
    for (p++; *p && *p != quote && n + 1 < room; p++)
        out[n++] = *p;
    out[n] = 0;
    return *p == quote ? p + 1 : NULL;
}

/* (2, 3) or (2,) or (); the place behind it, or NULL. */
static const char *tuple(const char *p, hora_shape *s) {
    bool comma = true;
    if (*p++ != '(')
        return NULL;
    for (p = blanks(p); *p != ')'; p = blanks(p)) {
        int64_t v = 0;
        if (!comma || *p < '0' || *p > '9' || s->n == HORA_MAX_DIMS)
            return NULL;
        for (; *p >= '0' && *p <= '9'; p++) {
            if (v > (INT64_MAX >> 8) / 10)
                return NULL;
            v = v * 10 + (*p - '0');
        }
        s->d[s->n++] = v;
        p = blanks(p);
        comma = *p == ',';
        p += comma;
    }
    return s->n == 1 && !comma ? NULL : p + 1; /* (2) is a number */
}

/* One `key: value` of the dictionary; the place behind it, or NULL. *seen: a bit for each key. */
static const char *member_of(const char *p, hora_npz_array *a, int *seen) {
    char key[24];
    p = quoted(p, key, sizeof key);
    p = p ? blanks(p) : NULL;
    if (!p || *p++ != ':')
        return NULL;
    p = blanks(p);
    const int which = hora_eq(key, "descr")           ? 1
                      : hora_eq(key, "fortran_order") ? 2
                      : hora_eq(key, "shape")         ? 4
                                                      : 0;
    if (!which || *seen & which)
        return NULL;
    *seen |= which;
    if (which == 1)
        return quoted(p, a->descr, sizeof a->descr);
    if (which == 4)
        return tuple(p, &a->shape);
    a->columns = hora_starts(p, "True");
    return a->columns ? p + 4 : hora_starts(p, "False") ? p + 5 : NULL;
}

static bool dictionary(const char *p, hora_npz_array *a) {
    int seen = 0;
    p = blanks(p);
    if (*p++ != '{')
        return false;
    for (p = blanks(p); *p != '}'; p = blanks(p)) {
        p = member_of(p, a, &seen);
        if (!p)
            return false;
        p = blanks(p);
        if (*p != ',' && *p != '}')
            return false;
        p += *p == ',';
    }
    p = blanks(p + 1);
    return seen == 7 && *p == '\n' && !p[1];
}

/* Elements and bytes that the shape says, without overflow. */
static bool sizes(const hora_npz_array *a, uint64_t *bytes) {
    *bytes = hora_dtype_size(a->dtype);
    for (int i = 0; i < a->shape.n; i++) {
        const uint64_t d = (uint64_t)a->shape.d[i];
        if (d && *bytes > (UINT64_MAX >> 2) / d)
            return false;
        *bytes *= d;
    }
    return true;
}

/* The first n bytes of a member. */
static hora_status head_of(const hora_npz *z, const hora_npz_array *a, size_t n,
                           unsigned char *out) {
    const unsigned char *p = z->map.data + a->at;
    if (n > a->size)
        return bad(z, a->name, "it is too short for a .npy header");
    if (a->packed)
        return hora_inflate(z->map.path, p, a->bytes, out, n, false, NULL);
    memcpy(out, p, n);
    return HORA_OK;
}

static hora_status read_header(const hora_npz *z, hora_npz_array *a) {
    unsigned char magic[12];
    HORA_TRY(head_of(z, a, sizeof magic, magic));
    const int wide = magic[6] >= 2 ? 4 : 2;
    if (memcmp(magic, "\x93NUMPY", 6) || magic[6] < 1 || magic[6] > 3 || magic[7])
        return bad(z, a->name, "it is no .npy file of version 1, 2 or 3");
    const uint64_t n = number(magic + 8, wide);
    a->data_at = 8 + (uint64_t)wide + n;
    if (n > MOST_HEADER || a->data_at > a->size)
        return bad(z, a->name, "the length of its .npy header goes beyond it");
    char *text = hora_calloc((size_t)a->data_at + 1, 1);
    hora_status s = head_of(z, a, (size_t)a->data_at, (unsigned char *)text);
    const char *dict = text + 8 + wide;
    uint64_t bytes = 0;
    if (!s && (strlen(dict) != n || !dictionary(dict, a)))
        s = bad(z, a->name, "its .npy header is none that NumPy writes");
    for (size_t i = 0; i < HORA_COUNT(dtypes); i++)
        if (hora_eq(a->descr, dtypes[i].descr))
            a->dtype = dtypes[i].dtype;
    if (!s && a->dtype != HORA_DTYPE_OTHER && (!sizes(a, &bytes) || bytes != a->size - a->data_at))
        s = bad(z, a->name, "its length is not what shape and type say");
    hora_free(text);
    return s;
}

/* --- the archive ------------------------------------------------------------------------------ */

typedef struct directory {
    uint64_t members, bytes, at;
} directory;

/* The end of the archive, behind which stands a comment at most. */
static hora_status find_directory(const hora_npz *z, directory *d) {
    const unsigned char *p = z->map.data;
    const size_t n = z->map.n, furthest = n > END + 65535 ? n - END - 65535 : 0;
    size_t end = n < END ? n : n - END;
    while (end < n && end > furthest &&
           (memcmp(p + end, "PK\5\6", 4) || number(p + end + 20, 2) != n - end - END))
        end--;
    if (n < END || memcmp(p + end, "PK\5\6", 4) || number(p + end + 20, 2) != n - end - END)
        return damaged(z, "its directory is missing, as in a file that is cut off");
    if (number(p + end + 4, 4))
        return damaged(z, "it is one part of several");
    *d = (directory){number(p + end + 10, 2), number(p + end + 12, 4), number(p + end + 16, 4)};
    uint64_t limit = end;
    if (end >= LOCATOR && !memcmp(p + end - LOCATOR, "PK\6\7", 4)) {
        const uint64_t at = number(p + end - LOCATOR + 8, 8);
        if (end < LOCATOR + END64 || at > end - LOCATOR - END64 || memcmp(p + at, "PK\6\6", 4))
            return damaged(z, "its large directory is not where it should be");
        *d = (directory){number(p + at + 32, 8), number(p + at + 40, 8), number(p + at + 48, 8)};
        limit = at;
    }
    if (d->at > limit || d->bytes > limit - d->at || d->members > MOST_MEMBERS ||
        d->members > d->bytes / ENTRY)
        return damaged(z, "its directory goes beyond the file");
    return HORA_OK;
}

/* Sizes and place of a member that do not fit 32 bits stand in an extra field. */
static bool take_large(const unsigned char *extra, size_t n, uint64_t *const field[3]) {
    while (n >= 4) {
        const size_t size = (size_t)number(extra + 2, 2);
        const unsigned char *p = extra + 4;
        if (size > n - 4)
            return false;
        for (int i = 0; i < 3 && number(extra, 2) == 1; i++)
            if (*field[i] == UINT32_MAX) {
                if (p + 8 > extra + 4 + size)
                    return false;
                *field[i] = number(p, 8);
                p += 8;
            }
        extra += 4 + size;
        n -= 4 + size;
    }
    return true;
}

/* Where the data of a member begin: behind what stands before it once more. */
static hora_status find_data(const hora_npz *z, hora_npz_array *a, const char *file, size_t nfile,
                             uint64_t at, uint64_t packed, uint64_t limit) {
    const unsigned char *p = z->map.data;
    if (at > limit || limit - at < LOCAL || memcmp(p + at, "PK\3\4", 4))
        return bad(z, a->name, "it does not begin where the directory says");
    const uint64_t n = number(p + at + 26, 2), data = at + LOCAL + n + number(p + at + 28, 2);
    if (data > limit || packed > limit - data)
        return bad(z, a->name, "it goes beyond the file");
    if (n != nfile || memcmp(p + at + LOCAL, file, nfile))
        return bad(z, a->name, "the directory calls it something else");
    a->at = (size_t)data;
    a->bytes = (size_t)packed;
    return HORA_OK;
}

static hora_status take_member(hora_npz *z, const unsigned char *e, size_t left, uint64_t limit,
                               size_t *length) {
    if (left < ENTRY || memcmp(e, "PK\1\2", 4))
        return damaged(z, "its directory ends early");
    const uint64_t flags = number(e + 8, 2), how = number(e + 10, 2);
    const size_t name = (size_t)number(e + 28, 2), extra = (size_t)number(e + 30, 2);
    uint64_t packed = number(e + 20, 4), size = number(e + 24, 4), at = number(e + 42, 4);
    const char *file = (const char *)e + ENTRY;
    *length = ENTRY + name + extra + (size_t)number(e + 32, 2);
    if (*length > left ||
        !take_large(e + ENTRY + name, extra, (uint64_t *const[]){&size, &packed, &at}))
        return damaged(z, "its directory ends early");
    if (name < 5 || memcmp(file + name - 4, ".npy", 4) || memchr(file, 0, name))
        return hora_fail(HORA_EFORMAT,
                         "%s: `%.*s` is no .npy file; give an archive that NumPy's savez wrote",
                         z->map.path, (int)(name < 80 ? name : 80), file);
    HORA_PUSH(z->at, z->n, z->cap,
              ((hora_npz_array){.name = hora_format("%.*s", (int)name - 4, file),
                                .dtype = HORA_DTYPE_OTHER,
                                .packed = how == 8,
                                .size = size,
                                .sum = (uint32_t)number(e + 16, 4)}));
    hora_npz_array *a = &z->at[z->n - 1];
    if (flags & 1 || (how && how != 8))
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: %.80s is %s; write it again with NumPy's savez or savez_compressed",
                         z->map.path, a->name, flags & 1 ? "encrypted" : "packed in another way");
    HORA_TRY(find_data(z, a, file, name, at, packed, limit));
    if (!a->packed && size != packed)
        return bad(z, a->name, "its two lengths differ");
    if (a->packed && size / 1100 > packed + 1) /* deflate makes a byte of 1032 at most */
        return bad(z, a->name, "no packed data become so much");
    return read_header(z, a);
}

static hora_status take_all(hora_npz *z) {
    directory d = {0};
    HORA_TRY(find_directory(z, &d));
    size_t at = (size_t)d.at, length = 0;
    for (uint64_t i = 0; i < d.members; i++, at += length) {
        HORA_TRY(take_member(z, z->map.data + at, (size_t)(d.at + d.bytes) - at, d.at, &length));
        for (int k = 0; k + 1 < z->n; k++)
            if (hora_eq(z->at[k].name, z->at[z->n - 1].name))
                return bad(z, z->at[k].name, "it is there twice");
    }
    return HORA_OK;
}

bool hora_npz_is(const char *path) {
    hora_map m;
    if (!hora_path_exists(path) || hora_path_is_dir(path) || hora_map_open(&m, path))
        return false;
    const bool is = m.n >= 4 && memcmp(m.data, "PK\3\4", 4) == 0;
    hora_map_release(&m);
    return is;
}

hora_status hora_npz_open(hora_npz **out, const char *path) {
    hora_npz *z = hora_calloc(1, sizeof *z);
    hora_status s = hora_map_open(&z->map, path);
    if (s == HORA_OK)
        s = take_all(z);
    if (s) {
        hora_npz_close(z);
        z = NULL;
    }
    *out = z;
    return s;
}

void hora_npz_close(hora_npz *z) {
    if (!z)
        return;
    for (int i = 0; i < z->n; i++)
        hora_free(z->at[i].name);
    hora_free(z->at);
    hora_map_release(&z->map);
    hora_free(z);
}

int hora_npz_count(const hora_npz *z) {
    return z->n;
}

const hora_npz_array *hora_npz_at(const hora_npz *z, int i) {
    return &z->at[i];
}

const hora_npz_array *hora_npz_find(const hora_npz *z, const char *name) {
    for (int i = 0; i < z->n; i++)
        if (hora_eq(z->at[i].name, name))
            return &z->at[i];
    return NULL;
}

hora_status hora_npz_read(const hora_npz *z, const hora_npz_array *a, float *out) {
    const unsigned char *raw = z->map.data + a->at;
    void *block = NULL;
    uint32_t sum = 0;
    hora_status s = HORA_OK;
    if (a->dtype == HORA_DTYPE_OTHER)
        return hora_fail(HORA_EUNSUPPORTED, "%s: %.80s has type `%s`; convert it to <f4",
                         z->map.path, a->name, a->descr);
    if (a->packed) {
        HORA_TRY(hora_block_new(&block, (size_t)a->size + 1, a->name));
        HORA_TRY_OUT(s,
                     hora_inflate(z->map.path, raw, a->bytes, block, (size_t)a->size, true, &sum));
        raw = block;
    } else {
        HORA_TRY(hora_sum32(z->map.path, raw, a->bytes, &sum));
    }
    if (sum != a->sum) {
        s = bad(z, a->name, "its sum differs");
        goto out;
    }
    s = hora_convert(out, HORA_F32, raw + a->data_at, a->dtype,
                     hora_elems(&(hora_view){NULL, a->dtype, a->shape}));
out:
    if (block)
        hora_block_free(block, (size_t)a->size + 1);
    return s;
}
