/*
 * A sample becomes ids and a mask. The whole text is tokenised once, so that the ids are those that
 * the model meets at inference, and the tokenizer says which bytes each id stands for. An id counts
 * when its first byte lies in a supervised stretch: so a token that begins in the prompt and
 * reaches into the answer does not, since the model is given it. Those that stand on both sides of
 * a boundary are counted, for people to see.
 */
#include "data/data_impl.h"

/* The tokenizer's BOS stands in front although the text begins with BOS itself: takes one away. */
static bool twice(const hora_tokenizer *tok, const hora_sample *s, hora_masked *out, size_t start,
                  hora_offsets *at) {
    int32_t bos = hora_tokenizer_bos(tok), *ids = out->ids.at + start;
    size_t n = out->ids.n - start;
    if (!s->special || bos < 0 || n < 2 || ids[0] != bos || ids[1] != bos || at->at[0].to)
        return false;
    memmove(ids, ids + 1, (n - 1) * sizeof *ids);
    memmove(at->at, at->at + 1, (n - 1) * sizeof *at->at);
    out->ids.n--;
    at->n--;
    return true;
}

/* Marks the ids that begin in a stretch. What the tokenizer put behind the text belongs to its
 * end. */
static void mark(const hora_sample *s, const hora_offsets *at, uint8_t *mask, int64_t *straddling) {
    int k = 0;
    for (size_t i = 0; i < at->n; i++) {
        size_t from = at->at[i].from, to = at->at[i].to;
        while (k < s->nspans && s->spans[k].to <= from &&
               !(from == s->text.n && s->spans[k].to == from))
            k++;
        bool in = k < s->nspans && from >= s->spans[k].from;
        mask[i] = in;
        bool ahead = k < s->nspans && (in ? to > s->spans[k].to : to > s->spans[k].from);
        *straddling += ahead && to > from;
    }
}

static void room(hora_masked *m) {
    if (m->ids.n > m->cap) {
        m->cap = m->ids.cap;
        m->mask = hora_realloc(m->mask, m->cap);
    }
}

void hora_masked_ones(hora_masked *m) {
    room(m);
    memset(m->mask + m->n, 1, m->ids.n - m->n);
    m->n = m->ids.n;
}

hora_status hora_sample_ids(const hora_tokenizer *tok, const hora_sample *s, hora_masked *out,
                            hora_mask_notes *notes) {
    size_t start = out->ids.n;
    hora_offsets at = {0};
    const char *text = s->text.s ? s->text.s : "";
    HORA_TRY(hora_tokenizer_encode_offsets(tok, text, s->text.n, s->special, &out->ids, &at));
    notes->bos += twice(tok, s, out, start, &at);
    size_t n = out->ids.n - start;
    int32_t eos = hora_tokenizer_eos(tok);
    if (s->eos && eos >= 0 && !(n && out->ids.at[out->ids.n - 1] == eos))
        hora_ids_push(&out->ids, eos);
    room(out);
    out->n = out->ids.n;
    mark(s, &at, out->mask + start, &notes->straddling);
    bool to_end = !s->nspans || s->spans[s->nspans - 1].to == s->text.n;
    if (out->n - start > n) /* an empty completion is EOS alone */
        out->mask[start + n] = to_end;
    hora_free(at.at);
    return HORA_OK;
}
