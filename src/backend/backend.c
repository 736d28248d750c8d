/*
 * The list of backends of this build, in the order of backends.def: fastest first, ref last, which
 * accepts everything. Owns no kernel.
 */
#include "backend/backend.h"

#include "base/text.h"

#define BACKEND(x) extern const hora_backend hora_backend_##x;
#include "backend/backends.def"
#undef BACKEND

static const hora_backend *const backends[] = {
#define BACKEND(x) &hora_backend_##x,
#include "backend/backends.def"
#undef BACKEND
};

int hora_backend_count(void) {
    return (int)HORA_COUNT(backends);
}

const hora_backend *hora_backend_at(int i) {
    HORA_ASSERT(i >= 0 && i < hora_backend_count());
    return backends[i];
}

const hora_backend *hora_backend_named(const char *name) {
    for (int i = 0; i < hora_backend_count(); i++)
        if (hora_eq(backends[i]->name, name))
            return backends[i];
    return NULL;
}

hora_status hora_backend_unknown(const char *name) {
    return hora_fail(HORA_EUSAGE,
                     "no backend named `%s` in this build; `hora --version` lists them", name);
}
