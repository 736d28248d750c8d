/*
 * Opening the ranks that a launcher started: which kind they are, and the cores of each. Stands in
 * the tool, not in libhora, which ends no process, sets no environment and links no MPI.
 */
#include <sched.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/text.h"
#include "comm/comm_impl.h"

/* What launchers tell those whom they start. */
static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                    "SLURM_STEP_NUM_TASKS"};

/* How many ranks the launcher says that it started; 1: none did. Asks the environment alone. */
static int ranks_launched(void) {
    for (size_t i = 0; i < HORA_COUNT(sizes); i++) {
        int64_t n;
        const char *text = getenv(sizes[i]);
        if (text && hora_parse_int(text, &n) && n > 1 && n < INT32_MAX)
            return (int)n;
    }
    return 1;
}

/* Whether srun started this process by itself, and with which --mpi. Where mpirun runs inside of an
 * allocation its own variable is there too; Open MPI sets that one later under srun, so this is
 * asked before MPI starts. */
static void find_srun(hora_comm *c, int launched) {
    const char *const tasks = getenv("SLURM_STEP_NUM_TASKS"), *const kind =
                                                                  getenv("SLURM_MPI_TYPE");
    int64_t n;
    if (tasks && hora_parse_int(tasks, &n) && n == launched && !getenv("OMPI_COMM_WORLD_SIZE") &&
        kind && strlen(kind) < sizeof c->srun)
        hora_snprintf(c->srun, sizeof c->srun, "%s", kind);
}

/* The first question for the processor in this process, so that the answer holds from now on. */
static int share_cores(int ranks) {
    int cores;
#ifdef __linux__
    cpu_set_t bound, all;
    const bool known = !sched_getaffinity(0, sizeof bound, &bound);
    for (int i = 0; i < CPU_SETSIZE; i++)
        CPU_SET(i, &all);
    if (known)
        sched_setaffinity(0, sizeof all, &all); /* all that the system lets us have */
    cores = (int)hora_max(1, hora_cpu_count() / ranks);
    if (known && CPU_COUNT(&bound) >= cores)
        sched_setaffinity(0, sizeof bound, &bound);
#else
    cores = (int)hora_max(1, hora_cpu_count() / ranks);
#endif
    return cores;
}

hora_status hora_comm_open(hora_comm **out) {
    const int launched = ranks_launched();
    hora_comm *c = hora_calloc(1, sizeof *c);
    *out = NULL;
    c->kind = &hora_comm_self;
    find_srun(c, launched);
#if HORA_HAVE_MPI
    if (launched > 1)
        c->kind = &hora_comm_mpi;
    static const char advice[] =
        "MPI sees one of them: start them with the mpirun of the MPI that hora was built with, or "
        "with srun --mpi=pmix";
#else
    static const char advice[] =
        "this build knows no MPI: install libopenmpi-dev (or libmpich-dev) and build with "
        "cmake -DHORA_MPI=on";
#endif
    hora_status s = c->kind->open(c);
    if (!s && launched > 1 && c->size == 1)
        s = hora_fail(HORA_EUNSUPPORTED, "%d ranks were started, but %s", launched, advice);
    if (s) { /* nobody can be told */
        c->kind->finish(c);
        hora_free(c);
        return s;
    }
    c->lowest = c->size;
    if (c->size > 1)
        c->cores = share_cores(c->node_size);
    *out = c;
    return HORA_OK;
}

const char *hora_comm_built(void) {
#if HORA_HAVE_MPI
    return hora_comm_mpi.name;
#else
    return "none";
#endif
}
