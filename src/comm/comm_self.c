/* One process alone: nobody to talk to, so nothing is ever moved. */
#include "comm/comm_impl.h"

static hora_status open_self(hora_comm *c) {
    c->size = c->node_size = 1;
    return HORA_OK;
}

static hora_status move(hora_comm *c, const comm_piece *p, int n) {
    (void)c;
    (void)p;
    HORA_ASSERT(n == 0);
    return HORA_OK;
}

static void enter(hora_comm *c) {
    (void)c;
}

static void tell(hora_comm *c, const comm_word *w) {
    (void)c;
    (void)w;
}

static bool hear(hora_comm *c, comm_word *w) {
    (void)c;
    (void)w;
    return false;
}

static bool room(const hora_comm *c, size_t bytes) {
    (void)c;
    (void)bytes;
    return false;
}

static hora_status share(hora_comm *c, size_t bytes, void **out) {
    (void)c;
    (void)bytes;
    *out = NULL;
    return HORA_OK;
}

static hora_status fence(hora_comm *c) {
    (void)c;
    return HORA_OK;
}

static void finish(hora_comm *c) {
    (void)c;
}

static HORA_NORETURN void stop(hora_comm *c, int code) {
    (void)c;
    HORA_BUG("one rank alone has no others to stop (%d)", code);
}

const comm_kind hora_comm_self = {.name = "self",
                                  .open = open_self,
                                  .move = move,
                                  .enter = enter,
                                  .tell = tell,
                                  .hear = hear,
                                  .room = room,
                                  .share = share,
                                  .fence = fence,
                                  .finish = finish,
                                  .stop = stop};
