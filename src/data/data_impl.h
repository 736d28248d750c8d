#ifndef HORA_DATA_DATA_IMPL_H
#define HORA_DATA_DATA_IMPL_H
/*
 * Inside of the data room: files.c and bytes.c say which files are meant and what they hold, read.c
 * finds the records of one and table.c those of CSV and TSV, sources.def and source_*.c turn a
 * record into samples (text and the bytes of it that count; chat*.c for conversations; labels.c and
 * labelled.c for labels; tasks.c for what chooses an adapter), mask.c turns a sample into ids and a
 * mask. reading.c goes that way for all files of a set. pack.c cuts sequences and fills batches,
 * data.c owns the dataset, survey.c looks at it, once.c lends it to other processes, prefetch.c is
 * the thread.
 */
#include "base/file.h"
#include "data/data.h"

/* ---- a sample: text, and which bytes of it are supervised ---- */
typedef struct hora_sample {
    hora_str text;
    /* of labelled records, borrowed from the record */
    const char *pair; /* second text; NULL: none */
    size_t pair_n;
    const hora_json *label, *words;
    hora_span *spans; /* in order, disjoint */
    int nspans, cspans;
    bool special; /* run the tokenizer's post-processor (BOS) */
    bool eos;     /* append EOS, supervised if the last span reaches the end of the text */
} hora_sample;
void hora_sample_span(hora_sample *s, size_t from, size_t to);
/* ids of the sample and a byte per id, 1 where it is supervised. Both are appended to. */
typedef struct hora_masked {
    hora_ids ids;
    uint8_t *mask;
    size_t n, cap;
    hora_ids types; /* of texts and pairs: as many as ids; else none */
} hora_masked;
typedef struct hora_mask_notes { /* counted up */
    int64_t straddling;          /* tokens of both sides of a boundary */
    int64_t bos;                 /* texts that began with BOS, which was not put in front again */
} hora_mask_notes;
/* Ids without a mask get one: all count. */
void hora_masked_ones(hora_masked *m);
hora_status hora_sample_ids(const hora_tokenizer *tok, const hora_sample *s, hora_masked *out,
                            hora_mask_notes *notes);

/* What a record becomes: a sample per sequence. Zero-initialise. */
typedef struct hora_samples {
    hora_sample *at;
    int n, cap;
    hora_told told;
} hora_samples;
hora_sample *hora_samples_add(hora_samples *s); /* valid until the next one is added */
void hora_samples_release(hora_samples *s);

/* ---- sources: rows of sources.def ---- */
typedef struct hora_reader {
    const hora_tokenizer *tok;
    const hora_template *tmpl; /* NULL: none */
    int train_on, turns;       /* HORA_TRAIN_ON_.., HORA_TURNS_.. */
    const hora_json *kwargs;   /* variables for the template; may be NULL */
} hora_reader;
typedef struct hora_source {
    const char *name;  /* of the kind, for people */
    const char *keys;  /* words, all of which a record of the kind has; a|b: one of the two */
    const char *more;  /* words: what it may have besides; NULL: nothing */
    const char *shape; /* for messages: {"instruction", "input", "output"} */
    hora_status (*read)(const hora_reader *r, const hora_json *record, hora_samples *out);
    unsigned labels; /* 1 << hora_label_kind of the tasks it is for; 0: HORA_LABELS_NONE */
} hora_source;
extern const hora_source *const hora_sources[];
extern const int hora_nsources;
extern const hora_source hora_source_alpaca; /* that others turn into */
/* NULL: none. One that has a field of `columns` (NULL: none) goes before others. */
struct hora_columns;
const hora_source *hora_source_of(const hora_json *record, hora_label_kind k,
                                  const struct hora_columns *columns);
/* The error that says what is known. */
hora_status hora_source_unknown(const hora_json *record, hora_label_kind k);
/* A string of the record. `need` false: an absent key is "". Borrowed from the record. */
hora_status hora_source_string(const hora_json *record, const char *key, bool need, const char **s,
                               size_t *n);
/* The key of `names` under which the record has something (neither null nor empty), else one that
 * is there at all. The first name goes before the others; two of those are refused. NULL: none. */
hora_status hora_source_either(const hora_json *record, const char *const *names, size_t n,
                               const char **key);
/* `history` of the record, NULL or a list; pair i of it, two strings that `pair` names for people.
 * Borrowed from the record. */
hora_status hora_source_history(const hora_json *record, const hora_json **history);
hora_status hora_source_said(const hora_json *history, size_t i, const char *pair,
                             const char *said[2], size_t n[2]);
/* prompt then completion; the completion and EOS count. */
void hora_source_pair(const hora_reader *r, const char *prompt, size_t np, const char *completion,
                      size_t nc, hora_samples *out);
/* A conversation through the model's template: in its sequences, what the assistant says counts. */
hora_status hora_chat_samples(const hora_reader *r, const hora_chat *c, hora_samples *out);
/* Reads tools, documents and chat_template_kwargs of a record into c. */
hora_status hora_chat_extras(const hora_json *record, hora_chat *c);
/* Both: the record's extras join the messages in c, whose samples are taken; c is released. */
hora_status hora_chat_take(const hora_reader *r, const hora_json *record, hora_chat *own_c,
                           hora_samples *out);
/* Appends all turns of a list. */
hora_status hora_chat_turns(const hora_json *turns, hora_json *messages);
/* Appends `system` of the record as a message, unless `turns` begin with it. */
hora_status hora_chat_system(const hora_json *record, const hora_json *turns, hora_json *messages);
/* `read` of every source whose record hora_chat_read understands. */
hora_status hora_chat_source(const hora_reader *r, const hora_json *record, hora_samples *out);

/* ---- labels ---- */
typedef struct hora_data_labels_at { /* of one record, in the store's arrays */
    size_t first;
    int64_t n;
} hora_data_labels_at;
typedef struct hora_data_record {
    size_t at; /* in the store's ids */
    int64_t n, line;
    int64_t record; /* number of the record, of which this may be one sequence of several */
    int64_t full;   /* tokens before the cut to seq_len */
    int kind;       /* row of hora_sources; -1: a window of plain text */
    int part;       /* which text of its record */
    int32_t task;   /* that it names: 1 + its place in the table; 0: none; -1: what is no text */
    hora_data_labels_at labels;
} hora_data_record;
/* The tasks that records name (tasks.c). */
typedef struct hora_named_task {
    char *name;
    int32_t route; /* its number where adapters are chosen by it; -1 */
} hora_named_task;
typedef struct hora_task_table {
    hora_named_task *at;
    int n, cap;
    char *fallback;         /* of records without one; NULL: none */
    int32_t fallback_route; /* its number */
    bool routed;
} hora_task_table;
/* What a record says, as in hora_data_record. */
int32_t hora_tasks_read(hora_task_table *t, const hora_json *record);
void hora_tasks_release(hora_task_table *t);
/* A word that has a tag, but no token: cut off, or nothing is left of it. */
typedef struct hora_lost_word {
    size_t record; /* where its record begins in the store's ids */
    int64_t word;  /* number among the words of the record that have a tag */
    int32_t tag;
} hora_lost_word;
typedef struct hora_label_store {
    hora_label_table table;
    bool styled;  /* table.style holds */
    bool seen;    /* a record was read: table.several and .numbers hold */
    int32_t *ids; /* rows of the table, one after another; then classes */
    size_t nids, cids;
    float *numbers;
    size_t nnumbers, cnumbers;
    int32_t *tags; /* per token of the store, likewise; -1: none */
    size_t ntags, ctags;
    hora_lost_word *lost; /* by record, then by word */
    size_t nlost, clost;
    int64_t vector;  /* several whole numbers: all lists are of 0 and 1 and as long; -1: no */
    int64_t repeats; /* line of the first such list that has a number twice; 0: none */
    bool numbered;   /* ids and tags are classes now */
} hora_label_store;
/* Appends what `v` says of a record. */
hora_status hora_labels_read(hora_label_store *s, hora_label_kind kind, const hora_json *v,
                             int64_t line, hora_data_labels_at *out);
/* How alike texts are, NULL where nobody says: of all records or of none. */
hora_status hora_labels_score(hora_label_store *s, const hora_json *v, hora_data_labels_at *out);
/* A tag of one word: its row of the table. */
hora_status hora_labels_tag(hora_label_store *s, const hora_json *v, int64_t line, int32_t *out);
/* Behind the last record: what only all of them tell. */
void hora_labels_finish(hora_label_store *s, hora_data_record *records, size_t n);
void hora_labels_release(hora_label_store *s);

/* ---- the dataset ---- */
typedef struct hora_data_part { /* a file */
    char *path;
    double times;      /* an epoch; a subset of less than one is what the records hold */
    bool plain;        /* plain text, all supervised; */
    bool stream;       /* in one piece, so that windows can be cut anew; else windows are records */
    size_t first, end; /* of the stream's tokens, or of the records */
    int64_t records;   /* read and kept; windows */
    uint64_t hash;     /* of its bytes */
} hora_data_part;
typedef struct hora_pictures hora_pictures;
void hora_pictures_release(hora_pictures *p);         /* accepts NULL */
uint64_t hora_pictures_bytes(const hora_pictures *p); /* decoded pictures that are kept */
/* Class of each of the n labels of the table, for masks; nothing where p is NULL. */
void hora_pictures_classes(hora_pictures *p, const int32_t *class_of, int n);
/* That many rows for adapters in the pattern of every picture, or of each frame where those stand
 * apart; returns all of a sample. */
int64_t hora_pictures_slots(hora_pictures *p, hora_masked *pattern, int64_t slots);
/* Pieces and positions of the pictures `first` .. `first` + n - 1 of the endless stream. */
hora_status hora_pictures_fill(const hora_dataset *d, int64_t first, int64_t n, bool eval,
                               hora_batch *b);
typedef struct hora_store { /* shared by the pieces of a split */
    int refs;
    bool lent; /* tokens, bytes and records lie in another's memory (once.c) */
    hora_masked tokens;
    int32_t *bytes; /* per token id */
    int32_t nbytes;
    hora_data_record *records;
    size_t nrecords, crecords;
    hora_data_part *parts;
    int nparts, cparts;
    hora_label_store labels;
    hora_task_table tasks;
    hora_pictures *pictures; /* NULL: a set of texts */
    uint64_t hash;
} hora_store;
typedef struct hora_data_segment {
    size_t at;
    int64_t n; /* tokens, BOS not counted */
    int64_t line;
    int64_t record; /* as in hora_data_record; of a stream: of the window */
    hora_data_labels_at labels;
    int part;
    size_t index; /* in the store's records; of a stream: of the window */
} hora_data_segment;
typedef struct hora_data_sequence {
    size_t first; /* segment */
    int64_t nsegments, tokens, supervised;
} hora_data_sequence;
struct hora_dataset {
    hora_store *store;
    const hora_tokenizer *tok; /* borrowed; for hora_data_show */
    hora_data_segment *segments;
    size_t nsegments, csegments;
    hora_data_sequence *sequences;
    size_t nsequences, csequences;
    int64_t seq_len;
    int64_t *slots; /* rows for adapters: hora_data_slots; none yet: NULL */
    int nslots;
    int32_t bos; /* -1: windows do not start with BOS */
    hora_data_rule rule;
    bool packing, shuffle, skip_bad;
    double eval_split;
    uint64_t seed;
    hora_data_info info;
};
/* Makes the sequences anew: none yet. */
void hora_pack_begin(hora_dataset *d);
/* Adds sequences of a part: of its records [from, to), or of its stream's tokens, `times` over. */
void hora_pack_part(hora_dataset *d, int part, size_t from, size_t to, double times);
/* on[i - from] for each record of a part: it is in the subset of that share, drawn by the seed.
 * Sequences of one conversation stay together. */
void hora_data_choose(const hora_dataset *d, int part, size_t from, size_t to, double share,
                      uint8_t *on);
/* Adds copies of the sequences `at` of another set over the same store. */
void hora_pack_sequences(hora_dataset *d, const hora_dataset *from, const int64_t *at, int64_t n);
/* Sequence at position `at` of the endless stream. */
const hora_data_sequence *hora_data_sequence_at(const hora_dataset *d, int64_t at, bool eval);
/* What the task is told of a segment that begins at row `from` of a batch. */
hora_segment hora_data_told(const hora_dataset *d, const hora_data_segment *s, int64_t from);
/* The number of a segment's task; -1 where rows are not routed. */
int32_t hora_tasks_route(const hora_dataset *d, const hora_data_segment *s);
/* Adds a segment of another set over the same store, packed as records are; `open`: the last
 * sequence may take it. */
void hora_pack_again(hora_dataset *d, const hora_data_segment *s, bool open);
/* A set over the same store, without sequences. */
hora_dataset *hora_data_piece(const hora_dataset *d);
#endif
