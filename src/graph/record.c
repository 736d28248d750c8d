/*
 * Recording: leaves and nodes are appended to arrays in execution order. Shapes are checked here,
 * so a family or method that errs hears of it at the line of its own text; the first error is
 * latched and reported by the plan.
 */
#include "base/text.h"
#include "graph/graph_impl.h"

#include <stdio.h>

static bool usable(const hora_graph *g, const hora_backend *b) {
    return strcmp(b->device, hora_device_kind_of(g->config.device)->name) == 0 &&
           (g->config.dtype != HORA_F64 || strcmp(b->name, "ref") == 0);
}

static void take_backend(hora_graph *g, const hora_backend *b) {
    for (int i = 0; i < g->backend_count; i++)
        if (g->backends[i] == b)
            return;
    if (usable(g, b) && g->backend_count < (int)HORA_COUNT(g->backends))
        g->backends[g->backend_count++] = b;
}

/* The words of `list`, in its order. */
static hora_status take_named(hora_graph *g, const char *list) {
    hora_status s = HORA_OK;
    for (char *word; !s && (word = hora_list_word(&list, HORA_LIST)); hora_free(word)) {
        const hora_backend *b = hora_backend_named(word);
        if (b)
            take_backend(g, b);
        else
            s = hora_backend_unknown(word);
    }
    return s;
}

static hora_status pick_backends(hora_graph *g) {
    if (g->config.backends)
        HORA_TRY(take_named(g, g->config.backends));
    for (int i = 0; i < hora_backend_count() && !g->config.backends; i++)
        take_backend(g, hora_backend_at(i));
    if (!g->backend_count)
        return hora_fail(HORA_EUSAGE,
                         "device %s has no backend `%s` for %s; leave backends out, or take "
                         "another device or dtype",
                         hora_device_kind_of(g->config.device)->name,
                         g->config.backends ? g->config.backends : "",
                         hora_dtype_name(g->config.dtype));
    return HORA_OK;
}

hora_graph *hora_graph_new(const hora_graph_config *c) {
    hora_graph *g = hora_calloc(1, sizeof *g);
    g->config = *c;
    g->segment = -1;
    hora_graph_error(g, pick_backends(g));
    return g;
}

void hora_graph_free(hora_graph *g) {
    if (!g)
        return;
    hora_graph_release_kernels(g);
    hora_graph_profile_free(g);
    for (int i = 0; i < g->held_count; i++)
        hora_free(g->held[i]);
    hora_free(g->held);
    hora_graph_release(g);
    for (int i = 0; i < g->tensor_count; i++)
        hora_free(g->tensors[i].name);
    hora_free(g->tensors);
    hora_free(g->nodes);
    hora_free(g->steps);
    hora_free(g->flags);
    hora_graph_free_packed(g);
    hora_free(g->buffers);
    hora_free(g->impls);
    hora_free(g);
}

int64_t hora_graph_rows(const hora_graph *g) {
    return g->config.rows;
}

hora_status hora_graph_error(hora_graph *g, hora_status s) {
    if (g->error == HORA_OK && s != HORA_OK) {
        g->error = s;
        snprintf(g->error_text, sizeof g->error_text, "%s", hora_errmsg());
    }
    return g->error;
}

static hora_t add_tensor(hora_graph *g, tensor_kind kind, hora_view view, const char *name) {
    tensor t = {
        .kind = kind, .view = view, .producer = -1, .value_buffer = {-1, -1}, .grad_buffer = -1};
    t.name = name ? hora_strdup(name) : NULL;
    HORA_PUSH(g->tensors, g->tensor_count, g->tensor_capacity, t);
    return g->tensor_count - 1;
}

hora_t hora_graph_frozen(hora_graph *g, const char *name, hora_view view) {
    hora_t t = add_tensor(g, LEAF_FROZEN, view, name);
    g->tensors[t].before = true;
    return t;
}

hora_t hora_graph_param(hora_graph *g, const char *name, hora_shape shape, void *user) {
    hora_view v = {NULL, g->config.dtype == HORA_F64 ? HORA_F64 : HORA_F32, shape};
    hora_t t = add_tensor(g, LEAF_PARAMETER, v, name);
    g->tensors[t].before = true;
    g->tensors[t].user = user;
    return t;
}

hora_t hora_graph_state(hora_graph *g, const char *name, hora_view view) {
    return add_tensor(g, LEAF_STATE, view, name);
}

static hora_t fail_node(hora_graph *g, hora_status s, const hora_op *op) {
    hora_graph_error(g, hora_context(s, "recording %s", op->name));
    return HORA_NONE;
}

static hora_status check_inputs(const hora_graph *g, const hora_op *op, const hora_t *in,
                                hora_view *views) {
    for (int i = 0; i < op->nin; i++) {
        if (in[i] == HORA_NONE) {
            if (!(op->optional & HORA_IN(i)))
                return hora_fail(HORA_ESHAPE, "input %d is missing", i);
            views[i] = (hora_view){NULL, g->config.dtype, {-1, {0}}};
            continue;
        }
        if (in[i] < 0 || in[i] >= g->tensor_count)
            HORA_BUG("%s: input %d is no tensor of this graph", op->name, i);
        if (g->in_before && !g->tensors[in[i]].before)
            return hora_fail(HORA_EUSAGE, "a node of `before` may read parameters, frozen weights "
                                          "and other `before` nodes only");
        views[i] = g->tensors[in[i]].view;
    }
    if (g->in_before && (op->options & (HORA_OP_RANDOM | HORA_OP_BATCH)) &&
        !(op->options & HORA_OP_ROWS))
        return hora_fail(HORA_EUSAGE,
                         "random ops and ops that read the batch are not allowed in `before`");
    return HORA_OK;
}

/* The output of a node has the batch's rows. */
static bool makes_rows(const hora_graph *g, hora_op_id id, const hora_t *in,
                       const hora_attr *attr) {
    const hora_op *op = hora_op_at(id);
    if (op->options & HORA_OP_REDUCES || attr->index)
        return false;
    bool rows = op->options & HORA_OP_ROWS;
    for (int i = 0; i < op->nin; i++)
        rows |= in[i] != HORA_NONE && g->tensors[in[i]].row_tensor;
    return rows;
}

bool hora_graph_packs(const hora_graph *g) {
    return hora_device_is_host(g->config.device);
}

/* Which choice of rows the output has: those of one gate m are one. */
static hora_status choose_rows(hora_graph *g, hora_op_id id, const hora_t *in, int *packed) {
    *packed = 0;
    if (id == HORA_OP_unpack)
        return HORA_OK;
    for (int i = 0; id == HORA_OP_pack && i < g->node_count; i++)
        if (g->nodes[i].op == HORA_OP_pack && g->nodes[i].in[1] == in[1])
            *packed = g->tensors[g->nodes[i].out].packed;
    if (id == HORA_OP_pack) {
        *packed = *packed ? *packed : ++g->packed_count;
        return HORA_OK;
    }
    int from = -1;
    for (int i = 0; i < hora_op_at(id)->nin; i++) {
        const tensor *t = in[i] == HORA_NONE ? NULL : &g->tensors[in[i]];
        if (!t || !t->row_tensor)
            continue;
        if (from >= 0 && t->packed != from)
            return hora_fail(HORA_EUNSUPPORTED, "rows that take part in a block meet rows that do "
                                                "not; take one method that leaves out rows");
        from = t->packed;
    }
    *packed = from > 0 ? from : 0;
    return HORA_OK;
}

hora_t hora_graph_node(hora_graph *g, hora_op_id id, const hora_t *in, const hora_attr *attr) {
    if (g->error)
        return HORA_NONE;
    HORA_ASSERT(!g->planned);
    const hora_op *op = hora_op_at(id);
    hora_view views[HORA_MAX_IN], out = {NULL, g->config.dtype, {-1, {0}}};
    hora_status s = check_inputs(g, op, in, views);
    bool rows = s == HORA_OK && makes_rows(g, id, in, attr);
    if (s == HORA_OK) {
        out.dtype = rows ? g->config.dtype : views[0].dtype;
        if (op->options & HORA_OP_ROWS && !attr->index)
            out.shape = HORA_SHAPE1(g->config.rows); /* the shape rule finds the row count here */
        s = op->shape(views, attr, &out);
    }
    int packed = 0;
    if (s == HORA_OK)
        s = choose_rows(g, id, in, &packed);
    if (s != HORA_OK)
        return fail_node(g, s, op);
    node n = {.op = id, .attr = *attr, .segment = g->segment, .before = g->in_before};
    for (int i = 0; i < HORA_MAX_IN; i++)
        n.in[i] = i < op->nin ? in[i] : HORA_NONE;
    n.out = add_tensor(g, NODE_OUTPUT, out, NULL);
    tensor *t = &g->tensors[n.out];
    t->producer = g->node_count;
    t->row_tensor = rows;
    t->packed = packed;
    t->before = g->in_before;
    HORA_PUSH(g->nodes, g->node_count, g->node_capacity, n);
    return n.out;
}

enum { ADDEND = 3 }; /* input of linear and lowrank */

static bool can_take(const hora_graph *g, hora_t base, hora_t y) {
    const tensor *t = &g->tensors[y], *b = &g->tensors[base];
    const node *n = t->producer >= 0 ? &g->nodes[t->producer] : NULL;
    const hora_op *op = n ? hora_op_at(n->op) : NULL;
    if (!n || !(op->optional & op->passes & HORA_IN(ADDEND)) || n->in[ADDEND] != HORA_NONE ||
        t->output || b->producer >= t->producer || t->view.dtype != b->view.dtype ||
        !hora_shape_equal(&t->view.shape, &b->view.shape))
        return false;
    for (int i = t->producer + 1; i < g->node_count; i++)
        for (int k = 0; k < HORA_MAX_IN; k++)
            if (g->nodes[i].in[k] == y)
                return false;
    return true;
}

hora_t hora_graph_onto(hora_graph *g, hora_t base, hora_t y) {
    if (g->error)
        return HORA_NONE;
    if (!can_take(g, base, y))
        return hora_graph_node(g, HORA_OP_add, (hora_t[]){base, y}, &(hora_attr){.alpha = 1});
    g->nodes[g->tensors[y].producer].in[ADDEND] = base;
    return y;
}

void hora_graph_in_before(hora_graph *g, bool on) {
    g->in_before = on;
}
void hora_graph_segment(hora_graph *g, int segment) {
    g->segment = segment;
}

void hora_graph_loss(hora_graph *g, hora_t t, double weight) {
    if (t == HORA_NONE)
        return;
    if (hora_elems(&g->tensors[t].view) != 1) {
        hora_graph_error(g, hora_fail(HORA_ESHAPE, "a loss has one element"));
        return;
    }
    g->tensors[t].loss_weight = weight;
    g->tensors[t].output = true;
}

void hora_graph_output(hora_graph *g, hora_t t) {
    if (t != HORA_NONE)
        g->tensors[t].output = true;
}

const hora_view *hora_graph_view(const hora_graph *g, hora_t t) {
    static const hora_view none = {NULL, HORA_F32, {-1, {0}}};
    return t == HORA_NONE ? &none : &g->tensors[t].view;
}
int hora_graph_params(const hora_graph *g) {
    int n = 0;
    for (int i = 0; i < g->tensor_count; i++)
        n += g->tensors[i].kind == LEAF_PARAMETER;
    return n;
}

hora_t hora_graph_param_at(const hora_graph *g, int k, void **user, bool *has_grad) {
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].kind == LEAF_PARAMETER && k-- == 0) {
            if (user)
                *user = g->tensors[i].user;
            if (has_grad)
                *has_grad = g->tensors[i].wants_grad;
            return i;
        }
    return HORA_NONE;
}

static unsigned leaves_of(const node *n) {
    const hora_op *op = hora_op_at(n->op);
    return n->attr.index ? 0 : op->options & HORA_OP_SOURCE ? 1u << n->attr.source : op->leaves;
}

hora_leaves hora_graph_leaves(const hora_graph *g) {
    hora_leaves l = {{0}};
    for (int i = 0; i < g->node_count; i++) {
        const node *n = &g->nodes[i];
        const hora_op *op = hora_op_at(n->op);
        const hora_t wide = op->nin ? n->in[0] : n->out;
        for (int k = 0; k < HORA_LEAVES; k++)
            if (leaves_of(n) & 1u << k)
                l.columns[k] = hora_leaf_at(k)->columns ? hora_leaf_at(k)->columns
                               : op->columns            ? op->columns(&n->attr)
                                             : hora_row_elems(&g->tensors[wide].view.shape);
    }
    if (l.columns[HORA_LEAF_place]) /* who fills it knows samples by their positions */
        l.columns[HORA_LEAF_pos] = 1;
    return l;
}

void hora_graph_bind_frozen(hora_graph *g, hora_t t, void *data) {
    HORA_ASSERT(g->tensors[t].kind == LEAF_FROZEN && !g->prepared);
    g->tensors[t].view.data = data;
}

void hora_graph_bind(hora_graph *g, hora_t t, void *value, void *grad) {
    HORA_ASSERT(g->tensors[t].kind == LEAF_PARAMETER);
    g->tensors[t].view.data = value;
    g->tensors[t].grad_data = grad;
}
