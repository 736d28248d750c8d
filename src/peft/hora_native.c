/*
 * hora_state.safetensors: the generator's own tensors, so that training can go on (layout:
 * docs/methods/hora.md); metadata holds every hyper-parameter as text and a hash of the
 * materialised factors that lie beside it in adapter_model.safetensors.
 */
#include "base/file.h"
#include "base/text.h"
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
    char targets[2 * HORA_TARGETS + 1], r[24], m[24], e[24], alpha[32], dropout[32];
    target_letters(a, targets);
    hora_snprintf(r, sizeof r, "%lld", (long long)c->rank);
    hora_snprintf(m, sizeof m, "%lld", (long long)c->hidden);
    hora_snprintf(e, sizeof e, "%lld", (long long)c->input);
    hora_snprintf(alpha, sizeof alpha, "%.17g", c->alpha);
    hora_snprintf(dropout, sizeof dropout, "%.17g", c->dropout);
    static const char *const acts[] = {"relu", "identity", "tanh", "sigmoid", "gelu"};
    static const char *const generators[] = {"hora", "rep", "free"};
    static const char *const magnitudes[] = {"off", "dora", "doran"};
    hora_str layers = {0};
    const hora_peft_config *p = &c->peft;
    for (int i = 0; i < p->n_layers; i++)
        hora_str_printf(&layers, "%s%lld", i ? "+" : "", (long long)p->layers[i]);
    hora_pair meta[] = {
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
        {"magnitude", magnitudes[c->magnitude]},
        {"generator", generators[c->generator]},
        {"layers", layers.s ? layers.s : ""},
    };
    hora_status s = hora_beside_write(a, dir, meta, HORA_COUNT(meta));
    hora_str_release(&layers);
    return s;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool hora_native_claims(const hora_method *m, const hora_foreign *f) {
    const char *method = f->native ? hora_st_meta(f->native, "method") : NULL;
    return f->native && (!method || hora_eq(method, m->name));
}

/* metadata key -> option; a missing key means the default */
static const struct {
    const char *key, *option;
} native_keys[] = {{"r", "rank"},
                   {"m", "hidden"},
                   {"e", "input"},
                   {"alpha", "alpha"},
                   {"act", "act"},
                   {"targets", "targets"},
                   {"share_qv", "share_qv"},
                   {"share_heads", "share_heads"},
                   {"generator", "generator"},
                   {"magnitude", "magnitude"},
                   {"dropout", "dropout"},
                   {"layers", "layers"}};

/* The generator's options are texts on disk; what is trained whole stands in PEFT's file. */
hora_status hora_native_configure(const hora_method *m, void *config, const hora_foreign *f) {
    hora_cfg *c = config;
    hora_settings s = {0};
    for (size_t i = 0; i < HORA_COUNT(native_keys); i++) {
        const char *v = hora_st_meta(f->native, native_keys[i].key);
        if (v && *v)
            hora_settings_put(&s, native_keys[i].option, v, "hora_state.safetensors");
    }
    hora_options_release(m->options, c);
    hora_status st = hora_options_take(m->options, c, &s);
    hora_settings_release(&s);
    HORA_TRY(st);
    if (f->peft) {
        const hora_peft_config saved = {.n_save = f->peft->n_save,
                                        .modules_to_save = f->peft->modules_to_save};
        hora_peft_config_copy(&c->peft, &saved);
    }
    return HORA_OK;
}
