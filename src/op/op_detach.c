/*
 * detach: y = x, and the gradient ends here: a value that is used as a constant.
 *
 *   dx = nothing
 *
 * The derivative of what is built on it is the one that holds y fixed. Finite differences hold it
 * too (hora_graph_hold), so they can check such a method instead of passing it over.
 */
#include "op/op_impl.h"

const hora_op hora_op_detach = {.name = "detach",
                                .nin = 1,
                                .options = HORA_OP_HELD,
                                .shape = hora_op_like,
                                .tol = {0, 0},
                                .sample = hora_case_like};
