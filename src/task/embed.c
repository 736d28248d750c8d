/* Vectors of texts: the files that say how, and the sums. */
#include "task/embed.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"

/* --- the files -------------------------------------------------------------------------------- */
static hora_status no_pooling(const char *what) {
    return hora_fail(
        HORA_EUNSUPPORTED,
        "sentence-transformers: pooling `%.40s` is not computed here; mean, cls and lasttoken are",
        what);
}

/* {"pooling_mode_mean_tokens": true, ..}, or "pooling_mode": "mean". */
static hora_status read_pooling(hora_embedding *e, const hora_json *c) {
    static const struct {
        const char *key, *word;
        hora_embed_pool pool;
    } modes[] = {{"pooling_mode_mean_tokens", "mean", HORA_EMBED_MEAN},
                 {"pooling_mode_cls_token", "cls", HORA_EMBED_FIRST},
                 {"pooling_mode_lasttoken", "lasttoken", HORA_EMBED_LAST}};
    const char *mode;
    int on = 0;
    HORA_TRY(hora_json_get_string(c, "pooling_mode", NULL, &mode));
    for (size_t i = 0; mode && i < HORA_COUNT(modes); i++)
        if (hora_eq(mode, modes[i].word)) {
            e->pool = modes[i].pool;
            return HORA_OK;
        }
    if (mode)
        return no_pooling(mode);
    for (void *it = hora_json_iter(c); it; it = hora_json_next(c, it)) {
        const char *key = hora_json_iter_key(it);
        bool yes = false, known = false;
        if (!hora_starts(key, "pooling_mode_") || !hora_json_bool(hora_json_iter_value(it), &yes) ||
            !yes)
            continue;
        for (size_t i = 0; i < HORA_COUNT(modes); i++)
            if (hora_eq(key, modes[i].key)) {
                e->pool = modes[i].pool;
                known = true;
            }
        if (!known || ++on > 1)
            return no_pooling(key);
    }
    return HORA_OK;
}

static hora_status read_module(hora_embedding *e, const char *dir, const hora_json *module) {
    const char *type, *path;
    HORA_TRY(hora_json_get_string(module, "type", "", &type));
    HORA_TRY(hora_json_get_string(module, "path", "", &path));
    if (hora_ends(type, ".Transformer"))
        return HORA_OK;
    if (hora_ends(type, ".Normalize")) {
        e->normalised = true;
        return HORA_OK;
    }
    if (!hora_ends(type, ".Pooling"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "modules.json: `%.60s` is not computed here; Transformer, Pooling and "
                         "Normalize are",
                         type);
    char *folder = hora_path_join(dir, path);
    hora_json *c = NULL;
    hora_status s = hora_json_load_beside(&c, folder, "config.json");
    if (!s)
        s = read_pooling(e, c);
    hora_json_free(c);
    hora_free(folder);
    return s;
}

hora_status hora_embedding_read(hora_embedding *e, const char *dir) {
    hora_json *modules = NULL, *bert = NULL;
    hora_status s;
    *e = (hora_embedding){HORA_EMBED_MEAN, true, 0};
    HORA_TRY_OUT(s, hora_json_load_beside(&modules, dir, "modules.json"));
    HORA_TRY_OUT(s, hora_json_load_beside(&bert, dir, "sentence_bert_config.json"));
    HORA_TRY_OUT(s, hora_json_get_int(bert, "max_seq_length", 0, &e->most));
    e->normalised = hora_json_type(modules) != HORA_JARRAY;
    for (size_t i = 0; hora_json_type(modules) == HORA_JARRAY && i < hora_json_len(modules); i++)
        HORA_TRY_OUT(s, read_module(e, dir, hora_json_at(modules, i)));
out:
    hora_json_free(modules);
    hora_json_free(bert);
    return s ? hora_context(s, "%s", dir) : HORA_OK;
}

/* --- the sums --------------------------------------------------------------------------------- */
void hora_embedding_run(const hora_embedding *e, const float *hidden, const int32_t *mask,
                        int64_t t, int64_t d, float *out) {
    double length = 0;
    int64_t from = 0, to = e->pool == HORA_EMBED_FIRST ? hora_min(t, 1) : t;
    while (e->pool == HORA_EMBED_LAST && mask && to > 1 && !mask[to - 1])
        to--;
    from = e->pool == HORA_EMBED_LAST ? hora_max(to - 1, 0) : 0;
    for (int64_t c = 0; c < d; c++) {
        double sum = 0;
        int64_t n = 0;
        for (int64_t i = from; i < to; i++) {
            const bool in = e->pool != HORA_EMBED_MEAN || !mask || mask[i];
            sum += in ? (double)hidden[i * d + c] : 0;
            n += in;
        }
        out[c] = (float)(n ? sum / (double)n : 0);
        length += (double)out[c] * (double)out[c];
    }
    length = fmax(sqrt(length), 1e-12);
    for (int64_t c = 0; c < d && e->normalised; c++)
        out[c] = (float)((double)out[c] / length);
}
