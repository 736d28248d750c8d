/* A case through the doors that the commands use. */
#include "vectors/golden.h"

void golden_kit_model(golden_kit *k, const char *base, const char *adapter, hora_dtype dtype) {
    *k = (golden_kit){.device = NULL};
    assert_ok(hora_device_open(&k->device, dtype == HORA_F64 ? "host" : NULL));
    const hora_open_options oo = {.dtype = dtype, .adapter = adapter};
    assert_ok(hora_open_model(&k->o, base, &oo));
    assert_ok(hora_open_settle(&k->o, NULL, NULL, false, 0));
}

void golden_kit_batch(golden_kit *k, const char *batch) {
    assert_ok(hora_forward_batch_load(&k->batch, batch));
    k->f = (hora_forward){.base = k->o.base,
                          .objective = &k->o.objective,
                          .adapters = &k->a,
                          .nadapters = 1,
                          .device = k->device};
    const hora_shape s = hora_forward_logits(&k->f, &k->batch);
    k->n = hora_shape_elems(&s);
    k->f.logits = k->logits = hora_calloc((size_t)k->n, sizeof(float));
}

void golden_kit_close(golden_kit *k) {
    hora_free(k->logits);
    hora_forward_batch_release(&k->batch);
    hora_peft_detach(k->a);
    hora_device_free(k->device);
    hora_open_close(&k->o);
}
