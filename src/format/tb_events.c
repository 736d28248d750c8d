/*
 * TensorBoard event files; format and sources in tb_events.h. Owns the encoding and the file's
 * name. It does not decide what is logged or when. Invariant: the buffer holds whole records only,
 * and it reaches the file in one append that happens whole or not at all.
 */
#include "format/tb_events.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

struct hora_tb {
    char *path;
    hora_str pending;
};

/* --- framing ---------------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli), reflected, bit by bit: records are some 60 bytes, a table would not pay. */
static uint32_t crc32c(const unsigned char *p, size_t n) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
    }
    return ~c;
}

uint32_t hora_tb_masked_crc(const void *p, size_t n) {
    uint32_t c = crc32c(p, n);
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static void put_le(hora_str *out, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++)
        hora_str_putc(out, (char)(v >> (8 * i)));
}

static void put_record(hora_str *out, const hora_str *event) {
    size_t at = out->n;
    put_le(out, event->n, 8);
    put_le(out, hora_tb_masked_crc(out->s + at, 8), 4);
    hora_str_add(out, event->s, event->n);
    put_le(out, hora_tb_masked_crc(event->s, event->n), 4);
}

/* --- protobuf --------------------------------------------------------------------------------- */

enum { WIRE_VARINT = 0, WIRE_8 = 1, WIRE_BYTES = 2, WIRE_4 = 5 };

static void put_varint(hora_str *out, uint64_t v) {
    for (; v > 127; v >>= 7)
        hora_str_putc(out, (char)(v | 128));
    hora_str_putc(out, (char)v);
}

static void put_key(hora_str *out, unsigned field, unsigned wire) {
    put_varint(out, field << 3 | wire);
}

static void put_bytes(hora_str *out, unsigned field, const char *s, size_t n) {
    put_key(out, field, WIRE_BYTES);
    put_varint(out, n);
    hora_str_add(out, s, n);
}

/* wall_time = 1, and step = 2 unless it is 0. */
static void put_time(hora_str *out, double wall_time, int64_t step) {
    uint64_t bits;
    memcpy(&bits, &wall_time, 8);
    put_key(out, 1, WIRE_8);
    put_le(out, bits, 8);
    if (step) {
        put_key(out, 2, WIRE_VARINT);
        put_varint(out, (uint64_t)step);
    }
}

static void end_record(hora_str *out, hora_str *event) {
    put_record(out, event);
    hora_str_release(event);
}

void hora_tb_record_version(hora_str *out, double wall_time) {
    static const char version[] = "brain.Event:2";
    hora_str event = {0};
    put_time(&event, wall_time, 0);
    put_bytes(&event, 3, version, sizeof version - 1);
    end_record(out, &event);
}

static void record_start(hora_str *out, double wall_time, int64_t step) {
    static const char start[] = {1 << 3 | WIRE_VARINT, 1};
    hora_str event = {0};
    put_time(&event, wall_time, step);
    put_bytes(&event, 7, start, sizeof start);
    end_record(out, &event);
}

void hora_tb_record_scalar(hora_str *out, double wall_time, int64_t step, const char *tag,
                           double value) {
    hora_str event = {0}, summary = {0}, item = {0};
    /* C leaves it undefined to convert what a float cannot hold */
    float f = fabs(value) > FLT_MAX ? (value > 0 ? INFINITY : -INFINITY) : (float)value;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    put_bytes(&item, 1, tag, strlen(tag));
    put_key(&item, 2,
            WIRE_4); /* always there, a loss of 0 too: it says which kind of value it is */
    put_le(&item, bits, 4);
    put_bytes(&summary, 1, item.s, item.n);
    put_time(&event, wall_time, step);
    put_bytes(&event, 5, summary.s, summary.n);
    hora_str_release(&item);
    hora_str_release(&summary);
    end_record(out, &event);
}

/* --- the file --------------------------------------------------------------------------------- */

static double wall_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

char *hora_tb_name(const char *dir) {
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) || !*host)
        strcpy(host, "localhost");
    for (char *c = host; *c; c++)
        if (*c == '/')
            *c = '_';
    for (int n = 0;; n++) {
        char *name = hora_format("events.out.tfevents.%010" PRId64 ".%s.%ld.%d",
                                 (int64_t)time(NULL), host, (long)getpid(), n);
        char *path = hora_path_join(dir, name);
        const bool taken = hora_path_exists(path);
        hora_free(path);
        if (!taken || n == 1000) /* where nothing can be looked at, who writes there says why */
            return name;
        hora_free(name);
    }
}

hora_status hora_tb_open(hora_tb **out, const char *dir, const char *name, int64_t steps_taken) {
    *out = NULL;
    hora_tb *t = hora_calloc(1, sizeof *t);
    t->path = hora_path_join(dir, name);
    hora_tb_record_version(&t->pending, wall_time());
    if (steps_taken > 0)
        record_start(&t->pending, wall_time(), steps_taken + 1);
    hora_status s = hora_tb_flush(t);
    if (s != HORA_OK) {
        hora_free(t->path);
        hora_str_release(&t->pending);
        hora_free(t);
        return s;
    }
    *out = t;
    return HORA_OK;
}

void hora_tb_scalar(hora_tb *t, const char *tag, int64_t step, double value) {
    hora_tb_record_scalar(&t->pending, wall_time(), step, tag, value);
}

hora_status hora_tb_flush(hora_tb *t) {
    if (!t->pending.n)
        return HORA_OK;
    HORA_TRY(hora_append(t->path, t->pending.s, t->pending.n));
    t->pending.n = 0;
    return HORA_OK;
}

hora_status hora_tb_close(hora_tb *own_t) {
    if (!own_t)
        return HORA_OK;
    hora_status s = hora_tb_flush(own_t);
    hora_free(own_t->path);
    hora_str_release(&own_t->pending);
    hora_free(own_t);
    return s;
}

const char *hora_tb_path(const hora_tb *t) {
    return t->path;
}
