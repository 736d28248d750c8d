/*
 * Alternating attention: every n-th block keeps its attention over all of a sample, the others see
 * a window, as ModernBERT and Gemma are built; what trains makes up for it. [ours]
 *
 *   block l sees all of its range               where l mod n = first
 *   |i - j| < window, within that range         elsewhere (a decoder: the last `window` keys)
 *
 * A base that has windows of its own keeps the smaller one. Positions count along the rows, so in
 * pictures line by line. Trains the attention's projections, or with weights=none nothing of its
 * own: adapters beside it do. The base without the window is another model, so nothing starts where
 * it stands, and nothing merges: a window is no weight.
 */
#include "base/text.h"
#include "peft/replaced.h"

enum { ATTENTION, NOTHING, ALL };
typedef struct config {
    int64_t every, first, window;
    int weights;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(every, "every", "n", "3", 1, 1 << 20, "of so many blocks one sees all"),
    OPT_INT(first, "first", NULL, "0", 0, 1 << 20, "the first of those, from 0"),
    OPT_INT(window, "window", NULL, "128", 1, 1 << 30,
            "keys that the others see on a side, a token's own included"),
    OPT_CHOICE(weights, "weights", NULL, "attention", "attention none all",
               "weights that train; none: it leaves that to the adapters beside it"),
};
static const hora_options options = {"Method alternate", rows, HORA_COUNT(rows)};

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const hora_base *b = a->base;
    if (c->first >= c->every)
        return hora_fail(HORA_EUSAGE, "first=%lld: give less than every=%lld", (long long)c->first,
                         (long long)c->every);
    if (b->encoder && c->window < 2)
        return hora_fail(HORA_EUSAGE, "window=1: a token would see itself alone; give 2 or more");
    for (int w = 0; w < b->nweights && c->weights != NOTHING; w++)
        if (c->weights == ALL ? b->weights[w].layer >= 0 : hora_base_in_attention(b, w))
            hora_adapter_replace(a, w, b->weights[w].name);
    return HORA_OK;
}

static void reach(hora_adapter *a, int layer, int64_t *window, int64_t *ahead) {
    const config *c = a->config;
    if (layer % c->every == c->first)
        return;
    if (!*window || *window > c->window)
        *window = c->window;
    if (a->base->encoder && (!*ahead || *ahead > c->window - 1))
        *ahead = c->window - 1;
}

const hora_method hora_method_alternate = {
    .name = "alternate",
    .summary = "attention over a window in all blocks but every n-th",
    .form = "softmax over |i - j| < window in the blocks l with l mod n != first",
    .default_lr = 1e-4,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "how far rows see is the same in all of a batch",
    .hooks = {.select = hora_adapter_replacement, .reach = reach},
    .setup = setup,
    HORA_DELTA_CALLBACKS,
};
