/* Opening a model with what lies beside it. */
#include "run/open.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "format/gguf_hf.h"
#include "format/hf_config.h"

hora_status hora_open_model(hora_opened *o, const char *dir, const hora_open_options *options) {
    hora_json *config = NULL;
    bool folder;
    HORA_ASSERT(!o->base);
    HORA_TRY(hora_path_is_folder(dir, &folder));
    if (!folder && !hora_model_path(dir))
        return hora_fail(
            HORA_ENOTFOUND,
            "%s is no model directory (it should hold config.json and model.safetensors) and no "
            "GGUF file",
            dir);
    HORA_TRY(hora_hf_config_load(&config, dir));
    hora_status s = hora_objective_choose(&o->objective, options->task, config);
    hora_json_free(config);
    if (!s && options->adapter)
        s = hora_objective_adapter(&o->objective, options->task, options->adapter);
    HORA_TRY(s);
    const bool head = o->objective.task->head;
    o->headers_only = options->headers_only;
    const hora_base_options b = {.dtype = options->dtype,
                                 .headers_only = options->headers_only || head,
                                 .config_alone = options->config_alone,
                                 .quantize = options->quantize,
                                 .double_quant = options->double_quant,
                                 .quantize_cache = options->quantize_cache,
                                 .sharing = options->sharing,
                                 .adapter = options->adapter,
                                 .bare = head || o->objective.task->body};
    HORA_TRY(hora_base_open(&o->base, dir, &b));
    HORA_TRY(
        hora_objective_clips(&o->objective, o->base, options->frames, options->frame_attention));
    if (o->objective.task->body) {
        hora_base_bare_names(o->base);
        HORA_TRY(hora_embedding_read(&o->objective.how, o->base->dir));
    }
    return head ? HORA_OK : hora_open_settle(o, NULL, NULL, false, 0);
}

hora_status hora_open_settle(hora_opened *o, hora_dataset *data, hora_dataset *eval, bool train,
                             uint64_t seed) {
    if (o->objective.settled)
        return HORA_OK;
    HORA_TRY(hora_objective_settle(&o->objective, o->base, data, eval, train, seed));
    return o->headers_only ? HORA_OK : hora_base_complete(o->base);
}

hora_status hora_open_features(hora_opened *o) {
    if (!o->objective.settled && !o->objective.classes)
        o->objective.classes = 1;
    return hora_open_settle(o, NULL, NULL, false, 0);
}

hora_status hora_open_trained(const hora_opened *o, hora_adapter *const *adapters, int n) {
    bool there = !o->base->head_fresh;
    for (int a = 0; a < n; a++)
        there |= hora_adapter_replacement(adapters[a], o->base->head) != NULL;
    return there ? HORA_OK
                 : hora_fail(HORA_EMISMATCH,
                             "neither %s nor the adapter has a head for %s; train one first",
                             o->base->dir, o->objective.task->name);
}

hora_status hora_open_tokenizer(hora_opened *o) {
    return o->tokenizer ? HORA_OK : hora_tokenizer_open(&o->tokenizer, hora_base_words(o->base));
}

hora_status hora_open_chat(hora_opened *o, char **date) {
    HORA_TRY(hora_open_tokenizer(o));
    char **day = date ? date : &o->date;
    if (o->chat_refused)
        return HORA_OK;
    if (o->chat) { /* by now with a date of its own */
        if (!*day && hora_template_dated(o->chat) && o->date)
            *day = hora_strdup(o->date);
        return *day && **day ? hora_template_date(o->chat, *day) : HORA_OK;
    }
    hora_status s = hora_chat_open(&o->chat, o->tokenizer, day);
    if (s == HORA_OK && *day && !o->date)
        o->date = hora_strdup(*day);
    if (s == HORA_OK || s == HORA_EUSAGE) /* a date that is none */
        return s;
    o->chat_refused = true;
    hora_warn("%s: %s; conversations cannot be rendered", o->base->dir, hora_errmsg());
    return HORA_OK;
}

void hora_open_length(const hora_opened *o, int64_t front, int64_t *seq_len) {
    const int64_t most = o->base->max_positions;
    const int64_t limits[] = {o->objective.how.most, most > front ? most - front : most};
    for (size_t i = 0; i < HORA_COUNT(limits); i++)
        *seq_len = limits[i] > 0 ? hora_min(*seq_len, limits[i]) : *seq_len;
}

/* Where no file says it, what transformers does with such a model. */
static hora_status usual_processor(hora_image_processor *p, const hora_base *b) {
    const bool clip = hora_starts(b->model_type, "clip");
    hora_warn("%s says nothing of how pictures are prepared: they are resized to %lld x %lld as "
              "%s does it",
              b->dir, (long long)b->vision->height, (long long)b->vision->width,
              clip ? "CLIP" : "ViT");
    HORA_TRY(hora_image_processor_default(p, clip ? "CLIP" : "ViT"));
    p->fit = HORA_FIT_EXACT;
    p->crop = false;
    p->height = b->vision->height;
    p->width = b->vision->width;
    return HORA_OK;
}

hora_status hora_open_pictures(hora_opened *o, int64_t *seq_len) {
    hora_vision *v = o->base->vision;
    int64_t width, height;
    if (!v)
        return HORA_OK;
    if (!o->processor) {
        o->processor = hora_calloc(1, sizeof *o->processor);
        hora_status s = hora_image_processor_load(o->processor, o->base->dir);
        if (s == HORA_ENOTFOUND)
            s = usual_processor(o->processor, o->base);
        HORA_TRY(s);
    }
    if (hora_image_processor_fixed(o->processor, &width, &height))
        HORA_TRY(hora_vision_resize(v, v->frames, height, width));
    if (seq_len)
        *seq_len = hora_vision_rows(v);
    return HORA_OK;
}

/* All first ranks of a machine have read the same: what they share is as large. */
static hora_status same_size(hora_comm *c, uint64_t mine, uint64_t *size) {
    uint64_t *all = hora_calloc((size_t)hora_comm_size(c), sizeof *all);
    hora_status s = hora_comm_gather(c, &mine, sizeof mine, all);
    *size = all[0];
    for (int r = 0; r < hora_comm_size(c) && !s; r++)
        if (all[r] && all[r] != all[0])
            s = hora_fail(HORA_EMISMATCH,
                          "ranks differ: data of rank 0 and of rank %d are not the same; give all "
                          "ranks the same program, model, data and options",
                          r);
    hora_free(all);
    return s;
}

static hora_status read_texts(hora_opened *o, hora_dataset **out, const char *path,
                              const hora_data_config *c) {
    return hora_dataset_open(out, path, o->tokenizer, o->chat, c, &o->objective.rule);
}

/* On each machine one rank reads and tokenises; the others, and then it too, look into the one
 * piece of memory that it made of that. */
static hora_status open_texts(hora_opened *o, hora_dataset **out, const char *path,
                              const hora_data_config *config) {
    const hora_sharing *all = hora_comm_sharing(o->comm);
    const bool reads = !all || all->part == 0;
    void *image = NULL;
    uint64_t size;
    if (!all)
        return read_texts(o, out, path, config);
    if (reads)
        HORA_TRY(read_texts(o, out, path, config));
    HORA_TRY(same_size(o->comm, reads ? hora_data_image_bytes(*out) : 0, &size));
    HORA_TRY(hora_comm_shared(o->comm, (size_t)size, &image));
    if (!image) /* no room: each for itself */
        return reads ? HORA_OK : read_texts(o, out, path, config);
    if (reads) {
        hora_data_image_write(*out, image);
        hora_dataset_close(*out);
        *out = NULL;
    }
    HORA_TRY(hora_comm_filled(o->comm));
    return hora_data_image_open(out, image, path, o->tokenizer, &o->objective.rule);
}

hora_status hora_open_data(hora_opened *o, hora_dataset **out, const char *path,
                           hora_data_config *config) {
    if (o->base->vision) {
        HORA_TRY(hora_open_pictures(o, &config->seq_len));
        HORA_TRY(hora_pictures_open(out, o->comm, path, o->processor, o->base->vision, config,
                                    &o->objective.rule));
    } else {
        HORA_TRY(hora_open_chat(o, &config->date));
        HORA_TRY(open_texts(o, out, path, config));
    }
    hora_status s = o->objective.settled && o->objective.task->head
                        ? hora_objective_number(&o->objective, *out)
                        : HORA_OK;
    if (s) {
        hora_context(s, "%s", path);
        hora_dataset_close(*out);
        *out = NULL;
    }
    return s;
}

void hora_open_close(hora_opened *o) {
    hora_template_close(o->chat);
    hora_tokenizer_close(o->tokenizer);
    hora_base_close(o->base);
    hora_objective_release(&o->objective);
    hora_free(o->date);
    hora_free(o->processor);
    *o = (hora_opened){0};
}
