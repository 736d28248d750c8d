/*
 * A tar of samples, as WebDataset writes them: files of one key (the path up to the first dot of
 * its base name) belong together; key.jpg is the picture, key.cls holds its class, or key.json has
 * it as "label", "cls" or "class". Where no sample has either, the folder that a picture lies in
 * is its class. The archive is mapped; nothing is unpacked.
 *
 * A header is 512 bytes: name (0, 100), size in octal (124, 12; base 256 when the top bit is set),
 * sum of the header's bytes (148, 8), type (156), "ustar" (257), prefix of the name (345, 155).
 * Long names come in front as an entry of type L (GNU) or x with "path=" (pax). Source: POSIX pax,
 * GNU tar.
 */
#include "base/json.h"
#include "base/text.h"
#include "data/images_impl.h"

#define BLOCK 512

static uint64_t octal(const unsigned char *p, int n) {
    uint64_t v = 0;
    if (*p & 0x80) { /* base 256 */
        for (int i = 4; i < n; i++)
            v = v << 8 | p[i];
        return v;
    }
    for (int i = 0; i < n && v < (uint64_t)1 << 60; i++)
        if (p[i] >= '0' && p[i] <= '7')
            v = v * 8 + (uint64_t)(p[i] - '0');
    return v;
}

static bool sum_is_right(const unsigned char *p) {
    uint64_t sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : p[i];
    return sum == octal(p + 148, 8);
}

static bool is_tar(const char *path) {
    return !hora_path_is_dir(path) && hora_ends(path, ".tar");
}

typedef struct entry {
    char *name; /* owned */
    size_t at, n;
} entry;
typedef struct archive {
    hora_images *s;
    const hora_map *map;
    int64_t file;
    entry *e;
    size_t n, cap;
} archive;

/* "LENGTH path=NAME\n" among a pax header's records; NULL: none. New string. */
static char *pax_path(const unsigned char *p, size_t n) {
    for (size_t at = 0; at < n;) {
        size_t length = 0, k = at;
        while (k < n && p[k] >= '0' && p[k] <= '9' && length < n)
            length = length * 10 + (size_t)(p[k++] - '0');
        if (length <= k - at + 1 || length > n - at || p[at + length - 1] != '\n')
            return NULL;
        if (at + length > k + 6 && !memcmp(p + k, " path=", 6))
            return hora_strndup((const char *)p + k + 6, at + length - k - 7);
        at += length;
    }
    return NULL;
}

static char *header_name(const unsigned char *p) {
    int n = (int)strnlen((const char *)p, 100), k = (int)strnlen((const char *)p + 345, 155);
    if (memcmp(p + 257, "ustar", 5) != 0 || p[262] == ' ' || !k) /* old GNU: no prefix there */
        return hora_strndup((const char *)p, (size_t)n);
    return hora_format("%.*s/%.*s", k, (const char *)p + 345, n, (const char *)p);
}

static hora_status damaged(const archive *a, size_t at, const char *why) {
    return hora_fail(HORA_EFORMAT, "%s: at byte %zu %s; fetch or make the archive again",
                     a->s->path, at, why);
}

/* All plain files of the archive. */
static hora_status list_entries(archive *a) {
    const unsigned char *p = a->map->data;
    char *longer = NULL; /* the next entry's name */
    hora_status st = HORA_OK;
    size_t at = 0;
    bool ended = false;
    while (st == HORA_OK && a->map->n - at >= BLOCK) {
        const unsigned char *h = p + at;
        static const unsigned char zero[BLOCK];
        ended = !memcmp(h, zero, BLOCK);
        if (ended)
            break;
        uint64_t n = octal(h + 124, 12);
        if (!sum_is_right(h))
            st = damaged(a, at, "there is no header of tar");
        else if (n > a->map->n - at - BLOCK)
            st = damaged(a, at, "a file is longer than the archive");
        if (st != HORA_OK)
            break;
        char type = (char)h[156];
        const unsigned char *body = h + BLOCK;
        if (type == 'L' || type == 'x') {
            hora_free(longer);
            longer = type == 'L' ? hora_strndup((const char *)body, strnlen((const char *)body, n))
                                 : pax_path(body, n);
        } else if (type == '0' || type == 0) {
            entry e = {longer ? longer : header_name(h), at + BLOCK, n};
            HORA_PUSH(a->e, a->n, a->cap, e);
            longer = NULL;
        } else if (type != 'g') {
            hora_free(longer);
            longer = NULL;
        }
        at += BLOCK + (size_t)hora_round_up((int64_t)n, BLOCK);
        if (at > a->map->n)
            break;
    }
    if (st == HORA_OK && !ended && at < a->map->n && a->map->n - at < BLOCK)
        st = damaged(a, at, "the archive breaks off");
    hora_free(longer);
    return st;
}

static size_t key_length(const char *name) {
    const char *base = hora_path_base(name), *dot = strchr(base[0] == '.' ? base + 1 : base, '.');
    return dot ? (size_t)(dot - name) : strlen(name);
}

static bool same_key(const entry *a, const entry *b) {
    size_t n = key_length(a->name);
    return n == key_length(b->name) && !memcmp(a->name, b->name, n);
}

/* The label in key.cls or key.json; NULL: none. New string. */
static hora_status label_in(const archive *a, const entry *e, char **out) {
    static const char *const keys[] = {"label", "cls", "class"};
    const char *ending = e->name + key_length(e->name), *p = (const char *)a->map->data + e->at;
    *out = NULL;
    if (!strcmp(ending, ".cls")) {
        size_t n = e->n;
        while (n && strchr(" \t\r\n", p[n - 1]))
            n--;
        *out = hora_strndup(p, n);
        return *out[0] ? HORA_OK
                       : hora_fail(HORA_EFORMAT, "%s: %s is empty; it should hold a class",
                                   a->s->path, e->name);
    }
    if (strcmp(ending, ".json") != 0)
        return HORA_OK;
    hora_json *root;
    int64_t number;
    hora_status st = hora_json_parse(&root, p, e->n, e->name);
    if (st != HORA_OK)
        return hora_context(st, "%s", a->s->path);
    for (size_t i = 0; i < HORA_COUNT(keys) && !*out; i++) {
        const hora_json *v = hora_json_get(root, keys[i]);
        if (hora_json_string(v, NULL))
            *out = hora_strdup(hora_json_string(v, NULL));
        else if (hora_json_int(v, &number))
            *out = hora_format("%lld", (long long)number);
    }
    hora_json_free(root);
    return HORA_OK;
}

static bool hidden(const char *name) {
    char *own = hora_strdup(name), *left = own;
    bool yes = false;
    for (char *part; !yes && (part = strsep(&left, "/"));)
        yes = !hora_eq(part, ".") && hora_images_hidden(part);
    hora_free(own);
    return yes;
}

/* Entries first .. end - 1 are one sample. */
static hora_status add_sample(archive *a, size_t first, size_t end) {
    const entry *picture = NULL;
    char *label = NULL;
    hora_status st = HORA_OK;
    for (size_t i = first; i < end && st == HORA_OK; i++) {
        const char *ending = a->e[i].name + key_length(a->e[i].name);
        char *here = NULL;
        if (hidden(a->e[i].name)) {
            a->s->info.hidden++;
            continue;
        }
        st = label_in(a, &a->e[i], &here);
        if (here && !label)
            label = here;
        else
            hora_free(here);
        if (!strcmp(ending, ".cls") || !strcmp(ending, ".json"))
            continue;
        if (hora_images_take(a->s, hora_path_base(a->e[i].name))) {
            a->s->info.beside += picture != NULL;
            picture = picture ? picture : &a->e[i];
        }
    }
    if (picture && st == HORA_OK) {
        char *name = hora_format("%s: %s", a->s->path, picture->name);
        hora_images_add(a->s, name, label, a->file, picture->at, picture->n);
        hora_free(name);
    }
    hora_free(label);
    return st;
}

/* Where no sample said its class it is the folder's name. */
static void label_by_folder(hora_images *s) {
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].label)
            return;
    s->names_only = true;
    for (size_t i = 0; i < s->n; i++) {
        hora_images_item *it = &s->items[i];
        char *dir = hora_path_dir(it->name + strlen(s->path) + 2); /* behind "ARCHIVE: " */
        if (strcmp(dir, ".") != 0)
            it->label = hora_strdup(hora_path_base(dir));
        hora_free(dir);
    }
}

static hora_status list_tar(hora_images *s) {
    archive a = {.s = s};
    HORA_TRY(hora_images_map(s, s->path, &a.file));
    a.map = &s->maps[a.file];
    hora_status st = list_entries(&a);
    for (size_t i = 0, end; i < a.n && st == HORA_OK; i = end) {
        for (end = i + 1; end < a.n && same_key(&a.e[i], &a.e[end]);)
            end++;
        st = add_sample(&a, i, end);
    }
    if (st == HORA_OK)
        label_by_folder(s);
    for (size_t i = 0; i < a.n; i++)
        hora_free(a.e[i].name);
    hora_free(a.e);
    return st;
}

const hora_images_kind hora_images_kind_tar = {.name = "tar", .is = is_tar, .list = list_tar};
