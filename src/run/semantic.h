#ifndef HORA_RUN_SEMANTIC_H
#define HORA_RUN_SEMANTIC_H
/*
 * A start that knows the classes [ours]: one pass over the training data gives, for every site that
 * a LoRA adapts, the mean of what the site reads over each class; A starts in the span of these
 * means instead of at random. B = 0 as ever, so training starts at the base.
 *
 *   M_c = mean over the samples of class c of (mean over the rows of x) - mean over all
 *   A_k = |A_k| q_k      q: the M_c, the longest remainder first, made orthonormal
 *
 * |A_k| is the norm of the draw that it replaces. Rows behind the rank of M stay as they are drawn.
 */
#include "task/task.h"
#include "train/train.h"

/* Of the values of allocated adapters. HORA_EUSAGE where the task has no classes or no LoRA is
 * attached. `seq_len` and `batch_size` as in training; *classes: how many were met. */
hora_status hora_semantic_start(hora_adapter *const *at, int n, hora_base *base,
                                const hora_objective *objective, const hora_dataset *data,
                                int64_t seq_len, int64_t batch_size, int *classes);
#endif
