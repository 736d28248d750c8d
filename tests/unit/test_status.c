/* Statuses: every row is raised and read back; text is cut, never overrun; context goes in front.
 */
#include "hora_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void rows_raise_and_read(void **state) {
    (void)state;
    static const struct {
        hora_status status;
        int exit;
    } rows[] = {
        {HORA_OK, 0},
        {HORA_DONE, 0},
        {HORA_EUSAGE, 2},
        {HORA_EIO, 3},
        {HORA_EFORMAT, 4},
        {HORA_EUNSUPPORTED, 5},
        {HORA_ESHAPE, 6},
        {HORA_ENOMEM, 7},
        {HORA_ENOTFOUND, 8},
        {HORA_EEXISTS, 9},
        {HORA_EMISMATCH, 10},
        {HORA_ENUMERIC, 11},
        {HORA_EINTERRUPTED, 12},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char want[64];
        snprintf(want, sizeof want, "row %zu; do this", i);
        assert_int_equal(hora_fail(rows[i].status, "row %zu; do %s", i, "this"), rows[i].status);
        assert_string_equal(hora_errmsg(), want);
        assert_int_equal(hora_status_exit(rows[i].status), rows[i].exit);
        assert_string_not_equal(hora_status_text(rows[i].status), "unknown status");
    }
    /* One row more or less in status.def shows here. */
    int known = 0;
    for (int s = -100; s < 100; s++)
        known += strcmp(hora_status_text((hora_status)s), "unknown status") != 0;
    assert_int_equal(known, HORA_COUNT(rows));
    assert_int_equal(hora_status_exit((hora_status)-99), 1);
}

static void context_and_own_text(void **state) {
    (void)state;
    hora_fail(HORA_EIO, "disk is full; free some");
    assert_int_equal(hora_context(HORA_EIO, "saving %d", 7), HORA_EIO);
    assert_string_equal(hora_errmsg(), "saving 7: disk is full; free some");
    hora_fail(HORA_EIO, "again: %s", hora_errmsg()); /* the argument is the buffer itself */
    assert_string_equal(hora_errmsg(), "again: saving 7: disk is full; free some");
}

static void long_text_is_cut(void **state) {
    (void)state;
    char *big = malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = 0;
    hora_fail(HORA_EIO, "%s", big);
    size_t n = strlen(hora_errmsg());
    assert_in_range(n, 1000, 10000);
    hora_context(HORA_EIO, "%s", big);
    assert_int_equal(strlen(hora_errmsg()), n);
    free(big);
}

static void *other_thread(void *arg) {
    hora_fail(HORA_EIO, "from another thread");
    *(int *)arg = strcmp(hora_errmsg(), "from another thread") == 0;
    return NULL;
}

static void text_is_per_thread(void **state) {
    (void)state;
    pthread_t t;
    int seen = 0;
    hora_fail(HORA_EIO, "mine");
    assert_int_equal(pthread_create(&t, NULL, other_thread, &seen), 0);
    pthread_join(t, NULL);
    assert_true(seen);
    assert_string_equal(hora_errmsg(), "mine");
}

HORA_TESTS(unit_status, {"every row raises and reads", rows_raise_and_read, HORA_SHORT},
           {"context goes in front", context_and_own_text, HORA_SHORT},
           {"long text is cut", long_text_is_cut, HORA_SHORT},
           {"text belongs to a thread", text_is_per_thread, HORA_SHORT});
