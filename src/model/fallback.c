/* The types of --quantize, and what is said of matrices whose rows are no whole blocks of one. */
#include "base/log.h"
#include "model/family.h"

hora_dtype hora_quantize_type(int choice) {
    static const hora_dtype types[] = {HORA_F32, HORA_Q8_0, HORA_Q4_0, HORA_Q4_K, HORA_NF4};
    return types[choice];
}

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
