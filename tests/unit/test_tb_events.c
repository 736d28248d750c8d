/* TensorBoard event files: read back by a reader of our own, and compared byte for byte with files
 * that TensorFlow's tools wrote. */
#include <math.h>

#include "base/file.h"
#include "format/tb_events.h"
#include "hora_test.h"

typedef struct event {
    double wall_time;
    int64_t step;
    char version[32], tag[64];
    float value;
    bool has_value, start;
} event;

static uint64_t le(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static uint64_t varint(const unsigned char **p, const unsigned char *end) {
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(*p < end && shift < 70);
        v |= (uint64_t)(**p & 127) << shift;
        if (!(*(*p)++ & 128))
            return v;
    }
}

/* Fields of Event, Summary (in 5), Value (in 5.1) and SessionLog (in 7). `path` is 0, 5, 51 or 7.
 */
static void read_message(const unsigned char *p, const unsigned char *end, int path, event *e) {
    while (p < end) {
        unsigned key = (unsigned)varint(&p, end), field = key >> 3, wire = key & 7;
        int at = path * 10 + (int)field;
        uint64_t n = wire == 1 ? 8 : wire == 5 ? 4 : varint(&p, end);
        if (wire != 0)
            assert_true(n <= (uint64_t)(end - p));
        if (at == 1)
            memcpy(&e->wall_time, p, 8);
        else if (at == 2)
            e->step = (int64_t)n;
        else if (at == 3 && n < sizeof e->version)
            memcpy(e->version, p, n);
        else if (at == 5 || at == 51 || at == 7)
            read_message(p, p + n, at, e);
        else if (at == 511 && n < sizeof e->tag)
            memcpy(e->tag, p, n);
        else if (at == 512)
            memcpy(&e->value, p, 4), e->has_value = true;
        else if (at == 71)
            e->start = n == 1;
        else
            fail_msg("field %d was not expected", at);
        if (wire != 0)
            p += n;
    }
}

/* Checks the framing and returns the events; any byte too many or too few fails. */
static int read_events(const char *path, event *events, int cap) {
    hora_map m;
    int count = 0;
    assert_ok(hora_map_open(&m, path));
    for (size_t at = 0; at < m.n; count++) {
        assert_true(count < cap && m.n - at >= 12);
        uint64_t n = le(m.data + at, 8);
        assert_true(n <= m.n - at - 16);
        assert_int_equal(le(m.data + at + 8, 4), hora_tb_masked_crc(m.data + at, 8));
        assert_int_equal(le(m.data + at + 12 + n, 4), hora_tb_masked_crc(m.data + at + 12, n));
        events[count] = (event){0};
        read_message(m.data + at + 12, m.data + at + 12 + n, 0, &events[count]);
        at += 16 + n;
    }
    hora_map_release(&m);
    return count;
}

/* The check value of CRC-32C and the vectors of RFC 3720 B.4, masked by hand. */
static void crc_is_castagnoli(void **state) {
    (void)state;
    unsigned char zeros[32] = {0}, rising[32];
    for (int i = 0; i < 32; i++)
        rising[i] = (unsigned char)i;
    static const uint32_t crc[3] = {0xe3069283u, 0x8a9136aau, 0x46dd794eu};
    const void *data[3] = {"123456789", zeros, rising};
    const size_t n[3] = {9, 32, 32};
    for (int i = 0; i < 3; i++)
        assert_int_equal(hora_tb_masked_crc(data[i], n[i]),
                         (uint32_t)((crc[i] >> 15 | crc[i] << 17) + 0xa282ead8u));
}

static hora_status open_in(hora_tb **t, const char *dir, int64_t steps_taken) {
    char *name = hora_tb_name(dir);
    hora_status s = hora_tb_open(t, dir, name, steps_taken);
    hora_free(name);
    return s;
}

static void what_is_written_is_read(void **state) {
    (void)state;
    event e[16];
    hora_tb *t;
    assert_ok(open_in(&t, hora_test_tmp(), 0));
    char *path = hora_strdup(hora_tb_path(t));
    assert_int_equal(read_events(path, e, 16), 1); /* readable from the first moment */
    assert_string_equal(e[0].version, "brain.Event:2");
    hora_tb_scalar(t, "train/loss", 1, 2.5);
    hora_tb_scalar(t, "train/learning_rate", 1, 0);
    assert_int_equal(read_events(path, e, 16), 1); /* nothing before the flush */
    assert_ok(hora_tb_flush(t));
    assert_int_equal(read_events(path, e, 16), 3);
    hora_tb_scalar(t, "train/loss", INT64_C(1) << 40, NAN);
    hora_tb_scalar(t, "eval/loss", 300, 1e300);
    assert_ok(hora_tb_close(t));
    assert_int_equal(read_events(path, e, 16), 5);
    assert_string_equal(e[1].tag, "train/loss");
    assert_true(e[1].step == 1 && e[1].value == 2.5f);
    assert_string_equal(e[2].tag, "train/learning_rate");
    assert_true(e[2].has_value && e[2].value == 0);
    assert_true(e[3].step == INT64_C(1) << 40 && isnan(e[3].value));
    assert_true(e[4].step == 300 && isinf(e[4].value) && e[4].value > 0);
    for (int i = 1; i < 5; i++)
        assert_true(e[i].wall_time >= e[i - 1].wall_time && e[i].wall_time > 1.7e9);
    hora_free(path);
}

static void a_run_that_goes_on(void **state) {
    (void)state;
    event e[4];
    hora_tb *a, *b;
    assert_ok(open_in(&a, hora_test_tmp(), 0));
    assert_ok(open_in(&b, hora_test_tmp(), 40));
    assert_string_not_equal(hora_tb_path(a), hora_tb_path(b));
    assert_non_null(strstr(hora_path_base(hora_tb_path(b)), "events.out.tfevents."));
    assert_int_equal(read_events(hora_tb_path(b), e, 4), 2);
    assert_true(e[1].start && e[1].step == 41);
    assert_int_equal(read_events(hora_tb_path(a), e, 4), 1);
    assert_ok(hora_tb_close(a));
    assert_ok(hora_tb_close(b));
    assert_ok(hora_tb_close(NULL));
}

static void failures_are_told(void **state) {
    (void)state;
    hora_tb *t;
    char *nowhere = hora_path_join(hora_test_tmp(), "no/such/folder");
    assert_true(open_in(&t, nowhere, 0) != HORA_OK);
    assert_null(t);
    hora_free(nowhere);
}

/* Files of others: the framing holds, and our encoder makes the same bytes of the same values. */
static void same_bytes_as_others(void **state) {
    (void)state;
    static const char *const names[] = {"events.out.tfevents.1627024961.e7dbf158ebfe",
                                        "events.out.tfevents.1627066276.e7dbf158ebfe.5495.0",
                                        "events.out.tfevents.1627066277.e7dbf158ebfe.5496.0"};
    const char *dir = hora_test_shared("data/formats/tensorboard");
    for (int k = 0; k < 3; k++) {
        event e[16];
        hora_str ours = {0}, theirs = {0};
        char *path = hora_path_join(dir, names[k]);
        int n = read_events(path, e, 16);
        assert_int_equal(n, 9);
        hora_tb_record_version(&ours, e[0].wall_time);
        for (int i = 1; i < n; i++) {
            assert_true(e[i].has_value);
            assert_memory_equal(e[i].tag, "eval/", 5);
            hora_tb_record_scalar(&ours, e[i].wall_time, e[i].step, e[i].tag, e[i].value);
        }
        assert_ok(hora_file_read(&theirs, path));
        assert_int_equal(ours.n, theirs.n);
        assert_memory_equal(ours.s, theirs.s, ours.n);
        hora_str_release(&ours);
        hora_str_release(&theirs);
        hora_free(path);
    }
}

HORA_TESTS(unit_tb_events, {"CRC is Castagnoli's", crc_is_castagnoli, HORA_SHORT},
           {"what is written is read", what_is_written_is_read, HORA_SHORT},
           {"a run that goes on", a_run_that_goes_on, HORA_SHORT},
           {"failures are told", failures_are_told, HORA_SHORT},
           {"the same bytes as others", same_bytes_as_others, HORA_SHORT});
