#ifndef HORA_TEMPLATE_KIT_H
#define HORA_TEMPLATE_KIT_H
/* What tests of templates share: opening one from a text, variables, and dice for made ones. */
#include "hora_test.h"

#include <string.h>

#include "template/template.h"

static inline hora_template *open_template(const char *source) {
    hora_template *t = NULL;
    assert_ok(hora_template_open(&t, source, strlen(source), "chat.jinja"));
    return t;
}

static inline hora_json *json(const char *text) {
    hora_json *v = NULL;
    assert_ok(hora_json_parse(&v, text, strlen(text), "vars"));
    return v;
}

typedef struct dice {
    uint64_t s;
} dice;
static inline int roll(dice *d, int n) {
    d->s = d->s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)(d->s >> 40) % n;
}
#endif
