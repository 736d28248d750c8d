/*
 * Opens a dataset: reads every file of the list, tokenises everything once, cuts sequences. A bad
 * record names file, line and column; with skip_bad it is counted instead. Refused are data sets
 * without a sequence or without a supervised token. Records go into the store once, however often
 * an epoch has their file.
 */
#include <math.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "data/files_impl.h"
#include "data/labelled.h"

typedef struct opening {
    hora_dataset *d;
    const hora_data_config *cfg;
    const char *path; /* of the present file, for people */
    bool table;       /* it is one */
    hora_reader reader;
    hora_frame frame; /* of labelled records */
    hora_columns columns;
    int64_t nread;
    hora_mask_notes notes;
    char *first_bad; /* text of the first record that was skipped */
} opening;

/* ---- a record ---- */
/* A record that cannot be used: ends the reading, or is counted. */
static hora_status bad_record(void *arg, hora_status s) {
    opening *o = arg;
    if (!o->cfg->skip_bad)
        return s;
    if (!o->first_bad)
        o->first_bad = hora_strdup(hora_errmsg());
    o->d->info.skipped++;
    return HORA_OK;
}

/* One option in two spellings. */
static hora_status train_on_of(const hora_data_config *c, int *out) {
    *out = c->train_on_prompt ? HORA_TRAIN_ON_ALL : c->train_on;
    if (c->train_on_prompt && c->train_on == HORA_TRAIN_ON_LAST)
        return hora_fail(HORA_EUSAGE, "train_on_prompt and train_on=last contradict each other; "
                                      "leave one of them out");
    return HORA_OK;
}

static int64_t targets(const hora_masked *t, size_t from, size_t to) {
    int64_t n = 0;
    for (size_t i = from + 1; i < to; i++)
        n += t->mask[i];
    return n;
}

/* Appends the sample's tokens, cut to seq_len. *some: there is something to learn in it. */
static hora_status keep(opening *o, const hora_sample *sample, hora_data_record r, bool *some) {
    hora_dataset *d = o->d;
    hora_masked *t = &d->store->tokens;
    r.at = t->n;
    hora_status s = hora_sample_ids(o->reader.tok, sample, t, &o->notes);
    bool any = !s && targets(t, r.at, t->n) > 0;
    size_t cut = r.at + (size_t)d->seq_len;
    bool longer = any && t->n > cut, lost = longer && !targets(t, r.at, cut), in = any && !lost;
    *some = *some || any;
    r.full = (int64_t)(t->n - r.at);
    d->info.truncated += longer;
    d->info.lost += lost;
    d->info.cut += longer ? (int64_t)(t->n - cut) : 0;
    t->n = !in ? r.at : longer ? cut : t->n;
    t->ids.n = t->n;
    r.n = (int64_t)(t->n - r.at);
    if (in)
        HORA_PUSH(d->store->records, d->store->nrecords, d->store->crecords, r);
    return s;
}

static hora_status keep_all(opening *o, const hora_samples *samples, hora_data_record r) {
    bool some = false;
    for (int i = 0; i < samples->n; i++)
        HORA_TRY(keep(o, &samples->at[i], r, &some));
#define HORA_TOLD(field, name, sentence) o->d->info.told.field += samples->told.field;
#include "data/told.def"
#undef HORA_TOLD
    return some ? HORA_OK
                : hora_fail(HORA_EFORMAT, "the record has no token to learn; give it text that "
                                          "counts, or remove it");
}

/* Appends a labelled record; of one that fails nothing stays. */
static hora_status keep_labelled(opening *o, const hora_sample *sample, hora_data_record r) {
    hora_dataset *d = o->d;
    hora_store *st = d->store;
    const size_t tags = st->labels.ntags, lost = st->labels.nlost, types = st->tokens.types.n;
    int64_t cut = 0;
    r.at = st->tokens.ids.n;
    hora_status s = sample->words
                        ? hora_labelled_words(&o->reader, &o->frame, sample, r.line, d->seq_len,
                                              &st->tokens, &st->labels, &cut)
                        : hora_labelled_text(&o->reader, sample, d->seq_len, &st->tokens, &cut);
    if (!s && !sample->words)
        s = hora_labels_read(&st->labels, d->rule.labels, sample->label, r.line, &r.labels);
    r.n = (int64_t)(st->tokens.ids.n - r.at);
    r.full = r.n + cut;
    if (!s && !r.n)
        s = hora_fail(HORA_EFORMAT, "the text is empty and the tokenizer adds nothing to it; fill "
                                    "it or remove the record");
    if (s) {
        st->tokens.ids.n = r.at;
        st->tokens.types.n = types;
        st->labels.ntags = tags;
        st->labels.nlost = lost;
        return s;
    }
    d->info.truncated += cut > 0;
    d->info.cut += cut;
    HORA_PUSH(st->records, st->nrecords, st->crecords, r);
    return HORA_OK;
}

/* Appends every text of a record, each a row of the store; all of them or none. */
static hora_status keep_texts(opening *o, const hora_samples *samples, hora_data_record r) {
    hora_store *st = o->d->store;
    const hora_store was = *st;
    hora_data_labels_at labels = {0, 0};
    hora_status s = hora_labels_score(&st->labels, samples->at[0].label, &labels);
    for (int i = 0; i < samples->n && !s; i++) {
        int64_t cut = 0;
        r.part = i;
        r.labels = labels;
        r.at = st->tokens.ids.n;
        s = hora_labelled_text(&o->reader, &samples->at[i], o->d->seq_len, &st->tokens, &cut);
        r.n = (int64_t)(st->tokens.ids.n - r.at);
        r.full = r.n + cut;
        if (!s && !r.n)
            s = hora_fail(HORA_EFORMAT,
                          "text %d of the record is empty; fill it or remove the "
                          "record",
                          i + 1);
        o->d->info.truncated += !s && cut > 0;
        o->d->info.cut += cut;
        if (!s)
            HORA_PUSH(st->records, st->nrecords, st->crecords, r);
    }
    if (s) {
        st->tokens.ids.n = was.tokens.ids.n;
        st->tokens.types.n = was.tokens.types.n;
        st->nrecords = was.nrecords;
        st->labels.nnumbers = was.labels.nnumbers;
    }
    return s;
}

/* Bytes of text per token id, so that filling a batch asks no tokenizer. */
static void measure_tokens(hora_store *st, const hora_tokenizer *tok) {
    st->nbytes = hora_tokenizer_size(tok);
    st->bytes = hora_calloc((size_t)st->nbytes + 1, sizeof *st->bytes);
    for (int32_t i = 0; i < st->nbytes; i++)
        st->bytes[i] = hora_tokenizer_bytes(tok, i);
}

/* Cells that hold what is no text elsewhere are written as JSON, the only way that tables have. */
static hora_status cells(const hora_json *record, hora_json **own) {
    static const char *const lists[] = {"messages", "conversations", "conversation", "history",
                                        "tokens",   "words",         "tags",         "ner_tags"};
    *own = hora_json_new_object();
    for (void *it = hora_json_iter(record); it; it = hora_json_next(record, it)) {
        const char *key = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        size_t n;
        const char *s = hora_json_string(v, &n);
        hora_json *tree = NULL;
        for (size_t k = 0; k < HORA_COUNT(lists) && s && n; k++)
            if (hora_eq(key, lists[k]) && strchr("[{", *s) &&
                hora_json_parse(&tree, s, n, key) != HORA_OK) {
                hora_json_free(*own);
                *own = NULL;
                return hora_context(HORA_EFORMAT, "column `%s` is to hold JSON", key);
            }
        if (!n && hora_eq(key, "history"))
            continue;
        hora_json_set(*own, key, tree ? tree : hora_json_share(v));
    }
    return HORA_OK;
}

static hora_status samples_of(opening *o, const hora_json *record, hora_samples *out, int *kind) {
    const hora_source *source = hora_source_of(record, o->d->rule.labels, &o->columns);
    if (!source)
        return hora_source_unknown(record, o->d->rule.labels);
    for (*kind = 0; hora_sources[*kind] != source;)
        ++*kind;
    return source->read(&o->reader, record, out);
}

/* The record as sources.def knows it; owned. A list of turns is a conversation. */
static hora_status named(const opening *o, const hora_json *record, hora_json **own) {
    hora_json *renamed;
    const hora_json *first = hora_json_at(record, 0);
    if (hora_json_get(first, "role") || hora_json_get(first, "from")) {
        *own = hora_json_new_object();
        hora_json_set(*own, "messages", hora_json_share(record));
        return HORA_OK;
    }
    HORA_TRY(hora_columns_apply(&o->columns, record, &renamed));
    *own = renamed;
    if (!o->table)
        return HORA_OK;
    hora_status s = cells(renamed, own);
    hora_json_free(renamed);
    return s;
}

static hora_status take_record(void *arg, const hora_json *given, hora_place at) {
    opening *o = arg;
    hora_samples samples = {0};
    hora_json *record = NULL;
    hora_data_record r = {.line = at.line, .record = o->nread++};
    hora_status s = named(o, given, &record);
    if (!s)
        s = samples_of(o, record, &samples, &r.kind);
    if (!s)
        r.task = hora_tasks_read(&o->d->store->tasks, record);
    if (!s)
        s = !o->d->rule.labels                       ? keep_all(o, &samples, r)
            : o->d->rule.labels == HORA_LABELS_TEXTS ? keep_texts(o, &samples, r)
                                                     : keep_labelled(o, samples.at, r);
    hora_samples_release(&samples);
    hora_json_free(record);
    if (!s)
        return HORA_OK;
    return bad_record(o, hora_context(s, "%s: line %lld, column %lld", o->path, (long long)at.line,
                                      (long long)at.column));
}

/* A table is refused as a whole where its columns fit nothing. */
static hora_status take_header(void *arg, const hora_json *names) {
    opening *o = arg;
    hora_json *record;
    hora_status s = hora_columns_apply(&o->columns, names, &record);
    if (!s && !hora_source_of(record, o->d->rule.labels, &o->columns))
        s = hora_source_unknown(record, o->d->rule.labels);
    hora_json_free(record);
    return s ? hora_context(s, "%s: the header, whose names are the keys of every record", o->path)
             : HORA_OK;
}

/* ---- a file ---- */
static hora_status not_utf8(const opening *o, const char *s, size_t bad) {
    int64_t line = 1;
    size_t start = 0;
    for (size_t i = 0; i < bad; i++)
        if (s[i] == '\n') {
            line++;
            start = i + 1;
        }
    return hora_fail(HORA_EFORMAT, "%s: line %lld, column %zu: not UTF-8; convert the file",
                     o->path, (long long)line, bad - start + 1);
}

/* Plain text is one stream; where only a subset of it is wanted, its windows are records. */
static hora_status take_text(opening *o, const char *s, size_t n, hora_data_part *p) {
    hora_dataset *d = o->d;
    hora_masked *t = &d->store->tokens;
    size_t bad;
    if (!hora_utf8_valid(s, n, &bad))
        return not_utf8(o, s, bad);
    d->bos = o->cfg->add_bos ? hora_tokenizer_bos(o->reader.tok) : -1;
    if (o->cfg->add_bos && d->bos < 0)
        return hora_fail(HORA_EUSAGE, "add_bos: this tokenizer has no BOS; leave add_bos out");
    const size_t from = t->ids.n, body = (size_t)(d->seq_len - (d->bos >= 0));
    HORA_TRY(hora_tokenizer_encode(o->reader.tok, s, n, false, &t->ids));
    p->plain = true;
    p->stream = p->times == floor(p->times);
    p->records = (int64_t)((t->ids.n - from + body - 1) / body);
    for (size_t at = from; at < t->ids.n && !p->stream; at += body) {
        const int64_t window = (int64_t)((at - from) / body),
                      k = hora_min((int64_t)body, (int64_t)(t->ids.n - at));
        if (k + (d->bos >= 0) >= 2)
            HORA_PUSH(d->store->records, d->store->nrecords, d->store->crecords,
                      ((hora_data_record){.at = at,
                                          .n = k,
                                          .line = window + 1,
                                          .record = o->nread++,
                                          .full = k,
                                          .kind = -1}));
    }
    if (p->stream) {
        p->first = from;
        p->end = t->ids.n;
    }
    return HORA_OK;
}

/* Of less than once an epoch there is a subset only. */
static void thin(opening *o, hora_data_part *p) {
    hora_store *st = o->d->store;
    size_t kept = p->first;
    uint8_t *on = hora_calloc(p->end - p->first + 1, 1);
    hora_data_choose(o->d, st->nparts, p->first, p->end, p->times, on);
    for (size_t i = p->first; i < p->end; i++)
        if (on[i - p->first])
            st->records[kept++] = st->records[i];
    st->nrecords = p->end = kept;
    hora_free(on);
}

static hora_status take_file(opening *o, const char *s, size_t n, hora_data_part *p) {
    hora_store *st = o->d->store;
    hora_data_format f = HORA_FORMAT_AUTO;
    const int64_t before = o->nread;
    HORA_TRY(hora_data_format_of(o->cfg, o->path, &o->columns, s, n, &f));
    if (f == HORA_FORMAT_TEXT && o->d->rule.labels)
        return hora_fail(HORA_EUSAGE,
                         "%s: plain text has no labels; give JSONL, CSV or TSV with a label for "
                         "each text",
                         o->path);
    p->first = st->nrecords;
    o->table = f == HORA_FORMAT_CSV || f == HORA_FORMAT_TSV;
    if (f == HORA_FORMAT_TEXT)
        HORA_TRY(take_text(o, s, n, p));
    else if (f == HORA_FORMAT_JSONL)
        HORA_TRY(hora_read_records(s, n, o->path, take_record, bad_record, o));
    else
        HORA_TRY(hora_read_table(s, n, o->path, f == HORA_FORMAT_TSV, take_header, take_record,
                                 bad_record, o));
    if (p->stream)
        return HORA_OK;
    p->end = st->nrecords;
    p->records = o->nread - before;
    o->d->info.samples += (int64_t)(p->end - p->first);
    if (p->times < 1)
        thin(o, p);
    return HORA_OK;
}

static hora_status take_part(opening *o, const hora_data_file *f) {
    hora_store *st = o->d->store;
    hora_bytes b;
    hora_data_part p = {.times = f->times};
    o->path = hora_data_shown(f->path);
    if (st->nparts && !o->d->rule.labels) /* plain text alone has no mask */
        hora_masked_ones(&st->tokens);
    hora_status s = hora_bytes_open(&b, f->path);
    if (!s)
        s = take_file(o, b.s, b.n, &p);
    p.hash = s ? 0 : hora_hash64(b.s, b.n, 0);
    hora_bytes_release(&b);
    HORA_TRY(s);
    p.path = hora_strdup(o->path);
    for (int i = 0; i < st->nparts; i++)
        if (st->parts[i].hash == p.hash)
            hora_warn("%s holds the same as %s: each of its records counts once more; %s:%g says "
                      "that in one",
                      p.path, st->parts[i].path, f->path, st->parts[i].times + p.times);
    HORA_PUSH(st->parts, st->nparts, st->cparts, p);
    return HORA_OK;
}

/* ---- the whole ---- */
/* Everything that decides the sequences: the files, what they were turned into, and the cut. */
static uint64_t fingerprint(const hora_dataset *d, const hora_data_config *c) {
    const hora_store *st = d->store;
    const hora_masked *t = &st->tokens;
    const hora_data_part *first = &st->parts[0];
    const bool mask = t->ids.n && !d->rule.labels && (st->nparts > 1 || !first->plain);
    const uint64_t parts[] = {first->hash,
                              t->ids.n ? hora_hash64(t->ids.at, t->ids.n * sizeof *t->ids.at, 1)
                                       : 0,
                              mask ? hora_hash64(t->mask, t->ids.n, 2) : 0,
                              (uint64_t)c->seq_len,
                              (uint64_t)c->packing,
                              (uint64_t)(d->bos + 1),
                              hora_hash64(&c->eval_split, sizeof c->eval_split, 3)};
    uint64_t h = hora_hash64(parts, sizeof parts, 4 + (uint64_t)d->rule.labels * 16);
    for (int i = 0; i < st->nparts && (st->nparts > 1 || first->times != 1); i++) {
        const hora_data_part *p = &st->parts[i];
        const uint64_t more[] = {h, p->hash, hora_hash64(&p->times, sizeof p->times, 7),
                                 p->times == floor(p->times) ? 0 : d->seed};
        h = hora_hash64(more, sizeof more, 8);
    }
    return h;
}

/* Each time that an epoch has a record takes room. */
static hora_status check_room(const hora_dataset *d) {
    const hora_store *st = d->store;
    double bytes = 0;
    char need[32];
    for (int i = 0; i < st->nparts; i++)
        bytes += st->parts[i].times * (double)st->parts[i].records;
    bytes *= sizeof(hora_data_segment) + sizeof(hora_data_sequence);
    const size_t free = hora_memory_available();
    return !free || bytes < (double)free / 2
               ? HORA_OK
               : hora_fail(HORA_ENOMEM,
                           "an epoch of these data takes %s for its records alone; give smaller "
                           "numbers behind the colons and more epochs",
                           hora_human_bytes(need, bytes));
}

static hora_status read_all(opening *o, const hora_data_files *files) {
    hora_dataset *d = o->d;
    hora_store *st = d->store;
    for (int i = 0; i < files->n; i++)
        HORA_TRY(take_part(o, &files->at[i]));
    if (st->nparts > 1 && !d->rule.labels)
        hora_masked_ones(&st->tokens);
    HORA_TRY(check_room(d));
    o->path = st->nparts > 1 ? "the data" : o->path;
    hora_labels_finish(&st->labels, st->records, st->nrecords);
    hora_pack_begin(d);
    for (int i = 0; i < st->nparts; i++) { /* what is held out is held out once */
        const hora_data_part *p = &st->parts[i];
        hora_pack_part(d, i, p->first, p->end, d->eval_split > 0 ? 1 : p->times < 1 ? 1 : p->times);
    }
    d->info.samples += d->info.lost;
    d->info.straddling = o->notes.straddling;
    d->info.bos = o->notes.bos;
    d->info.hash = st->hash = fingerprint(d, o->cfg);
    return HORA_OK;
}

static hora_status check_sequences(const opening *o) {
    const hora_data_info *i = &o->d->info;
    if (o->first_bad)
        hora_warn("%s: records that were skipped: %lld; the first: %s", o->path,
                  (long long)i->skipped, o->first_bad);
    if (i->supervised)
        return HORA_OK;
    if (o->first_bad)
        return hora_fail(HORA_EFORMAT, "%s: no record can be used; the first fails with: %s",
                         o->path, o->first_bad);
    if (i->lost)
        return hora_fail(HORA_EFORMAT,
                         "%s: what should be learned lies behind the first %lld tokens of all %lld "
                         "records; choose a larger seq_len",
                         o->path, (long long)o->d->seq_len, (long long)i->lost);
    return hora_fail(HORA_EFORMAT, "%s: nothing to learn in it; give a file with text or records",
                     o->path);
}

hora_status hora_data_check(const hora_data_config *c) {
    hora_columns columns;
    hora_json *kwargs = NULL;
    hora_data_format f;
    int train_on;
    if (c->seq_len < 2 || c->seq_len > 1 << 24)
        return hora_fail(HORA_EUSAGE, "seq_len=%lld is not possible; choose 2 to %d",
                         (long long)c->seq_len, 1 << 24);
    HORA_TRY(hora_data_format_given(c, &f));
    HORA_TRY(train_on_of(c, &train_on));
    hora_status s = hora_columns_parse(&columns, c->columns);
    hora_columns_release(&columns);
    if (!s)
        s = hora_chat_object(&kwargs, c->chat_kwargs, "chat_kwargs");
    hora_json_free(kwargs);
    return s;
}

hora_status hora_dataset_open(hora_dataset **out, const char *path, const hora_tokenizer *tok,
                              const hora_template *tmpl, const hora_data_config *cfg,
                              const hora_data_rule *rule) {
    hora_data_files files = {0};
    hora_json *kwargs = NULL;
    char *list = NULL;
    *out = NULL;
    HORA_TRY(hora_data_check(cfg));
    hora_dataset *d = hora_calloc(1, sizeof *d);
    d->store = hora_calloc(1, sizeof *d->store);
    d->store->refs = 1;
    d->store->tasks.fallback =
        cfg->default_task && *cfg->default_task ? hora_strdup(cfg->default_task) : NULL;
    d->tok = tok;
    d->seq_len = cfg->seq_len;
    d->packing = cfg->packing;
    d->shuffle = cfg->shuffle;
    d->skip_bad = cfg->skip_bad;
    d->eval_split = cfg->eval_split;
    d->seed = (uint64_t)cfg->seed;
    d->rule = *rule;
    d->bos = -1;
    opening o = {.d = d, .cfg = cfg, .path = path};
    o.reader = (hora_reader){.tok = tok, .tmpl = tmpl, .turns = cfg->turns};
    measure_tokens(d->store, tok);
    hora_status s;
    HORA_TRY_OUT(s, train_on_of(cfg, &o.reader.train_on));
    HORA_TRY_OUT(s, hora_columns_parse(&o.columns, cfg->columns));
    if (rule->labels)
        HORA_TRY_OUT(s, hora_frame_open(&o.frame, tok));
    HORA_TRY_OUT(s, hora_chat_object(&kwargs, cfg->chat_kwargs, "chat_kwargs"));
    o.reader.kwargs = kwargs;
    HORA_TRY_OUT(s, hora_data_resolve(&list, path, HORA_DATA_TRAIN, false));
    HORA_TRY_OUT(s, hora_data_files_parse(&files, list));
    HORA_TRY_OUT(s, read_all(&o, &files));
    if (cfg->add_bos && d->bos < 0)
        hora_warn("add_bos is of plain text, and there is none: it decides nothing");
    s = check_sequences(&o);
out:
    hora_data_files_release(&files);
    hora_free(list);
    hora_frame_release(&o.frame);
    hora_columns_release(&o.columns);
    hora_json_free(kwargs);
    hora_free(o.first_bad);
    if (s)
        hora_dataset_close(d);
    else
        *out = d;
    return s;
}
