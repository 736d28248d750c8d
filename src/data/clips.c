/* Frames of clips. */
#include "data/clips.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"

/* --- their order ------------------------------------------------------------------------------ */
static bool digit(char c) {
    return c >= '0' && c <= '9';
}

/* Runs of digits by value, all else by bytes. */
static int natural(const char *a, const char *b) {
    while (*a && *b) {
        if (!digit(*a) || !digit(*b)) {
            if (*a != *b)
                return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++, b++;
            continue;
        }
        while (*a == '0' && digit(a[1]))
            a++;
        while (*b == '0' && digit(b[1]))
            b++;
        size_t n = 0, m = 0;
        while (digit(a[n]))
            n++;
        while (digit(b[m]))
            m++;
        const int c = n != m ? (n < m ? -1 : 1) : strncmp(a, b, n);
        if (c)
            return c;
        a += n, b += m;
    }
    return (*a != 0) - (*b != 0);
}

typedef struct named {
    const char *name;
    int64_t at;
} named;

static int by_name(const void *a, const void *b) {
    const named *x = a, *y = b;
    const int c = natural(x->name, y->name);
    return c ? c : strcmp(x->name, y->name);
}

static void sort_frames(hora_clips *c, const hora_images *set, int64_t from, int64_t to) {
    named *all = hora_malloc((size_t)(to - from + 1) * sizeof *all);
    for (int64_t i = from; i < to; i++)
        all[i - from] = (named){hora_images_name(set, c->frame[i]), c->frame[i]};
    qsort(all, (size_t)(to - from), sizeof *all, by_name);
    for (int64_t i = from; i < to; i++)
        c->frame[i] = all[i - from].at;
    hora_free(all);
}

/* --- the set ---------------------------------------------------------------------------------- */
/* Folders between the set and a frame. */
static int depth(const char *name, const char *path) {
    int n = 0;
    for (const char *p = name + strlen(path); *p; p++)
        n += *p == '/' && p[1] != '/' && p != name + strlen(path);
    return n;
}

hora_status hora_clips_open(hora_clips *c, const hora_images *set, const char *path,
                            bool labelled) {
    const int64_t n = hora_images_about(set)->samples;
    *c = (hora_clips){0};
    if (!hora_eq(hora_images_about(set)->kind, "folder"))
        return hora_fail(HORA_EUSAGE,
                         "%s: clips are read from folders of frames: DIR/CLASS/CLIP/0001.jpg",
                         path);
    if (hora_images_about(set)->bare)
        hora_warn("%s: %lld folders hold no frames that can be read, and are no clips", path,
                  (long long)hora_images_about(set)->bare);
    c->first = hora_malloc((size_t)(n + 1) * sizeof *c->first);
    c->frame = hora_malloc((size_t)(n + 1) * sizeof *c->frame);
    c->name = hora_calloc((size_t)n + 1, sizeof *c->name);
    c->classed = true;
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < n && !s; i++) { /* the frames of a folder stand together */
        char *folder = hora_path_dir(hora_images_name(set, i));
        c->frame[i] = i;
        c->classed &= depth(hora_images_name(set, i), path) >= 2;
        if (labelled && !c->classed)
            s = hora_fail(HORA_EUSAGE,
                          "%s lies in the folder of a class; each clip is a folder of frames in "
                          "there: DIR/CLASS/CLIP/0001.jpg",
                          hora_images_name(set, i));
        if (!c->n || !hora_eq(c->name[c->n - 1], folder)) {
            c->first[c->n] = i;
            c->name[c->n++] = folder;
        } else {
            hora_free(folder);
        }
    }
    c->first[c->n] = n;
    for (int64_t i = 0; i < c->n && !s; i++)
        sort_frames(c, set, c->first[i], c->first[i + 1]);
    if (s)
        hora_clips_release(c);
    return s;
}

void hora_clips_release(hora_clips *c) {
    for (int64_t i = 0; i < c->n; i++)
        hora_free(c->name[i]);
    hora_free(c->name);
    hora_free(c->first);
    hora_free(c->frame);
    *c = (hora_clips){0};
}

int64_t hora_clips_frame(const hora_clips *c, int64_t clip, int64_t k, int64_t parts, double at) {
    const int64_t n = c->first[clip + 1] - c->first[clip];
    const int64_t i = (int64_t)(((double)k + at) * (double)n / (double)parts);
    return c->frame[c->first[clip] + hora_min(i, n - 1)];
}

double hora_clips_draw(uint64_t seed, int64_t epoch, int64_t clip, int64_t k) {
    const uint64_t parts[] = {seed, (uint64_t)epoch, (uint64_t)clip, (uint64_t)k};
    hora_rng r = hora_rng_new(hora_hash64(parts, sizeof parts, 0), "frames of clips");
    return hora_rng_uniform(&r);
}
