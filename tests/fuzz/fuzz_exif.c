/* Orientations: EXIF, XMP, and ImageMagick's text form of EXIF. */
#include "format/image_impl.h"
#include "fuzz.h"

HORA_FUZZ(exif) {
    const int exif = hora_exif_orientation((const unsigned char *)data, n);
    const int xmp = hora_xmp_orientation((const unsigned char *)data, n);
    const int text = hora_exif_text_orientation(data, n);
    must(exif >= 0 && xmp >= 0 && text >= 0); /* the reader takes 1 to 8 */
    return exif || xmp || text;
}
