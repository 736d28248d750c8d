#ifndef HORA_BASE_YAML_H
#define HORA_BASE_YAML_H
/* Recipes: one YAML document (libyaml) becomes a hora_json tree. Plain scalars follow the YAML 1.2
 * core schema. */
#include "base/json.h"

hora_status hora_yaml_parse(hora_json **out, const char *text, size_t n, const char *what);
hora_status hora_yaml_load(hora_json **out, const char *path);
/* Writes an object as block YAML that hora_yaml_parse reads back to an equal tree. */
void hora_yaml_dump(const hora_json *v, hora_str *out);
#endif
