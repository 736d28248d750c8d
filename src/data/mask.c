/*
 * A sample becomes ids and a mask. The whole text is tokenised at once, so that the ids are those
 * the model meets at inference; a boundary between bytes that count and bytes that do not is found
 * by tokenising the text before it as well:
 *
 *   - ids that both begin with stand before the boundary, byte for byte the same;
 *   - behind them the two differ (a token was merged across the boundary, say), and the bytes of
 *     the remaining tokens are counted until the boundary is reached.
 *
 * A token that covers bytes of both sides counts: the completion cannot be written without it. This
 * is exact where the tokens in the differing part stand for their bytes; a normalizer that changes
 * lengths can shift the boundary within that part only, at most a word.
 */
#include "data/data_impl.h"

static int64_t token_bytes(const hora_tokenizer *tok, const int32_t *ids, size_t n) {
    int64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += hora_tokenizer_bytes(tok, ids[i]);
    return bytes;
}

/* Number of the first token that begins at (`end`) or reaches beyond byte `at` of the text. */
static hora_status boundary(const hora_tokenizer *tok, const hora_sample *s, size_t at, bool end,
                            const int32_t *ids, size_t n, size_t *out) {
    hora_ids before = {0};
    size_t same = 0;
    *out = 0;
    if (!at && !s->special)
        return HORA_OK;
    hora_status st = hora_tokenizer_encode(tok, s->text.s, at, s->special, &before);
    if (!st) {
        while (same < before.n && same < n && before.at[same] == ids[same])
            same++;
        int64_t left = token_bytes(tok, before.at + same, before.n - same), done = 0, k;
        while (same < n && done < left &&
               done + (k = hora_tokenizer_bytes(tok, ids[same])) <= left) {
            done += k;
            same++;
        }
        *out = same + (end && done < left && same < n);
    }
    hora_ids_release(&before);
    return st;
}

static hora_status mark(const hora_tokenizer *tok, const hora_sample *s, const int32_t *ids,
                        size_t n, uint8_t *mask) {
    for (int i = 0; i < s->nspans; i++) {
        size_t from = 0, to = n;
        if (s->spans[i].from)
            HORA_TRY(boundary(tok, s, s->spans[i].from, false, ids, n, &from));
        if (s->spans[i].to < s->text.n)
            HORA_TRY(boundary(tok, s, s->spans[i].to, true, ids, n, &to));
        if (to > from)
            memset(mask + from, 1, to - from);
    }
    return HORA_OK;
}

hora_status hora_sample_ids(const hora_tokenizer *tok, const hora_sample *s, hora_masked *out) {
    size_t start = out->ids.n;
    const char *text = s->text.s ? s->text.s : "";
    HORA_TRY(hora_tokenizer_encode(tok, text, s->text.n, s->special, &out->ids));
    size_t n = out->ids.n - start;
    int32_t eos = hora_tokenizer_eos(tok);
    if (s->eos && eos >= 0 && !(n && out->ids.at[out->ids.n - 1] == eos))
        hora_ids_push(&out->ids, eos);
    if (out->ids.n > out->cap) {
        out->cap = out->ids.cap;
        out->mask = hora_realloc(out->mask, out->cap);
    }
    out->n = out->ids.n;
    uint8_t *mask = out->mask + start;
    memset(mask, 0, out->n - start);
    HORA_TRY(mark(tok, s, out->ids.at + start, n, mask));
    bool to_end = s->nspans && s->spans[s->nspans - 1].to == s->text.n;
    if (out->n - start > n) /* an empty completion is EOS alone */
        mask[n] = to_end || !s->nspans;
    return HORA_OK;
}
