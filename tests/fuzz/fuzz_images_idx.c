/* MNIST's idx: the pictures beside two labels that are right. */
#include "fuzz.h"
#include "fuzz_images.h"

HORA_FUZZ(images_idx) {
    static const char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 4, 0};
    hora_fuzz_file("a-labels-idx1-ubyte", labels, sizeof labels);
    return hora_fuzz_images(hora_fuzz_file("a-images-idx3-ubyte", data, n));
}
