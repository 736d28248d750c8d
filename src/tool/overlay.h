#ifndef HORA_TOOL_OVERLAY_H
#define HORA_TOOL_OVERLAY_H
/* What task segment says of a picture: a map of classes, and that laid over the picture. */
#include "data/image_processor.h"
#include "task/task.h"

typedef struct hora_cli_overlay {
    const hora_objective *objective;
    const hora_vision *vision;
    const hora_image_processor *processor;
    const char *dir; /* where pictures go; NULL: none are written */
    int64_t done;    /* pictures so far */
} hora_cli_overlay;

/* A new folder with `masks` and `overlays`. HORA_EEXISTS where something is there. */
hora_status hora_cli_overlay_begin(const hora_cli_overlay *o);
/* Writes NUMBER-NAME.png into both, and appends shares of classes and paths to `line`. z: the
 * logits of the picture's rows; im: as it was read, of `file`. Of the picture's own size where all
 * of it is seen by the model, else of the size that the model reads. */
hora_status hora_cli_overlay_put(hora_cli_overlay *o, const float *z, const hora_image *im,
                                 const char *file, hora_json *line);
#endif
