/*
 * What a data set is, for people: a sequence with what of it counts, and the whole in numbers.
 * Nothing here is needed for training.
 */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/text.h"
#include "data/data_impl.h"

/* ---- a sequence ---- */
static bool counts(const hora_dataset *d, const hora_data_segment *s, int64_t i) {
    return d->store->parts[s->part].plain ||
           (!d->rule.labels && d->store->tokens.mask[s->at + (size_t)i]);
}

/* How the ids of a run are written may depend on those in front: that many of them, at least. */
enum { IN_FRONT = 16 };

/* Hands out the text of each run of tokens that count, or do not: what the run adds to the text of
 * the run before it. */
static hora_status each_run(const hora_dataset *d, int64_t sequence,
                            void (*fn)(void *arg, const char *s, size_t n, bool on), void *arg) {
    const hora_data_segment *s = &d->segments[sequence];
    const int32_t *ids = d->store->tokens.ids.at + s->at;
    hora_str text = {0};
    hora_status st = HORA_OK;
    int64_t before = 0;
    for (int64_t i = 0, end; i < s->n && !st; before = i, i = end) {
        bool on = counts(d, s, i);
        const int64_t from = hora_max(0, hora_min(before, i - IN_FRONT));
        for (end = i + 1; end < s->n && counts(d, s, end) == on;)
            end++;
        text.n = 0;
        st = hora_tokenizer_decode(d->tok, ids + from, (size_t)(i - from), false, &text);
        const size_t shown = text.n;
        text.n = 0;
        if (!st)
            st = hora_tokenizer_decode(d->tok, ids + from, (size_t)(end - from), false, &text);
        const size_t n = text.n > shown ? text.n - shown : 0;
        if (!st)
            fn(arg, n ? text.s + shown : "", n, on);
    }
    hora_str_release(&text);
    return st;
}

static hora_status check_sequence(const hora_dataset *d, int64_t sequence) {
    if (sequence < 0 || sequence >= (int64_t)d->nsegments)
        return hora_fail(HORA_EUSAGE, "record %lld does not exist; there are %zu, counted from 0",
                         (long long)sequence, d->nsegments);
    return HORA_OK;
}

static void add_marked(void *arg, const char *s, size_t n, bool on) {
    hora_str_puts(arg, on ? "[[" : "");
    if (n)
        hora_str_add(arg, s, n);
    hora_str_puts(arg, on ? "]]" : "");
}

hora_status hora_data_show(const hora_dataset *d, int64_t sequence, hora_str *out) {
    HORA_TRY(check_sequence(d, sequence));
    return each_run(d, sequence, add_marked, out);
}

typedef struct runs {
    hora_json *list;
} runs;

static void add_run(void *arg, const char *s, size_t n, bool on) {
    runs *r = arg;
    hora_json *run = hora_json_push(r->list, hora_json_new_object());
    hora_json_set(run, "text", hora_json_new_string_n(s, n));
    hora_json_set(run, "supervised", hora_json_new_bool(on));
}

static void set_int(hora_json *o, const char *key, int64_t v) {
    hora_json_set(o, key, hora_json_new_int(v));
}

/* Of a text file every window stands for itself. */
static const hora_data_record *record_of(const hora_dataset *d, int64_t sequence) {
    const hora_data_segment *s = &d->segments[sequence];
    return d->store->parts[s->part].plain ? NULL : &d->store->records[s->index];
}

/* Classes or numbers of the whole, or a class per token with -100 for what has none. */
static void put_labels(hora_json *o, const hora_dataset *d, const hora_segment *t) {
    if (!d->rule.labels)
        return;
    hora_json *list = hora_json_set(o, "labels", hora_json_new_array());
    for (int64_t i = 0; i < (t->tags ? t->n - t->skip : t->labels); i++)
        hora_json_push(list, t->tags      ? hora_json_new_int(t->tags[i] < 0 ? -100 : t->tags[i])
                             : t->numbers ? hora_json_new_real((double)t->numbers[i])
                                          : hora_json_new_int(t->classes[i]));
}

hora_status hora_data_sequence_json(const hora_dataset *d, int64_t sequence, hora_json **out) {
    *out = NULL;
    HORA_TRY(check_sequence(d, sequence));
    const hora_data_segment *s = &d->segments[sequence];
    const hora_data_record *r = record_of(d, sequence);
    const hora_segment t = hora_data_told(d, s, 0);
    const int64_t supervised = d->rule.targets(&d->rule, &t, NULL).rows;
    hora_json *o = hora_json_new_object();
    if (d->store->nparts > 1)
        hora_json_set(o, "file", hora_json_new_string(d->store->parts[s->part].path));
    set_int(o, "line", s->line);
    set_int(o, "record", s->record + 1);
    hora_json_set(o, "kind", hora_json_new_string(r ? hora_sources[r->kind]->name : "plain text"));
    set_int(o, "tokens", s->n);
    set_int(o, "supervised", supervised);
    set_int(o, "cut", r ? r->full - r->n : 0);
    put_labels(o, d, &t);
    runs list = {hora_json_set(o, "runs", hora_json_new_array())};
    hora_json *ids = hora_json_set(o, "ids", hora_json_new_array()),
              *mask = hora_json_set(o, "mask", hora_json_new_array());
    for (int64_t i = 0; i < s->n; i++) {
        hora_json_push(ids, hora_json_new_int(d->store->tokens.ids.at[s->at + (size_t)i]));
        hora_json_push(mask, hora_json_new_int(counts(d, s, i)));
    }
    hora_status st = each_run(d, sequence, add_run, &list);
    if (st)
        hora_json_free(o);
    else
        *out = o;
    return st;
}

int64_t hora_data_find(const hora_dataset *d, int64_t record, int64_t *n) {
    int64_t first = -1;
    *n = 0;
    for (size_t i = 0; i < d->nsegments; i++)
        if (d->segments[i].record + 1 == record) {
            first = first < 0 ? (int64_t)i : first;
            ++*n;
        }
    return first;
}

/* ---- all of it ---- */
typedef struct fact {
    int64_t n;
    uint64_t hash;
} fact;

static int by_length(const void *a, const void *b) {
    const fact *x = a, *y = b;
    return (x->n > y->n) - (x->n < y->n);
}
static int by_hash(const void *a, const void *b) {
    const fact *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Up to eight steps from the shortest to the longest, whose ends are round numbers. */
static hora_json *histogram(const fact *f, size_t n) {
    hora_json *list = hora_json_new_array();
    double width = n ? (double)f[n - 1].n / 8 : 1, step = 1;
    static const double round_[] = {1, 2, 5, 10};
    for (double p = 1; step < width; p *= 10)
        for (size_t k = 0; k < HORA_COUNT(round_) && step < width; k++)
            step = p * round_[k];
    size_t i = 0;
    int64_t to = (int64_t)step; /* the first bar is that of the shortest */
    while (n && f[0].n > to)
        to += (int64_t)step;
    for (; i < n; to += (int64_t)step) {
        size_t from = i;
        while (i < n && f[i].n <= to)
            i++;
        hora_json *bar = hora_json_push(list, hora_json_new_object());
        set_int(bar, "to", to);
        set_int(bar, "sequences", (int64_t)(i - from));
    }
    return list;
}

static void add_lengths(hora_json *o, fact *f, size_t n) {
    static const struct {
        const char *name;
        double share;
    } places[] = {{"shortest", 0}, {"median", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"longest", 1}};
    hora_json *l = hora_json_set(o, "lengths", hora_json_new_object());
    if (!n)
        return;
    qsort(f, n, sizeof *f, by_length);
    for (size_t i = 0; i < HORA_COUNT(places); i++)
        set_int(l, places[i].name, f[(size_t)floor(places[i].share * (double)(n - 1))].n);
    hora_json_set(l, "histogram", histogram(f, n));
}

static int64_t duplicates(fact *f, size_t n) {
    int64_t same = 0;
    if (n)
        qsort(f, n, sizeof *f, by_hash);
    for (size_t i = 1; i < n; i++)
        same += f[i].hash == f[i - 1].hash && f[i].n == f[i - 1].n;
    return same;
}

static void add_kinds(const hora_dataset *d, hora_json *o) {
    hora_json *kinds = hora_json_set(o, "kinds", hora_json_new_object());
    for (int k = 0; k < hora_nsources; k++) {
        int64_t n = 0, last = -1;
        for (size_t i = 0; i < d->store->nrecords; i++) {
            const hora_data_record *r = &d->store->records[i];
            n += r->kind == k && r->record != last;
            last = r->record;
        }
        if (n)
            set_int(kinds, hora_sources[k]->name, n);
    }
}

hora_json *hora_data_survey(const hora_dataset *d) {
    const hora_data_info *i = &d->info;
    hora_json *o = hora_json_new_object();
    fact *f = hora_calloc(d->nsegments + 1, sizeof *f);
    const hora_data_segment *longest = NULL;
    int64_t most = -1;
    for (size_t k = 0; k < d->nsegments; k++) {
        const hora_data_segment *s = &d->segments[k];
        const hora_data_record *r = record_of(d, (int64_t)k);
        f[k] = (fact){r ? r->full : s->n, hora_hash64(d->store->tokens.ids.at + s->at,
                                                      (size_t)s->n * sizeof(int32_t), 7)};
        if (f[k].n > most) {
            most = f[k].n;
            longest = s;
        }
    }
    set_int(o, "records", i->records);
    add_kinds(d, o);
    set_int(o, "sequences", (int64_t)d->nsegments);
    set_int(o, "tokens", i->tokens);
    set_int(o, "supervised", i->supervised);
    hora_json_set(o, "supervised_share",
                  hora_json_new_real(i->tokens ? (double)i->supervised / (double)i->tokens : 0));
    set_int(o, "seq_len", d->seq_len);
    set_int(o, "cut_sequences", i->truncated - i->lost);
    set_int(o, "lost_sequences", i->lost);
    set_int(o, "cut_tokens", i->cut);
    hora_json_set(o, "cut_share",
                  hora_json_new_real(i->cut ? (double)i->cut / (double)(i->cut + i->tokens) : 0));
    set_int(o, "bad_records", i->skipped);
#define HORA_TOLD(field, name, sentence) set_int(o, name, i->told.field);
#include "data/told.def"
#undef HORA_TOLD
    set_int(o, "straddling_tokens", i->straddling);
    set_int(o, "texts_with_bos", i->bos);
    set_int(o, "duplicates", duplicates(f, d->nsegments));
    add_lengths(o, f, d->nsegments);
    if (longest) {
        hora_json *l = hora_json_set(o, "longest", hora_json_new_object());
        set_int(l, "line", longest->line);
        set_int(l, "tokens", most);
    }
    hora_free(f);
    return o;
}
