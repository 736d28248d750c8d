#ifndef HORA_METHOD_CASES_H
#define HORA_METHOD_CASES_H
/* The rows of methods.def, and the golden cases that they name. */
#include <stdbool.h>

typedef struct method_case {
    const char *method, *options, *golden;
} method_case;

int method_case_count(void);
const method_case *method_case_at(int i);
bool method_case_of_text(const method_case *m); /* false: a method of pictures alone */

/* Calls fn with "MODEL/CASE" for every golden case of a causal model that this build can open:
 * those that ship with the project, or (own false) the others of ../shared, where every name of a
 * row must be found. Returns how many. */
int method_golden_each(bool own, void (*fn)(const char *path, const method_case *row));
#endif
