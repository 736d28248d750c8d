#ifndef HORA_TOOL_CONFUSION_H
#define HORA_TOOL_CONFUSION_H
/* The confusion matrix of an evaluation as a PNG: a row for each true class, a column for each
 * guess, darker the larger the share of the row. Cells have their counts and rows and columns the
 * numbers of their classes, in the order of `labels`, where there is room. */
#include "base/json.h"

/* `result`: what hora eval gives, with `labels` and `confusion`. HORA_EUSAGE without them. */
hora_status hora_cli_confusion(const char *path, const hora_json *result);
#endif
