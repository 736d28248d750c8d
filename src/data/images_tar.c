/*
 * A tar of samples, as WebDataset writes them: files of one key (the path up to the first dot of
 * its base name), one behind the other, belong together; key.jpg is the picture, key.cls holds its
 * class, or else key.json has it as "label", "cls" or "class". A class that stands apart from its
 * picture (all pictures first, then all classes) goes to the first picture of its key that has
 * none. Where no sample has a class, the folder that a picture lies in is it. The archive is
 * mapped; only one that is compressed is unpacked, into memory.
 *
 * A header is 512 bytes: name (0, 100), size in octal (124, 12; base 256 when the top bit is set),
 * sum of the header's bytes (148, 8), type (156), "ustar" (257), prefix of the name (345, 155).
 * Long names come in front as an entry of type L (GNU) or x with "path=" (pax). Source: POSIX pax,
 * GNU tar.
 */
#include <stdlib.h>

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
    char *inner = hora_strndup(path, strlen(path) - hora_images_compressed(path));
    const bool named =
        hora_ends(inner, ".tar") || hora_ends(path, ".tgz") || hora_ends(path, ".tzst");
    hora_free(inner);
    return named && !hora_path_is_dir(path);
}

typedef struct entry {
    char *name; /* owned */
    size_t at, n;
} entry;
typedef struct alone {
    char *key, *label; /* owned; of a class without a picture beside it */
    size_t at;         /* its place among them */
    size_t given;      /* of the first of a key: how many of that key have their pictures */
} alone;
typedef struct archive {
    hora_images *s;
    const hora_images_file *map;
    int64_t file;
    entry *e;
    size_t n, cap;
    alone *alone;
    size_t nalone, calone;
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
        } else if (type == '0' || type == 0 || type == '7') {
            entry e = {longer ? longer : header_name(h), at + BLOCK, n};
            HORA_PUSH(a->e, a->n, a->cap, e);
            longer = NULL;
        } else if (type != 'g' && type != 'K') { /* K: the name that the next, a link, leads to */
            a->s->info.links += type == '1' || type == '2';
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

/* What they mean is not known before all are listed: a class may stand apart from its picture. */
static void keep_alone(archive *a, const char *name, char *label) {
    alone e = {hora_strndup(name, key_length(name)), label, a->nalone, 0};
    HORA_PUSH(a->alone, a->nalone, a->calone, e);
}

/* Entries first .. end - 1 are one sample. */
static hora_status add_sample(archive *a, size_t first, size_t end) {
    const entry *picture = NULL;
    char *label = NULL;
    bool by_cls = false;
    hora_status st = HORA_OK;
    for (size_t i = first; i < end && st == HORA_OK; i++) {
        const char *ending = a->e[i].name + key_length(a->e[i].name);
        char *here = NULL;
        if (hidden(a->e[i].name)) {
            a->s->info.hidden++;
            continue;
        }
        st = label_in(a, &a->e[i], &here);
        const bool says = here != NULL;
        if (here && (!label || (!by_cls && !strcmp(ending, ".cls")))) {
            hora_free(label);
            label = here;
            by_cls = !strcmp(ending, ".cls");
        } else {
            hora_free(here);
        }
        if (!says && hora_images_take(a->s, hora_path_base(a->e[i].name))) {
            a->s->info.beside += picture != NULL;
            picture = picture ? picture : &a->e[i];
        }
    }
    if (picture && st == HORA_OK) {
        char *name = hora_format("%s: %s", a->s->path, picture->name);
        hora_images_add(a->s, name, label, a->file, picture->at, picture->n);
        hora_free(name);
    } else if (label && st == HORA_OK) {
        keep_alone(a, a->e[first].name, label);
        label = NULL;
    }
    hora_free(label);
    return st;
}

static int by_key(const void *x, const void *y) {
    const alone *a = x, *b = y;
    const int order = strcmp(a->key, b->key);
    return order ? order : (a->at > b->at) - (a->at < b->at);
}

/* Gives the classes that stand apart to their pictures and counts the rest. */
static void give_alone(archive *a) {
    hora_images *s = a->s;
    if (a->nalone)
        qsort(a->alone, a->nalone, sizeof *a->alone, by_key);
    for (size_t i = 0; i < s->n && a->nalone; i++) {
        const char *name = s->items[i].name + strlen(s->path) + 2; /* behind "ARCHIVE: " */
        char *key = hora_strndup(name, key_length(name));
        size_t lo = 0, hi = a->nalone;
        while (lo < hi) { /* the first of that key */
            const size_t mid = lo + (hi - lo) / 2;
            if (strcmp(a->alone[mid].key, key) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        const size_t next = lo + (lo < a->nalone ? a->alone[lo].given : 0);
        if (!s->items[i].label && next < a->nalone && hora_eq(a->alone[next].key, key)) {
            s->items[i].label = a->alone[next].label;
            a->alone[next].label = NULL;
            a->alone[lo].given++;
        }
        hora_free(key);
    }
    for (size_t i = 0; i < a->nalone; i++)
        s->info.alone += a->alone[i].label != NULL;
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
    a.map = &s->files[a.file];
    hora_status st = list_entries(&a);
    for (size_t i = 0, end; i < a.n && st == HORA_OK; i = end) {
        for (end = i + 1; end < a.n && same_key(&a.e[i], &a.e[end]);)
            end++;
        st = add_sample(&a, i, end);
    }
    if (st == HORA_OK) {
        give_alone(&a);
        label_by_folder(s);
    }
    for (size_t i = 0; i < a.n; i++)
        hora_free(a.e[i].name);
    for (size_t i = 0; i < a.nalone; i++) {
        hora_free(a.alone[i].key);
        hora_free(a.alone[i].label);
    }
    hora_free(a.alone);
    hora_free(a.e);
    return st;
}

const hora_images_kind hora_images_kind_tar = {
    .name = "tar", .is = is_tar, .container = true, .list = list_tar};
