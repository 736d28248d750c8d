/* state.json of a checkpoint: the input is an object whose members take the place of those that
 * were written, and the hash is put right, or nothing would get far; what is no JSON is the whole
 * file. What resumes stands at a step of the run. */
#include "base/dense.h"
#include "base/file.h"
#include "fuzz.h"
#include "model/family.h"
#include "peft/peft.h"
#include "train/train_impl.h"

enum { STEPS = 4 };

typedef struct world {
    hora_base *base;
    hora_adapter *adapter;
    hora_training *t;
    char *dir;
    hora_json *state; /* as written */
} world;

static void make(world *w) {
    hora_settings s = {0};
    hora_train_config c = {0};
    const hora_base_options o = {.dtype = HORA_F32};
    must(hora_base_open(&w->base, hora_fuzz_model(), &o) == HORA_OK);
    must(hora_settings_parse(&s, "rank=1", "fuzz") == HORA_OK);
    must(hora_peft_attach(&w->adapter, w->base, "lora", &s, 1) == HORA_OK);
    must(hora_settings_parse(&s, "steps=4,batch_size=1,dtype=f32", "fuzz") == HORA_OK);
    must(hora_options_take(&hora_train_options, &c, &s) == HORA_OK);
    const hora_training_parts p = {
        .base = w->base, .adapters = &w->adapter, .nadapters = 1, .seq_len = 8};
    must(hora_training_open(&w->t, &p, &c) == HORA_OK);
    must(hora_training_prepare(w->t) == HORA_OK);
    w->dir = hora_path_join(hora_fuzz_dir(), "point");
    must(hora_training_save_to(w->t, w->dir) == HORA_OK);
    must(hora_json_load_beside(&w->state, w->dir, "state.json") == HORA_OK);
    hora_options_release(&hora_train_options, &c);
    hora_settings_release(&s);
}

/* What the input says takes the place of what was written; groups of the identity by their keys. */
static void patch(hora_json *to, const hora_json *from, int depth) {
    for (void *it = hora_json_iter(from); it; it = hora_json_next(from, it)) {
        const char *key = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it), *old = hora_json_get(to, key);
        const hora_jtype object = HORA_JOBJECT;
        if (depth && hora_json_type(v) == object && hora_json_type(old) == object) {
            hora_json *deeper = hora_json_copy(old);
            patch(deeper, v, depth - 1);
            hora_json_set(to, key, deeper);
        } else {
            hora_json_set(to, key, hora_json_copy(v));
        }
    }
}

static void put_hash_right(hora_str *text) {
    char *digits = hora_checkpoint_hash_at(text->s), hash[24];
    if (!digits)
        return;
    memset(digits, '0', 16);
    hora_snprintf(hash, sizeof hash, "%016llx",
                  (unsigned long long)hora_hash64(text->s, text->n, 0));
    memcpy(digits, hash, 16);
}

HORA_FUZZ(checkpoint) {
    static world w;
    hora_json *changes = NULL, *state;
    hora_str text = {0};
    if (!w.t)
        make(&w);
    if (hora_json_parse(&changes, data, n, "fuzz") == HORA_OK) {
        state = hora_json_copy(w.state);
        patch(state, changes, 2);
        hora_json_dump(state, 2, false, &text);
        put_hash_right(&text);
        hora_json_free(state);
    } else {
        hora_str_add(&text, data, n);
    }
    hora_fuzz_file("point/state.json", text.s, text.n);
    const hora_status s = hora_training_resume_from(w.t, w.dir);
    must(s == HORA_OK || *hora_errmsg());
    must(s || (w.t->step >= 0 && w.t->step <= STEPS));
    hora_json_free(changes);
    hora_str_release(&text);
    return s == HORA_OK;
}
