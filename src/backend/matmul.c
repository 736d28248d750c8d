/* Who computes products: HORA_MATMUL, else the backend's own kernels. */
#include "backend/matmul.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"

#ifdef HORA_HAVE_ONEDNN
extern const hora_matmul_provider hora_matmul_onednn;
#endif

static const hora_matmul_provider *const providers[] = {
#ifdef HORA_HAVE_ONEDNN
    &hora_matmul_onednn,
#endif
    NULL,
};

int hora_matmul_count(void) {
    return (int)HORA_COUNT(providers) - 1;
}

const hora_matmul_provider *hora_matmul_at(int i) {
    return providers[i];
}

const hora_matmul_provider *hora_matmul_chosen(void) {
    const char *name = getenv("HORA_MATMUL"), *old = getenv("HORA_PRODUCTS"); /* its name in 0.1 */
    if (!name || !*name)
        name = old;
    if (!name || !*name)
        return NULL;
    for (int i = 0; i < hora_matmul_count(); i++)
        if (hora_eq(providers[i]->name, name))
            return providers[i];
    if (!hora_eq(name, "own"))
        hora_warn("HORA_MATMUL=%s is not in this build, products are by own gemm; use own%s", name,
                  hora_matmul_count() ? " or onednn" : "");
    return NULL;
}
