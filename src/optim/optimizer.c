/* Optimizers: the registry. Walking over the parameters is state.c's business. */
#include "optim/optim.h"

#define OPTIMIZER(x) extern const hora_optimizer hora_optimizer_##x;
#include "optim/optimizers.def"
#undef OPTIMIZER

static const hora_optimizer *const rows[] = {
#define OPTIMIZER(x) &hora_optimizer_##x,
#include "optim/optimizers.def"
#undef OPTIMIZER
};

const char hora_optimizer_list[] = ""
#define OPTIMIZER(x) " " #x
#include "optim/optimizers.def"
#undef OPTIMIZER
    ;

int hora_optimizer_count(void) {
    return (int)HORA_COUNT(rows);
}

const hora_optimizer *hora_optimizer_at(int i) {
    return rows[i];
}
