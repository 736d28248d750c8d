/*
 * A look at all pictures of a set before the work: which can be read, what they are, which classes
 * their masks hold. Ranks look at a share each and tell one another.
 */
#include "base/text.h"
#include "base/threads.h"
#include "data/images_impl.h"

#define DARK 7 /* the brightest level of a picture that is called dark */

typedef struct seen {
    hora_image_info info;
    char *why; /* owned; NULL: read */
    bool with[256];
} seen;
typedef struct look {
    const hora_images *s;
    seen *seen;
    int64_t first; /* picture of the share */
} look;

/* Which classes the mask of picture i holds. */
static hora_status look_at_mask(const hora_images *s, int64_t i, const hora_image *im,
                                bool with[256]) {
    hora_image mask;
    int64_t known = 0;
    const int64_t most = s->nparts ? (int64_t)s->nparts : HORA_IMAGES_NO_CLASS;
    HORA_TRY(hora_images_read_mask(s, i, im->width, im->height, &mask));
    for (size_t k = 0; k < hora_image_bytes(&mask); k++)
        with[mask.px[k]] = true;
    hora_image_release(&mask);
    for (int64_t c = most; c < HORA_IMAGES_NO_CLASS; c++)
        if (with[c])
            return hora_fail(HORA_EFORMAT,
                             "%s: a pixel is of class %lld, but classes.txt names %lld (from 0); "
                             "255 is for pixels that do not count",
                             s->items[i].mask, (long long)c, (long long)most);
    for (int64_t c = 0; c < most; c++)
        known += with[c];
    return known ? HORA_OK
                 : hora_fail(HORA_EFORMAT, "%s: no pixel counts, all are 255", s->items[i].mask);
}

static void look_at(void *arg, int64_t i, int thread) {
    look *l = arg;
    hora_image im = {0};
    (void)thread;
    i += l->first;
    hora_status s = hora_images_read(l->s, i, &im, &l->seen[i].info);
    if (!s && l->s->items[i].mask)
        s = look_at_mask(l->s, i, &im, l->seen[i].with);
    if (s)
        l->seen[i].why = hora_strdup(hora_errmsg());
    hora_image_release(&im);
}

static void count(hora_images_survey *v, const hora_image_info *f) {
    v->turned += f->orientation > 1;
    v->alpha += f->alpha;
    v->grey16 += f->grey16;
    v->animated += f->animated;
    v->dark += f->brightest <= DARK;
    v->least_width = v->read ? hora_min(v->least_width, f->width) : f->width;
    v->least_height = v->read ? hora_min(v->least_height, f->height) : f->height;
    v->most_width = hora_max(v->most_width, f->width);
    v->most_height = hora_max(v->most_height, f->height);
    v->bytes += f->width * f->height * 3;
    v->read++;
}

/* What a rank says of its share: for each picture what is known, and why it cannot be read. */
static void say_share(const seen *at, int64_t n, hora_str *out) {
    for (int64_t i = 0; i < n; i++) {
        hora_str_add(out, (const char *)&at[i].info, sizeof at[i].info);
        hora_str_add(out, (const char *)at[i].with, sizeof at[i].with);
        const char *why = at[i].why ? at[i].why : "";
        hora_str_add(out, why, strlen(why) + 1);
    }
}

static void hear_share(seen *at, int64_t n, const char *said) {
    for (int64_t i = 0; i < n; i++) {
        memcpy(&at[i].info, said, sizeof at[i].info);
        at[i].info.format = NULL; /* an address of another process */
        said += sizeof at[i].info;
        memcpy(at[i].with, said, sizeof at[i].with);
        said += sizeof at[i].with;
        at[i].why = *said ? hora_strdup(said) : NULL;
        said += strlen(said) + 1;
    }
}

static hora_status exchange(hora_comm *c, look *l, int64_t n) {
    const int ranks = hora_comm_size(c), self = hora_comm_rank(c);
    int64_t first, own;
    hora_str mine = {0};
    hora_str *said = hora_calloc((size_t)ranks, sizeof *said);
    hora_part_of(n, self, ranks, &first, &own);
    say_share(l->seen + first, own, &mine);
    const hora_status s = hora_comm_gather_any(c, mine.s, mine.n, said);
    for (int r = 0; r < ranks && !s; r++) {
        hora_part_of(n, r, ranks, &first, &own);
        if (r != self)
            hear_share(l->seen + first, own, said[r].s);
    }
    for (int r = 0; r < ranks; r++)
        hora_str_release(&said[r]);
    hora_free(said);
    hora_str_release(&mine);
    return s;
}

/* Ranks whose sets differ would wait for other messages than come. */
static hora_status same_set(const hora_images *s, hora_comm *c) {
    const uint64_t mine[2] = {s->info.hash, s->n};
    uint64_t *all = hora_calloc((size_t)hora_comm_size(c) * 2, sizeof *all);
    hora_status st = hora_comm_gather(c, mine, sizeof mine, all);
    for (int r = 0; r < hora_comm_size(c) && !st; r++)
        if (memcmp(all + 2 * r, all, sizeof mine) != 0)
            st = hora_fail(HORA_EMISMATCH,
                           "ranks differ: data hash is \"%016llx\" on rank 0 and \"%016llx\" on "
                           "rank %d; give all ranks the same program, model, data and options",
                           (unsigned long long)all[0], (unsigned long long)all[2 * r], r);
    hora_free(all);
    return st;
}

hora_status hora_images_look(const hora_images *s, hora_images_survey *out) {
    return hora_images_look_together(s, NULL, out);
}

hora_status hora_images_look_together(const hora_images *s, hora_comm *comm,
                                      hora_images_survey *out) {
    int64_t cap = 0, own;
    *out = (hora_images_survey){0};
    if (hora_comm_size(comm) > 1)
        HORA_TRY(same_set(s, comm));
    look l = {s, hora_calloc(s->n, sizeof *l.seen), 0};
    hora_part_of((int64_t)s->n, hora_comm_rank(comm), hora_comm_size(comm), &l.first, &own);
    hora_parallel(own, look_at, &l);
    if (hora_comm_size(comm) > 1) {
        const hora_status st = exchange(comm, &l, (int64_t)s->n);
        if (st)
            return st; /* the end of the process */
    }
    for (size_t i = 0; i < s->n; i++) {
        hora_images_bad bad = {(int64_t)i, l.seen[i].why};
        if (bad.why)
            HORA_PUSH(out->bad, out->nbad, cap, bad);
        else
            count(out, &l.seen[i].info);
        for (int c = 0; c < 256 && !bad.why; c++)
            out->with[c] += l.seen[i].with[c];
        out->masks += !bad.why && s->items[i].mask;
    }
    hora_free(l.seen);
    return HORA_OK;
}

void hora_images_survey_release(hora_images_survey *v) {
    for (int64_t i = 0; i < v->nbad; i++)
        hora_free(v->bad[i].why);
    hora_free(v->bad);
    *v = (hora_images_survey){0};
}
