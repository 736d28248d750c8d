#ifndef HORA_TEMPLATE_PLACE_H
#define HORA_TEMPLATE_PLACE_H
/*
 * A place for a value in text, as Python's % and format() describe it:
 * [[fill]align][sign][#][0][width][,_][.precision][kind]
 */
#include "template/template_impl.h"

typedef struct hora_place {
    const char *fill; /* one character; borrowed */
    size_t nfill;     /* its bytes */
    char align;       /* '<' '>' '^' '='; 0: the value's own */
    char sign;        /* '+' ' ' '-'; 0 */
    char group;       /* ',' '_'; 0 */
    char convert;     /* 's' 'r': of the value before all else; 0 */
    bool alternate, zero;
    bool percent;             /* the rules of % */
    int64_t width, precision; /* precision -1: none */
    char kind;                /* 0: the value's own */
} hora_place;

/* Digits at s[*i], below 10000; false: none. */
bool hora_place_number(const char *s, size_t n, size_t *i, int64_t *out);
/* Python's format specification s[0..n); false: not understood. */
bool hora_place_read(hora_place *p, const char *s, size_t n);
/* Appends the value as the place wants it. */
hora_status hora_place_put(hora_ts *st, const hora_place *p, const hora_tv *v, hora_str *out);
#endif
