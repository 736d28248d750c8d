/* Reference kernel of op_input.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_input.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(input, NULL);

#else

static void T(forward)(const hora_call *c) {
    const float *x = hora_batch_leaf(c->batch, c->attr.source);
    for (int64_t i = 0; i < hora_elems(&c->out); i++)
        OUT[i] = ST((double)x[i]);
}

#endif
