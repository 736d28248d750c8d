/*
 * hora_state.safetensors: the generator's own tensors, so that training can go on. HORA.md section
 * 6 is the layout; metadata holds every hyper-parameter as text and a hash of the materialised
 * factors that lie beside it in adapter_model.safetensors.
 */
#include <stdio.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "peft/hora_impl.h"
#include "peft/store.h"

static const char letters[HORA_TARGETS] = {'q', 'k', 'v', 'o'};

/* "q,v": the targets that any layer has. */
static void target_letters(const hora_adapter *a, char out[2 * HORA_TARGETS + 1]) {
    const hora_state *st = a->state;
    char *p = out;
    for (int t = 0; t < HORA_TARGETS; t++) {
        bool on = false;
        for (int64_t i = 0; i < a->base->layers; i++)
            on |= st->block[i].site[t] >= 0;
        if (on) {
            if (p != out)
                *p++ = ',';
            *p++ = letters[t];
        }
    }
    *p = '\0';
}

hora_status hora_native_save(hora_adapter *a, const char *dir) {
    const hora_cfg *c = a->config;
    char targets[2 * HORA_TARGETS + 1], r[24], m[24], e[24], alpha[32], dropout[32], hash[24];
    target_letters(a, targets);
    hora_snprintf(r, sizeof r, "%lld", (long long)c->rank);
    hora_snprintf(m, sizeof m, "%lld", (long long)c->hidden);
    hora_snprintf(e, sizeof e, "%lld", (long long)c->input);
    hora_snprintf(alpha, sizeof alpha, "%.17g", c->alpha);
    hora_snprintf(dropout, sizeof dropout, "%.17g", c->dropout);
    hora_snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hora_factors_hash(a));
    static const char *const acts[] = {"relu", "identity", "tanh", "sigmoid", "gelu"};
    static const char *const generators[] = {"hora", "rep", "free"};
    hora_str layers = {0};
    const hora_peft_config *p = &((const hora_state *)a->state)->peft;
    for (int i = 0; i < p->n_layers; i++)
        hora_str_printf(&layers, "%s%lld", i ? "+" : "", (long long)p->layers[i]);
    const hora_pair meta[] = {
        {"method", "hora"},
        {"r", r},
        {"m", m},
        {"e", e},
        {"alpha", alpha},
        {"dropout", dropout},
        {"act", acts[c->act]},
        {"targets", targets},
        {"share_qv", c->share_qv ? "on" : "off"},
        {"share_heads", c->share_heads ? "on" : "off"},
        {"magnitude", "off"},
        {"generator", generators[c->generator]},
        {"layers", layers.s ? layers.s : ""},
        {"factors_hash", hash},
    };
    hora_status s =
        hora_params_write(a, dir, "hora_state.safetensors", "layers.", meta, HORA_COUNT(meta));
    hora_str_release(&layers);
    return s;
}

hora_status hora_native_load(hora_adapter *a, const char *dir) {
    return hora_params_read(a, dir, "hora_state.safetensors", "layers.");
}
