/* The families: which one a config.json is of, and what its own function records. */
#include "model/family.h"

#include "base/text.h"

#define FAMILY(x) extern const hora_family hora_family_##x;
#include "model/families.def"
#undef FAMILY

static const hora_family *const families[] = {
#define FAMILY(x) &hora_family_##x,
#include "model/families.def"
#undef FAMILY
};

int hora_family_count(void) {
    return (int)HORA_COUNT(families);
}
const hora_family *hora_family_at(int i) {
    return families[i];
}

const hora_family *hora_family_of(const hora_json *config) {
    const char *type = hora_json_string(hora_json_get(config, "model_type"), NULL);
    for (size_t i = 0; i < HORA_COUNT(families); i++)
        if (type && hora_has_word(families[i]->model_types, type))
            return families[i];
    return NULL;
}

hora_status hora_family_pick(hora_base *b) {
    const char *type = hora_json_string(hora_json_get(b->config, "model_type"), NULL);
    hora_str known = {0};
    for (size_t i = 0; i < HORA_COUNT(families); i++)
        hora_str_printf(&known, "%s%s", i ? " " : "", families[i]->model_types);
    b->family = hora_family_of(b->config);
    hora_status s = HORA_OK;
    if (!type)
        s = hora_fail(HORA_EFORMAT,
                      "%s: config.json has no model_type; is this a Hugging Face model directory?",
                      b->dir);
    else if (!b->family)
        s = hora_fail(HORA_EUNSUPPORTED,
                      "%s: model_type `%s` is not known here; `hora models` lists what is (%s)",
                      b->dir, type, known.s);
    else
        b->model_type = hora_strdup(type);
    hora_str_release(&known);
    return s;
}

hora_status hora_family_act(const hora_json *config, const char *key, const char *def,
                            hora_act *out) {
    static const struct {
        const char *name;
        hora_act act;
    } acts[] = {{"gelu", HORA_ACT_GELU},
                {"gelu_python", HORA_ACT_GELU},
                {"gelu_new", HORA_ACT_GELU_TANH},
                {"gelu_pytorch_tanh", HORA_ACT_GELU_TANH},
                {"gelu_python_tanh", HORA_ACT_GELU_TANH},
                {"gelu_fast", HORA_ACT_GELU_TANH}, /* the same with rounded constants */
                {"gelu_accurate", HORA_ACT_GELU_TANH},
                {"quick_gelu", HORA_ACT_QUICK_GELU},
                {"relu", HORA_ACT_RELU},
                {"silu", HORA_ACT_SILU},
                {"swish", HORA_ACT_SILU},
                {"tanh", HORA_ACT_TANH},
                {"sigmoid", HORA_ACT_SIGMOID},
                {"linear", HORA_ACT_IDENTITY}};
    const char *name;
    HORA_TRY(hora_json_get_string(config, key, def, &name));
    hora_str known = {0};
    for (size_t i = 0; i < HORA_COUNT(acts); i++) {
        if (hora_eq(name, acts[i].name)) {
            *out = acts[i].act;
            hora_str_release(&known);
            return HORA_OK;
        }
        hora_str_printf(&known, "%s%s", i ? ", " : "", acts[i].name);
    }
    const hora_status s =
        hora_fail(HORA_EUNSUPPORTED, "config.json: %s `%s` is not known; these are computed: %s",
                  key, name ? name : "?", known.s);
    hora_str_release(&known);
    return s;
}

hora_t hora_model_pool(hora_net *n, hora_t hidden, bool whole) {
    const hora_family *f = n->base->family;
    const hora_vision *v = n->base->vision;
    hora_t (*made)(hora_net *, hora_t) = whole ? f->pool : f->each;
    if (whole && v && hora_vision_apart(v)) /* pooling and heads are linear: the mean of logits */
        hidden = hora_frames(n->g, hidden, v->frames,
                             hora_vision_segment(v) - v->slots + hora_net_slots(n));
    return made ? made(n, hidden) : hidden;
}

hora_t hora_model_record(hora_net *n) {
    return n->base->family->record(n);
}
