/*
 * The dataset: opens a file, tokenises everything once, cuts rows, splits, shows records. A bad
 * record names file, line and column; with skip_bad it is counted instead. Refused are data sets
 * without a row or without a supervised token. What is shared by the pieces of a split lives in a
 * counted store; rows and segments are each piece's own.
 */
#include "data/data.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "data/labelled.h"

#define OPT_OF hora_data_config
static const hora_option rows[] = {
    OPT_STRING(format, "format", NULL, "auto", "NAME",
               "auto, text (one stream of tokens), jsonl (records, or an array of them), csv or "
               "tsv (with a "
               "header)"),
    OPT_INT(seq_len, "seq_len", "max_length max_seq_length cutoff_len", "512", 2, 1 << 24,
            "tokens per row; longer records are cut"),
    OPT_BOOL(packing, "packing", NULL, "true",
             "put several records into one row; they do not see each other"),
    OPT_BOOL(shuffle, "shuffle", NULL, "true", "another order of rows in every epoch"),
    OPT_BOOL(skip_bad, "skip_bad", NULL, "false", "count bad records instead of refusing the file"),
    OPT_CHOICE(
        train_on, "train_on", NULL, "assistant", "assistant all last",
        "what is learned of a row: what the assistant says, all of it, or the last turn alone"),
    OPT_BOOL(train_on_prompt, "train_on_prompt", NULL, "false",
             "learn prompts and user turns too; the same as train_on=all"),
    OPT_CHOICE(turns, "turns", NULL, "auto", "auto split last",
               "rows of a conversation: one, and one more per turn that the template writes in "
               "another way later; one per turn; the last alone"),
    OPT_STRING(chat_kwargs, "chat_kwargs", NULL, NULL, "JSON",
               "more variables for the chat template: {\"enable_thinking\": false}; a record's "
               "chat_template_kwargs win"),
    OPT_STRING(date, "date", NULL, NULL, "DATE",
               "2026-01-31: the date that a chat template writes; unset: today"),
    OPT_BOOL(add_bos, "add_bos", NULL, "false", "plain text: every window begins with BOS"),
    OPT_REAL(eval_split, "eval_split", NULL, "0", 0, 1e12,
             "hold out this share (below 1) or number of rows, from the end"),
    OPT_INT(seed, "seed", NULL, "42", 0, 9e15, "seed of the shuffle"),
};
const hora_options hora_data_options = {"Data", rows, HORA_COUNT(rows)};

/* ---- reading ---- */
typedef struct opening {
    hora_dataset *d;
    const hora_data_config *cfg;
    const char *path;
    hora_reader reader;
    hora_frame frame; /* of labelled records */
    int64_t nread;
    hora_mask_notes notes;
    char *first_bad; /* text of the first record that was skipped */
} opening;

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

static hora_status samples_of(opening *o, const hora_json *record, hora_samples *out, int *kind) {
    const hora_source *source = hora_source_of(record, o->d->rule.labels);
    if (!source)
        return hora_source_unknown(record, o->d->rule.labels);
    for (*kind = 0; hora_sources[*kind] != source;)
        ++*kind;
    return source->read(&o->reader, record, out);
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
    o->d->info.context += samples->context;
    o->d->info.split += samples->split;
    o->d->info.dropped += samples->lost;
    return some ? HORA_OK
                : hora_fail(HORA_EFORMAT, "the record has no token to learn; give it text that "
                                          "counts, or remove it");
}

/* Appends a labelled record; of one that fails nothing stays. */
static hora_status keep_labelled(opening *o, const hora_sample *sample, hora_data_record r) {
    hora_dataset *d = o->d;
    hora_store *st = d->store;
    const size_t tags = st->labels.ntags, types = st->tokens.types.n;
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
        return s;
    }
    d->info.truncated += cut > 0;
    d->info.cut += cut;
    HORA_PUSH(st->records, st->nrecords, st->crecords, r);
    return HORA_OK;
}

static hora_status take_record(void *arg, const hora_json *record, hora_place at) {
    opening *o = arg;
    hora_samples samples = {0};
    hora_data_record r = {.line = at.line, .record = o->nread++};
    hora_status s = samples_of(o, record, &samples, &r.kind);
    if (!s)
        s = o->d->rule.labels ? keep_labelled(o, samples.at, r) : keep_all(o, &samples, r);
    hora_samples_release(&samples);
    if (!s)
        return HORA_OK;
    return bad_record(o, hora_context(s, "%s: line %lld, column %lld", o->path, (long long)at.line,
                                      (long long)at.column));
}

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

static hora_status take_text(opening *o, const char *s, size_t n) {
    size_t bad;
    if (!hora_utf8_valid(s, n, &bad))
        return not_utf8(o, s, bad);
    hora_masked *t = &o->d->store->tokens;
    HORA_TRY(hora_tokenizer_encode(o->reader.tok, s, n, false, &t->ids));
    t->n = t->ids.n;
    hora_pack_stream(o->d, 0, t->n);
    return HORA_OK;
}

/* Bytes of text per token id, so that filling a batch asks no tokenizer. */
static void measure_tokens(hora_store *st, const hora_tokenizer *tok) {
    st->nbytes = hora_tokenizer_size(tok);
    st->bytes = hora_calloc((size_t)st->nbytes + 1, sizeof *st->bytes);
    for (int32_t i = 0; i < st->nbytes; i++)
        st->bytes[i] = hora_tokenizer_bytes(tok, i);
}

/* Everything that decides the rows: the file, what it was turned into, and the cut. */
static uint64_t fingerprint(const hora_dataset *d, const hora_data_config *c, const char *s,
                            size_t n) {
    const hora_masked *t = &d->store->tokens;
    const uint64_t parts[] = {
        hora_hash64(s, n, 0),
        t->n ? hora_hash64(t->ids.at, t->n * sizeof *t->ids.at, 1) : 0,
        d->store->plain || d->rule.labels || !t->n ? 0 : hora_hash64(t->mask, t->n, 2),
        (uint64_t)c->seq_len,
        (uint64_t)c->packing,
        (uint64_t)(d->bos + 1),
        hora_hash64(&c->eval_split, sizeof c->eval_split, 3)};
    return hora_hash64(parts, sizeof parts, 4 + (uint64_t)d->rule.labels * 16);
}

/* What a file is: by its name, or (JSON, text) by its first byte. */
typedef enum { FORMAT_AUTO, FORMAT_TEXT, FORMAT_JSONL, FORMAT_CSV, FORMAT_TSV } format;

static hora_status pick_format(const opening *o, const char *s, size_t n, format *out) {
    static const char *const names[] = {"auto", "text", "jsonl", "csv", "tsv"};
    const char *given = o->cfg->format ? o->cfg->format : "auto";
    size_t k = 0;
    while (k < HORA_COUNT(names) && !hora_eq(given, names[k]))
        k++;
    if (k == HORA_COUNT(names))
        return hora_fail(HORA_EUSAGE,
                         "format `%s` is not known; choose auto, text, jsonl, csv or tsv", given);
    *out = (format)k;
    if (*out == FORMAT_AUTO)
        *out = hora_ends(o->path, ".csv")         ? FORMAT_CSV
               : hora_ends(o->path, ".tsv")       ? FORMAT_TSV
               : hora_read_is_text(o->path, s, n) ? FORMAT_TEXT
                                                  : FORMAT_JSONL;
    if (*out == FORMAT_TEXT && o->d->rule.labels)
        return hora_fail(HORA_EUSAGE,
                         "%s: plain text has no labels; give JSONL, CSV or TSV with a label for "
                         "each text",
                         o->path);
    return HORA_OK;
}

/* Files of other tools that are no text, by their first bytes. */
static hora_status refuse_binary(const opening *o, const char *s, size_t n) {
    static const struct {
        const char *magic, *what, *how;
    } known[] = {
        {"PAR1", "Parquet",
         "python -c 'import pandas; pandas.read_parquet(\"%s\").to_json("
         "\"data.jsonl\", orient=\"records\", lines=True)'"},
        {"ARROW1", "Arrow",
         "python -c 'import pandas; pandas.read_feather(\"%s\").to_json("
         "\"data.jsonl\", orient=\"records\", lines=True)'"},
        {"PK\3\4", "a ZIP archive (or a spreadsheet)", "unzip \"%s\""},
        {"\x1f\x8b", "gzip", "gunzip -k \"%s\""},
    };
    for (size_t i = 0; i < HORA_COUNT(known); i++) {
        const size_t m = strlen(known[i].magic);
        if (n < m || memcmp(s, known[i].magic, m) != 0)
            continue;
        hora_str how = {0};
        const char *gap = strstr(known[i].how, "%s");
        hora_str_add(&how, known[i].how, (size_t)(gap - known[i].how));
        hora_str_puts(&how, o->path);
        hora_str_puts(&how, gap + 2);
        hora_status st =
            hora_fail(HORA_EUNSUPPORTED, "%s is %s, which is not read here; convert it: %s",
                      o->path, known[i].what, how.s);
        hora_str_release(&how);
        return st;
    }
    return HORA_OK;
}

static hora_status take_stream(opening *o, const char *s, size_t n) {
    hora_dataset *d = o->d;
    d->bos = o->cfg->add_bos ? hora_tokenizer_bos(o->reader.tok) : -1;
    if (o->cfg->add_bos && d->bos < 0)
        return hora_fail(HORA_EUSAGE, "add_bos: this tokenizer has no BOS; leave add_bos out");
    return take_text(o, s, n);
}

static hora_status read_file(opening *o, const char *s, size_t n) {
    hora_dataset *d = o->d;
    format f = FORMAT_AUTO;
    HORA_TRY(refuse_binary(o, s, n));
    const size_t mark = hora_byte_order_mark(s, n);
    s += mark;
    n -= mark;
    HORA_TRY(pick_format(o, s, n, &f));
    d->store->plain = f == FORMAT_TEXT;
    d->bos = -1;
    if (f == FORMAT_TEXT)
        HORA_TRY(take_stream(o, s, n));
    else if (f == FORMAT_JSONL)
        HORA_TRY(hora_read_records(s, n, o->path, take_record, bad_record, o));
    else
        HORA_TRY(hora_read_table(s, n, o->path, f == FORMAT_TSV, take_record, bad_record, o));
    if (f != FORMAT_TEXT) {
        hora_labels_finish(&d->store->labels, d->store->records, d->store->nrecords);
        hora_pack_records(d, 0, d->store->nrecords);
    }
    d->info.hash = d->store->hash = fingerprint(d, o->cfg, s, n);
    return HORA_OK;
}

static hora_status check_rows(const opening *o) {
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

hora_status hora_dataset_open(hora_dataset **out, const char *path, const hora_tokenizer *tok,
                              const hora_template *tmpl, const hora_data_config *cfg,
                              const hora_data_rule *rule) {
    hora_map map = {0};
    *out = NULL;
    if (cfg->seq_len < 2 || cfg->seq_len > 1 << 24)
        return hora_fail(HORA_EUSAGE, "seq_len=%lld is not possible; choose 2 to %d",
                         (long long)cfg->seq_len, 1 << 24);
    hora_dataset *d = hora_calloc(1, sizeof *d);
    d->store = hora_calloc(1, sizeof *d->store);
    d->store->refs = 1;
    d->tok = tok;
    d->seq_len = cfg->seq_len;
    d->packing = cfg->packing;
    d->shuffle = cfg->shuffle;
    d->eval_split = cfg->eval_split;
    d->seed = (uint64_t)cfg->seed;
    d->rule = *rule;
    opening o = {.d = d, .cfg = cfg, .path = path};
    hora_json *kwargs = NULL;
    o.reader = (hora_reader){.tok = tok, .tmpl = tmpl, .turns = cfg->turns};
    measure_tokens(d->store, tok);
    hora_status s;
    HORA_TRY_OUT(s, train_on_of(cfg, &o.reader.train_on));
    if (rule->labels)
        HORA_TRY_OUT(s, hora_frame_open(&o.frame, tok));
    HORA_TRY_OUT(s, hora_chat_object(&kwargs, cfg->chat_kwargs, "chat_kwargs"));
    o.reader.kwargs = kwargs;
    HORA_TRY_OUT(s, hora_map_open(&map, path));
    HORA_TRY_OUT(s, hora_refuse_pointer(path, map.data, map.n));
    HORA_TRY_OUT(s, read_file(&o, (const char *)map.data, map.n));
    d->info.straddling = o.notes.straddling;
    d->info.bos = o.notes.bos;
    s = check_rows(&o);
out:
    hora_map_release(&map);
    hora_frame_release(&o.frame);
    hora_json_free(kwargs);
    hora_free(o.first_bad);
    if (s)
        hora_dataset_close(d);
    else
        *out = d;
    return s;
}

void hora_dataset_close(hora_dataset *d) {
    if (!d)
        return;
    hora_store *st = d->store;
    if (--st->refs == 0) {
        hora_ids_release(&st->tokens.ids);
        hora_ids_release(&st->tokens.types);
        hora_free(st->tokens.mask);
        hora_labels_release(&st->labels);
        hora_free(st->bytes);
        hora_free(st->records);
        hora_free(st);
    }
    hora_free(d->segments);
    hora_free(d->rows);
    hora_free(d);
}

uint64_t hora_data_bytes(const hora_dataset *d) {
    const hora_store *st = d->store;
    return (uint64_t)((st->tokens.ids.cap + st->tokens.types.cap) *
                          (sizeof(int32_t) + sizeof *st->tokens.mask) +
                      (size_t)st->nbytes * sizeof *st->bytes + st->crecords * sizeof *st->records +
                      d->csegments * sizeof *d->segments + d->crows * sizeof *d->rows);
}

const hora_data_info *hora_data_about(const hora_dataset *d) {
    return &d->info;
}

/* ---- split ---- */
/* A piece over the same store, without rows. */
static hora_dataset *piece(const hora_dataset *d) {
    hora_dataset *e = hora_calloc(1, sizeof *e);
    *e = *d;
    e->segments = NULL;
    e->rows = NULL;
    e->csegments = e->crows = 0;
    e->nsegments = e->nrows = 0;
    e->store->refs++;
    e->info = (hora_data_info){.hash = hora_hash64("held out", 8, d->info.hash)};
    e->eval_split = 0;
    return e;
}

hora_status hora_data_split(hora_dataset *d, hora_dataset **eval) {
    double all = (double)d->nrows;
    *eval = NULL;
    if (d->eval_split <= 0)
        return HORA_OK;
    double want = d->eval_split < 1 ? fmax(1, round(d->eval_split * all)) : floor(d->eval_split);
    if (want >= all)
        return hora_fail(HORA_EUSAGE,
                         "eval_split=%g leaves none of %zu rows to train on; choose fewer, or give "
                         "eval_data",
                         d->eval_split, d->nrows);
    size_t k = (size_t)want, n = d->store->tokens.n;
    hora_dataset *e = piece(d);
    if (d->store->plain) {
        size_t body = (size_t)(d->seq_len - (d->bos >= 0)), cut = n - k * body;
        hora_pack_stream(e, cut, n);
        hora_pack_stream(d, 0, cut);
    } else {
        size_t first = d->rows[d->nrows - k].first; /* a segment per record, in order */
        while (first > 0 && d->store->records[first].record == d->store->records[first - 1].record)
            first--; /* a conversation is not asked about what it was trained on */
        hora_pack_records(e, first, d->store->nrecords);
        hora_pack_records(d, 0, first);
    }
    d->eval_split = 0;
    if (!d->info.supervised || !e->info.supervised) {
        hora_dataset_close(e);
        return hora_fail(HORA_EUSAGE,
                         "the split leaves a part without anything to learn; choose another "
                         "eval_split, or give eval_data");
    }
    *eval = e;
    return HORA_OK;
}

hora_status hora_data_pick(hora_dataset **out, const hora_dataset *d, const int64_t *at, int64_t n,
                           uint64_t seed) {
    hora_dataset *e = piece(d);
    const uint64_t parts[] = {d->info.hash, hora_hash64(at, (size_t)n * sizeof *at, 5), seed};
    *out = NULL;
    e->seed = seed;
    hora_pack_rows(e, d, at, n);
    e->info.hash = hora_hash64(parts, sizeof parts, 6);
    if (!e->info.supervised) {
        hora_dataset_close(e);
        return hora_fail(HORA_EUSAGE, "the %lld rows picked hold nothing to learn; pick more",
                         (long long)n);
    }
    *out = e;
    return HORA_OK;
}

/* ---- for people ---- */
static void say(hora_str *out, const char *fmt, ...) HORA_PRINTF(2, 3);
static void say(hora_str *out, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    hora_str_printf(out, "%s%s", out->n ? "; " : "", text);
}

void hora_data_notes(const hora_dataset *d, hora_str *out) {
    const hora_data_info *i = &d->info;
    const char *unit = i->split ? "rows" : "records";
    long long all = (long long)(d->store->nrecords + (size_t)i->lost);
    if (i->skipped)
        say(out, "%lld bad records were skipped", (long long)i->skipped);
    if (i->lost)
        say(out,
            "%lld of %lld %s were left out: what is to be learned lies behind the first %lld "
            "tokens",
            (long long)i->lost, all, unit, (long long)d->seq_len);
    if (i->truncated > i->lost)
        say(out, "%lld of %lld %s were cut to %lld tokens", (long long)(i->truncated - i->lost),
            all, unit, (long long)d->seq_len);
    if (i->split)
        say(out, "%lld rows hold one turn of a conversation each, as the template writes it there",
            (long long)i->split);
    if (i->dropped)
        say(out, "%lld earlier turns are not learned (turns=last)", (long long)i->dropped);
    if (i->context)
        say(out, "%lld turns are context only: the template cannot render their prompt",
            (long long)i->context);
    if (i->bos)
        say(out, "%lld texts begin with BOS already and got no second one", (long long)i->bos);
}
