/* An opened base as a Hugging Face model directory: model.safetensors and config.json. */
#include "base/file.h"
#include "format/safetensors.h"
#include "nn/base.h"

static hora_status save_config(const hora_base *b, const char *dir, hora_dtype dtype) {
    hora_json *c = hora_json_copy(b->config);
    const char *name = dtype == HORA_BF16 ? "bfloat16" : dtype == HORA_F16 ? "float16" : "float32";
    hora_json_set(c, "torch_dtype", hora_json_new_string(name));
    hora_str text = {0};
    hora_json_dump(c, 2, true, &text);
    hora_str_putc(&text, '\n');
    char *path = hora_path_join(dir, "config.json");
    hora_status s = hora_file_write(path, text.s, text.n);
    hora_free(path);
    hora_str_release(&text);
    hora_json_free(c);
    return s;
}

hora_status hora_base_save(const hora_base *b, const char *dir, float *const *replace,
                           hora_dtype dtype) {
    hora_st_entry *e = hora_calloc((size_t)b->nweights, sizeof *e);
    for (int i = 0; i < b->nweights; i++) {
        e[i] = (hora_st_entry){b->weights[i].name, b->weights[i].view, dtype};
        if (replace && replace[i]) {
            e[i].view.data = replace[i];
            e[i].view.dtype = HORA_F32;
        }
    }
    char *path = hora_path_join(dir, "model.safetensors");
    hora_status s = hora_st_write(path, e, b->nweights, NULL, 0);
    hora_free(path);
    hora_free(e);
    return s ? s : save_config(b, dir, dtype);
}

hora_status hora_base_save_task(const hora_base *b, const char *dir) {
    static const char *const keys[] = {"problem_type", "id2label", "label2id"};
    if (!b->task_type)
        return HORA_OK;
    hora_json *o = hora_json_new_object();
    hora_str text = {0};
    hora_json_set(o, "task_type", hora_json_new_string(b->task_type));
    for (size_t i = 0; i < HORA_COUNT(keys); i++)
        if (hora_json_get(b->config, keys[i]))
            hora_json_set(o, keys[i], hora_json_copy(hora_json_get(b->config, keys[i])));
    hora_json_dump(o, 2, false, &text);
    hora_str_putc(&text, '\n');
    char *path = hora_path_join(dir, "task.json");
    hora_status s = hora_file_write(path, text.s, text.n);
    hora_free(path);
    hora_str_release(&text);
    hora_json_free(o);
    return s;
}
