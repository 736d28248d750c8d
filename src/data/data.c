/*
 * The dataset once it is read: its options, its pieces (a split, a choice of sequences), its words
 * for people. What is shared by the pieces lives in a counted store; sequences and segments are
 * each piece's own. reading.c opens one.
 */
#include "data/data.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/rng.h"
#include "base/text.h"
#include "data/data_impl.h"

#define OPT_OF hora_data_config
static const hora_option rows[] = {
    OPT_STRING(format, "format", NULL, "auto", "NAME",
               "auto, text (one stream of tokens), jsonl (records, or an array of them), csv or "
               "tsv (with a header)"),
    OPT_ROW(STRING, columns, "columns", NULL, NULL, .arg = "OURS=YOURS,..", .join = ',',
            .flags = HORA_OPT_MAPPING,
            .help = "names of the fields in the data: prompt=question,completion=answer; in a "
                    "recipe also a mapping"),
    OPT_INT(seq_len, "seq_len", "max_length max_seq_length cutoff_len", "512", 2, 1 << 24,
            "tokens per sequence (by itself at most the model's context); longer records are cut"),
    OPT_BOOL(packing, "packing", NULL, "true",
             "put several records into one sequence; they do not see each other"),
    OPT_BOOL(shuffle, "shuffle", NULL, "true", "another order of sequences in every epoch"),
    OPT_BOOL(skip_bad, "skip_bad", NULL, "false", "count bad records instead of refusing the file"),
    OPT_CHOICE(train_on, "train_on", NULL, "assistant", "assistant all last",
               "what is learned of a sequence: what the assistant says, all of it, or the last "
               "turn alone"),
    OPT_BOOL(train_on_prompt, "train_on_prompt", NULL, "false",
             "learn prompts and user turns too; the same as train_on=all"),
    OPT_CHOICE(
        turns, "turns", NULL, "auto", "auto split last",
        "sequences of a conversation: one, and one more per turn that the template writes in "
        "another way later; one per turn; the last alone"),
    OPT_STRING(
        default_task, "default_task", NULL, NULL, "TASK",
        "task of records that have no `task`, where it chooses their adapter; unset: they are "
        "refused"),
    OPT_STRING(chat_kwargs, "chat_kwargs", NULL, NULL, "JSON",
               "more variables for the chat template: {\"enable_thinking\": false}; a record's "
               "chat_template_kwargs win",
               HORA_OPT_MAPPING),
    OPT_STRING(date, "date", NULL, NULL, "DATE",
               "2026-01-31: the date that a chat template writes; unset: today"),
    OPT_BOOL(add_bos, "add_bos", NULL, "false", "plain text: every window begins with BOS"),
    OPT_REAL(eval_split, "eval_split", NULL, "0", 0, 1e12,
             "hold out this share (below 1) or number of sequences, from the end"),
    OPT_INT(seed, "seed", NULL, "42", 0, 9e15, "seed of the shuffle"),
    OPT_BOOL(exif, "exif", NULL, "true", "turn pictures as their EXIF says"),
    OPT_BOOL(white, "white", NULL, "false",
             "lay transparent pixels on white; else the colour under them shows"),
    OPT_SIZE(image_cache, "image_cache", NULL, "1073741824", 0, 1e15,
             "decoded pictures that are kept in memory, at most"),
    OPT_BOOL(augment.crop, "random_crop", NULL, "false",
             "a random part of each picture, resized, instead of its middle"),
    OPT_REAL(augment.crop_scale[0], "crop_scale", NULL, "0.08", 0.001, 1,
             "smallest share of the area that random_crop takes", .with = "random_crop"),
    OPT_REAL(augment.flip, "flip", NULL, "0", 0, 1, "probability of changing left and right"),
    OPT_REAL(augment.brightness, "brightness", NULL, "0", 0, 10, "colour jitter: brightness"),
    OPT_REAL(augment.contrast, "contrast", NULL, "0", 0, 10, "colour jitter: contrast"),
    OPT_REAL(augment.saturation, "saturation", NULL, "0", 0, 10, "colour jitter: saturation"),
    OPT_REAL(augment.hue, "hue", NULL, "0", 0, 0.5, "colour jitter: hue"),
    OPT_INT(rand_augment, "rand_augment", NULL, "0", 0, 14,
            "RandAugment: operations for each picture"),
    OPT_INT(rand_magnitude, "rand_magnitude", NULL, "9", 0, 30, "RandAugment: strength",
            .with = "rand_augment"),
    OPT_REAL(augment.mixup, "mixup", NULL, "0", 0, 100,
             "pictures of a batch are mixed by shares from Beta(a, a)"),
    OPT_REAL(augment.cutmix, "cutmix", NULL, "0", 0, 100,
             "rectangles of pictures change places, with shares from Beta(a, a)"),
    OPT_REAL(augment.erase, "random_erase", NULL, "0", 0, 1, "probability of erasing a rectangle"),
};
const hora_options hora_data_options = {"Data", rows, HORA_COUNT(rows)};

void hora_dataset_close(hora_dataset *d) {
    if (!d)
        return;
    hora_store *st = d->store;
    hora_free(d->slots);
    if (--st->refs == 0) {
        if (!st->lent) {
            hora_ids_release(&st->tokens.ids);
            hora_ids_release(&st->tokens.types);
            hora_free(st->tokens.mask);
            hora_free(st->bytes);
            hora_free(st->records);
        }
        hora_labels_release(&st->labels);
        hora_tasks_release(&st->tasks);
        for (int i = 0; i < st->nparts; i++)
            hora_free(st->parts[i].path);
        hora_free(st->parts);
        hora_pictures_release(st->pictures);
        hora_free(st);
    }
    hora_free(d->segments);
    hora_free(d->sequences);
    hora_free(d);
}

uint64_t hora_data_bytes(const hora_dataset *d) {
    const hora_store *st = d->store;
    return (uint64_t)((st->tokens.ids.cap + st->tokens.types.cap) *
                          (sizeof(int32_t) + sizeof *st->tokens.mask) +
                      (size_t)st->nbytes * sizeof *st->bytes + st->crecords * sizeof *st->records +
                      d->csegments * sizeof *d->segments + d->csequences * sizeof *d->sequences) +
           hora_pictures_bytes(st->pictures);
}

bool hora_data_part_at(const hora_dataset *d, int i, hora_data_part_info *out) {
    if (i < 0 || i >= d->store->nparts)
        return false;
    const hora_data_part *p = &d->store->parts[i];
    *out = (hora_data_part_info){p->path, p->times, p->records, p->hash};
    return true;
}

const hora_data_info *hora_data_about(const hora_dataset *d) {
    return &d->info;
}

/* ---- split ---- */
hora_dataset *hora_data_piece(const hora_dataset *d) {
    hora_dataset *e = hora_calloc(1, sizeof *e);
    *e = *d;
    e->segments = NULL;
    e->sequences = NULL;
    e->csegments = e->csequences = 0;
    e->nsegments = e->nsequences = 0;
    e->slots = hora_malloc(((size_t)d->nslots + 1) * sizeof *e->slots);
    for (int i = 0; i < d->nslots; i++)
        e->slots[i] = d->slots[i];
    e->store->refs++;
    e->info = (hora_data_info){.hash = hora_hash64("held out", 8, d->info.hash)};
    e->eval_split = 0;
    return e;
}

/* Where the last k of the part's sequences begin, in its records or its stream. `sequence`: its
 * first. */
static size_t cut_of(const hora_dataset *d, const hora_data_part *p, size_t sequence,
                     size_t sequences, size_t k) {
    if (p->stream) {
        const size_t body = (size_t)(d->seq_len - (d->bos >= 0));
        return p->end - (k * body < p->end - p->first ? k * body : p->end - p->first);
    }
    if (!k)
        return p->end;
    const hora_data_record *r = d->store->records;
    size_t first = d->segments[d->sequences[sequence + sequences - k].first].index;
    while (first > p->first && r[first].record == r[first - 1].record)
        first--; /* a conversation is not asked about what it was trained on */
    return first;
}

/* Sequences of a part; `sequence`: its first. */
static size_t sequences_of(const hora_dataset *d, int part, size_t sequence) {
    size_t n = 0;
    while (sequence + n < d->nsequences &&
           d->segments[d->sequences[sequence + n].first].part == part)
        n++;
    return n;
}

hora_status hora_data_split(hora_dataset *d, hora_dataset **eval) {
    const double all = (double)d->nsequences;
    const hora_store *st = d->store;
    *eval = NULL;
    if (d->eval_split <= 0)
        return HORA_OK;
    double want = d->eval_split < 1 ? fmax(1, round(d->eval_split * all)) : floor(d->eval_split);
    if (want >= all)
        return hora_fail(
            HORA_EUSAGE,
            "eval_split=%g leaves none of %zu sequences to train on; choose fewer, %sor give "
            "eval_data",
            d->eval_split, d->nsequences,
            d->packing ? "packing=false (here several records share a sequence), " : "");
    hora_dataset *e = hora_data_piece(d);
    size_t *cuts = hora_calloc((size_t)st->nparts + 1, sizeof *cuts), sequence = 0;
    for (int i = 0; i < st->nparts; i++) { /* of each part its share, together `want` */
        const size_t n = sequences_of(d, i, sequence);
        const double before = floor(want * (double)sequence / all),
                     behind = floor(want * (double)(sequence + n) / all);
        cuts[i] = cut_of(d, &st->parts[i], sequence, n, (size_t)(behind - before));
        sequence += n;
    }
    hora_pack_begin(d);
    hora_pack_begin(e);
    for (int i = 0; i < st->nparts; i++) {
        hora_pack_part(e, i, cuts[i], st->parts[i].end, 1);
        hora_pack_part(d, i, st->parts[i].first, cuts[i], fmax(1, st->parts[i].times));
    }
    hora_free(cuts);
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
    hora_dataset *e = hora_data_piece(d);
    const uint64_t parts[] = {d->info.hash, hora_hash64(at, (size_t)n * sizeof *at, 5), seed};
    *out = NULL;
    e->seed = seed;
    hora_pack_begin(e);
    hora_pack_sequences(e, d, at, n);
    e->info.hash = hora_hash64(parts, sizeof parts, 6);
    if (!e->info.supervised) {
        hora_dataset_close(e);
        return hora_fail(HORA_EUSAGE, "the %lld sequences picked hold nothing to learn; pick more",
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
    const char *unit = i->told.split ? "sequences" : i->texts > 1 ? "texts" : "records";
    const long long all = (long long)i->samples;
    if (d->store->pictures) {
        char kept[32];
        hora_human_bytes(kept, (double)hora_pictures_bytes(d->store->pictures));
        say(out, "decoded pictures are kept in memory, up to %s", kept);
    }
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
#define HORA_TOLD(field, name, sentence)                                                           \
    if (i->told.field)                                                                             \
        say(out, "%lld " sentence, (long long)i->told.field);
#include "data/told.def"
#undef HORA_TOLD
    if (i->bos)
        say(out, "%lld texts begin with BOS already and got no second one", (long long)i->bos);
}
