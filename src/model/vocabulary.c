#include "model/vocabulary.h"

#include "base/file.h"
#include "base/text.h"
#include "format/peft_config.h"

/* The file's tensor that is a whole weight of this module: of modules_to_save, or the base's own,
 * which PEFT writes beside an adapter. */
static const hora_st_tensor *whole(const hora_st *st, const hora_base *b, int w) {
    const hora_st_tensor *found = NULL;
    char *want = hora_base_module(b, w);
    for (int i = 0; i < hora_st_count(st) && !found; i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        char *module = NULL, *name = hora_base_canonical(b, t->name);
        hora_peft_part part;
        if (!hora_peft_parse_key(name ? name : t->name, &module, &part) &&
            hora_peft_is_whole(part) && hora_eq(module, want))
            found = t;
        hora_free(module);
        hora_free(name);
    }
    hora_free(want);
    return found;
}

/* `t` is a table of weight w, of whatever number of rows. */
static bool is_table(const hora_st_tensor *t, const hora_weight *w) {
    return t && t->view.shape.n == 2 && t->view.shape.d[1] == w->view.shape.d[1] &&
           hora_dtype_is_float(t->view.dtype) && !t->parts;
}

static hora_status compare(hora_vocabulary *v, const hora_base *b, const char *path) {
    const hora_weight *embed = &b->weights[b->embed];
    const hora_st_tensor *t = whole(v->st, b, b->embed);
    if (!is_table(t, embed) || t->view.shape.d[0] == embed->view.shape.d[0]) {
        hora_vocabulary_close(v);
        return HORA_OK;
    }
    v->rows = t->view.shape.d[0];
    if (b->head < 0 || b->weights[b->head].tied)
        return HORA_OK;
    const hora_st_tensor *head = whole(v->st, b, b->head);
    if (is_table(head, &b->weights[b->head]) && head->view.shape.d[0] == v->rows)
        return HORA_OK;
    return hora_fail(HORA_EMISMATCH,
                     "%s holds an embedding of %lld tokens where the model has %lld, but no head "
                     "of as many rows: the vocabulary was resized and only half of it was saved; "
                     "save the adapter again with save_embedding_layers=True (or lm_head in "
                     "modules_to_save), or give the resized base as --model",
                     path, (long long)v->rows, (long long)embed->view.shape.d[0]);
}

hora_status hora_vocabulary_open(hora_vocabulary *v, const hora_base *b, const char *dir) {
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = HORA_OK;
    *v = (hora_vocabulary){0};
    if (b->embed >= 0 && hora_path_exists(path))
        s = hora_st_open(&v->st, path);
    if (s == HORA_OK && v->st)
        s = compare(v, b, path);
    if (s)
        hora_vocabulary_close(v);
    hora_free(path);
    return s;
}

const hora_st_tensor *hora_vocabulary_find(const hora_vocabulary *v, const hora_base *b,
                                           const hora_weight *w) {
    const int i = (int)(w - b->weights);
    return v->st && !w->tied && (i == b->embed || (i == b->head && !b->bare)) ? whole(v->st, b, i)
                                                                              : NULL;
}

bool hora_vocabulary_tokenizer(const char *dir) {
    static const char *const files[] = {"tokenizer.json", "tokenizer.model", "vocab.txt"};
    bool there = false;
    for (size_t i = 0; i < HORA_COUNT(files) && !there; i++) {
        char *path = hora_path_join(dir, files[i]);
        there = hora_path_exists(path);
        hora_free(path);
    }
    return there;
}

void hora_vocabulary_close(hora_vocabulary *v) {
    hora_st_close(v->st);
    *v = (hora_vocabulary){0};
}
