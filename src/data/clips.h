#ifndef HORA_DATA_CLIPS_H
#define HORA_DATA_CLIPS_H
/*
 * Clips of a set of pictures: a folder of frames each, DIR/CLASS/CLIP/0001.jpg. Frames follow one
 * another by their names, numbers in them by value (frame2 before frame10). A model takes T of
 * them: the clip is cut into T equal parts, and each gives one frame, its middle in evaluation, any
 * in training [Wang 2016, temporal segment networks]. A clip of fewer frames repeats some.
 */
#include "data/images.h"

typedef struct hora_clips {
    int64_t n;
    int64_t *first; /* (n + 1): where the frames of each begin in `frame` */
    int64_t *frame; /* pictures of the set */
    char **name;    /* (n): its folder */
    bool classed;   /* all of them lie in folders of classes */
} hora_clips;
/* The folders that hold pictures themselves. `labelled`: clips have classes, and frames beside the
 * folders of clips are refused. HORA_EUSAGE for a set that is no folder. */
hora_status hora_clips_open(hora_clips *c, const hora_images *set, const char *path, bool labelled);
void hora_clips_release(hora_clips *c);
/* The picture that part k of `parts` gives; at: where in it, 0 <= at < 1. */
int64_t hora_clips_frame(const hora_clips *c, int64_t clip, int64_t k, int64_t parts, double at);
/* `at` in training. */
double hora_clips_draw(uint64_t seed, int64_t epoch, int64_t clip, int64_t k);
#endif
