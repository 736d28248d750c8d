#ifndef HORA_FUZZ_IMAGES_H
#define HORA_FUZZ_IMAGES_H
/* Sets of pictures, for fuzz_images_*.c: opened, listed, and the first few read. */
#include <stdbool.h>

bool hora_fuzz_images(const char *path);
#endif
