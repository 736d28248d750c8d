/*
 * Labelled records become ids as transformers' examples make them: the text whole, or the longer
 * one of a pair cut first, the tokenizer's special ids around it; words one after another, the tag
 * on the first piece of each. What a post-processor puts around a text is learned from what it does
 * to one.
 */
#include "data/labelled.h"

/* --- special ids ------------------------------------------------------------------------------ */
hora_status hora_frame_open(hora_frame *f, const hora_tokenizer *tok) {
    static const char probe[] = "a";
    hora_ids bare = {0}, framed = {0};
    *f = (hora_frame){0};
    hora_status s = hora_tokenizer_encode(tok, probe, 1, false, &bare);
    if (!s)
        s = hora_tokenizer_encode(tok, probe, 1, true, &framed);
    size_t at = 0;
    while (!s && bare.n && at + bare.n <= framed.n &&
           memcmp(framed.at + at, bare.at, bare.n * sizeof *bare.at) != 0)
        at++;
    if (!s && bare.n && at + bare.n <= framed.n) {
        for (size_t i = 0; i < framed.n; i++)
            if (i < at || i >= at + bare.n)
                hora_ids_push(i < at ? &f->prefix : &f->suffix, framed.at[i]);
    }
    hora_ids_release(&bare);
    hora_ids_release(&framed);
    return s;
}

void hora_frame_release(hora_frame *f) {
    hora_ids_release(&f->prefix);
    hora_ids_release(&f->suffix);
}

static int64_t specials(const hora_frame *f) {
    return (int64_t)(f->prefix.n + f->suffix.n);
}

/* --- texts ------------------------------------------------------------------------------------ */
static hora_status too_short(int64_t seq_len, int64_t specials_) {
    return hora_fail(HORA_EUSAGE,
                     "seq_len=%lld leaves no room for text beside %lld special tokens; give more",
                     (long long)seq_len, (long long)specials_);
}

hora_status hora_labelled_text(const hora_reader *r, const hora_sample *s, int64_t seq_len,
                               hora_masked *out, int64_t *cut) {
    const hora_text_pair text = {s->text.s ? s->text.s : "", s->text.n, s->pair, s->pair_n};
    int64_t specials_;
    HORA_TRY(hora_tokenizer_specials(r->tok, s->pair && s->pair_n, &specials_));
    if (seq_len <= specials_)
        return too_short(seq_len, specials_);
    return hora_tokenizer_encode_pair(r->tok, &text, seq_len, HORA_TRUNCATE_LONGEST, &out->ids,
                                      &out->types, cut);
}

/* --- words ------------------------------------------------------------------------------------ */
static void put_tag(hora_label_store *l, int32_t tag) {
    HORA_PUSH(l->tags, l->ntags, l->ctags, tag);
}

static void add_frame(hora_masked *out, hora_label_store *l, const hora_ids *ids) {
    for (size_t i = 0; i < ids->n; i++) {
        hora_ids_push(&out->ids, ids->at[i]);
        put_tag(l, -1);
    }
}

hora_status hora_labelled_words(const hora_reader *r, const hora_frame *f, const hora_sample *s,
                                int64_t line, int64_t seq_len, hora_masked *out,
                                hora_label_store *l, int64_t *cut) {
    const size_t record = out->ids.n;
    int64_t room = seq_len - specials(f), lost = 0, tagged = 0;
    hora_ids word = {0};
    hora_status st = room < 1 ? too_short(seq_len, specials(f)) : HORA_OK;
    *cut = 0;
    add_frame(out, l, &f->prefix);
    for (size_t i = 0; i < hora_json_len(s->words) && !st; i++) {
        size_t n;
        int32_t tag = -1;
        const char *text = hora_json_string(hora_json_at(s->words, i), &n);
        word.n = 0;
        st = hora_labels_tag(l, hora_json_at(s->label, i), line, &tag);
        if (!st)
            st = hora_tokenizer_encode(r->tok, text, n, false, &word);
        *cut += hora_max(0, (int64_t)word.n - room);
        if (!st && (!word.n || !room)) {
            lost++;
            if (tag >= 0)
                HORA_PUSH(l->lost, l->nlost, l->clost, ((hora_lost_word){record, tagged, tag}));
        }
        tagged += tag >= 0;
        for (size_t k = 0; k < word.n && room > 0; k++, room--) {
            hora_ids_push(&out->ids, word.at[k]);
            put_tag(l, k ? -1 : tag);
        }
    }
    add_frame(out, l, &f->suffix);
    hora_ids_release(&word);
    l->table.lost_words += st ? 0 : lost;
    return st;
}
