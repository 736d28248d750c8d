/* What is said of matrices whose rows are no whole blocks of the type that was asked for. */
#include "base/log.h"
#include "model/family.h"

void hora_fallback_add(hora_fallback *f, const char *name, hora_dtype want, hora_dtype got) {
    int i = 0;
    if (want == got)
        return;
    f->want = want;
    while (i < f->n && f->got[i] != got)
        i++;
    HORA_ASSERT(i < (int)HORA_COUNT(f->got));
    if (i == f->n) {
        f->n++;
        f->got[i] = got;
        f->first[i] = name;
    }
    f->count[i]++;
}

void hora_fallback_say(const hora_fallback *f) {
    for (int i = 0; i < f->n; i++)
        hora_warn("%d of the matrices (%s is the first) have rows that are no whole blocks of %s: "
                  "they become %s",
                  f->count[i], f->first[i], hora_dtype_name(f->want), hora_dtype_name(f->got[i]));
}
