/* Output folders: what is ours by the mark, what is refused, what comes back, who holds the
 * lock. */
#include "base/outdir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "hora_test.h"

static const char *at(const char *name) {
    return hora_test_path(hora_test_tmp(), name);
}

static void put(const char *name, const char *text) {
    assert_ok(hora_file_write(at(name), text, strlen(text)));
}

static void assert_holds(const char *name, const char *text) {
    hora_str got = {0};
    assert_ok(hora_file_read(&got, at(name)));
    assert_string_equal(got.s, text);
    hora_str_release(&got);
}

static int entries(const char *name) {
    char **names;
    int n;
    assert_ok(hora_list_dir(at(name), &names, &n));
    hora_list_free(names, n);
    return n;
}

static hora_status open_out(hora_outdir **o, hora_out_mode mode, const hora_input *in, int n) {
    const hora_outdir_how how = {.mode = mode, .advice = "say overwrite", .in = in, .n = n};
    return hora_outdir_open(o, at("out"), &how);
}

/* A folder with a file, and a marked folder with a file in it. */
static void make_out(const char *text) {
    hora_outdir *o;
    const char *stage;
    assert_ok(open_out(&o, HORA_OUT_NEW, NULL, 0));
    assert_ok(hora_outdir_begin(o));
    assert_ok(hora_outdir_write(o, "file", text, strlen(text)));
    assert_ok(hora_outdir_stage(o, &stage));
    char *below = hora_path_join(stage, "below"), *file = hora_path_join(below, "deep");
    assert_ok(hora_mkdirs(below));
    assert_ok(hora_file_write(file, text, strlen(text)));
    assert_ok(hora_outdir_take(o));
    assert_ok(hora_outdir_whole(o));
    hora_outdir_close(o);
    hora_free(below);
    hora_free(file);
}

static hora_status replace(const char *text) {
    hora_outdir *o;
    HORA_TRY(open_out(&o, HORA_OUT_REPLACE, NULL, 0));
    hora_status s = hora_outdir_begin(o);
    if (!s)
        s = hora_outdir_write(o, "file", text, strlen(text));
    if (!s)
        s = hora_outdir_whole(o);
    hora_outdir_close(o);
    return s;
}

static void made_and_replaced(void **state) {
    (void)state;
    hora_outdir *o;
    make_out("one");
    assert_int_equal(entries("out"), 3);
    assert_int_equal(entries("out/below"), 2); /* its own mark */
    assert_fails(open_out(&o, HORA_OUT_NEW, NULL, 0), HORA_EEXISTS, "say overwrite");
    assert_ok(replace("two"));
    assert_holds("out/file", "two");
    assert_int_equal(entries("out"), 2);
    /* what was there already, made by nobody: an empty folder is as good as none */
    assert_ok(hora_remove_tree(at("out")));
    assert_ok(hora_mkdirs(at("out")));
    make_out("three");
    assert_holds("out/below/deep", "three");
}

/* Every type of entry, at the top and below, under a new name and under one that the mark lists. */
static void foreign_entries(void **state) {
    (void)state;
    static const char *const makers[] = {"echo mine > '%s'",
                                         "mkdir '%s'",
                                         "ln -s /nowhere '%s'",
                                         "ln -s ../kept '%s'",
                                         "mkfifo '%s'",
                                         "mknod '%s' c 1 3 2>/dev/null",
                                         "mkdir '%s' && echo mine > '%s/in'"};
    static const char *const places[] = {"out/mine", "out/.mine", "out/below/mine",
                                         "out/below.tmp2", "out/file.tmp"};
    put("kept", "kept");
    for (size_t k = 0; k < HORA_COUNT(makers); k++)
        for (size_t p = 0; p < HORA_COUNT(places); p++) {
            struct stat before, after;
            assert_ok(hora_remove_tree(at("out")));
            make_out("one");
            char *command = hora_format(makers[k], at(places[p]), at(places[p]));
            const int made = hora_test_run(command, NULL, NULL);
            hora_free(command);
            if (made)
                continue; /* devices need rights */
            assert_int_equal(lstat(at(places[p]), &before), 0);
            assert_fails(replace("two"), HORA_EEXISTS, hora_path_base(places[p]));
            assert_int_equal(lstat(at(places[p]), &after), 0);
            assert_true(before.st_ino == after.st_ino && before.st_mode == after.st_mode);
            assert_holds("out/file", "one");
            assert_holds("out/below/deep", "one");
        }
    assert_holds("kept", "kept");
}

/* A listed name that became something else is foreign. */
static void other_kinds_under_our_names(void **state) {
    (void)state;
    static const char *const makers[] = {"ln -sf ../kept '%s'", "rm '%s'; mkdir '%s'",
                                         "rm '%s'; mkfifo '%s'",
                                         "rm '%s'; mkdir '%s' && echo mine > '%s/in'"};
    put("kept", "kept");
    for (size_t k = 0; k < HORA_COUNT(makers); k++) {
        assert_ok(hora_remove_tree(at("out")));
        make_out("one");
        const char *file = at("out/file");
        char *command = hora_format(makers[k], file, file, file);
        assert_int_equal(hora_test_run(command, NULL, NULL), 0);
        hora_free(command);
        assert_fails(replace("two"), HORA_EEXISTS, "file");
        hora_outdir *o; /* nor is it written to */
        assert_ok(open_out(&o, HORA_OUT_ADD, NULL, 0));
        assert_ok(hora_outdir_begin(o));
        assert_fails(hora_outdir_write(o, "file", "x", 1), HORA_EEXISTS, "file");
        hora_outdir_close(o);
    }
    assert_holds("kept", "kept");
    /* a folder of ours that became a link to somebody's */
    assert_ok(hora_remove_tree(at("out")));
    make_out("one");
    assert_ok(hora_rename(at("out/below"), at("moved")));
    assert_int_equal(symlink("../moved", at("out/below")), 0);
    assert_fails(replace("two"), HORA_EEXISTS, "below");
    assert_holds("moved/deep", "one");
}

static void sockets_are_foreign(void **state) {
    (void)state;
    make_out("one");
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    hora_snprintf(a.sun_path, sizeof a.sun_path, "%s", at("out/socket"));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_fails(replace("two"), HORA_EEXISTS, "socket");
    close(fd);
    assert_true(hora_path_exists(at("out/socket")));
}

/* Marks that hora did not write, or that name what no entry is called. */
static void forged_marks(void **state) {
    (void)state;
    static const char *const marks[] = {
        "",
        "{",
        "my own file",
        "{\"hora\": 2, \"id\": \"00\", \"names\": [\"thesis\"]}",
        "{\"hora\": 1, \"names\": [\"thesis\"]}",
        "{\"hora\": 1, \"id\": \"00\", \"names\": [\"thesis\", \"../kept\"]}",
        "{\"hora\": 1, \"id\": \"00\", \"names\": [\"thesis\", \"..\"]}",
        "{\"hora\": 1, \"id\": \"00\", \"names\": [\"thesis\", \"a/b\"]}",
        "{\"hora\": 1, \"id\": \"00\", \"names\": [\"thesis\", \"/\"]}",
        "{\"hora\": 1, \"id\": \"00\", \"names\": [\"thesis\"], \"aside\": 3}"};
    hora_outdir *o;
    put("kept", "kept");
    assert_ok(hora_mkdirs(at("out")));
    put("out/thesis", "thesis");
    for (size_t i = 0; i < HORA_COUNT(marks); i++) {
        put("out/.hora", marks[i]);
        assert_fails(replace("two"), HORA_EEXISTS, "thesis");
        assert_ok(open_out(&o, HORA_OUT_ADD, NULL, 0));
        assert_fails(hora_outdir_begin(o), HORA_EEXISTS, "no mark of hora");
        hora_outdir_close(o);
        assert_holds("out/.hora", marks[i]);
    }
    assert_ok(hora_remove_tree(at("out/.hora")));
    assert_int_equal(mkfifo(at("out/.hora"), 0600), 0); /* must not block */
    assert_fails(replace("two"), HORA_EEXISTS, "thesis");
    assert_holds("out/thesis", "thesis");
}

static void comes_back(void **state) {
    (void)state;
    hora_outdir *o;
    make_out("one");
    assert_ok(open_out(&o, HORA_OUT_REPLACE, NULL, 0));
    assert_ok(hora_outdir_begin(o));
    assert_int_equal(entries("out"), 2); /* the mark, and what lies aside */
    assert_ok(hora_outdir_write(o, "file", "two", 3));
    assert_ok(hora_outdir_write(o, "more", "two", 3));
    hora_fail(HORA_EIO, "what went wrong");
    hora_outdir_close(o);
    assert_string_equal(hora_errmsg(), "what went wrong");
    assert_holds("out/file", "one");
    assert_holds("out/below/deep", "one");
    assert_int_equal(entries("out"), 3);
    assert_ok(replace("three")); /* and is ours as before */
}

/* A process that ends without a word, after each of the steps. */
static void ends_at(int step) {
    hora_outdir *o;
    const pid_t child = fork();
    if (child == 0) {
        hora_log_threshold(HORA_LOG_ERROR);
        if (open_out(&o, HORA_OUT_REPLACE, NULL, 0) || hora_outdir_begin(o))
            _exit(1);
        if (step > 0 && hora_outdir_write(o, "file", "two", 3))
            _exit(1);
        if (step > 1 && hora_outdir_claim(o, "unwritten/"))
            _exit(1);
        if (step > 2 && hora_mkdirs(at("out/unwritten.tmp")))
            _exit(1);
        if (step > 3 && hora_outdir_whole(o))
            _exit(1);
        _exit(0);
    }
    int how = -1;
    assert_true(child > 0 && waitpid(child, &how, 0) == child);
    assert_int_equal(how, 0);
}

static void no_words(void *user, int level, const char *text) {
    (void)user, (void)level, (void)text;
}

static void killed_replacements(void **state) {
    (void)state;
    hora_log_sink(no_words, NULL);
    for (int mode = HORA_OUT_REPLACE; mode <= HORA_OUT_ADD; mode++)
        for (int step = 0; step <= 4; step++) {
            hora_outdir *o;
            assert_ok(hora_remove_tree(at("out")));
            make_out("one");
            ends_at(step);
            /* who reads it is told, as long as something lies aside */
            const hora_status none = hora_fail(HORA_ENOTFOUND, "nothing is there");
            assert_fails(hora_outdir_missing(at("out"), none), HORA_ENOTFOUND,
                         step <= 3 ? "was stopped" : "nothing is there");
            assert_ok(open_out(&o, (hora_out_mode)mode, NULL, 0));
            assert_holds("out/file", step > 3 ? "two" : "one");
            assert_true(hora_path_exists(at("out/below/deep")) == (step <= 3));
            assert_ok(hora_outdir_begin(o));
            hora_outdir_close(o);
            assert_holds("out/file", step > 3 ? "two" : "one");
            assert_ok(replace("three"));
            assert_holds("out/file", "three");
        }
    hora_log_sink(NULL, NULL);
}

/* Killed while the first mark was being written: only its temporary is there. */
static void killed_in_the_first_write(void **state) {
    (void)state;
    assert_ok(hora_mkdirs(at("out")));
    put("out/.hora.hora-0123456789abcdef.tmp", "{\"ho");
    assert_ok(replace("one"));
    assert_int_equal(entries("out"), 2);
    /* such a name of anything else is a user's */
    put("out/thesis.hora-0123456789abcdef.tmp", "thesis");
    assert_fails(replace("two"), HORA_EEXISTS, "thesis");
}

static void one_at_a_time(void **state) {
    (void)state;
    hora_outdir *a, *b;
    char *pid = hora_format("process %ld", (long)getpid());
    assert_ok(open_out(&a, HORA_OUT_NEW, NULL, 0));
    assert_ok(open_out(&b, HORA_OUT_NEW, NULL, 0)); /* nothing is there to hold */
    assert_ok(hora_outdir_begin(a));
    assert_fails(hora_outdir_begin(b), HORA_EEXISTS, pid);
    hora_outdir_close(b);
    for (int mode = HORA_OUT_NEW; mode <= HORA_OUT_ADD; mode++)
        assert_fails(open_out(&b, (hora_out_mode)mode, NULL, 0), HORA_EEXISTS, pid);
    hora_outdir_close(a);
    assert_false(hora_path_exists(at("out"))); /* made for nothing, so gone again */
    assert_ok(open_out(&b, HORA_OUT_NEW, NULL, 0));
    hora_outdir_close(b);
    hora_free(pid);
}

/* Inputs are found by what they are, whatever they are called. */
static void inputs_are_safe(void **state) {
    (void)state;
    hora_outdir *o;
    make_out("one");
    assert_ok(hora_mkdirs(at("cache")));
    assert_ok(hora_mkdirs(at("around/model")));
    assert_int_equal(symlink("../out/below/deep", at("cache/model.safetensors")), 0);
    assert_int_equal(symlink("out", at("link")), 0);
    assert_int_equal(link(at("out/file"), at("hard")), 0);
    static const char *const same[] = {"out",   "out/",       "./out/../out",
                                       "link",  "link/below", "out/below/deep",
                                       "cache", "hard",       "cache/../out/file"};
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    for (size_t i = 0; i < HORA_COUNT(same); i++) {
        const hora_input in[] = {{"other", at("around")}, {"model", at(same[i])}};
        assert_fails(open_out(&o, HORA_OUT_REPLACE, in, 2), HORA_EEXISTS, "model");
    }
    /* a folder that all lies in */
    const hora_input above[] = {{"model", hora_test_tmp()}};
    assert_fails(open_out(&o, HORA_OUT_REPLACE, above, 1), HORA_EEXISTS, "lies in the model");
    /* adding replaces only what is ours */
    const hora_input ours[] = {{"data", at("link/file")}};
    assert_fails(open_out(&o, HORA_OUT_ADD, ours, 1), HORA_EEXISTS, "data");
    put("out/data.jsonl", "data");
    const hora_input beside[] = {{"data", at("out/data.jsonl")}, {"model", hora_test_tmp()}};
    assert_ok(open_out(&o, HORA_OUT_ADD, beside, 2));
    hora_outdir_close(o);
    assert_ok(hora_remove_tree(at("out/data.jsonl")));
    /* the working folder is an input of every command */
    static const char *const working[] = {"out", "out/below", "link"};
    for (size_t i = 0; i < HORA_COUNT(working); i++) {
        assert_int_equal(chdir(at(working[i])), 0);
        const hora_status s = open_out(&o, HORA_OUT_REPLACE, NULL, 0);
        assert_int_equal(chdir(here), 0);
        assert_fails(s, HORA_EEXISTS, "working folder");
    }
    assert_int_equal(chdir(hora_test_tmp()), 0);
    const hora_status s = replace("two"); /* which it may well lie in */
    assert_int_equal(chdir(here), 0);
    assert_ok(s);
}

static void links_stay_links(void **state) {
    (void)state;
    struct stat st;
    assert_ok(hora_mkdirs(at("target")));
    assert_int_equal(symlink("target", at("out")), 0);
    make_out("one");
    assert_ok(replace("two"));
    assert_true(!lstat(at("out"), &st) && S_ISLNK(st.st_mode));
    assert_holds("target/file", "two");
    assert_ok(hora_remove_tree(at("out")));
    assert_int_equal(symlink("nothing", at("out")), 0);
    hora_outdir *o;
    assert_fails(open_out(&o, HORA_OUT_NEW, NULL, 0), HORA_EEXISTS, "link to nothing");
}

/* Folders from before the mark. */
static void unmarked_folders(void **state) {
    (void)state;
    hora_outdir *o;
    assert_ok(hora_mkdirs(at("out/below")));
    put("out/file", "one");
    put("out/thesis", "thesis");
    put("out/below/deep", "one");
    put("out/below/thesis", "thesis");
    assert_fails(replace("two"), HORA_EEXISTS, "would remove");
    assert_non_null(strstr(hora_errmsg(), "file"));
    assert_non_null(strstr(hora_errmsg(), "thesis"));
    assert_ok(open_out(&o, HORA_OUT_ADD, NULL, 0));
    assert_false(hora_outdir_marked(o));
    assert_ok(hora_outdir_begin(o));
    assert_fails(hora_outdir_expect(o, "nothing fil"), HORA_EEXISTS, "file");
    assert_fails(hora_outdir_claim(o, "file"), HORA_EEXISTS, "file");
    assert_ok(hora_outdir_adopt(o, "file"));
    assert_ok(hora_outdir_adopt(o, "absent"));
    assert_ok(hora_outdir_expect(o, "nothing fil"));
    assert_ok(hora_outdir_claim(o, "file"));
    char *deep = "deep";
    assert_ok(hora_outdir_seal_only(at("out/below"), &deep, 1));
    assert_ok(hora_outdir_adopt(o, "below/"));
    assert_fails(hora_outdir_drop(o, "below/"), HORA_EEXISTS, "thesis");
    assert_holds("out/below/deep", "one"); /* nothing of it went */
    assert_ok(hora_remove_tree(at("out/below/thesis")));
    bool ours;
    assert_ok(hora_outdir_owns(o, "below/", &ours));
    assert_true(ours);
    assert_ok(hora_outdir_drop(o, "below/"));
    assert_false(hora_path_exists(at("out/below")));
    assert_ok(hora_outdir_owns(o, "thesis", &ours));
    assert_false(ours);
    hora_outdir_close(o);
    assert_fails(replace("two"), HORA_EEXISTS, "thesis");
}

static void single_files(void **state) {
    (void)state;
    assert_ok(hora_mkdirs(at("model")));
    put("model/weights", "w");
    const hora_outfile kind = {"note", hora_outfile_text_ours, NULL};
    hora_str text = {0};
    hora_str_puts(&text, "r\n");
    hora_outfile_seal_text(&text, kind.kind);
    put("result", text.s);
    assert_int_equal(symlink("model/weights", at("link")), 0);
    const hora_input in[] = {{"model", at("model")}, {"batch", at("result")}};
    assert_ok(hora_outfile_check(at("new"), false, &kind, in, 2));
    assert_fails(hora_outfile_check(at("result"), false, &kind, in, 1), HORA_EEXISTS,
                 "--overwrite");
    assert_ok(hora_outfile_check(at("result"), true, &kind, in, 1));
    assert_fails(hora_outfile_check(at("result"), true, &kind, in, 2), HORA_EEXISTS, "batch");
    assert_fails(hora_outfile_check(at("link"), true, &kind, in, 2), HORA_EEXISTS, "model");
    assert_fails(hora_outfile_check(at("model/weights"), true, &kind, in, 2), HORA_EEXISTS,
                 "model");
    assert_fails(hora_outfile_check(at("model"), true, &kind, in, 2), HORA_EEXISTS, "regular");
    for (size_t i = 0; i < text.n; i++) { /* cut or edited anywhere: not ours any more */
        char kept = text.s[i];
        text.s[i] = i % 2 ? 0 : (char)(kept ^ 1);
        put("edited", text.s);
        text.s[i] = kept;
        assert_fails(hora_outfile_check(at("edited"), true, &kind, in, 1), HORA_EEXISTS,
                     "remove it");
    }
    assert_fails(
        hora_outfile_check(at("result"), true, &(hora_outfile){"other", kind.ours, NULL}, in, 1),
        HORA_EEXISTS, "other");
    assert_fails(hora_outfile_check(at("result"), true, NULL, in, 1), HORA_EEXISTS, "remove it");
    hora_str_release(&text);
    assert_fails(hora_outfile_check("/dev/null", true, &kind, in, 2), HORA_EEXISTS, "regular");
}

/* What a killed run left of this very name goes; what a living process writes, what is an input, a
 * link, or has another name stays. */
static void leftovers(void **state) {
    (void)state;
    static const char *const stay[] = {
        "sweep.gguf.hora-000000000000000A.tmp", "sweep.gguf.hora-0000000000000001.tmp~",
        "other.gguf.hora-0000000000000001.tmp", "sweep.gguf.tmp",
        "sweep.gguf.hora-00000000000000ee.tmp", "sweep.gguf.hora-00000000000000ff.tmp"};
    char *input = hora_strdup(at(stay[4])), *name = hora_strdup(at("sweep.gguf"));
    const hora_input in[] = {{"model", input}};
    const hora_outfile kind = {"note", hora_outfile_text_ours, NULL};
    hora_str text = {0};
    hora_str_puts(&text, "whole\n");
    hora_outfile_seal_text(&text, kind.kind);
    for (size_t i = 0; i + 1 < HORA_COUNT(stay); i++)
        put(stay[i], "x");
    assert_int_equal(symlink(stay[2], at(stay[5])), 0);
    for (int round = 0; round < 2; round++) { /* it is not there; it is, and a link leads to it */
        hora_writer *w;
        put("sweep.gguf.hora-0123456789abcdef.tmp", "half");
        assert_ok(hora_writer_open(&w, name)); /* this process lives */
        if (round)
            assert_int_equal(symlink("sweep.gguf", at("way")), 0);
        assert_ok(hora_outfile_check(round ? at("way") : name, round, &kind, in, 1));
        assert_false(hora_path_exists(at("sweep.gguf.hora-0123456789abcdef.tmp")));
        for (size_t i = 0; i < HORA_COUNT(stay); i++)
            assert_true(hora_path_exists(at(stay[i])));
        hora_writer_put(w, text.s, text.n);
        assert_ok(hora_writer_commit(w));
        assert_holds("sweep.gguf", text.s);
    }
    /* a refusal removes nothing */
    put("sweep.gguf.hora-0123456789abcdef.tmp", "half");
    assert_fails(hora_outfile_check(name, false, &kind, in, 1), HORA_EEXISTS, "--overwrite");
    assert_true(hora_path_exists(at("sweep.gguf.hora-0123456789abcdef.tmp")));
    hora_str_release(&text);
    hora_free(input);
    hora_free(name);
}

/* A removal that ends half-way, as a kill would end it, leaves the mark: what is left is still
 * known as ours. */
static void mark_goes_last(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        char *sub = hora_format("going/d%d/e", i);
        assert_ok(hora_mkdirs(at(sub)));
        hora_free(sub);
        if (i == 3)
            put("going/.hora", "{}");
    }
    const int low = open("/dev/null", O_RDONLY);
    assert_true(low >= 0);
    struct rlimit was, few = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    few.rlim_cur = (rlim_t)low + 2; /* the folder and one below it; not a second level */
    few.rlim_max = was.rlim_max;
    close(low);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    const hora_status s = hora_remove_tree(at("going"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_not_equal(s, HORA_OK);
    assert_true(hora_path_exists(at("going/.hora")));
    assert_ok(hora_remove_tree(at("going")));
    assert_false(hora_path_exists(at("going")));
}

/* First in the list: they fork before threads are started. */
HORA_TESTS(unit_outdir, {"a replacement that is killed", killed_replacements, HORA_SHORT},
           {"made and replaced", made_and_replaced, HORA_SHORT},
           {"foreign entries of every type", foreign_entries, HORA_SHORT},
           {"other kinds under our names", other_kinds_under_our_names, HORA_SHORT},
           {"sockets", sockets_are_foreign, HORA_SHORT},
           {"marks that are none", forged_marks, HORA_SHORT},
           {"what fails puts back", comes_back, HORA_SHORT},
           {"killed in the very first write", killed_in_the_first_write, HORA_SHORT},
           {"one process at a time", one_at_a_time, HORA_SHORT},
           {"inputs are safe", inputs_are_safe, HORA_SHORT},
           {"links stay links", links_stay_links, HORA_SHORT},
           {"folders without a mark", unmarked_folders, HORA_SHORT},
           {"single files", single_files, HORA_SHORT},
           {"what killed runs left of single files", leftovers, HORA_SHORT},
           {"a mark goes last", mark_goes_last, HORA_SHORT});
