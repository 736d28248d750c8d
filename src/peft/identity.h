#ifndef HORA_PEFT_IDENTITY_H
#define HORA_PEFT_IDENTITY_H
/*
 * Which base an adapter was trained on: hora_base.json in its folder, which PEFT passes over. It
 * has the model's type and dimensions, and of each tensor of its files dtype and XXH3 of name,
 * shape and bytes. The files are hashed once for a base that is open (hora_st_hashes).
 */
#include "nn/adapter.h"

/* Writes it into an existing folder. */
hora_status hora_identity_write(const hora_base *b, const char *dir);
/* HORA_EMISMATCH, with the first difference in it, where `dir` says another base: dimensions first,
 * then tensors that both have in one dtype. base->any_base: a warning. A base whose tensors all
 * have other names or dtypes cannot be told: a warning too. No such file: HORA_OK. */
hora_status hora_identity_check(const hora_base *b, const char *dir);
#endif
