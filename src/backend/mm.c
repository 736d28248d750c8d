/*
 * Who computes products: HORA_PRODUCTS, else the library for bf16 where the processor has matrix
 * tiles (AMX), which the backend's own blocks do not use, else those blocks.
 */
#include "backend/mm.h"

#include <stdlib.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/text.h"

#ifdef HORA_HAVE_ONEDNN
extern const hora_mm_provider hora_mm_onednn;
#endif

static const hora_mm_provider *const providers[] = {
#ifdef HORA_HAVE_ONEDNN
    &hora_mm_onednn,
#endif
    NULL,
};

int hora_mm_count(void) {
    return (int)HORA_COUNT(providers) - 1;
}

const hora_mm_provider *hora_mm_at(int i) {
    return providers[i];
}

const hora_mm_provider *hora_mm_for(hora_dtype dtype) {
    const char *name = getenv("HORA_PRODUCTS");
    if (!name || !*name)
        return dtype == HORA_BF16 && hora_cpu_isa() >= HORA_ISA_AMX ? providers[0] : NULL;
    for (int i = 0; i < hora_mm_count(); i++)
        if (hora_eq(providers[i]->name, name))
            return providers[i];
    if (!hora_eq(name, "own"))
        hora_warn("HORA_PRODUCTS=%s is not in this build, products are by own blocks; use own%s",
                  name, hora_mm_count() ? " or onednn" : "");
    return NULL;
}
