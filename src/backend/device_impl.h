#ifndef HORA_BACKEND_DEVICE_IMPL_H
#define HORA_BACKEND_DEVICE_IMPL_H
/* What backends ask of their device beyond backend.h. */
#include "backend/matmul.h"

/* What open made of it. */
void hora_device_set_own(hora_device *d, void *own);
void *hora_device_own(const hora_device *d);

/* --- of the host ------------------------------------------------------------------------------ */
/* The provider of products, chosen when the device was made; NULL: own gemm. */
const hora_matmul_provider *hora_device_matmul_provider(const hora_device *d);
/* A product of this shape, made once and shared by all calls; owned by the device. */
hora_status hora_device_matmul(hora_device *d, const hora_matmul_shape *s, const hora_matmul **out);
/* Threads that per-thread scratch is sized for: hora_threads() when the device was made. */
int hora_device_threads(const hora_device *d);
#endif
