/*
 * Entities in tags like B-PER, I-PER, E-PER, S-PER, O, and how many of them were found: by
 * conlleval's rule, which reads broken sequences too, and by the letter of a scheme.
 * Source: seqeval 1.2 (sequence_labeling.py, scheme.py).
 */
#include <string.h>

#include "base/text.h"
#include "task/metric.h"

/* --- entities --------------------------------------------------------------------------------- */
typedef struct tag {
    char part;        /* B I E S O; of BILOU L is E and U is S */
    const char *type; /* behind the '-'; "_" where there is none */
} tag;

static tag tag_of(const char *text) {
    const char *dash = text ? strchr(text, '-') : NULL;
    if (!text || hora_eq(text, "O"))
        return (tag){'O', ""};
    if (!dash || dash == text)
        return (tag){text[0], "_"};
    return (tag){text[0] == 'L' ? 'E' : text[0] == 'U' ? 'S' : text[0], dash + 1};
}

/* An entity ends between two tags. */
static bool ends(tag a, tag b) {
    if (a.part == 'O')
        return false;
    return a.part == 'E' || a.part == 'S' || b.part == 'B' || b.part == 'S' || b.part == 'O' ||
           !hora_eq(a.type, b.type);
}

/* An entity begins with the second of two tags. */
static bool begins(tag a, tag b) {
    if (b.part == 'O')
        return false;
    return b.part == 'B' || b.part == 'S' || a.part == 'E' || a.part == 'S' || a.part == 'O' ||
           !hora_eq(a.type, b.type);
}

/* The end of the entity that begins at i. */
static int64_t end_of(const char *const *tags, int64_t n, int64_t i) {
    int64_t end = i + 1;
    while (end < n && !ends(tag_of(tags[end - 1]), tag_of(tags[end])))
        end++;
    return end;
}

static bool starts_at(const char *const *tags, int64_t i) {
    return begins(i ? tag_of(tags[i - 1]) : (tag){'O', ""}, tag_of(tags[i]));
}

void hora_metric_entities(const char *const *truth, const char *const *guess, int64_t n,
                          hora_entity_counts *c) {
    for (int64_t i = 0; i < n; i++) {
        const bool t = starts_at(truth, i), g = starts_at(guess, i);
        c->true_ += t;
        c->guessed += g;
        c->right += t && g && hora_eq(tag_of(truth[i]).type, tag_of(guess[i]).type) &&
                    end_of(truth, n, i) == end_of(guess, n, i);
    }
}

/* --- by the letter ---------------------------------------------------------------------------- */
bool hora_metric_tag_ends(const char *tag_) {
    const char part = tag_of(tag_).part;
    return part == 'E' || part == 'S';
}

/* The end of the well-formed entity that begins at i; i where there is none. */
static int64_t strict_end(const char *const *tags, int64_t n, int64_t i, bool ends_) {
    const tag first = tag_of(tags[i]);
    int64_t end = i + 1;
    bool closed = !ends_;
    if (ends_ && first.part == 'S')
        return end;
    if (first.part != 'B')
        return i;
    for (bool open = true; open && end < n; end += open) {
        const tag t = tag_of(tags[end]);
        const bool last = ends_ && t.part == 'E';
        open = !(closed && ends_) && (t.part == 'I' || last) && hora_eq(t.type, first.type);
        closed |= open && last;
    }
    return closed ? end : i;
}

void hora_metric_entities_strict(const char *const *truth, const char *const *guess, int64_t n,
                                 bool ends_, hora_entity_counts *c) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t t = strict_end(truth, n, i, ends_), g = strict_end(guess, n, i, ends_);
        c->true_ += t > i;
        c->guessed += g > i;
        c->right += t > i && t == g && hora_eq(tag_of(truth[i]).type, tag_of(guess[i]).type);
    }
}
