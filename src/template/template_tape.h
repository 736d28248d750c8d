#ifndef HORA_TEMPLATE_TAPE_H
#define HORA_TEMPLATE_TAPE_H
/* The notes of a rendering, see template_replay.c; of it and template_chains.c alone. */
#include "template/template_impl.h"

enum { STATEMENT = -1, ITSELF = -1, ITEM = -2, KEYS = 8 };

typedef struct reading {
    int name, attr; /* attr: of a namespace; ITSELF: the variable; ITEM: element `key` of a list */
    int64_t key;
    bool absent;
    int depth;  /* of a macro: how many scopes out its own is */
    int64_t op; /* not 0: only `own op v` was asked (turned: `v op own`), and it was `yes` */
    bool turned, yes;
    hora_tv v, own; /* what was read; own: of a comparison, whose other side is v */
} reading;

typedef struct writing {
    int name, attr;
    hora_tv v;
} writing;

typedef struct unit {
    const hora_tn *e;
    int64_t message; /* of an iteration; STATEMENT */
    size_t from, to; /* its text */
    size_t seen;     /* it is the same with this many messages or more .. */
    bool prompt;     /* .. and looked at the generation prompt */
    bool lost;
    int signal;
    int reads, nreads, writes, nwrites;
    int end;   /* the unit behind it and those in it */
    int chain; /* of an iteration that belongs to one, or -1 */
} unit;

/* What units of a chain read from outside of it, each kind once: the same value, one side of an
 * order, or that it equals none of several others; and what they write. */
typedef struct chain {
    int first, last, way; /* its units; messages come in order (1) or backwards (-1) */
    int nkeys, nsets;
    struct {
        int first, now; /* readings: the first one, and while the chain grows the last one */
        int way;        /* the other side of the order grows (1), falls (-1), has not moved (0) */
    } keys[KEYS];
    struct {
        int now;   /* the last writing */
        bool read; /* a unit behind it reads it */
    } sets[KEYS];
} chain;

/* Of a unit in a chain: the last reading and writing of each kind so far, or -1; how many messages
 * the units so far need. */
typedef struct standing {
    int reads[KEYS], sets[KEYS];
    size_t seen;
} standing;

/* That unit `unit` asked whether variable `key` of its chain equals a value of that hash. */
typedef struct rival {
    int chain, key, unit;
    uint64_t hash;
} rival;

/* What a filter made of the n messages from `in` on: of the first k it is items[0, upto[k]). */
typedef struct pick {
    const hora_tn *e;
    const hora_tv *in, *items;
    size_t n, *upto;
    const struct pick *next;
} pick;

typedef struct hora_tape {
    bool playing;
    const char *text; /* of the noted rendering */
    unit *units;
    reading *reads;
    writing *writes;
    chain *chains;
    standing *latest; /* per unit */
    rival *rivals;    /* in order */
    int nunits, cunits, nreads, creads, nwrites, cwrites, nchains, cchains, nrivals, crivals;
    const pick *picks;       /* in the pool of the noted rendering */
    const hora_space *scope; /* in which the open unit stands */
    hora_space given;        /* variables of the caller, turned into values once */
    int at, statement;       /* the next unit is looked for here first, or behind this one */
    size_t same;             /* what is played so much of the whole text, in front of `out` */
} hora_tape;

/* Sets units' `chain`, `chains`, `latest` and `rivals`, once all is noted. */
void hora_tape_find_chains(hora_tape *t);
/* `own op other` can only be asked of values that may be equal. */
static inline bool hora_reading_equality(const reading *r) {
    return r->op == HORA_OP2('=', '=') || r->op == HORA_OP2('!', '=');
}
/* Of a number or a mapping: equal values have the same. */
uint64_t hora_tape_hash(const hora_tv *v);
/* The first unit behind `from` that asked whether key k of the chain equals such a value, or
 * INT_MAX. */
int hora_tape_rival(const hora_tape *t, int chain, int k, uint64_t hash, int from);
#endif
