#ifndef HORA_PEFT_SEVERAL_LIST_H
#define HORA_PEFT_SEVERAL_LIST_H
/* hora_adapters.json as it is read: {"adapters": [NAME, ..], "tasks": [TASK or null, ..]}. */
#include "base/json.h"

#define HORA_ADAPTERS_LIST "hora_adapters.json"

/* The list of `dir`, every part of it checked: HORA_EFORMAT names what is wrong. *out NULL: there
 * is none; the functions below take that as a list of nobody. */
hora_status hora_adapters_read_list(hora_json **out, const char *dir);
int hora_adapters_listed(const hora_json *list);                  /* how many */
const char *hora_adapters_name_at(const hora_json *list, int i);  /* NULL: no such place */
const char *hora_adapters_task_at(const hora_json *list, int i);  /* NULL: for all records */
int hora_adapters_place(const hora_json *list, const char *name); /* -1: nobody's name */
#endif
