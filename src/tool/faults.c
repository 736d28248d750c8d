/*
 * What only the owner of a process may decide, so the library does not: a mapped file that became
 * shorter (SIGBUS) and a small allocation that was refused end the tool with a message and the exit
 * code of their status. Checkpoints are whole or absent at any moment, so nothing is lost by it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "tool/tool.h"

static void say(const char *text, size_t n) {
    while (n) {
        const ssize_t put = write(STDERR_FILENO, text, n);
        if (put <= 0)
            return;
        text += put;
        n -= (size_t)put;
    }
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Says the path of a line of /proc/self/maps, "from-to rw-p offset device inode  path", when the
 * address lies in it. Only what is safe in a signal handler. */
static bool say_path(char *line, size_t n, uintptr_t address) {
    uintptr_t bound[2] = {0, 0};
    size_t i = 0;
    for (int k = 0; k < 2; k++, i++)
        for (; i < n && hex(line[i]) >= 0; i++)
            bound[k] = bound[k] << 4 | (uintptr_t)hex(line[i]);
    if (address < bound[0] || address >= bound[1])
        return false;
    while (i < n && line[i] != '/')
        i++;
    for (size_t k = i; k < n; k++)
        if ((unsigned char)line[k] < 0x20 || line[k] == 0x7f)
            line[k] = '?';
    say(i < n ? line + i : "a mapped file", i < n ? n - i : sizeof "a mapped file" - 1);
    return true;
}

static void on_bus(int signum, siginfo_t *info, void *context) {
    static const char head
        [] = "hora: ",
    tail[] =
        " became shorter while it was read; put the whole file back and run this again (a training "
        "goes on with --resume)\n";
    static atomic_flag taken = ATOMIC_FLAG_INIT;
    char line[8192];
    size_t n = 0;
    char c;
    bool said = false;
    (void)signum, (void)context;
    while (atomic_flag_test_and_set(&taken)) /* another thread is saying it, and ends them all */
        pause();
    say(head, sizeof head - 1);
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && !said && read(fd, &c, 1) == 1) {
        if (c != '\n' && n < sizeof line) {
            line[n++] = c;
            continue;
        }
        said = c == '\n' && say_path(line, n, (uintptr_t)info->si_addr);
        n = c == '\n' ? 0 : n;
    }
    if (!said)
        say("a mapped file", sizeof "a mapped file" - 1);
    say(tail, sizeof tail - 1);
    _exit(hora_status_exit(HORA_EIO));
}

static void exhausted(void) {
    _exit(hora_status_exit(HORA_ENOMEM));
}

/* Who starts the tool with a closed stdout must not find its results in the first file opened.
 * Writing to such a stdout fails as it should; such a stderr says nothing. */
static void keep_standard(void) {
    static const int how[] = {O_RDONLY, O_RDONLY, O_RDWR};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", how[fd]) != fd)
            _exit(hora_status_exit(HORA_EIO));
}

void hora_cli_faults(void) {
    keep_standard();
    struct sigaction bus = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    sigemptyset(&bus.sa_mask);
    sigaction(SIGBUS, &bus, NULL);
    hora_out_of_memory_hook(exhausted);
}
