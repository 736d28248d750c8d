#ifndef HORA_TOOL_PREDICT_H
#define HORA_TOOL_PREDICT_H
/* Inside of hora predict: cmd_predict.c reads texts, predict_pictures.c pictures. */
#include "task/task.h"
#include "tool/tool.h"

typedef struct hora_predict_config {
    int64_t top_k, batch_size;
    bool skip_bad, exif, white;
    char *overlays;
} hora_predict_config;

/* What the head says, appended to a line. z: (classes). */
void hora_predict_say(const hora_objective *o, const hora_predict_config *c, const float *z,
                      hora_json *line);
/* All files and folders of the command, a line each. */
hora_status hora_predict_pictures(hora_model *m, const hora_predict_config *c, const hora_cli *cli);
#endif
