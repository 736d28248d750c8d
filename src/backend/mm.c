/*
 * Which provider of matrix products: HORA_PRODUCTS, else oneDNN where it was built in, else cpu's
 * own blocks.
 */
#include "backend/mm.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"

extern const hora_mm_provider hora_mm_own;
#ifdef HORA_HAVE_ONEDNN
extern const hora_mm_provider hora_mm_onednn;
#endif

static const hora_mm_provider *const providers[] = {
#ifdef HORA_HAVE_ONEDNN
    &hora_mm_onednn,
#endif
    &hora_mm_own,
};

const hora_mm_provider *hora_mm_get(void) {
    const char *name = getenv("HORA_PRODUCTS");
    if (!name || !*name)
        return providers[0];
    for (size_t i = 0; i < HORA_COUNT(providers); i++)
        if (hora_eq(providers[i]->name, name))
            return providers[i];
    hora_warn("HORA_PRODUCTS=%s is not in this build, products are by %s; use own%s", name,
              providers[0]->name, HORA_COUNT(providers) > 1 ? " or onednn" : "");
    return providers[0];
}
