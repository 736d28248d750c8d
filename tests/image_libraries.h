#ifndef HORA_IMAGE_LIBRARIES_H
#define HORA_IMAGE_LIBRARIES_H
/* Tests over picture files skip, aloud, in a build that lacks one of the libraries. */
#include "hora_test.h"

static inline void need_image_libraries(void) {
#if !defined(HORA_HAVE_JPEG) || !defined(HORA_HAVE_PNG) || !defined(HORA_HAVE_WEBP)
    hora_test_skip("this build lacks libjpeg, libpng or libwebp");
#endif
}
#endif
