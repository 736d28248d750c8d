/*
 * Stands in front of MPI's message functions (LD_PRELOAD), for tests and for docs/scaling.md:
 *   HORA_NET="50e-6:125e6"     a message leaves when those before it of this rank have passed a line
 *                              of so many bytes per second, and arrives so many seconds later
 *   HORA_FAULT="2:13:1:kill"   rank 2 when it enters phase 13 (a level of MPI_Pcontrol; comm.h: 10
 *                              is opening, 11 reading, 12 a step, 13 evaluation, 14 checkpoint, 15
 *                              the end) for the 1st time: kill (SIGKILL), hang (for ever), term
 *                              (SIGTERM to itself, as a scheduler does), error (MPI fails in the
 *                              next message)
 * Delayed messages are sent when MPI_Test finds that their time has come, as hora always does while
 * it waits.
 */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct late { /* a message on its way */
    int used, sent;
    double due;
    const void *data;
    int n, to, tag;
    MPI_Datatype type;
    MPI_Comm comm;
    MPI_Request real;
} late;
enum { MOST = 1 << 14 };
static late messages[MOST];
static double latency, bandwidth, line_free;
static int asked, count, failing;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int MPI_Pcontrol(const int level, ...) {
    int rank = -1, phase = 0, at = 0;
    char what[16] = "";
    const char *text = getenv("HORA_FAULT"), *me = getenv("OMPI_COMM_WORLD_RANK");
    if (!text || !me || sscanf(text, "%d:%d:%d:%15s", &rank, &phase, &at, what) != 4 ||
        rank != atoi(me) || phase != level || ++count != at)
        return MPI_SUCCESS;
    if (!strcmp(what, "kill"))
        kill(getpid(), SIGKILL);
    if (!strcmp(what, "term"))
        kill(getpid(), SIGTERM);
    while (!strcmp(what, "hang"))
        pause();
    failing = !strcmp(what, "error");
    return MPI_SUCCESS;
}

static void ask(void) {
    const char *text = getenv("HORA_NET");
    asked = 1;
    if (!text || sscanf(text, "%lf:%lf", &latency, &bandwidth) != 2)
        latency = bandwidth = 0;
}

static late *find(const MPI_Request *r) {
    const late *m;
    memcpy(&m, r, sizeof m);
    return m >= messages && m < messages + MOST ? &messages[m - messages] : NULL;
}

int MPI_Isend(const void *data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *r) {
    if (!asked)
        ask();
    if (failing)
        return MPI_ERR_OTHER;
    int i = 0;
    while (bandwidth > 0 && i < MOST && messages[i].used)
        i++;
    if (bandwidth <= 0 || i == MOST)
        return PMPI_Isend(data, n, type, to, tag, comm, r);
    const double t = now();
    line_free = (line_free > t ? line_free : t) + n / bandwidth;
    messages[i] = (late){1, 0, line_free + latency, data, n, to, tag, type, comm, MPI_REQUEST_NULL};
    const late *handle = &messages[i];
    memcpy(r, &handle, sizeof handle);
    return MPI_SUCCESS;
}

int MPI_Test(MPI_Request *r, int *done, MPI_Status *status) {
    late *m = find(r);
    *done = 0;
    if (!m)
        return PMPI_Test(r, done, status);
    if (!m->sent && now() < m->due)
        return MPI_SUCCESS;
    if (!m->sent) {
        const int code = PMPI_Isend(m->data, m->n, m->type, m->to, m->tag, m->comm, &m->real);
        if (code != MPI_SUCCESS)
            return code;
        m->sent = 1;
    }
    const int code = PMPI_Test(&m->real, done, status);
    if (*done) {
        m->used = 0;
        *r = MPI_REQUEST_NULL;
    }
    return code;
}

int MPI_Request_free(MPI_Request *r) {
    late *m = find(r);
    if (!m)
        return PMPI_Request_free(r);
    if (!m->sent)
        PMPI_Isend(m->data, m->n, m->type, m->to, m->tag, m->comm, &m->real);
    m->used = 0;
    return PMPI_Request_free(&m->real);
}
