/* Reference kernel of op_snap.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_snap.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(snap, NULL);

#else

static void T(forward)(const hora_call *c) {
    for (int64_t i = 0, n = hora_elems(&c->out); i < n; i++) {
        const double s = LD(IN(0)[i]);
        OUT[i] = ST((s > 0.5) - s);
    }
}

#endif
