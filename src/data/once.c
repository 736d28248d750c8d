/*
 * A data set of texts that one process of a machine has read, as one piece of memory in which the
 * others look: tokens, masks and records are read where they lie; what is changed later (the lists
 * of sequences, the numbers of classes) and what holds addresses is copied. Both ways go over one
 * list of arrays, so they cannot differ.
 */
#include "base/rng.h"
#include "base/text.h"
#include "data/data_impl.h"
#include "data/files_impl.h"

typedef struct head { /* of the piece; addresses in it mean nothing */
    size_t sizes;     /* of the structs: the program that wrote it has the same */
    size_t texts;     /* bytes: paths of parts, names of labels, each with its end */
    hora_dataset d;
    hora_store store;
} head;

typedef struct array {
    void *at; /* of the pointer */
    size_t bytes;
    bool copied;
} array;
enum { MOST = 16, LINE = 64 };
#define ARRAY(p, n, copied_) ((array){(void *)&(p), (size_t)(n) * sizeof *(p), copied_})

static int arrays(hora_dataset *d, array out[MOST]) {
    hora_store *st = d->store;
    hora_label_store *l = &st->labels;
    const array all[] = {ARRAY(st->tokens.ids.at, st->tokens.ids.n, false),
                         ARRAY(st->tokens.types.at, st->tokens.types.n, false),
                         ARRAY(st->tokens.mask, st->tokens.n, false),
                         ARRAY(st->bytes, st->nbytes, false),
                         ARRAY(st->records, st->nrecords, false),
                         ARRAY(st->parts, st->nparts, true),
                         ARRAY(d->segments, d->nsegments, true),
                         ARRAY(d->sequences, d->nsequences, true),
                         ARRAY(l->table.at, l->table.n, true),
                         ARRAY(st->tasks.at, st->tasks.n, true),
                         ARRAY(l->ids, l->nids, true),
                         ARRAY(l->numbers, l->nnumbers, true),
                         ARRAY(l->tags, l->ntags, true),
                         ARRAY(l->lost, l->nlost, true)};
    memcpy(out, all, sizeof all);
    return (int)HORA_COUNT(all);
}

static size_t aligned(size_t n) {
    return (size_t)hora_round_up((int64_t)n, LINE);
}

static void add_text(hora_str *out, const char *s) {
    hora_str_add(out, s, strlen(s) + 1);
}

static void texts_of(const hora_dataset *d, hora_str *out) {
    for (int i = 0; i < d->store->nparts; i++)
        add_text(out, d->store->parts[i].path);
    for (int i = 0; i < d->store->labels.table.n; i++)
        add_text(out, d->store->labels.table.at[i].name);
    for (int i = 0; i < d->store->tasks.n; i++)
        add_text(out, d->store->tasks.at[i].name);
    if (d->store->tasks.fallback)
        add_text(out, d->store->tasks.fallback);
}

size_t hora_data_image_bytes(hora_dataset *d) {
    array a[MOST];
    hora_str texts = {0};
    texts_of(d, &texts);
    size_t bytes = aligned(sizeof(head)) + aligned(texts.n);
    hora_str_release(&texts);
    for (int i = 0, n = arrays(d, a); i < n; i++)
        bytes += aligned(a[i].bytes);
    return bytes;
}

void hora_data_image_write(hora_dataset *d, void *to) {
    array a[MOST];
    hora_str texts = {0};
    char *at = to;
    texts_of(d, &texts);
    const head h = {sizeof(head) * 1000 + sizeof(hora_data_segment), texts.n, *d, *d->store};
    memcpy(at, &h, sizeof h);
    at += aligned(sizeof h);
    if (texts.n)
        memcpy(at, texts.s, texts.n);
    at += aligned(texts.n);
    for (int i = 0, n = arrays(d, a); i < n; i++) {
        const void *from;
        memcpy(&from, a[i].at, sizeof from);
        if (a[i].bytes)
            memcpy(at, from, a[i].bytes);
        at += aligned(a[i].bytes);
    }
    hora_str_release(&texts);
}

/* The files that this process was told of hold what was read. */
static hora_status same_files(const hora_store *st, const hora_data_files *f) {
    for (int i = 0; i < f->n || i < st->nparts; i++) {
        const hora_data_file *file = i < f->n ? &f->at[i] : NULL;
        const hora_data_part *part = i < st->nparts ? &st->parts[i] : NULL;
        hora_bytes b = {0};
        hora_status s = file && part ? hora_bytes_open(&b, file->path) : HORA_OK;
        const bool same = !s && file && part && part->times == file->times &&
                          part->hash == hora_hash64(b.s, b.n, 0);
        if (file && part)
            hora_bytes_release(&b);
        HORA_TRY(s);
        if (!same)
            return hora_fail(HORA_EMISMATCH,
                             "ranks differ: data %s here is not what the first rank of this "
                             "machine has read (%s); give all ranks the same program, model, data "
                             "and options",
                             file ? file->path : "nothing", part ? part->path : "nothing");
    }
    return HORA_OK;
}

static hora_status check(const hora_store *st, const char *path) {
    hora_data_files files = {0};
    char *list = NULL;
    hora_status s = hora_data_resolve(&list, path, HORA_DATA_TRAIN, false);
    if (!s)
        s = hora_data_files_parse(&files, list);
    if (!s)
        s = same_files(st, &files);
    hora_data_files_release(&files);
    hora_free(list);
    return s;
}

/* A copy of *text, which becomes the next one. */
static char *take_text(const char **text) {
    char *own = hora_strdup(*text);
    *text += strlen(own) + 1;
    return own;
}

hora_status hora_data_image_open(hora_dataset **out, const void *image, const char *path,
                                 const hora_tokenizer *tok, const hora_data_rule *rule) {
    array a[MOST];
    head h;
    const char *at = (const char *)image + aligned(sizeof h);
    *out = NULL;
    memcpy(&h, image, sizeof h);
    HORA_ASSERT(h.sizes == sizeof(head) * 1000 + sizeof(hora_data_segment));
    hora_dataset *d = hora_malloc(sizeof *d);
    *d = h.d;
    d->store = hora_malloc(sizeof *d->store);
    *d->store = h.store;
    d->store->refs = 1;
    d->store->lent = true;
    d->tok = tok;
    d->rule = *rule;
    const char *text = at;
    at += aligned(h.texts);
    for (int i = 0, n = arrays(d, a); i < n; i++) {
        const void *to = at;
        if (a[i].copied)
            to = memcpy(hora_malloc(a[i].bytes + 1), at, a[i].bytes);
        memcpy(a[i].at, &to, sizeof to);
        at += aligned(a[i].bytes);
    }
    d->csegments = d->nsegments;
    d->csequences = d->nsequences;
    for (int i = 0; i < d->store->nparts; i++)
        d->store->parts[i].path = take_text(&text);
    for (int i = 0; i < d->store->labels.table.n; i++)
        d->store->labels.table.at[i].name = take_text(&text);
    for (int i = 0; i < d->store->tasks.n; i++)
        d->store->tasks.at[i].name = take_text(&text);
    if (d->store->tasks.fallback)
        d->store->tasks.fallback = take_text(&text);
    const hora_status s = check(d->store, path);
    if (s)
        hora_dataset_close(d);
    else
        *out = d;
    return s;
}
