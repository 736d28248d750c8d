/* Options of pictures where texts are read, and of training where nothing is trained. */
#include "data/data.h"

static const struct {
    const char *option;
    bool training; /* it changes what is trained on, and nothing else */
} rows[] = {
    {"random_crop", true},  {"flip", true},         {"brightness", true},   {"contrast", true},
    {"saturation", true},   {"hue", true},          {"rand_augment", true}, {"mixup", true},
    {"cutmix", true},       {"random_erase", true}, {"white", false},       {"exif", false},
    {"image_cache", false},
};

hora_status hora_data_idle(const hora_data_config *c, const hora_settings *s, bool pictures,
                           bool trains) {
    for (int i = 0; i < (int)HORA_COUNT(rows); i++)
        if (!pictures || (rows[i].training && !trains))
            HORA_TRY(hora_option_idle(&hora_data_options, c, s, rows[i].option,
                                      pictures ? "is for training alone; leave it out"
                                               : "is for pictures, and texts are read; leave it "
                                                 "out"));
    return HORA_OK;
}
