/*
 * The tasks of the little language. Each has a name and fills "name: question =" and " answer";
 * letters stand apart, so that each is a token of its own. The task the base never sees is
 * held_out_record: what it needs (finding a letter, copying on from there, stopping) the others
 * teach, its name and its rule they do not.
 */
#include <stdarg.h>
#include <string.h>

#include "tiny.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

void add(text *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->at + t->n, sizeof t->at - t->n, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
    if (t->n >= sizeof t->at)
        t->n = sizeof t->at - 1;
}

uint32_t roll(dice *d, uint32_t sides) {
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * sides >> 32);
}

/* --- words ---------------------------------------------------------------------------------------
 */

static const char *const names[] = {"ana", "ben", "cleo", "dan", "eva", "finn", "gil", "hana"};
static const char *const colours[] = {"red", "blue", "green", "black", "white"};
static const char *const things[] = {"cups", "hats", "pens", "keys", "bags", "toys"};
/* English, and the word of the little language. */
static const char *const words[][2] = {
    {"sun", "miro"},    {"moon", "talu"},   {"star", "kesi"},   {"rain", "bavo"},
    {"snow", "fenu"},   {"wind", "soli"},   {"tree", "gamo"},   {"leaf", "pilu"},
    {"river", "nodra"}, {"stone", "kett"},  {"bird", "vima"},   {"fish", "lopu"},
    {"dog", "haro"},    {"cat", "misu"},    {"horse", "dorba"}, {"house", "tesk"},
    {"door", "ruvi"},   {"bread", "golma"}, {"milk", "sefa"},   {"apple", "zuni"},
    {"water", "welo"},  {"fire", "brana"},  {"hand", "jiku"},   {"eye", "osta"},
    {"day", "lumi"},    {"night", "corva"}, {"good", "peda"},   {"big", "murto"},
    {"small", "inki"},  {"old", "vesh"},
};

/* --- lists of letters ------------------------------------------------------------------------- */

enum { SHORTEST = 1, LONGEST = 7 };
typedef struct letters {
    char at[LONGEST];
    int n;
} letters;

/* Different letters in random order. */
static letters draw(dice *d, int shortest) {
    char all[] = "abcdefghijklmnopqrstuvwxyz";
    letters l = {.n = shortest + (int)roll(d, (uint32_t)(LONGEST - shortest + 1))};
    for (int i = 0; i < l.n; i++) {
        int j = i + (int)roll(d, (uint32_t)(26 - i));
        l.at[i] = all[j];
        all[j] = all[i];
    }
    return l;
}

static void add_letters(text *t, const letters *l) {
    for (int i = 0; i < l->n; i++)
        add(t, " %c", l->at[i]);
}

static void ask_letters(record *r, const char *task, const letters *l) {
    add(&r->prompt, "%s:", task);
    add_letters(&r->prompt, l);
    add(&r->prompt, " =");
}

static void copy(dice *d, record *r) {
    letters l = draw(d, SHORTEST);
    ask_letters(r, "copy", &l);
    add_letters(&r->completion, &l);
}

static void reverse(dice *d, record *r) {
    letters l = draw(d, SHORTEST);
    ask_letters(r, "reverse", &l);
    for (int i = l.n - 1; i >= 0; i--)
        add(&r->completion, " %c", l.at[i]);
}

static void sort(dice *d, record *r) {
    letters l = draw(d, SHORTEST);
    ask_letters(r, "sort", &l);
    for (char c = 'a'; c <= 'z'; c++)
        if (memchr(l.at, c, (size_t)l.n))
            add(&r->completion, " %c", c);
}

static void first(dice *d, record *r) {
    letters l = draw(d, SHORTEST);
    ask_letters(r, "first", &l);
    add(&r->completion, " %c", l.at[0]);
}

static void last(dice *d, record *r) {
    letters l = draw(d, SHORTEST);
    ask_letters(r, "last", &l);
    add(&r->completion, " %c", l.at[l.n - 1]);
}

static void next(dice *d, record *r) { /* each letter's follower in the alphabet */
    letters l = draw(d, SHORTEST);
    ask_letters(r, "next", &l);
    for (int i = 0; i < l.n; i++)
        add(&r->completion, " %c", l.at[i] == 'z' ? 'a' : l.at[i] + 1);
}

static void from(dice *d, record *r) { /* copies from a given letter on */
    letters l = draw(d, SHORTEST);
    int at = (int)roll(d, (uint32_t)l.n);
    add(&r->prompt, "from %c:", l.at[at]);
    add_letters(&r->prompt, &l);
    add(&r->prompt, " =");
    for (int i = at; i < l.n; i++)
        add(&r->completion, " %c", l.at[i]);
}

static void until(dice *d, record *r) { /* copies up to a given letter */
    letters l = draw(d, SHORTEST);
    int at = (int)roll(d, (uint32_t)l.n);
    add(&r->prompt, "until %c:", l.at[at]);
    add_letters(&r->prompt, &l);
    add(&r->prompt, " =");
    for (int i = 0; i <= at; i++)
        add(&r->completion, " %c", l.at[i]);
}

static void count(dice *d, record *r) {
    letters l = draw(d, 2);
    add(&r->prompt, "count %c:", l.at[0]);
    int n = 3 + (int)roll(d, 6), hits = 0;
    for (int i = 0; i < n; i++) {
        int pick = roll(d, 3) ? (int)roll(d, (uint32_t)l.n) : 0;
        hits += pick == 0;
        add(&r->prompt, " %c", l.at[pick]);
    }
    add(&r->prompt, " =");
    add(&r->completion, " %d", hits);
}

/* --- numbers, words, stories ------------------------------------------------------------------ */

static void compare(dice *d, record *r) {
    int a = (int)roll(d, 100), b = roll(d, 8) ? (int)roll(d, 100) : a;
    add(&r->prompt, "compare: %d and %d =", a, b);
    add(&r->completion, " %s", a < b ? "less" : a > b ? "more" : "same");
}

static void sum(dice *d, record *r) {
    int a = (int)roll(d, 10), b = (int)roll(d, 10);
    add(&r->prompt, "add: %d and %d =", a, b);
    add(&r->completion, " %d", a + b);
}

static void translate(dice *d, record *r) {
    int n = 1 + (int)roll(d, 4), way = (int)roll(d, 2);
    add(&r->prompt, way ? "speak:" : "translate:");
    for (int i = 0; i < n; i++) {
        int w = (int)roll(d, (uint32_t)COUNT(words));
        add(&r->prompt, " %s", words[w][way]);
        add(&r->completion, " %s", words[w][!way]);
    }
    add(&r->prompt, " =");
}

static void spell(dice *d, record *r) {
    const char *word = words[roll(d, (uint32_t)COUNT(words))][roll(d, 2)];
    int way = (int)roll(d, 2);
    add(&r->prompt, way ? "join:" : "spell:");
    add(way ? &r->completion : &r->prompt, " %s", word);
    for (const char *c = word; *c; c++)
        add(way ? &r->prompt : &r->completion, " %c", *c);
    add(&r->prompt, " =");
}

static void story(dice *d, record *r) {
    int n = 2, who[2], what[2], many[2], hue[2];
    for (int i = 0; i < n; i++) {
        many[i] = 1 + (int)roll(d, 9);
        hue[i] = (int)roll(d, (uint32_t)COUNT(colours));
        for (int again = 1; again;) { /* no name and no thing twice */
            who[i] = (int)roll(d, (uint32_t)COUNT(names));
            what[i] = (int)roll(d, (uint32_t)COUNT(things));
            again = 0;
            for (int j = 0; j < i; j++)
                again |= who[j] == who[i] || what[j] == what[i];
        }
    }
    add(&r->prompt, "story:");
    for (int i = 0; i < n; i++)
        add(&r->prompt, " %s has %d %s %s .", names[who[i]], many[i], colours[hue[i]],
            things[what[i]]);
    int q = (int)roll(d, (uint32_t)n);
    switch (roll(d, 3)) {
    case 0:
        add(&r->prompt, " who has %s ? =", things[what[q]]);
        add(&r->completion, " %s", names[who[q]]);
        break;
    case 1:
        add(&r->prompt, " what has %s ? =", names[who[q]]);
        add(&r->completion, " %d %s %s", many[q], colours[hue[q]], things[what[q]]);
        break;
    default:
        add(&r->prompt, " how many %s ? =", things[what[q]]);
        add(&r->completion, " %d", many[q]);
    }
}

/* --- the tasks -------------------------------------------------------------------------------- */

/* Drawn evenly; what needs the longest practice stands twice. */
static void (*const tasks[])(dice *, record *) = {
    copy, copy, reverse, reverse, from, from,      until,     until, sort,  first,
    last, next, count,   compare, sum,  translate, translate, spell, story, story,
};

int task_count(void) {
    return COUNT(tasks);
}

void task_record(int i, dice *d, record *r) {
    r->prompt.n = r->completion.n = 0;
    tasks[i](d, r);
}

/* rotate: the first letter goes to the end. */
void held_out_record(dice *d, record *r) {
    r->prompt.n = r->completion.n = 0;
    letters l = draw(d, 4);
    ask_letters(r, "rotate", &l);
    for (int i = 1; i <= l.n; i++)
        add(&r->completion, " %c", l.at[i % l.n]);
}
