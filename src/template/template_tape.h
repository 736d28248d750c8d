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
    int64_t op; /* not 0: only `v op value` was asked (turned: `value op v`), and it was `yes` */
    bool turned, yes;
    hora_tv v;
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

/* What the units of a chain read, each kind once: the same value, or one side of an order. */
typedef struct chain {
    int last, nkeys; /* its last unit */
    struct {
        int first, now; /* readings: the first one, and while the chain grows the last one */
        int way;        /* the other side of the order grows (1), falls (-1), has not moved (0) */
    } keys[KEYS];
} chain;

typedef struct hora_tape {
    bool playing;
    const char *text; /* of the noted rendering */
    unit *units;
    reading *reads;
    writing *writes;
    chain *chains;
    int (*latest)[KEYS]; /* per unit of a chain: the last reading of each kind so far, or -1 */
    int nunits, cunits, nreads, creads, nwrites, cwrites, nchains, cchains;
    const hora_space *scope; /* in which the open unit stands */
    hora_space given;        /* variables of the caller, turned into values once */
    int at, statement;       /* the next unit is looked for here first, or behind this one */
    size_t same;             /* what is played so much of the whole text, in front of `out` */
} hora_tape;

/* Sets units' `chain`, `chains` and `latest`, once all is noted. */
void hora_tape_find_chains(hora_tape *t);
#endif
