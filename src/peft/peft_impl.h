#ifndef HORA_PEFT_PEFT_IMPL_H
#define HORA_PEFT_PEFT_IMPL_H
/* The two halves of attaching, between which options or a folder fill the configuration. */
#include "peft/peft.h"

/* With the defaults of its options, nothing set up. */
hora_adapter *hora_adapter_new(const hora_method *m, const hora_base *base, uint64_t seed);
hora_status hora_adapter_setup(hora_adapter *a);
#endif
