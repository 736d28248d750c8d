#ifndef HORA_BASE_SHARE_H
#define HORA_BASE_SHARE_H
/*
 * Memory of which the processes of one machine have one copy, for what is the same in all of them:
 * weights. Who makes it (comm) is not known to who fills it. All calls are made by all of the
 * processes, in the same order.
 */
#include "base/status.h"

typedef struct hora_sharing {
    /* So many zero bytes (the same number everywhere), on a cache line, that all see; *out NULL:
     * there is no room, and each takes its own. Never given back before the end of the process. */
    hora_status (*take)(void *user, size_t bytes, void **out);
    /* What each of them wrote is seen by all of them. */
    hora_status (*filled)(void *user);
    void *user;
    int part, parts; /* which of the machine's processes this is */
} hora_sharing;

/* Piece i is filled by this process. */
static inline bool hora_share_fills(const hora_sharing *s, int64_t i) {
    return i % s->parts == s->part;
}
#endif
