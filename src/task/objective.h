#ifndef HORA_TASK_OBJECTIVE_H
#define HORA_TASK_OBJECTIVE_H
/* What the two files that make an objective share. */
#include "task/task.h"

/* o->names becomes NULL. */
void hora_objective_forget_names(hora_objective *o);
/* What a class is called that nobody named, "LABEL_3" as transformers has it: `text`. */
const char *hora_objective_spare_name(char text[40], int64_t i);
/* Which classes there are, now that the training data are known. `fresh`: the model's head is of no
 * use for them. HORA_EUSAGE, HORA_EMISMATCH: labels that mean no class, or two. */
hora_status hora_objective_decide(hora_objective *o, const hora_label_table *t, bool train,
                                  bool *fresh);
#endif
