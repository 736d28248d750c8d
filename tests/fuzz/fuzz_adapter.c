/* An adapter's folder over the embedded model: adapter_config.json up to the first NUL byte, then
 * adapter_model.safetensors. What attaches has finite shapes and comes off again. */
#include "fuzz.h"
#include "hora/hora.h"

HORA_FUZZ(adapter) {
    static hora_model *m;
    hora_adapter *a = NULL;
    const char *nul = n ? memchr(data, 0, n) : NULL;
    const size_t head = nul ? (size_t)(nul - data) : n;
    if (!m)
        must(hora_model_open(&m, hora_fuzz_model(), NULL) == HORA_OK);
    hora_fuzz_file("adapter_config.json", data, head);
    if (nul)
        hora_fuzz_file("adapter_model.safetensors", nul + 1, n - head - 1);
    else
        hora_fuzz_file("adapter_model.safetensors", "", 0);
    const hora_status s = hora_adapter_load(&a, m, hora_fuzz_dir(), NULL);
    must((s == HORA_OK) == (a != NULL));
    must(s == HORA_OK || *hora_errmsg());
    hora_adapter_detach(a);
    return s == HORA_OK;
}
