/* Reference kernel of op_unpack.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_unpack.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(unpack, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[1]), d = ref_width(&c->in[0]);
    for (int64_t i = 0, k = 0; i < n; i++) {
        const bool there = LD(IN(1)[i]) != 0;
        for (int64_t j = 0; j < d; j++)
            OUT[i * d + j] = there ? IN(0)[k * d + j] : ST(0);
        k += there;
    }
}

#endif
