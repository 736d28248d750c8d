/* Reference kernel of op_keep.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_keep.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(keep, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    REAL *state = c->in[1].data;
    for (int64_t i = 0; i < n * d; i++)
        OUT[i] = IN(0)[i];
    for (int64_t j = 0; n && j < d; j++)
        state[j] = IN(0)[j];
}

#endif
