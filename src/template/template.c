/*
 * Opening and rendering of templates: the ends of the engine (template_impl.h is its map). Owns the
 * memory pools and the names. Opening reads the whole source, so that every part that is not
 * supported is refused before a single conversation is rendered.
 */
#include "base/text.h"
#include "template/template_impl.h"

/* ---- pool ---- */
typedef struct hora_pool_chunk {
    struct hora_pool_chunk *next;
    size_t used, cap;
    union {
        double align;
        void *align2;
    } data[];
} chunk;

void *hora_pool_get(hora_pool *p, size_t bytes) {
    bytes = (bytes + 15) / 16 * 16;
    if (!p->head || p->left < bytes) {
        size_t cap = bytes > 4096 ? bytes : p->total < 65536 ? 4096 : 65536;
        chunk *c = hora_malloc(sizeof *c + cap);
        *c = (chunk){.next = p->head, .cap = cap};
        p->head = c;
        p->left = cap;
    }
    void *out = (char *)p->head->data + (p->head->cap - p->left);
    p->left -= bytes;
    p->total += bytes;
    memset(out, 0, bytes);
    return out;
}

void hora_pool_release(hora_pool *p) {
    for (chunk *c = p->head, *next; c; c = next) {
        next = c->next;
        hora_free(c);
    }
    *p = (hora_pool){0};
}

/* ---- names ---- */
int hora_tpl_name(const hora_template *t, const char *s, size_t n) {
    for (int i = 0; i < t->nnames; i++)
        if (strlen(t->names[i]) == n && !memcmp(t->names[i], s, n))
            return i;
    return -1;
}

int hora_tpl_intern(hora_template *t, const char *s, size_t n) {
    int i = hora_tpl_name(t, s, n);
    if (i >= 0 || t->nnames == HORA_TPL_NAMES)
        return i;
    char *copy = hora_pool_get(&t->pool, n + 1);
    memcpy(copy, s, n);
    HORA_PUSH(t->names, t->nnames, t->cnames, copy);
    return t->nnames - 1;
}

/* ---- open ---- */
/* Line breaks become \n; one at the end is dropped. */
static void normalise(hora_template *t, const char *source, size_t n) {
    t->src = hora_malloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        bool cr = source[i] == '\r';
        t->src[t->n++] = cr ? '\n' : source[i];
        i += cr && i + 1 < n && source[i + 1] == '\n';
    }
    t->n -= t->n && t->src[t->n - 1] == '\n';
    t->src[t->n] = 0;
}

hora_status hora_template_open(hora_template **out, const char *source, size_t n,
                               const char *what) {
    size_t bad;
    *out = NULL;
    if (n > HORA_TPL_SOURCE)
        return hora_fail(
            HORA_EUNSUPPORTED,
            "%s has %zu bytes, more than a chat template may have (%zu); check that it "
            "is one",
            what, n, HORA_TPL_SOURCE);
    if (!hora_utf8_valid(source, n, &bad))
        return hora_fail(HORA_EFORMAT, "%s is not UTF-8 at byte %zu; convert it", what, bad);
    if (n && memchr(source, 0, n))
        return hora_fail(HORA_EFORMAT, "%s holds a NUL byte; it is not a text file, check it",
                         what);
    hora_template *t = hora_calloc(1, sizeof *t);
    t->what = hora_strdup(what);
    normalise(t, source, n);
    hora_token *tokens = NULL;
    int count = 0;
    hora_status s = hora_tpl_lex(t, &tokens, &count);
    if (!s)
        s = hora_tpl_parse(t, tokens, count);
    hora_free(tokens);
    if (s) {
        hora_template_close(t);
        return s;
    }
    *out = t;
    return HORA_OK;
}

void hora_template_close(hora_template *t) {
    if (!t)
        return;
    hora_pool_release(&t->pool);
    hora_free(t->names);
    hora_free(t->src);
    hora_free(t->what);
    hora_free(t);
}

/* ---- render ---- */
hora_status hora_template_render(const hora_template *t, const hora_json *vars, hora_str *out) {
    return hora_template_render_turns(t, vars, -1, -1, out);
}

hora_status hora_template_render_turns(const hora_template *t, const hora_json *vars, int64_t turns,
                                       int prompt, hora_str *out) {
    size_t before = out->n;
    hora_ts st = {.t = t, .out = out, .vars = vars, .turns = turns, .prompt = prompt};
    int signal = 0;
    st.at = t->body;
    st.scope = hora_space_new(&st, NULL);
    hora_status s = hora_ts_body(&st, t->body->list, t->body->nlist, &signal);
    hora_pool_release(&st.pool);
    if (s && out->s) {
        out->n = before;
        out->s[before] = 0;
    }
    return s;
}
