#ifndef HORA_DATA_DATA_H
#define HORA_DATA_DATA_H
/*
 * From files to batches of sequences of tokens.
 *
 *   sources (text, JSONL ..) -> records (ids + mask) -> sequences of at most seq_len tokens
 *     -> shuffled -> micro-batches
 *
 * Everything is tokenised once at open. Records are packed into sequences once, in file order,
 * independent of the epoch; an epoch is a permutation of the sequences:
 *
 *   hora_rng_permutation(seed, epoch, n, i)
 *
 * So the position in the data is one integer, the number of sequences consumed.
 */
#include "base/options.h"
#include "comm/comm.h"
#include "data/augment.h"
#include "data/chat.h"
#include "template/template.h"
#include "tensor/batch.h"
#include "tensor/vision.h"
#include "token/tokenizer.h"

/* Which file of a folder is meant: train.jsonl, valid.jsonl, test.jsonl as MLX-LM has them. */
typedef enum { HORA_DATA_TRAIN, HORA_DATA_VALID, HORA_DATA_TEST } hora_data_role;
/* A list of files, with a line break between them: PATH, PATH:TIMES (an epoch; training data only),
 * `-` for standard input, or a folder. *out is the same list with the files that the folders hold,
 * owned; all are there, none is opened. folders_only: those alone, NULL when there are none. */
hora_status hora_data_resolve(char **out, const char *list, hora_data_role role, bool folders_only);
/* The files of such a list alone, without `-`; free with hora_list_free. */
hora_status hora_data_paths(const char *list, char ***paths, int *n);
bool hora_data_reads_input(const char *list); /* `-` is in it */

typedef struct hora_data_config { /* filled from hora_data_options */
    char *format;                 /* auto text jsonl csv tsv */
    char *columns;   /* prompt=question,.. or JSON: names of fields in the data; NULL: ours */
    int64_t seq_len; /* tokens per sequence */
    bool packing;    /* several records in one sequence */
    bool shuffle;
    bool skip_bad;        /* count bad lines instead of refusing */
    bool train_on_prompt; /* the same as train_on=all */
    int train_on;         /* HORA_TRAIN_ON_.. */
    int turns;            /* HORA_TURNS_.. */
    char
        *default_task; /* of records without `task`, where that chooses an adapter; NULL: refused */
    char *chat_kwargs; /* JSON object: more variables for the chat template; NULL: none */
    char *date;        /* of strftime_now; NULL: today */
    /* plain text: each window starts with BOS (default off: windows are cut from the stream) */
    bool add_bos;
    /* below 1: share of the sequences held out at the end; 1 and more: number of sequences */
    double eval_split;
    int64_t seed; /* of the shuffle */
    /* of pictures */
    bool exif, white;    /* turned as they say; transparent pixels laid on white */
    int64_t image_cache; /* bytes of decoded pictures that are kept, at most */
    hora_augment augment;
    int64_t rand_augment, rand_magnitude; /* its ops and magnitude */
} hora_data_config;
extern const hora_options hora_data_options;
/* HORA_EUSAGE for what was given (and taken into c) and decides nothing where no pictures are read,
 * or nothing is trained; a recipe gets a warning. */
hora_status hora_data_idle(const hora_data_config *c, const hora_settings *s, bool pictures,
                           bool trains);
/* What of it can be refused before anything is opened. */
hora_status hora_data_check(const hora_data_config *c);
/* What of a sequence is supervised: what the assistant says, prompts too, the assistant's last
 * turn. */
enum { HORA_TRAIN_ON_ASSISTANT, HORA_TRAIN_ON_ALL, HORA_TRAIN_ON_LAST };
/* Sequences of a conversation: one, and one more for each turn that later turns make the template
 * write in another way; one per turn; the one that ends with the last turn. */
enum { HORA_TURNS_AUTO, HORA_TURNS_SPLIT, HORA_TURNS_LAST };

/* --- what a task asks of the data, which know nothing of causality or classes ----------------- */
/* What a record carries besides its text. */
typedef enum hora_label_kind {
    HORA_LABELS_NONE,   /* the text itself is learned */
    HORA_LABELS_CLASS,  /* a class of the whole, or several */
    HORA_LABELS_NUMBER, /* a number, or several */
    HORA_LABELS_TAG,    /* a class of each word */
    HORA_LABELS_TEXTS,  /* further texts; perhaps how alike they are, one number */
    HORA_LABELS_PIXELS, /* a class of each pixel */
    HORA_LABEL_KINDS
} hora_label_kind;
/* The rows [from, from + n) of a batch that one sample takes, and what is known of it. */
typedef struct hora_segment {
    int64_t from, n;
    int64_t skip;           /* rows in front of its tokens: for adapters, BOS of a window */
    const int32_t *ids;     /* n - skip tokens */
    const uint8_t *mask;    /* of each: it is to be learned; NULL: all are */
    const int32_t *types;   /* of each: which text of a pair; NULL: all 0 */
    const int32_t *tags;    /* of each: its class, -1: none; NULL: no tags */
    const int32_t *classes; /* of the whole; NULL: none */
    const float *numbers;   /* of the whole; NULL: none */
    int64_t labels;         /* how many of these */
    int part;               /* which text of its record */
    const int32_t *bytes;   /* of text per token id; NULL: not known */
    int32_t nbytes;
} hora_segment;
typedef struct hora_counted {
    int64_t rows, bytes; /* rows that count in the loss; bytes of text of their targets */
} hora_counted;
typedef struct hora_data_rule {
    hora_label_kind labels;
    /* Who sees whom: lo and hi of the rows [from, from + n), a sample whose rows [first, end) hold
     * tokens and the others padding. */
    void (*ranges)(hora_batch *b, int64_t from, int64_t n, int64_t first, int64_t end);
    /* What is to be predicted where: target, weight, value of the segment's rows. b NULL: counts
     * alone, which then may not depend on how classes are numbered. */
    hora_counted (*targets)(const struct hora_data_rule *, const hora_segment *, hora_batch *b);
    int32_t pad;     /* id that pads, for leaf `place`; -1: none */
    const void *own; /* of the task, borrowed */
} hora_data_rule;

/* The labels of a data set as they are written, in the order of their first use. */
typedef enum { HORA_LABEL_NAMES, HORA_LABEL_INTS, HORA_LABEL_TRUTHS } hora_label_style;
typedef struct hora_label {
    char *name;
    int64_t count, line; /* records or words that have it; where it was seen first */
    char *where;         /* that place, of what has no lines: a picture; NULL: line `line` */
} hora_label;
typedef struct hora_label_table {
    hora_label_style style; /* INTS: whole numbers, also as text */
    bool several;           /* a record has a list of labels */
    hora_label *at;
    int n, cap;
    /* numbers of a record (HORA_LABELS_NUMBER, _TEXTS), and the smallest and largest of all */
    int64_t numbers;
    float least, most;
    int64_t lost_words; /* tagged words that became no token or were cut off */
} hora_label_table;

/* Counts of conversations: told.def says of what. */
typedef struct hora_told {
#define HORA_TOLD(field, name, sentence) int64_t field;
#include "data/told.def"
#undef HORA_TOLD
} hora_told;

typedef struct hora_dataset hora_dataset;
typedef struct hora_data_info {
    int64_t records;   /* in the sequences (of plain text: windows) */
    int64_t skipped;   /* bad records (skip_bad) */
    int64_t truncated; /* sequences of records cut to seq_len, lost ones among them */
    int64_t samples;   /* sequences of records read, lost ones among them; of a subset: before it */
    int64_t lost;      /* of those: whose supervised part lies behind seq_len */
    int64_t cut;       /* tokens cut off */
    hora_told told;
    int64_t straddling; /* tokens that stand on both sides of a boundary of what is supervised */
    int64_t bos;        /* texts that begin with BOS already */
    int64_t sequences, tokens, supervised; /* tokens in the sequences; those that are targets */
    int64_t bytes;                         /* of the text of the supervised tokens */
    int32_t max_id;   /* largest token id: must be below the model's vocabulary */
    int64_t texts;    /* of a record, at most: one, or of sets of texts more */
    int32_t max_type; /* largest type of a text: must be below what the model tells apart */
    uint64_t hash;    /* of the files' bytes and of all in the config that changes the sequences */
} hora_data_info;

/* `tok` is borrowed until the close (for hora_data_show). `path`: a list as hora_data_resolve takes
 * it; formats are recognised by extension and first record. `tmpl` may be NULL: then a {"messages"}
 * record is refused, naming the missing chat template. Refuses empty data and data without a
 * supervised token. */
hora_status hora_dataset_open(hora_dataset **out, const char *path, const hora_tokenizer *tok,
                              const hora_template *tmpl, const hora_data_config *cfg,
                              const hora_data_rule *rule); /* copied */
/* For the processes of one machine: a set of texts as one piece of memory (so many bytes), and the
 * set that looks into it, which is borrowed until the close. All were given the same options. path:
 * as another process was told it; HORA_EMISMATCH where the files there are not those that the set
 * was made of. */
size_t hora_data_image_bytes(hora_dataset *d);
void hora_data_image_write(hora_dataset *d, void *to);
hora_status hora_data_image_open(hora_dataset **out, const void *image, const char *path,
                                 const hora_tokenizer *tok, const hora_data_rule *rule);
/* A set of labelled pictures (images.h) for a model that reads such: a sequence each. Of the
 * processor and the shape of pictures copies are taken. comm: ranks that open it together, each
 * looking at its share of the pictures; NULL: one alone. */
hora_status hora_pictures_open(hora_dataset **out, hora_comm *comm, const char *path,
                               const hora_image_processor *processor, const hora_vision *vision,
                               const hora_data_config *cfg, const hora_data_rule *rule);
/* The augmentation that the options ask for. */
hora_augment hora_data_augment(const hora_data_config *cfg);
void hora_dataset_close(hora_dataset *d); /* accepts NULL */
/* Splits the held-out sequences off (cfg.eval_split): *eval is NULL when there are none. For plain
 * text the held-out windows are cut back from the end of the stream, so that 64 sequences of 128
 * are exactly the last 8,192 tokens. The pieces share memory; close both, in any order. */
hora_status hora_data_split(hora_dataset *d, hora_dataset **eval);
/* The sequences `at` (n of them, each below the number of sequences, each at most once) of d as a
 * set of their own, shuffled by `seed`; d may be closed first. HORA_EUSAGE when nothing in them
 * counts. */
hora_status hora_data_pick(hora_dataset **out, const hora_dataset *d, const int64_t *at, int64_t n,
                           uint64_t seed);
/* Samples get more rows for adapters, beyond seq_len: slots[0] those of no task, slots[1 + k] those
 * of task k, which hora_data_route has numbered before (n > 0 in all, copied). Of pieces of a split
 * each one by itself. */
void hora_data_slots(hora_dataset *d, const int64_t *slots, int n);
const hora_data_info *hora_data_about(const hora_dataset *d);
/* File i of the list; false past the last. Strings are the set's. */
typedef struct hora_data_part_info {
    const char *path;
    double times;    /* an epoch */
    int64_t records; /* read; of plain text: windows */
    uint64_t hash;   /* of its bytes, unpacked */
} hora_data_part_info;
bool hora_data_part_at(const hora_dataset *d, int i, hora_data_part_info *out);
/* Bytes that the sequences take in memory; what a split shares counts in each part. */
uint64_t hora_data_bytes(const hora_dataset *d);
const hora_label_table *hora_data_labels(const hora_dataset *d);
/* Numbers the classes: class_of[i] of label i of the table, or -1. Before the first batch is
 * filled; pieces of a split share it. */
void hora_data_set_classes(hora_dataset *d, const int32_t *class_of);
/* With skip_bad: leaves out the records with a label i whose class_of[i] is -1 (of lists: one such
 * label) and counts them as skipped; before the classes are numbered. Returns how many; 0 without
 * skip_bad, and for classes of pixels. */
int64_t hora_data_leave_out(hora_dataset *d, const int32_t *class_of);
/* Task routing. From now on batches say of each row which of the n tasks its record names (leaf
 * `route`: its number; pieces of a split share it). HORA_EFORMAT, with the place, for a record that
 * names none and has no default, or one that is not among them. */
hora_status hora_data_route(hora_dataset *d, const char *const *tasks, int n);
/* The records of task number `route` alone as a set, in their order, for an evaluation; *out NULL:
 * there are none. d may be closed first. */
void hora_data_of_task(hora_dataset **out, const hora_dataset *d, int route);
const char *hora_data_default_task(const hora_dataset *d); /* NULL: none */
/* Row classes: capacity rounded as the plan does. rows actually used are the smallest of R, 3/4 R,
 * 1/2 R, 1/4 R (rounded up to 64) that holds them. */
int64_t hora_row_class(int64_t capacity, int64_t rows);
/* Tokens of a sequence, at most: seq_len; of sets of texts those of the longest. */
int64_t hora_data_sequence_tokens(const hora_dataset *d);

/* Adds how many records (of tags: words) of the set have each class; classes are numbered. */
void hora_data_count_classes(const hora_dataset *d, int64_t *count, int64_t classes);

/* Tells the words that have a tag, but became no token or were cut off, of the sequences first ..
 * first + n - 1 of an evaluation: sample, counted from the first of these sequences; number among
 * its words with a tag; class. In that order; classes are numbered. */
typedef void hora_lost_fn(void *arg, int64_t sample, int64_t word, int32_t tag);
void hora_data_lost(const hora_dataset *d, int64_t first, int64_t n, hora_lost_fn *tell, void *arg);

/* Fills `b` with data sequences first, first+1, .. first+n-1 of the endless stream of epochs (at
 * most b->capacity / seq_len of them). limit: sequences at or beyond it do not exist (end of
 * training); shuffled unless cfg.shuffle is off or `eval`. */
hora_status hora_data_fill(const hora_dataset *d, int64_t first, int64_t n, int64_t limit,
                           bool eval, hora_batch *b);
/* Supervised tokens of the same sequences, without filling anything (the loss scale of a step is
 * known before it starts). */
int64_t hora_data_supervised(const hora_dataset *d, int64_t first, int64_t n, int64_t limit,
                             bool eval);
/* Tokens of the same sequences: real ones, without padding. */
int64_t hora_data_tokens(const hora_dataset *d, int64_t first, int64_t n, int64_t limit, bool eval);
/* Which records (line numbers, 1-based; of plain text: windows, 1-based) stand in data sequence
 * `sequence`; writes up to cap, returns how many. For error messages. */
typedef struct hora_data_origin {
    const char *path; /* NULL where the set is one file */
    int64_t line;
} hora_data_origin;
int hora_data_records(const hora_dataset *d, int64_t sequence, bool eval, hora_data_origin *at,
                      int cap);
/* What happened to records on the way, in words; nothing when nothing did. */
void hora_data_notes(const hora_dataset *d, hora_str *out);
/* Prints sequence i with its mask for people: supervised text in [[..]]. */
hora_status hora_data_show(const hora_dataset *d, int64_t record, hora_str *out);

/* Sequence i with its runs of text, ids and mask, for `hora data`; the whole set in numbers. */
hora_status hora_data_sequence_json(const hora_dataset *d, int64_t sequence, hora_json **out);
hora_json *hora_data_survey(const hora_dataset *d);
/* First sequence of record `record` (counted from 1 in the file) and how many it has; -1: none.
 * Sequences are those of hora_data_show: with packing off, the sequences of the set. */
int64_t hora_data_find(const hora_dataset *d, int64_t record, int64_t *n);

/* The records of a JSONL, JSON, CSV or TSV file, in order. What `fn` returns ends the reading, with
 * the file's name and the line in front. */
hora_status hora_records_each(const char *path,
                              hora_status (*fn)(void *arg, const hora_json *record, int64_t line),
                              void *arg);

/* The text or the pair of a record: "text" and "text_pair", or the columns of GLUE. Borrowed. */
hora_status hora_record_texts(const hora_json *record, hora_text_pair *out);
/* A text, the one that belongs to it, those that do not, and how alike the first two are. */
enum { HORA_MOST_TEXTS = 64 };
typedef struct hora_text_set {
    const char *at[HORA_MOST_TEXTS]; /* borrowed */
    size_t len[HORA_MOST_TEXTS];
    int n;                  /* the second may be missing */
    const hora_json *score; /* NULL: none */
} hora_text_set;
hora_status hora_record_text_set(const hora_json *record, hora_text_set *out);

/* A thread that keeps two micro-batches ready. _next hands out the next one in order; the caller
 * gives it back with the following call. */
typedef struct hora_prefetch hora_prefetch;
/* The micro-batches of a part of the ranks: of every `step_sequences` sequences, counted from the
 * first, those that hora_part_of gives to `part`. */
typedef struct hora_data_share {
    int64_t step_sequences;
    int part, parts;
} hora_data_share;
/* `leaves`: of the batches; NULL: plain ones. share: NULL: all micro-batches. */
hora_status hora_prefetch_new(hora_prefetch **out, const hora_dataset *d, int64_t first,
                              int64_t sequences_per_batch, int64_t limit, bool eval,
                              const hora_leaves *leaves, const hora_data_share *share);
/* HORA_DONE past the limit */
hora_status hora_prefetch_next(hora_prefetch *p, const hora_batch **b);
void hora_prefetch_free(hora_prefetch *p);

#endif
