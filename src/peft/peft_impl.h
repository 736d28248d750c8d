#ifndef HORA_PEFT_PEFT_IMPL_H
#define HORA_PEFT_PEFT_IMPL_H
/* The two halves of attaching, between which options or a folder fill the configuration. */
#include "peft/peft.h"

/* With the defaults of its options, nothing set up. name NULL: the method's. */
hora_adapter *hora_adapter_new(const hora_method *m, const hora_base *base, const char *name,
                               uint64_t seed);
hora_status hora_adapter_setup(hora_adapter *a);
/* The head, weight and bias, as parameters under PEFT's names, unless they are some already. */
void hora_adapter_take_head(hora_adapter *a);
void hora_adapter_take_neck(hora_adapter *a); /* what stands in front of it, likewise */
#endif
