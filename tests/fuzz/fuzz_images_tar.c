/* Pictures in a tar (WebDataset). The sums of the headers are put right, or nothing would get far;
 * the last byte can ask for them to stay. */
#include <stdio.h>

#include "fuzz.h"
#include "fuzz_images.h"

static void put_sum_right(char *header) {
    char digits[8];
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(digits, sizeof digits, "%06o", sum);
    memcpy(header + 148, digits, 7);
}

HORA_FUZZ(images_tar) {
    char *bytes = hora_malloc(n + 1);
    memcpy(bytes, data, n);
    for (size_t at = 0; at + 512 <= n && data[n - 1] != '!'; at += 512)
        if (!memcmp(bytes + at + 257, "ustar", 5))
            put_sum_right(bytes + at);
    const bool taken = hora_fuzz_images(hora_fuzz_file("x.tar", bytes, n));
    hora_free(bytes);
    return taken;
}
