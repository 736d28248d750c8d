/* Files: nothing is ever half there, errors name the path, trees are removed without following
 * links. */
#include "hora_test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"

static char *in_tmp(const char *name) {
    return hora_path_join(hora_test_tmp(), name);
}

static void assert_content(const char *path, const char *want) {
    hora_str s = {0};
    assert_ok(hora_file_read(&s, path));
    assert_string_equal(s.s, want);
    hora_str_release(&s);
}

static void write_read_map(void **state) {
    (void)state;
    char *path = in_tmp("a.bin"), *empty = in_tmp("empty");
    hora_map m;
    assert_ok(hora_file_write(path, "hello", 5));
    assert_content(path, "hello");
    assert_int_equal(hora_file_size(path), 5);
    assert_ok(hora_map_open(&m, path));
    assert_int_equal(m.n, 5);
    assert_memory_equal(m.data, "hello", 5);
    assert_string_equal(m.path, path);
    hora_map_forget(&m, 0, 100);
    assert_memory_equal(m.data, "hello", 5);
    hora_map_release(&m);
    assert_ok(hora_file_write(empty, NULL, 0));
    assert_ok(hora_map_open(&m, empty));
    assert_int_equal(m.n, 0);
    assert_non_null(m.data);
    hora_map_release(&m);
    assert_content(empty, "");
    hora_free(path);
    hora_free(empty);
}

static void errors_name_the_path(void **state) {
    (void)state;
    hora_map m;
    hora_str s = {0};
    char *none = in_tmp("none/there");
    assert_fails(hora_map_open(&m, none), HORA_ENOTFOUND, none);
    assert_fails(hora_file_read(&s, none), HORA_ENOTFOUND, none);
    assert_fails(hora_file_write(none, "x", 1), HORA_ENOTFOUND, none);
    assert_fails(hora_map_open(&m, hora_test_tmp()), HORA_EIO, "name a file");
    assert_int_equal(hora_file_size(none), -1);
    hora_free(none);
}

static void writer_writes_all(void **state) {
    (void)state;
    enum { N = 700000 };
    unsigned char *data = hora_malloc(N);
    for (size_t i = 0; i < N; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    char *path = in_tmp("w");
    hora_writer *w;
    assert_ok(hora_writer_open(&w, path));
    /* small, larger than the buffer, small again */
    hora_writer_put(w, data, 3);
    hora_writer_put(w, data + 3, 400000);
    hora_writer_put(w, data + 400003, N - 400003);
    assert_ok(hora_writer_commit(w));
    hora_map m;
    assert_ok(hora_map_open(&m, path));
    assert_int_equal(m.n, N);
    assert_memory_equal(m.data, data, N);
    hora_map_release(&m);
    hora_free(path);
    hora_free(data);
}

static int entries(void) {
    char **names;
    int n;
    assert_ok(hora_list_dir(hora_test_tmp(), &names, &n));
    hora_list_free(names, n);
    return n;
}

/* Until the commit a reader sees the old file; an abort leaves it and no temporary. */
static void nothing_half_there(void **state) {
    (void)state;
    char *path = in_tmp("x");
    hora_writer *w;
    assert_ok(hora_file_write(path, "old", 3));
    assert_ok(hora_writer_open(&w, path));
    hora_writer_put(w, "new", 3);
    assert_content(path, "old");
    assert_int_equal(entries(), 2);
    hora_writer_abort(w);
    hora_writer_abort(NULL);
    assert_content(path, "old");
    assert_int_equal(entries(), 1);
    assert_ok(hora_file_write(path, "new", 3));
    assert_content(path, "new");
    assert_int_equal(entries(), 1);
    hora_free(path);
}

/* A link stays a link, and nothing but a regular file is replaced. */
static void only_files_are_replaced(void **state) {
    (void)state;
    char *path = in_tmp("x"), *link = in_tmp("link"), *pipe = in_tmp("pipe"),
         *dead = in_tmp("dead");
    char *near = in_tmp("x.tmp");
    struct stat st;
    assert_ok(hora_file_write(path, "old", 3));
    assert_ok(hora_file_write(near, "mine", 4));
    assert_int_equal(symlink("x", link), 0);
    assert_int_equal(symlink("nowhere", dead), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_ok(hora_file_write(link, "new", 3));
    assert_content(path, "new");
    assert_content(near, "mine");
    assert_true(!lstat(link, &st) && S_ISLNK(st.st_mode));
    assert_fails(hora_file_write(pipe, "new", 3), HORA_EEXISTS, "no regular file");
    assert_fails(hora_file_write("/dev/null", "new", 3), HORA_EEXISTS, "no regular file");
    assert_fails(hora_file_write(hora_test_tmp(), "new", 3), HORA_EEXISTS, "no regular file");
    assert_fails(hora_file_write(dead, "new", 3), HORA_ENOTFOUND, "leads nowhere");
    assert_int_equal(entries(), 5);
    hora_free(path), hora_free(link), hora_free(pipe), hora_free(dead), hora_free(near);
}

/* A disk that fills up, played by the limit on file sizes. */
static void full_disk(void **state) {
    (void)state;
    char *path = in_tmp("x");
    char *big = hora_calloc(1 << 20, 1);
    struct rlimit old, small;
    assert_ok(hora_file_write(path, "old", 3));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    hora_status s = hora_file_write(path, big, 1 << 20);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_fails(s, HORA_EIO, "free some space");
    assert_content(path, "old");
    assert_int_equal(entries(), 1);
    hora_free(big);
    hora_free(path);
}

static void lines_append(void **state) {
    (void)state;
    char *path = in_tmp("log");
    assert_ok(hora_append_line(path, "one", 3));
    assert_ok(hora_append_line(path, "two\n", 4));
    assert_content(path, "one\ntwo\n");
    hora_free(path);
}

static void paths(void **state) {
    (void)state;
    static const char *const rows[][3] = {{"a/b", "a", "b"},   {"/a", "/", "a"},   {"a", ".", "a"},
                                          {"a/b/", "a", "b/"}, {"a//b", "a", "b"}, {"/", "/", "/"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *dir = hora_path_dir(rows[i][0]);
        assert_string_equal(dir, rows[i][1]);
        assert_string_equal(hora_path_base(rows[i][0]), rows[i][2]);
        hora_free(dir);
    }
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < HORA_COUNT(joins); i++) {
        char *joined = hora_path_join(joins[i][0], joins[i][1]);
        assert_string_equal(joined, joins[i][2]);
        hora_free(joined);
    }
}

static void folders(void **state) {
    (void)state;
    char *deep = in_tmp("p/q/r"), *top = in_tmp("p"), *file = in_tmp("p/q/f");
    char *outside = in_tmp("outside"), *kept = in_tmp("outside/kept"), *link = in_tmp("p/link");
    assert_ok(hora_mkdirs(deep));
    assert_ok(hora_mkdirs(deep));
    assert_true(hora_path_is_dir(deep));
    assert_ok(hora_file_write(file, "f", 1));
    assert_fails(hora_mkdirs(file), HORA_EIO, "file");
    assert_ok(hora_mkdirs(outside));
    assert_ok(hora_file_write(kept, "k", 1));
    assert_int_equal(symlink(outside, link), 0);
    char **names;
    int n;
    assert_ok(hora_list_dir(hora_test_tmp(), &names, &n));
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "outside");
    assert_string_equal(names[1], "p");
    hora_list_free(names, n);
    assert_ok(hora_remove_tree(top));
    assert_ok(hora_remove_tree(top));
    assert_false(hora_path_exists(top));
    assert_content(kept, "k"); /* the link went, what it pointed to stayed */
    assert_fails(hora_list_dir(top, &names, &n), HORA_ENOTFOUND, top);
    char *copy = in_tmp("copy");
    assert_ok(hora_copy_file(kept, copy));
    assert_content(copy, "k");
    char *all[] = {deep, top, file, outside, kept, link, copy};
    for (size_t i = 0; i < HORA_COUNT(all); i++)
        hora_free(all[i]);
}

static void writable_before_the_work(void **state) {
    (void)state;
    char *below = in_tmp("not/yet/there"), *file = in_tmp("file"), *under = in_tmp("file/x");
    assert_ok(hora_check_writable(below, 1000));
    assert_false(hora_path_exists(below));
    assert_fails(hora_check_writable(below, UINT64_MAX), HORA_EIO, "are needed");
    assert_ok(hora_file_write(file, "", 0));
    assert_fails(hora_check_writable(file, 1), HORA_EIO, "is a file");
    assert_fails(hora_check_writable(under, 1), HORA_EIO, "choose another");
    assert_fails(hora_check_writable("/proc/1", 1), HORA_EIO, "/proc");
    hora_free(below);
    hora_free(file);
    hora_free(under);
}

HORA_TESTS(unit_file, {"write, read, map", write_read_map, HORA_SHORT},
           {"errors name the path", errors_name_the_path, HORA_SHORT},
           {"a writer writes all, in any pieces", writer_writes_all, HORA_SHORT},
           {"nothing is half there", nothing_half_there, HORA_SHORT},
           {"only files are replaced, links stay", only_files_are_replaced, HORA_SHORT},
           {"a full disk leaves the old file", full_disk, HORA_SHORT},
           {"lines append", lines_append, HORA_SHORT}, {"paths", paths, HORA_SHORT},
           {"folders", folders, HORA_SHORT},
           {"writable is known before the work", writable_before_the_work, HORA_SHORT});
