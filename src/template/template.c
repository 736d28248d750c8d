/*
 * Opening of templates: one end of the engine (template_impl.h is its map). Owns the
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

void hora_pool_rewind(hora_pool *p, const hora_pool *to) {
    while (p->head != to->head) {
        chunk *next = p->head->next;
        hora_free(p->head);
        p->head = next;
    }
    *p = *to;
}

/* ---- names ---- */
int hora_tpl_name(const hora_template *t, const char *s, size_t n) {
    for (int i = 0; i < t->nnames; i++)
        if (*t->names[i] == *s && strlen(t->names[i]) == n && !memcmp(t->names[i], s, n))
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
    t->date = (struct tm){.tm_year = 70, .tm_mday = 1, .tm_wday = 4};
    normalise(t, source, n);
    hora_token *tokens = NULL;
    int count = 0;
    hora_status s;
    HORA_TRY_OUT(s, hora_tpl_lex(t, &tokens, &count));
    HORA_TRY_OUT(s, hora_tpl_parse(t, tokens, count));
out:
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

/* ---- the date ---- */
bool hora_template_dated(const hora_template *t) {
    return t->dated;
}

/* `n` digits at *s. */
static bool digits(const char **s, int n, int *out) {
    *out = 0;
    for (; n > 0; n--, ++*s) {
        if (**s < '0' || **s > '9')
            return false;
        *out = *out * 10 + (**s - '0');
    }
    return true;
}

static bool is(const char **s, char c) {
    return *(*s)++ == c;
}

hora_status hora_template_date(hora_template *t, const char *date) {
    struct tm d = {.tm_isdst = 0}, same;
    const char *s = date;
    bool ok = digits(&s, 4, &d.tm_year) && is(&s, '-') && digits(&s, 2, &d.tm_mon) && is(&s, '-') &&
              digits(&s, 2, &d.tm_mday);
    if (ok && *s)
        ok = (*s == 'T' || *s == ' ') && s++ && digits(&s, 2, &d.tm_hour) && is(&s, ':') &&
             digits(&s, 2, &d.tm_min) && is(&s, ':') && digits(&s, 2, &d.tm_sec) && !*s;
    d.tm_year -= 1900;
    d.tm_mon--;
    same = d;
    time_t at = ok ? timegm(&same) : 0; /* puts the day of the week and of the year in */
    ok = ok && at != (time_t)-1 && same.tm_mon == d.tm_mon && same.tm_mday == d.tm_mday &&
         same.tm_hour == d.tm_hour && same.tm_min == d.tm_min && same.tm_sec == d.tm_sec;
    if (!ok)
        return hora_fail(HORA_EUSAGE, "date `%.40s`: write 2026-01-31 or 2026-01-31T18:30:00",
                         date);
    t->date = same;
    return HORA_OK;
}
