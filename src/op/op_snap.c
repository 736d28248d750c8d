/*
 * snap: what is missing from a share to the choice it stands for.
 *
 *   y_ij = 1 - s_ij where s_ij > 1/2, else -s_ij
 *
 * s + snap(s) is 0 or 1 exactly. It is a constant to derivatives, so the sum has the slope of s:
 * the straight-through estimate. Finite differences hold it (hora_graph_hold).
 */
#include "op/op_impl.h"

const hora_op hora_op_snap = {.name = "snap",
                              .nin = 1,
                              .options = HORA_OP_HELD,
                              .shape = hora_op_like,
                              .tol = {0, 0},
                              .sample = hora_case_like};
