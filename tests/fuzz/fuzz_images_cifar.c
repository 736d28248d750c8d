/* CIFAR's batches: names of the classes up to the first NUL byte, then the batch, filled up with
 * zeros to whole records as the first byte asks. */
#include "fuzz.h"
#include "fuzz_images.h"

HORA_FUZZ(images_cifar) {
    enum { RECORD = 3073 };
    const char *nul = n ? memchr(data, 0, n) : NULL;
    const size_t head = nul ? (size_t)(nul - data) : n, left = n - head;
    const bool whole = n && data[0] != '!';
    const size_t size = whole ? (left + RECORD - 1) / RECORD * RECORD : left;
    char *bytes = hora_malloc(size + 1);
    memset(bytes, 0, size + 1);
    if (left > 1)
        memcpy(bytes, nul + 1, left - 1);
    hora_fuzz_file("batches.meta.txt", data, head);
    const bool taken = hora_fuzz_images(hora_fuzz_file("data_batch_1.bin", bytes, size));
    hora_free(bytes);
    return taken;
}
