/* hora forward: logits, loss and gradients of one batch, for outside programs. */
#include "api/handles.h"
#include "base/file.h"
#include "base/outdir.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "infer/forward.h"
#include "task/embed.h"
#include "tool/tool.h"

typedef struct config {
    char *batch, *out, *method, *image;
    bool grads, overwrite, exif, white;
    int64_t seed;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(batch, "batch", NULL, NULL, "FILE",
               "safetensors or .json with input_ids, attention_mask, labels; or with pixel_values"),
    OPT_FILES(image, "image", NULL, NULL, "FILE",
              "a picture instead, prepared as the model's files say; may stand several times"),
    OPT_BOOL(exif, "exif", NULL, "true", "turn pictures as their EXIF says"),
    OPT_BOOL(white, "white", NULL, "false", "lay transparent pixels on white"),
    OPT_STRING(out, "out", NULL, NULL, "FILE",
               "safetensors to write: logits, loss, grad.NAME; of pictures "
               "pixel_values and last_hidden_state too"),
    OPT_BOOL(grads, "grads", NULL, "false", "gradients of every trainable tensor too"),
    OPT_STRING(method, "method", NULL, NULL, "NAME",
               "attach a fresh adapter instead of --adapter; its options as in train"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of a fresh adapter"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what an earlier run left there"),
};
static const hora_options options = {"Forward", rows, HORA_COUNT(rows)};

/* Memory for what is asked for; logits only where somebody trained the head. */
static hora_status outputs(hora_model *m, hora_forward *f, const hora_forward_batch *b,
                           size_t bytes[2]) {
    const bool body = m->opened.objective.task->body || m->opened.objective.encoder;
    const bool head = !m->opened.objective.task->body &&
                      hora_open_trained(&m->opened, m->adapters, m->n) == HORA_OK;
    void *logits = NULL, *hidden = NULL;
    HORA_TRY(hora_forward_fit(f, b));
    const hora_shape z = hora_forward_logits(f, b), h = hora_forward_hidden(f, b);
    bytes[0] = head ? (size_t)hora_shape_elems(&z) * sizeof(float) : 0;
    bytes[1] = b->pixels.at || body ? (size_t)hora_shape_elems(&h) * sizeof(float) : 0;
    if (!head && !bytes[1])
        return hora_open_trained(&m->opened, m->adapters, m->n);
    if (bytes[0])
        HORA_TRY(hora_block_new(&logits, bytes[0], "logits"));
    f->logits = logits;
    if (bytes[1])
        HORA_TRY(hora_block_new(&hidden, bytes[1], "hidden states"));
    f->hidden = hidden;
    return HORA_OK;
}

/* A vector for each sample, as the model's folder says. */
static hora_status embed(const hora_model *m, hora_forward *f, const hora_forward_batch *b) {
    hora_embedding e;
    const hora_shape h = hora_forward_hidden(f, b);
    const int64_t t = h.d[1], d = h.d[2];
    HORA_TRY(hora_embedding_read(&e, m->base->dir));
    f->embedding = hora_malloc((size_t)(b->b * d) * sizeof *f->embedding);
    for (int64_t i = 0; i < b->b; i++)
        hora_embedding_run(&e, f->hidden + i * t * d, b->mask ? b->mask + i * t : NULL, t, d,
                           f->embedding + i * d);
    return HORA_OK;
}

static hora_status forward(hora_model *m, const config *c, const hora_forward_batch *b,
                           hora_json **out) {
    hora_forward f = hora_model_forward(m);
    f.grads = c->grads;
    size_t bytes[2] = {0, 0};
    hora_status s = outputs(m, &f, b, bytes);
    for (int i = 0; i < m->n && f.grads && s == HORA_OK; i++)
        s = hora_forward_grads(m->adapters[i]);
    if (s)
        goto out;
    HORA_TRY_OUT(s, hora_forward_run(&f, b));
    if (m->opened.objective.task->body)
        HORA_TRY_OUT(s, embed(m, &f, b));
    s = hora_forward_save(&f, b, c->out);
out:
    hora_free(f.embedding);
    for (int i = 0; i < m->n && f.grads; i++)
        hora_forward_grads_free(m->adapters[i]);
    hora_block_free(f.logits, bytes[0]);
    hora_block_free(f.hidden, bytes[1]);
    HORA_TRY(s);
    const hora_shape rows = hora_forward_hidden(&f, b);
    *out = hora_json_new_object();
    hora_json_set(*out, "samples", hora_json_new_int(b->b));
    hora_json_set(*out, "tokens", hora_json_new_int(b->b * rows.d[1]));
    if (b->labels)
        hora_json_set(*out, "loss", hora_json_new_real(f.loss));
    hora_json_set(*out, "out", hora_json_new_string(c->out));
    return HORA_OK;
}

/* All of --image, and what stands behind the options. */
static hora_status load_images(hora_model *m, const config *c, const hora_cli *cli,
                               hora_forward_batch *b) {
    const char **paths = NULL;
    int n = 0, cap = 0;
    for (int i = 0; i < cli->settings.n; i++)
        if (hora_eq(cli->settings.at[i].key, "image"))
            HORA_PUSH(paths, n, cap, cli->settings.at[i].value);
    for (int i = 0; i < cli->nrest; i++)
        HORA_PUSH(paths, n, cap, cli->rest[i]);
    const hora_image_options how = {.no_exif = !c->exif, .white = c->white};
    hora_status s = hora_open_pictures(&m->opened, NULL);
    if (!s && !m->base->vision)
        s = hora_fail(HORA_EUSAGE, "--image: a %s reads text; give --batch", m->base->model_type);
    if (!s)
        s = hora_forward_images(b, m->opened.processor, paths, n, m->base->vision->frames, &how);
    hora_free(paths);
    return s;
}

static hora_status ready(const config *c, const hora_settings *s) {
    if (!c->batch == !c->image)
        return hora_fail(HORA_EUSAGE, "give either --batch, a safetensors or JSON file with "
                                      "input_ids or pixel_values, or --image");
    HORA_TRY(hora_cli_required("out", c->out, "the safetensors file to write"));
    hora_cli_sources from;
    hora_status st = hora_cli_sources_of(&from, s);
    from.in[from.nin++] = (hora_input){"batch", c->batch};
    const bool adapter = from.n > 0;
    if (st == HORA_OK)
        st = hora_outfile_check(c->out, c->overwrite,
                                &(hora_outfile){"forward", hora_st_is_ours, NULL}, from.in,
                                from.nin);
    hora_cli_sources_free(&from);
    HORA_TRY(st);
    if (adapter && c->method)
        return hora_fail(HORA_EUSAGE, "--adapter and --method exclude each other; give one");
    if (c->grads && !adapter && !c->method)
        return hora_fail(HORA_EUSAGE, "--grads needs something that trains; give --adapter DIR or "
                                      "--method NAME");
    return HORA_OK;
}

/* Clips in a file have as many frames as it says: other numbers are refused, and a word about how
 * frames see each other needs none. */
static hora_status frames_of_batch(const config *c, const hora_forward_batch *b, hora_settings *s) {
    const char *given = hora_settings_get(s, "frames");
    int64_t frames;
    char text[24];
    if (!b->pixels.at)
        return HORA_OK;
    if (given && hora_parse_int(given, &frames) && frames != b->pixels.frames)
        return hora_fail(HORA_EUSAGE,
                         "--frames %s, but %s holds %s of %lld x %lld%s; leave frames out, or give "
                         "[N, %s, C, H, W]",
                         given, c->batch, b->pixels.frames > 1 ? "clips" : "pictures",
                         (long long)b->pixels.width, (long long)b->pixels.height,
                         b->pixels.frames > 1 ? " with another number of frames" : "", given);
    hora_snprintf(text, sizeof text, "%lld", (long long)b->pixels.frames);
    if (!given && b->pixels.frames > 1 && hora_settings_get(s, "frame_attention"))
        hora_settings_put(s, "frames", text, c->batch);
    return HORA_OK;
}

static void print(const hora_json *r) {
    printf("%.0f samples, %.0f tokens", hora_cli_number(r, "samples"),
           hora_cli_number(r, "tokens"));
    if (hora_json_get(r, "loss"))
        printf(", loss %.6f", hora_cli_number(r, "loss"));
    printf(": %s\n", hora_cli_text(r, "out"));
}

static hora_status run(hora_cli *cli) {
    hora_settings *s = &cli->settings;
    hora_model *m = NULL;
    hora_adapter *a;
    hora_json *r = NULL;
    config c = {0};
    hora_forward_batch b = {0};
    hora_status st;
    HORA_TRY_OUT(st, hora_options_take(&options, &c, s));
    HORA_TRY_OUT(st, ready(&c, s));
    if (c.batch)
        HORA_TRY_OUT(st, hora_forward_batch_load(&b, c.batch));
    HORA_TRY_OUT(st, frames_of_batch(&c, &b, s));
    HORA_TRY_OUT(st, hora_cli_open_features(&m, s));
    if (c.image)
        HORA_TRY_OUT(st, load_images(m, &c, cli, &b));
    if (c.method)
        HORA_TRY_OUT(st, hora_model_attach(&a, m, c.method, s));
    if (c.grads && !m->n) /* --adapter was a whole model */
        HORA_TRY_OUT(st, hora_model_attach(&a, m, "full", s));
    st = forward(m, &c, &b, &r);
out:
    hora_cli_show(cli, r, print);
    hora_model_close(m);
    hora_forward_batch_release(&b);
    hora_options_release(&options, &c);
    return st;
}

const hora_command hora_command_forward = {
    .name = "forward",
    .summary = "Logits, loss and gradients of one batch, as safetensors",
    .usage = "--model DIR [--adapter DIR | --method full|bitfit|..] --batch FILE | --image FILE.. "
             "--out FILE [--grads]",
    .most = 100000,
    .more =
        "Computes what transformers computes without position_ids: positions count from 0,\n"
        "masked tokens are never keys; labels are what the task has: shifted by one for language\n"
        "modelling, as they are for tags, one (or k) of a sample for classes and numbers; -100\n"
        "does not count.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options},
    .methods = HORA_CLI_NAMED_METHOD,
    .run = run};
