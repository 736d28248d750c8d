/* One GGUF file: every value may be asked for as any type, every tensor read to its last block, and
 * keys that are written again are the same. */
#include "format/gguf.h"
#include "fuzz.h"

enum { MOST = 4096 };

static void ask(const hora_gguf *g, const hora_gguf_value *v) {
    int64_t sum = 0;
    must(v->n >= 0 && hora_gguf_get(g, v->key));
    for (int64_t i = 0; i < hora_min(v->n, MOST); i++) {
        int64_t whole;
        double real;
        size_t n;
        const char *text = hora_gguf_text(v, i, &n);
        must((text != NULL) == (v->type == HORA_GGUF_STRING));
        for (size_t k = 0; text && k < n; k++)
            sum += text[k];
        (void)hora_gguf_int(v, i, &whole);
        (void)hora_gguf_float(v, i, &real);
    }
    must(sum <= 255 * (int64_t)MOST * UINT16_MAX);
}

static void convert(const hora_gguf_tensor *t) {
    const int64_t n = hora_elems(&t->view);
    if (n < 1 || n > MOST || t->view.dtype == HORA_DTYPE_OTHER)
        return;
    float *out = hora_malloc((size_t)n * sizeof *out);
    (void)hora_convert(out, HORA_F32, t->view.data, t->view.dtype, n);
    hora_free(out);
}

HORA_FUZZ(gguf) {
    hora_gguf *g, *again;
    const hora_status s = hora_gguf_open(&g, hora_fuzz_file("x.gguf", data, n));
    must((s == HORA_OK) == (g != NULL));
    must_say(s, "x.gguf");
    if (s)
        return false;
    hora_gguf_out *o = hora_gguf_out_new();
    for (int i = 0; i < hora_gguf_keys(g); i++) {
        ask(g, hora_gguf_key_at(g, i));
        hora_gguf_put_value(o, hora_gguf_key_at(g, i));
    }
    for (int i = 0; i < hora_gguf_count(g); i++) {
        must(hora_gguf_find(g, hora_gguf_at(g, i)->name));
        convert(hora_gguf_at(g, i));
    }
    if (n < MOST && hora_gguf_write(o, hora_fuzz_file("y.gguf", "", 0)) == HORA_OK) {
        char path[512];
        hora_snprintf(path, sizeof path, "%s/y.gguf", hora_fuzz_dir());
        must(hora_gguf_open(&again, path) == HORA_OK);
        must(hora_gguf_keys(again) == hora_gguf_keys(g));
        hora_gguf_close(again);
    }
    hora_gguf_out_free(o);
    hora_gguf_close(g);
    return true;
}
