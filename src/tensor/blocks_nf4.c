/*
 * NF4's second level: the largest magnitudes of 256 blocks, less their mean over the tensor, in 8
 * bits of bitsandbytes' dynamic map. Source: QLoRA (arXiv 2305.14314, section 3, double
 * quantization); bitsandbytes, functional.py, create_dynamic_map.
 */
#include <math.h>
#include <stdlib.h>

#include "tensor/blocks.h"

enum { SUPER = 256, BYTES = 36 }; /* blocks of a second-level block; bytes of a block */

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Element i of n evenly spaced ones from 0.1 to 1, as PyTorch rounds them. */
static float spaced(int i, int n) {
    const float step = (1 - 0.1f) / (float)(n - 1);
    return i < n / 2 ? fmaf(step, (float)i, 0.1f) : fmaf(-step, (float)(n - 1 - i), 1);
}

void hora_nf4_dynamic_map(float map[256]) {
    int k = 0;
    for (int i = 0; i < 7; i++) {
        const int n = 1 << i;
        for (int j = 0; j < n; j++) {
            const float mean = (spaced(j, n + 1) + spaced(j + 1, n + 1)) / 2;
            const float v = (float)pow(10, i - 6) * mean;
            map[k++] = v;
            map[k++] = -v;
        }
    }
    map[k++] = 0;
    map[k++] = 1;
    HORA_ASSERT(k == 256);
    qsort(map, 256, sizeof *map, ascending);
}

float hora_nf4_second(const float map[256], uint8_t code, float most, float offset) {
    const float scaled = map[code] * most;
    return scaled + offset;
}

static float get(const unsigned char *block) {
    float f;
    memcpy(&f, block, 4);
    return f;
}

/* The nearest; a tie goes down. */
static uint8_t nearest(const float map[256], float v) {
    int low = 0, high = 255;
    while (low + 1 < high) {
        const int middle = (low + high) / 2;
        if (map[middle] < v)
            low = middle;
        else
            high = middle;
    }
    return (uint8_t)((double)v - (double)map[low] <= (double)map[high] - (double)v ? low : high);
}

float hora_nf4_round_scales(void *y, int64_t blocks, uint8_t *codes, float *largest) {
    unsigned char *x = y;
    float map[256];
    double sum = 0;
    hora_nf4_dynamic_map(map);
    for (int64_t i = 0; i < blocks; i++)
        sum += (double)get(x + i * BYTES);
    const float offset = blocks ? (float)(sum / (double)blocks) : 0;
    for (int64_t at = 0; at < blocks; at += SUPER) {
        const int64_t n = hora_min(SUPER, blocks - at);
        float most = 0;
        for (int64_t i = at; i < at + n; i++)
            most = fmaxf(most, fabsf(get(x + i * BYTES) - offset));
        for (int64_t i = at; i < at + n; i++) {
            const float r = get(x + i * BYTES) - offset;
            const uint8_t code = nearest(map, most > 0 ? r / most : 0);
            const float rounded = hora_nf4_second(map, code, most, offset);
            memcpy(x + i * BYTES, &rounded, 4);
            if (codes)
                codes[i] = code;
        }
        if (largest)
            largest[at / SUPER] = most;
    }
    return offset;
}
