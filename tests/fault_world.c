#include "fault_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/text.h"
#include "hora_test.h"

#define SHOWN        12 /* failures printed */
#define ARGS_MOST    64
#define JOBS_MOST    16
#define SERVERS_MOST 8
#define REQUESTS     198 /* as in shim_fault.c */
#define REPLIES      199
#define IN_MEMORY    "/dev/shm"

static bool in_worker; /* where the frames of cmocka must not be jumped to */

void world_fail(const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!in_worker)
        fail_msg("%s", text);
    fprintf(stderr, "%s\n", text);
    _exit(97);
}

static void need(hora_status s) {
    if (s)
        world_fail("%s", hora_errmsg());
}

bool world_exhaustive(void) {
    return hora_eq(getenv("HORA_FAULTS"), "all");
}

const char *world_shim(const char *name) {
#ifdef __SANITIZE_ADDRESS__
    hora_test_skip("the sanitizer must be loaded first, so nothing can be preloaded");
#endif
    static char path[4096];
    hora_snprintf(path, sizeof path, HORA_BINARY_DIR "/tests/%s.so", name);
    if (!hora_path_exists(path))
        hora_test_skip("%s was not built here", path);
    return path;
}

/* A tool that waits before main (tests/fault/shim_fault.c) for one command line. */
typedef struct server {
    char *command;
    pid_t pid;
    int requests, replies;
} server;
static server servers[SERVERS_MOST];
static int nservers;

/* ours: they were started by this process. */
static void forget_servers(bool ours) {
    for (int i = 0; i < nservers; i++) {
        close(servers[i].requests);
        close(servers[i].replies);
        if (ours)
            waitpid(servers[i].pid, NULL, 0);
        hora_free(servers[i].command);
    }
    nservers = 0;
}

char *world_new(void) {
    char name[] = IN_MEMORY "/hora-fault-XXXXXX";
    if (!access(IN_MEMORY, W_OK) && mkdtemp(name))
        return hora_strdup(name);
    char *dir = hora_path_join(hora_test_tmp(), "fault-XXXXXX");
    if (!mkdtemp(dir))
        world_fail("cannot make a temporary folder");
    return dir;
}

void world_remove(const char *dir) {
    need(hora_remove_tree(dir));
}

void world_free(char *own_dir) {
    forget_servers(true);
    if (!getenv("HORA_FAULTS_KEEP")) /* for looking at what failed */
        world_remove(own_dir);
    hora_free(own_dir);
}

void world_copy(const char *from, const char *to) {
    char **names;
    int n;
    struct stat st;
    need(hora_mkdirs(to));
    need(hora_list_dir(from, &names, &n));
    for (int i = 0; i < n; i++) {
        char *a = hora_path_join(from, names[i]), *b = hora_path_join(to, names[i]);
        if (lstat(a, &st))
            world_fail("%s: %s", a, strerror(errno));
        if (S_ISDIR(st.st_mode)) {
            world_copy(a, b);
        } else {
            hora_str s = {0};
            need(hora_file_read(&s, a));
            const int fd = open(b, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
            if (fd < 0 || write(fd, s.s, s.n) != (ssize_t)s.n || close(fd))
                world_fail("%s: %s", b, strerror(errno));
            hora_str_release(&s);
        }
        hora_free(a);
        hora_free(b);
    }
    hora_list_free(names, n);
}

/* --- running ---------------------------------------------------------------------------------- */
static void run_tool(const char *command, const char *dir, const char *out, const char *err) {
    char *args[ARGS_MOST] = {HORA_BINARY_DIR "/hora"};
    int n = 1;
    char *words = hora_strdup(command);
    for (char *w = strtok(words, " "); w && n < ARGS_MOST - 1; w = strtok(NULL, " "))
        args[n++] = w;
    const int null = open("/dev/null", O_RDONLY);
    const int o = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int e = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (null < 0 || o < 0 || e < 0 || dup2(null, 0) < 0 || dup2(o, 1) < 0 || dup2(e, 2) < 0 ||
        close(null) || close(o) || close(e) || (dir && chdir(dir)))
        _exit(99);
    execv(args[0], args);
    _exit(98);
}

static const server *server_of(const char *command) {
    int to[2], from[2];
    for (int i = 0; i < nservers; i++)
        if (hora_eq(servers[i].command, command))
            return &servers[i];
    if (nservers == SERVERS_MOST || pipe(to) || pipe(from))
        world_fail("no more tools can be started");
    const pid_t pid = fork();
    if (!pid) {
        if (dup2(to[0], REQUESTS) < 0 || dup2(from[1], REPLIES) < 0)
            _exit(99);
        for (int i = 3; i < REQUESTS; i++)
            close(i);
        setenv("LD_PRELOAD", HORA_BINARY_DIR "/tests/hora-fault.so", 1);
        setenv("HORA_FAULT_SERVER", "1", 1);
        run_tool(command, NULL, "/dev/null", "/dev/null");
    }
    close(to[0]);
    close(from[1]);
    servers[nservers] = (server){hora_strdup(command), pid, to[1], from[0]};
    return &servers[nservers++];
}

static void take(const char *path, hora_str *out) {
    if (out)
        need(hora_file_read(out, path));
    unlink(path);
}

/* The status of wait. */
static int served(const world_run *r, const char *out, const char *err) {
    int rc;
    hora_str text = {0};
    const server *s = server_of(r->command);
    const char *const parts[] = {r->dir, out, err, r->fault ? r->fault : ""};
    for (size_t i = 0; i < HORA_COUNT(parts); i++)
        hora_str_add(&text, parts[i], strlen(parts[i]) + 1);
    if (write(s->requests, text.s, text.n) != (ssize_t)text.n ||
        read(s->replies, &rc, sizeof rc) != (ssize_t)sizeof rc)
        world_fail("the tool that waits for `%s` went away", r->command);
    hora_str_release(&text);
    return rc;
}

static int started(const world_run *r, const char *out, const char *err) {
    int rc;
    const pid_t pid = fork();
    if (!pid) {
        for (int i = 0; r->env[i]; i++)
            putenv((char *)r->env[i]);
        setenv("LD_PRELOAD", r->preload, 1);
        run_tool(r->command, r->dir, out, err);
    }
    while (waitpid(pid, &rc, 0) < 0)
        if (errno != EINTR)
            world_fail("waitpid: %s", strerror(errno));
    return rc;
}

int world_tool(const world_run *r, hora_str *out, hora_str *err) {
    char *o = hora_format("%s.stdout", r->dir), *e = hora_format("%s.stderr", r->dir);
    const int rc = r->preload ? started(r, o, e) : served(r, o, e);
    take(o, out);
    take(e, err);
    hora_free(o);
    hora_free(e);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128 + WTERMSIG(rc);
}

/* --- what is there ---------------------------------------------------------------------------- */
static bool left_out(const char *name) {
    return hora_eq(name, ".hora") || hora_starts(name, "log.") || hora_starts(name, "events.out.");
}

static void list_into(const char *dir, const char *above, hora_str *out) {
    char **names;
    int n;
    struct stat st;
    need(hora_list_dir(dir, &names, &n));
    for (int i = 0; i < n; i++) {
        char *path = hora_path_join(dir, names[i]);
        char *rel = hora_format("%s%s", above, names[i]);
        if (!lstat(path, &st) && S_ISDIR(st.st_mode)) {
            char *below = hora_format("%s/", rel);
            hora_str_printf(out, "%s\n", below);
            list_into(path, below, out);
            hora_free(below);
        } else if (!left_out(names[i])) {
            hora_str s = {0};
            need(hora_file_read(&s, path));
            hora_str_printf(out, "%s %016llx\n", rel, (unsigned long long)hora_hash64(s.s, s.n, 0));
            hora_str_release(&s);
        }
        hora_free(rel);
        hora_free(path);
    }
    hora_list_free(names, n);
}

void world_list(const char *dir, hora_str *out) {
    hora_str_puts(out, "");
    if (hora_path_is_dir(dir))
        list_into(dir, "", out);
    else if (hora_path_exists(dir)) {
        hora_str s = {0};
        need(hora_file_read(&s, dir));
        hora_str_printf(out, "(file) %016llx\n", (unsigned long long)hora_hash64(s.s, s.n, 0));
        hora_str_release(&s);
    }
}

bool world_has_line(const char *list, const char *line, size_t n) {
    for (const char *at = list; *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (strcspn(at, "\n") == n && !strncmp(at, line, n))
            return true;
    return false;
}

/* --- many ------------------------------------------------------------------------------------- */
int world_all(const char *dir, int n, char *(*fn)(void *arg, int i, const char *own_dir), void *arg,
              hora_str *out) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int jobs = (int)hora_max(1, hora_min(cores, hora_min(JOBS_MOST, n)));
    pid_t pid[JOBS_MOST];
    int bad = 0;
    fflush(NULL);
    for (int j = 0; j < jobs; j++) {
        pid[j] = fork();
        if (pid[j])
            continue;
        in_worker = true;
        forget_servers(false);
        char *own = hora_format("%s/job%d", dir, j), *log = hora_format("%s/said%d", dir, j);
        need(hora_mkdirs(own));
        for (int i = j; i < n; i += jobs) {
            char *said = fn(arg, i, own);
            if (said)
                need(hora_append_line(log, said, strlen(said)));
            hora_free(said);
        }
        forget_servers(true);
        _exit(0);
    }
    for (int j = 0; j < jobs; j++) {
        int rc = 0;
        char *log = hora_format("%s/said%d", dir, j);
        hora_str said = {0};
        waitpid(pid[j], &rc, 0);
        if (hora_path_exists(log))
            need(hora_file_read(&said, log));
        if (rc) {
            hora_str_printf(out, "a worker of the test ended with %d\n", rc);
            bad++;
        }
        for (const char *at = said.n ? said.s : ""; *at; at += strcspn(at, "\n"), at += *at == '\n')
            if (bad++ < SHOWN || world_exhaustive())
                hora_str_printf(out, "%.*s\n", (int)strcspn(at, "\n"), at);
        unlink(log);
        hora_str_release(&said);
        hora_free(log);
    }
    return bad;
}
