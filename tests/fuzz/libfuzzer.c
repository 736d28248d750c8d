/*
 * hora-fuzz, libFuzzer's program: HORA_FUZZ_TARGET names the target; without it the targets are
 * listed. Everything else is libFuzzer's (https://llvm.org/docs/LibFuzzer.html): folders of inputs
 * to begin with, -max_total_time=SECONDS, or single files to run again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "fuzz.h"

static const hora_fuzz *target;
static char folder[64];

void hora_fuzz_broken(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: %s does not hold: \"%s\" was the last refusal\n", file, line, what,
            hora_errmsg());
    abort();
}

const char *hora_fuzz_dir(void) {
    return folder;
}

static void tidy(void) {
    hora_remove_tree(folder);
}

static void quiet(void *user, int level, const char *text) {
    (void)user, (void)level, (void)text;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *name = getenv("HORA_FUZZ_TARGET");
    (void)argc, (void)argv;
    for (target = hora_fuzz_targets; target->name && !hora_eq(target->name, name);)
        target++;
    if (!target->name) {
        for (target = hora_fuzz_targets; target->name; target++)
            puts(target->name);
        exit(name != NULL);
    }
    snprintf(folder, sizeof folder, "%s/hora-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(folder))
        exit(1);
    atexit(tidy);
    hora_log_sink(quiet, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    target->fn((const char *)data, n);
    return 0;
}
