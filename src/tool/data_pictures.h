#ifndef HORA_TOOL_DATA_PICTURES_H
#define HORA_TOOL_DATA_PICTURES_H
/* What `hora data` says of a set of pictures. */
#include "data/data.h"
#include "tool/tool.h"

typedef struct hora_cli_pictures_config {
    const hora_data_config *data; /* decoding, augmentation, seed */
    const char *model;            /* how pictures are prepared; NULL: as ViT */
    const char *labels;           /* another set, whose classes count; NULL: its own */
    bool masks;                   /* each pixel has a class, the picture none */
    const char *sheet;            /* PNG of samples to write; NULL: none */
    int64_t frames;               /* of clips; 0: what the model's files say, else pictures */
} hora_cli_pictures_config;
bool hora_cli_is_pictures(const char *path);
hora_status hora_cli_pictures(const char *path, const hora_cli_pictures_config *c, hora_json **out);
void hora_cli_put_pictures(const hora_json *r);
#endif
