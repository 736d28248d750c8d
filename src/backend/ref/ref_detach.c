/* Reference kernel of op_detach.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_detach.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(detach, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = IN(0)[i];
}

#endif
