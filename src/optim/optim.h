#ifndef HORA_OPTIM_OPTIM_H
#define HORA_OPTIM_OPTIM_H
/*
 * What changes the parameters: schedules of the learning rate, optimizers, and the spans of
 * gradients and moments that an update walks over. One file and one row each: sched_x.c in
 * schedules.def, opt_x.c in optimizers.def.
 */
#include "graph/graph.h"
#include "nn/adapter.h"

/* --- schedules -------------------------------------------------------------------------------- */
typedef struct hora_schedule_shape {
    int64_t steps, warmup, decay; /* whole run; of them warming up; of them decaying (wsd) */
    double floor;                 /* min_lr / lr */
} hora_schedule_shape;
typedef struct hora_schedule {
    const char *name, *summary;
    double (*factor)(const hora_schedule_shape *, int64_t step); /* for step >= warmup */
} hora_schedule;
int hora_schedule_count(void);
const hora_schedule *hora_schedule_at(int i);
extern const char hora_schedule_list[];
#define HORA_SCHEDULE_NAMES (hora_schedule_list + 1) /* for a CHOICE option, in the same order */
/* Warm-up steps that `warmup` (steps, or a share below 1) means in a run of `steps`. */
int64_t hora_schedule_warmup(double warmup, int64_t steps);
/* Factor of the learning rate in step `step`, counted from 0: step / warmup while warming up, then
 * the schedule's own. Equal to transformers' get_*_schedule_with_warmup. */
double hora_schedule_factor(const hora_schedule *s, const hora_schedule_shape *shape, int64_t step);

/* --- optimizers ------------------------------------------------------------------------------- */
typedef struct hora_optimizer {
    const char *name, *summary, *paper;
    int moments; /* arrays of state per parameter: 0 to 2 */
    const char *moment_name[2];
    void (*update)(const hora_update *, float *p, const float *g, float *m0, float *m1, int64_t n);
} hora_optimizer;
int hora_optimizer_count(void);
const hora_optimizer *hora_optimizer_at(int i);
extern const char hora_optimizer_list[];
#define HORA_OPTIMIZER_NAMES (hora_optimizer_list + 1) /* for a CHOICE option, in the same order */

/* --- parameters, gradients, moments ----------------------------------------------------------- */
typedef struct hora_state_slot { /* one parameter */
    hora_param *p;
    int64_t offset;   /* in gradients and moments */
    double lr_factor; /* LoRA+ included */
    double decay;     /* weight decay; 0 of what none is meant for */
    bool active;      /* the gradient reaches it */
} hora_state_slot;
typedef struct hora_state {
    const hora_optimizer *optimizer;
    hora_state_slot *slots;
    int nslots;
    int64_t elems; /* of one span, padding included */
    float *grad, *moment[2];
    hora_device *device; /* borrowed */
    hora_param_spans spans;
} hora_state;
/* optimizer: a row; lr: the run's, of which an adapter's own is a multiple; loraplus: factor of the
 * rate of B matrices, 1 is off; decay: the run's, for adapters without their own; decay_all: biases
 * and norms too. HORA_EUSAGE when loraplus finds no B matrix. */
hora_status hora_state_layout(hora_state *s, hora_adapter *const *adapters, int n,
                              const hora_optimizer *optimizer, double lr, double loraplus,
                              double decay, bool decay_all);
/* After hora_state_activate, and when the adapters have their values. */
hora_status hora_state_allocate(hora_state *s, hora_device *device);
void hora_state_release(hora_state *s);
/* Marks the parameters that the graph's backward reaches; the others are never updated. */
void hora_state_activate(hora_state *s, const hora_graph *g);
/* The update of the coming step leaves out parameters of the blocks that are not chosen; they have
 * sat out `skipped` updates (one entry per block, both), which their bias corrections leave out
 * too. NULL: all train. On the host. */
void hora_state_choose(hora_state *s, const bool *layer, const int64_t *skipped);
uint64_t hora_state_bytes(const hora_state *s); /* of one span */
double hora_state_norm(hora_state *s);          /* of all gradients, in fixed order */
/* u->lr is the run's; factors and decay of the parameters are applied here. */
void hora_state_update(hora_state *s, const hora_update *u);
/* The device's values and moments from the host's, as after reading a file. */
void hora_state_push(hora_state *s);
/* The host's values from the device's, or values and moments: before anything on the host reads
 * them. */
void hora_state_pull_values(hora_state *s);
void hora_state_pull_gradients(hora_state *s);
void hora_state_pull(hora_state *s);
#endif
