/*
 * The library as a guest in somebody's program: it changes nothing of the process, lives on in the
 * child of a fork, and leaves no thread behind when it is unloaded. The shared library is the one
 * that users get; the other tests call the same code.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "hora/hora.h"
#include "hora_test.h"
#include "tiny_model.h"

static const char *text_file(void) {
    hora_str text = {0};
    for (int i = 0; i < 40; i++)
        hora_str_puts(&text, "a rolling stone gathers no moss\n");
    const char *path = tiny_file("moss.txt", text.s);
    hora_str_release(&text);
    return path;
}

/* --- the process stays as it was -------------------------------------------------------------- */
enum { SIGNALS = 64, WORDS = 4096 };
typedef struct surroundings {
    void (*handler[SIGNALS + 1])(int);
    sigset_t mask;
    char locale[256], folder[WORDS];
    mode_t umask;
    int rounding, traps, files;
    char **environment;
} surroundings;

static int count_entries(const char *dir) {
    DIR *d = opendir(dir);
    int n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void look(surroundings *s) {
    memset(s, 0, sizeof *s);
    for (int i = 1; i <= SIGNALS; i++) {
        struct sigaction a;
        if (!sigaction(i, NULL, &a))
            s->handler[i] = a.sa_handler;
    }
    pthread_sigmask(SIG_BLOCK, NULL, &s->mask);
    hora_snprintf(s->locale, sizeof s->locale, "%s", setlocale(LC_ALL, NULL));
    assert_non_null(getcwd(s->folder, sizeof s->folder));
    s->umask = umask(0);
    umask(s->umask);
    s->rounding = fegetround();
#ifdef __x86_64__
    s->traps = (int)(__builtin_ia32_stmxcsr() & ~0x3fu); /* what was rounded is no setting */
#endif
    s->files = count_entries("/proc/self/fd");
    s->environment = environ;
}

/* All that a program does with the library, to its end; the values of the last step. */
static void work(const char *out, double *loss) {
    hora_model *m;
    hora_adapter *a;
    hora_data *d;
    hora_trainer *t;
    hora_predictor *p;
    hora_str text = {0};
    hora_status s;
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    assert_ok(hora_adapter_attach(&a, m, "hora", "rank=2"));
    assert_ok(hora_data_open(&d, m, text_file(), "seq_len=32"));
    assert_ok(hora_trainer_new(&t, m, d, "steps=4,batch_size=4,lr=1.5e-2"));
    while ((s = hora_trainer_step(t)) == HORA_OK)
        ;
    assert_int_equal(s, HORA_DONE);
    assert_ok(hora_trainer_get(t, "loss", loss));
    hora_trainer_free(t);
    assert_ok(hora_adapter_save(a, out));
    assert_ok(hora_predictor_new(&p, m, NULL));
    assert_ok(hora_predictor_generate(p, (const int32_t[]){0, 17, 40}, 3, "max_new_tokens=4", NULL,
                                      &text, NULL, NULL));
    hora_predictor_free(p);
    hora_str_release(&text);
    hora_data_close(d);
    hora_adapter_detach(a);
    hora_model_close(m);
}

static void surroundings_stay(void **state) {
    (void)state;
    surroundings before, after;
    double loss, again;
    sigset_t some;
    hora_threads_set(3);
    const char *first = hora_test_path(hora_test_tmp(), "first");
    const char *second = hora_test_path(hora_test_tmp(), "second");
    work(first, &loss); /* what is made once is made: caches, threads */
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &some, NULL);
    const mode_t mask = umask(027);
    look(&before);
    work(second, &again);
    look(&after);
    umask(mask);
    pthread_sigmask(SIG_UNBLOCK, &some, NULL);
    hora_threads_set(0);
    assert_true(loss == again);
    assert_memory_equal(before.handler, after.handler, sizeof before.handler);
    for (int i = 1; i <= SIGNALS; i++)
        assert_int_equal(sigismember(&before.mask, i), sigismember(&after.mask, i));
    assert_string_equal(before.locale, after.locale);
    assert_string_equal(before.folder, after.folder);
    assert_int_equal(before.umask, after.umask);
    assert_int_equal(before.rounding, after.rounding);
    assert_int_equal(before.traps, after.traps);
    assert_int_equal(before.files, after.files);
    assert_ptr_equal(before.environment, after.environment);
}

/* A host that rounds upwards finds its rounding again, in its own thread. */
static void rounding_is_the_hosts(void **state) {
    (void)state;
    double loss;
    assert_int_equal(fesetround(FE_UPWARD), 0);
    work(hora_test_path(hora_test_tmp(), "upward"), &loss);
    const int after = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(after, FE_UPWARD);
    assert_true(loss > 0);
}

/* Numbers of files and options are written with a point, whatever the host's locale has. */
static void commas_do_not_matter(void **state) {
    (void)state;
    double loss, again;
    const char *dir = hora_test_tmp();
    char *make = hora_format("localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8'", dir);
    const int code = hora_test_run(make, NULL, NULL);
    hora_free(make);
    if (code)
        hora_test_skip("no locale with a decimal comma can be made here (package locales)");
    work(hora_test_path(dir, "point"), &loss);
    setenv("LOCPATH", dir, 1);
    const char *set = setlocale(LC_ALL, "de_DE.UTF-8");
    unsetenv("LOCPATH");
    assert_non_null(set);
    assert_string_equal(localeconv()->decimal_point, ",");
    work(hora_test_path(dir, "comma"), &again);
    setlocale(LC_ALL, "C");
    assert_true(loss == again);
    char *diff = hora_format("diff -r '%s/point' '%s/comma' -x .hora", dir, dir);
    assert_int_equal(hora_test_run(diff, NULL, NULL), 0);
    hora_free(diff);
}

/* --- forks ------------------------------------------------------------------------------------ */
/* The child of a program that trains goes on where its parent stood, and so does the parent. */
static void child_goes_on(void **state) {
    (void)state;
    hora_model *m;
    hora_adapter *a;
    hora_data *d;
    hora_trainer *t;
    double loss = 0, childs = -1;
    int pipes[2], how = -1;
    hora_threads_set(3);
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    assert_ok(hora_adapter_attach(&a, m, "lora", "rank=2"));
    assert_ok(hora_data_open(&d, m, text_file(), "seq_len=32"));
    assert_ok(hora_trainer_new(&t, m, d, "steps=12,batch_size=2,lr=1e-2"));
    for (int i = 0; i < 3; i++)
        assert_ok(hora_trainer_step(t));
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0)
        alarm(60); /* a thread that is not here is not waited for */
    hora_status s;
    while ((s = hora_trainer_step(t)) == HORA_OK)
        ;
    s = s == HORA_DONE ? hora_trainer_get(t, "loss", &loss) : s;
    hora_trainer_free(t);
    hora_data_close(d);
    hora_adapter_detach(a);
    hora_model_close(m);
    if (child == 0)
        _exit(s != HORA_OK || write(pipes[1], &loss, sizeof loss) != sizeof loss);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    assert_ok(s);
    assert_int_equal(read(pipes[0], &childs, sizeof childs), sizeof childs);
    assert_true(loss == childs);
    close(pipes[0]);
    close(pipes[1]);
    hora_threads_set(0);
}

/* --- loaded and unloaded ---------------------------------------------------------------------- */
#define SHARED HORA_BINARY_DIR "/libhora.so"

static bool mapped(const char *name) {
    hora_str maps = {0};
    FILE *f = fopen("/proc/self/maps", "r");
    for (int c; f && (c = getc(f)) != EOF;)
        hora_str_putc(&maps, (char)c);
    if (f)
        fclose(f);
    const bool there = maps.s && strstr(maps.s, name);
    hora_str_release(&maps);
    return there;
}

/* Opens the library, trains with it on several threads, closes it. What went wrong, or NULL. */
static const char *load_and_unload(const char *model, const char *data) {
    static const char why_not[] = "a function is missing";
    void *lib = dlopen(SHARED, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return dlerror();
#define FUNCTION(name) __typeof__(&name) f_##name = (__typeof__(&name))(uintptr_t)dlsym(lib, #name)
    FUNCTION(hora_threads_set);
    FUNCTION(hora_model_open);
    FUNCTION(hora_model_close);
    FUNCTION(hora_adapter_attach);
    FUNCTION(hora_adapter_detach);
    FUNCTION(hora_data_open);
    FUNCTION(hora_data_close);
    FUNCTION(hora_trainer_new);
    FUNCTION(hora_trainer_step);
    FUNCTION(hora_trainer_free);
#undef FUNCTION
    hora_model *m;
    hora_adapter *a;
    hora_data *d;
    hora_trainer *t;
    if (!f_hora_threads_set || !f_hora_model_open || !f_hora_model_close ||
        !f_hora_adapter_attach || !f_hora_adapter_detach || !f_hora_data_open ||
        !f_hora_data_close || !f_hora_trainer_new || !f_hora_trainer_step || !f_hora_trainer_free)
        return why_not;
    f_hora_threads_set(4);
    if (f_hora_model_open(&m, model, NULL) || f_hora_adapter_attach(&a, m, "hora", "rank=2") ||
        f_hora_data_open(&d, m, data, "seq_len=32") ||
        f_hora_trainer_new(&t, m, d, "steps=3,batch_size=4"))
        return "no training";
    for (int i = 0; i < 3; i++)
        if (f_hora_trainer_step(t))
            return "no step";
    f_hora_trainer_free(t);
    f_hora_data_close(d);
    f_hora_adapter_detach(a);
    f_hora_model_close(m);
    if (count_entries("/proc/self/task") < 3 + 2)
        return "no threads were used, so that nothing is shown";
    return dlclose(lib) ? dlerror() : NULL;
}

static void unloaded_without_a_trace(void **state) {
    (void)state;
    const char *model = tiny_model(), *data = text_file();
    int how = -1;
    if (!hora_path_exists(SHARED))
        hora_test_skip("there is no shared library here");
#ifdef HORA_SANITIZE
    hora_test_skip("the leak checker takes what threads of the parent had for lost in its child");
#endif
    const pid_t child = fork(); /* which has one thread, as a host that begins */
    if (child == 0) {
        alarm(120);
        for (int i = 0; i < 3; i++) {
            const char *why = load_and_unload(model, data);
            if (!why && count_entries("/proc/self/task") != 1 + 2) /* . and .. */
                why = "threads are left";
            if (!why && mapped("libhora"))
                why = "the library is still there";
            if (why) {
                fprintf(stderr, "round %d: %s\n", i, why);
                _exit(1);
            }
        }
        exit(0); /* with everything that was registered for the end */
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
}

HORA_TESTS(law_guest, {"surroundings stay", surroundings_stay, HORA_SHORT},
           {"rounding is the host's", rounding_is_the_hosts, HORA_SHORT},
           {"commas do not matter", commas_do_not_matter, HORA_MEDIUM},
           {"the child of a fork goes on", child_goes_on, HORA_SHORT},
           {"unloaded without a trace", unloaded_without_a_trace, HORA_SHORT});
