/*
 * Visual prompt tuning: rows between the class token and the pieces of a picture, which train.
 * [arXiv 2203.12119]
 *
 *   shallow   H_0 = [cls ; P ; pieces]                        P (n, d), without positions
 *   deep      before every block its own P_l is put in the place of what the last made of them
 *
 * P ~ U(-b, b), b = sqrt(6 / (values of a piece + d)), the paper's. Pictures alone. Does not merge.
 */
#include <math.h>

#include "base/text.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t n;
    bool deep;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(n, "prompts", "n", "10", 1, 65536, "rows that train"),
    OPT_BOOL(deep, "deep", NULL, "true", "other ones before every block; off: before the first"),
};
static const hora_options options = {"Method vpt", rows, HORA_COUNT(rows)};

/* state: a parameter per block; of the shallow form the first alone */
static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const hora_base *b = a->base;
    if (!b->vision)
        return hora_fail(HORA_EUNSUPPORTED,
                         "method vpt is for pictures, a %s reads text; method prompt is for text",
                         b->model_type);
    hora_param **p = a->state = hora_calloc((size_t)b->layers + 1, sizeof *p);
    const double bound = sqrt(6 / (double)(hora_vision_columns(b->vision) + b->hidden));
    for (int i = 0; i < (c->deep ? b->layers : 1); i++) {
        char *name = hora_format("layers.%d.vpt", i);
        p[i] = hora_adapter_param(a, name, HORA_SHAPE2(c->n, b->hidden),
                                  (hora_init){.kind = HORA_INIT_UNIFORM, .value = bound});
        p[i]->layer = i;
        hora_free(name);
    }
    return HORA_OK;
}

static int64_t slots(const hora_adapter *a) {
    return ((const config *)a->config)->n;
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where,
                    const hora_sub *sub) {
    const hora_param *p = ((hora_param **)a->state)[layer];
    if (where != HORA_BLOCK_IN || !p)
        return sub->y;
    return hora_place_rows(n->g, sub->y, hora_net_param(n, p), HORA_LEAF_ids, -slots(a));
}

const hora_method hora_method_vpt = {
    .name = "vpt",
    .summary = "rows beside the pieces of a picture, which train, in every block or the first",
    .form = "H_l = [cls ; P_l ; pieces]",
    .paper = "arXiv 2203.12119",
    .default_lr = 1e-2,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "pictures of one batch have the same number of rows",
    .hooks = {.block = block, .slots = slots},
    .setup = setup,
    HORA_DELTA_CALLBACKS,
};
