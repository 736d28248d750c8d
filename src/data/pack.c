/*
 * Cuts sequences of at most seq_len tokens, once, and fills micro-batches from them. A sequence is
 * a list of segments; a segment is a record or a window of the stream. With packing, records are
 * put into sequences next-fit: in file order, into the open sequence or else into a new one. In a
 * micro-batch the segments of all its sequences stand side by side without padding; only the end is
 * filled up to the row class. Filling allocates nothing: it runs within a step.
 */
#include <math.h>

#include "base/rng.h"
#include "data/data_impl.h"

#define SUBSET ((uint64_t)1 << 62) /* streams apart from those of the epochs */

/* ---- row classes ---- */
int64_t hora_row_class(int64_t capacity, int64_t rows) {
    int64_t all = hora_round_up(capacity, 64);
    for (int64_t quarter = 1; quarter < 4; quarter++) {
        int64_t n = hora_round_up(hora_ceil_div(all * quarter, 4), 64);
        if (n >= rows)
            return n;
    }
    return all;
}

/* ---- in front of samples ---- */
static int64_t slots_of(const hora_dataset *d, const hora_data_segment *s) {
    const int at = 1 + hora_tasks_route(d, s);
    return at < d->nslots ? d->slots[at] : 0;
}

static int64_t most_slots(const hora_dataset *d) {
    int64_t most = 0;
    for (int i = 0; i < d->nslots; i++)
        most = hora_max(most, d->slots[i]);
    return most;
}

int64_t hora_data_sequence_tokens(const hora_dataset *d) {
    int64_t most = d->rule.labels == HORA_LABELS_TEXTS ? 1 : d->seq_len + most_slots(d);
    for (size_t i = 0; i < d->nsequences && d->rule.labels == HORA_LABELS_TEXTS; i++)
        most = hora_max(most, d->sequences[i].tokens);
    return most;
}

/* ---- cutting ---- */
hora_segment hora_data_told(const hora_dataset *d, const hora_data_segment *s, int64_t from) {
    const hora_store *st = d->store;
    const hora_label_store *l = &st->labels;
    const hora_label_kind k = d->rule.labels;
    const bool plain = st->parts[s->part].plain;
    const int64_t bos = plain && d->bos >= 0, slots = st->pictures ? 0 : slots_of(d, s);
    return (hora_segment){
        .from = from,
        .n = s->n + slots + bos,
        .skip = slots + bos,
        .ids = st->tokens.ids.at + s->at,
        .mask = plain || k ? NULL : st->tokens.mask + s->at,
        .types = st->tokens.types.n ? st->tokens.types.at + s->at : NULL,
        .tags = k == HORA_LABELS_TAG ? l->tags + s->at : NULL,
        .classes = k == HORA_LABELS_CLASS && s->labels.n ? l->ids + s->labels.first : NULL,
        .numbers = k == HORA_LABELS_NUMBER || (k == HORA_LABELS_TEXTS && s->labels.n)
                       ? l->numbers + s->labels.first
                       : NULL,
        .labels = s->labels.n,
        .part = k == HORA_LABELS_TEXTS ? st->records[s->index].part : 0,
        .bytes = st->bytes,
        .nbytes = st->nbytes};
}

static void add_segment(hora_dataset *d, hora_data_segment s, bool new_sequence) {
    const hora_segment t = hora_data_told(d, &s, 0);
    const int64_t n = t.n;
    const hora_counted counted = d->rule.targets(&d->rule, &t, NULL);
    if (new_sequence)
        HORA_PUSH(d->sequences, d->nsequences, d->csequences,
                  ((hora_data_sequence){.first = d->nsegments}));
    HORA_PUSH(d->segments, d->nsegments, d->csegments, s);
    hora_data_sequence *r = &d->sequences[d->nsequences - 1];
    r->nsegments++;
    r->tokens += n;
    r->supervised += counted.rows;
    const hora_data_segment *last = d->nsegments > 1 ? &d->segments[d->nsegments - 2] : NULL;
    d->info.records += !last || last->record != s.record || last->part != s.part ||
                       last->index + 1 != s.index; /* it may be several sequences, one by one */
    d->info.sequences = (int64_t)d->nsequences;
    d->info.tokens += n - slots_of(d, &s);
    d->info.texts = hora_max(d->info.texts, t.part + 1);
    for (int64_t i = 0; i < s.n && !d->store->pictures; i++)
        d->info.max_id =
            (int32_t)hora_max(d->info.max_id, d->store->tokens.ids.at[s.at + (size_t)i]);
    for (int64_t i = 0; t.types && i < s.n; i++)
        d->info.max_type = (int32_t)hora_max(d->info.max_type, t.types[i]);
    d->info.supervised += counted.rows;
    d->info.bytes += counted.bytes;
}

void hora_pack_begin(hora_dataset *d) {
    d->nsegments = d->nsequences = 0;
    d->info.max_id = d->bos > 0 ? d->bos : 0;
    d->info.records = d->info.sequences = d->info.tokens = d->info.supervised = d->info.bytes = 0;
}

/* A segment begins a sequence: the one at the end, if there is one, does not take it. The texts of
 * a record stand in one row. */
static bool begins(const hora_dataset *d, const hora_data_segment *s, bool open) {
    if (d->rule.labels == HORA_LABELS_TEXTS)
        return hora_data_told(d, s, 0).part == 0;
    return !open || !d->packing || d->store->parts[s->part].plain ||
           d->sequences[d->nsequences - 1].tokens + s->n + slots_of(d, s) >
               d->seq_len + most_slots(d);
}

/* Of the n records (or sequences of one) from..to those that are on; NULL: all. A sequence holds
 * records of one part only. */
static void pack_records(hora_dataset *d, int part, size_t from, size_t to, const uint8_t *on) {
    bool open = false;
    for (size_t i = from; i < to; i++) {
        const hora_data_record *r = &d->store->records[i];
        if (on && !on[i - from])
            continue;
        const hora_data_segment s = {r->at, r->n, r->line, r->record, r->labels, part, i};
        add_segment(d, s, begins(d, &s, open));
        open = true;
    }
}

static void pack_stream(hora_dataset *d, int part, size_t from, size_t to) {
    const size_t bos = d->bos >= 0, body = (size_t)d->seq_len - bos;
    for (size_t at = from; at < to; at += body) {
        const size_t n = to - at < body ? to - at : body;
        const int64_t window = (int64_t)((at - from) / body);
        if (n + bos >= 2) /* a single token has nothing to predict */
            add_segment(d,
                        (hora_data_segment){
                            at, (int64_t)n, window + 1, window, {0, 0}, part, (size_t)window},
                        true);
    }
}

void hora_data_choose(const hora_dataset *d, int part, size_t from, size_t to, double share,
                      uint8_t *on) {
    const hora_data_record *r = d->store->records;
    int64_t n = 0, group = -1;
    for (size_t i = from; i < to; i++)
        n += i == from || r[i].record != r[i - 1].record;
    uint8_t *chosen = hora_calloc((size_t)n + 1, 1);
    for (int64_t k = 0; k < (int64_t)floor(share * (double)n + 0.5); k++)
        chosen[hora_rng_permutation(d->seed, SUBSET + (uint64_t)part, n, k)] = 1;
    for (size_t i = from; i < to; i++) {
        group += i == from || r[i].record != r[i - 1].record;
        on[i - from] = chosen[group];
    }
    hora_free(chosen);
}

void hora_pack_part(hora_dataset *d, int part, size_t from, size_t to, double times) {
    const hora_data_part *p = &d->store->parts[part];
    for (double k = 0; k + 1 <= times; k++)
        if (p->stream)
            pack_stream(d, part, from, to);
        else
            pack_records(d, part, from, to, NULL);
    const double rest = times - floor(times);
    if (rest <= 0 || p->stream)
        return;
    uint8_t *on = hora_calloc(to - from + 1, 1);
    hora_data_choose(d, part, from, to, rest, on);
    pack_records(d, part, from, to, on);
    hora_free(on);
}

void hora_pack_sequences(hora_dataset *d, const hora_dataset *from, const int64_t *at, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        HORA_ASSERT(at[i] >= 0 && at[i] < (int64_t)from->nsequences);
        const hora_data_sequence *r = &from->sequences[at[i]];
        for (int64_t k = 0; k < r->nsegments; k++)
            add_segment(d, from->segments[r->first + (size_t)k], k == 0);
    }
}

void hora_pack_again(hora_dataset *d, const hora_data_segment *s, bool open) {
    add_segment(d, *s, begins(d, s, open));
}

void hora_data_slots(hora_dataset *d, const int64_t *slots, int n) {
    hora_store *st = d->store;
    int64_t *now = hora_malloc((size_t)n * sizeof *now);
    bool same = true;
    for (int i = 0; i < n; i++) {
        now[i] = st->pictures ? hora_pictures_slots(st->pictures, &st->tokens, slots[i]) : slots[i];
        same &= now[i] == (i < d->nslots ? d->slots[i] : 0);
    }
    const int64_t more = now[0] - (d->nslots ? d->slots[0] : 0);
    hora_free(d->slots);
    d->slots = now;
    d->nslots = n;
    if (same)
        return;
    hora_data_segment *old = d->segments;
    const size_t count = d->nsegments;
    d->segments = NULL;
    d->csegments = 0;
    hora_pack_begin(d);
    for (size_t i = 0; i < count; i++) {
        const bool open = i && old[i].part == old[i - 1].part;
        old[i].n += st->pictures ? more : 0;
        hora_pack_again(d, &old[i], open);
    }
    hora_free(old);
}

/* Sequence at position `at` of the endless stream. */
const hora_data_sequence *hora_data_sequence_at(const hora_dataset *d, int64_t at, bool eval) {
    int64_t n = (int64_t)d->nsequences, i = at % n;
    if (d->shuffle && !eval)
        i = hora_rng_permutation(d->seed, (uint64_t)(at / n), n, i);
    return &d->sequences[i];
}

/* ---- filling ---- */
static void put_segment(const hora_dataset *d, const hora_data_segment *s, hora_batch *b) {
    const hora_segment t = hora_data_told(d, s, b->tokens);
    const int64_t slots = slots_of(d, s);
    for (int64_t i = 0; i < t.n; i++) {
        b->ids[t.from + i] = i >= t.skip                        ? t.ids[i - t.skip]
                             : i < slots && !d->store->pictures ? (int32_t)(i - slots)
                                                                : d->bos;
        b->pos[t.from + i] = (int32_t)i;
    }
    for (int64_t i = 0; b->type && i < t.n; i++)
        b->type[t.from + i] = t.types && i >= t.skip ? t.types[i - t.skip] : 0;
    for (int64_t i = 0; b->route && i < t.n; i++)
        b->route[t.from + i] = hora_tasks_route(d, s);
    hora_batch_reach(b, t.from, t.n, t.n);
    hora_batch_places(b, t.from, t.n, d->rule.pad);
    d->rule.ranges(b, t.from, t.n, t.from, t.from + t.n);
    const hora_counted counted = d->rule.targets(&d->rule, &t, b);
    b->supervised += counted.rows;
    b->target_bytes += counted.bytes;
    b->tokens += t.n;
}

static int64_t sequences_there(int64_t first, int64_t n, int64_t limit) {
    return limit <= first ? 0 : hora_min(n, limit - first);
}

hora_status hora_data_fill(const hora_dataset *d, int64_t first, int64_t n, int64_t limit,
                           bool eval, hora_batch *b) {
    b->rows = b->tokens = b->supervised = b->target_bytes = 0;
    if (first < 0 || n < 0)
        return hora_fail(HORA_EUSAGE, "data sequences %lld to %lld do not exist; count from 0",
                         (long long)first, (long long)(first + n - 1));
    n = sequences_there(first, n, limit);
    for (int64_t i = 0; i < n; i++) {
        const hora_data_sequence *r = hora_data_sequence_at(d, first + i, eval);
        if (r->tokens > b->capacity - b->tokens)
            return hora_fail(
                HORA_EUSAGE,
                "%lld data sequences do not fit into a batch of %lld tokens; take fewer sequences",
                (long long)n, (long long)b->capacity);
        for (int64_t k = 0; k < r->nsegments; k++)
            put_segment(d, &d->segments[r->first + (size_t)k], b);
    }
    if (d->store->pictures)
        HORA_TRY(hora_pictures_fill(d, first, n, eval, b));
    b->rows = b->tokens ? hora_row_class(b->capacity, b->tokens) : 0;
    hora_batch_pad(b);
    return HORA_OK;
}

int64_t hora_data_supervised(const hora_dataset *d, int64_t first, int64_t n, int64_t limit,
                             bool eval) {
    int64_t sum = 0;
    n = sequences_there(first, n, limit);
    for (int64_t i = 0; i < n; i++)
        sum += hora_data_sequence_at(d, first + i, eval)->supervised;
    return sum;
}

int64_t hora_data_tokens(const hora_dataset *d, int64_t first, int64_t n, int64_t limit,
                         bool eval) {
    int64_t sum = 0;
    n = sequences_there(first, n, limit);
    for (int64_t i = 0; i < n; i++)
        sum += hora_data_sequence_at(d, first + i, eval)->tokens;
    return sum;
}

int hora_data_records(const hora_dataset *d, int64_t sequence, bool eval, hora_data_origin *at,
                      int cap) {
    const hora_data_sequence *r = hora_data_sequence_at(d, sequence, eval);
    const hora_store *st = d->store;
    int n = r->nsegments < cap ? (int)r->nsegments : cap;
    for (int i = 0; i < n; i++) {
        const hora_data_segment *s = &d->segments[r->first + (size_t)i];
        at[i] = (hora_data_origin){st->nparts > 1 ? st->parts[s->part].path : NULL, s->line};
    }
    return n;
}
