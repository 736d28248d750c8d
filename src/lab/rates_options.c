/*
 * The options of `hora theory rates` and the groups they ask for. The default is a list of its own;
 * as soon as setting, teacher, student or init is given, every combination is taken.
 */
#include <stdlib.h>

#include "base/text.h"
#include "lab/rates.h"
#include "lab/rates_run_impl.h"

#define ROW(field, kind, def, min, max, arg, help)                                                 \
    { #field, NULL, HORA_OPT_##kind, offsetof(rates_config, field), def, min, max, NULL, arg, help }
#define OPT_OF rates_config
static const hora_option rows[] = {
    OPT_LIST(setting, "setting", NULL, NULL, "LIST",
             "over (twice the heads), exact, labelled (own base each)"),
    OPT_LIST(teacher, "teacher", NULL, NULL, "LIST",
             "linear, tanh (heads share a generator), free"),
    OPT_LIST(student, "student", NULL, NULL, "LIST",
             "lora, linear, tanh, wide, lora-wd, lora-perhead; unset: the default list"),
    OPT_LIST(init, "init", NULL, NULL, "LIST",
             "starts: near (the truth, moved), random (best of 4)"),
    OPT_LIST(n, "n", NULL, NULL, "LIST",
             "sample sizes; unset: 250,500,1000,2000,4000,8000 (quick: 250,1000,4000)"),
    OPT_INT(seeds, "seeds", NULL, "0", 0, 10000, "teachers and samples per size; 0: 16 (quick: 8)"),
    OPT_INT(seed, "seed", NULL, "0", 0, 1e9, "the first seed"),
    OPT_REAL(sigma, "sigma", NULL, "0.1", 1e-10, 10, "deviation of the noise"),
    OPT_BOOL(quick, "quick", NULL, "false", "few sizes, seeds and students: under a minute"),
    OPT_BOOL(all, "all", NULL, "false",
             "tanh and free teachers, lora-perhead and random starts too"),
    OPT_STRING(out, "out", NULL, "out/theory", "DIR",
               "folder for rates.csv, .json, .svg and the state"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "forget the fits an earlier run left in out"),
};
const hora_options hora_rates_options = {"Rates", rows, HORA_COUNT(rows)};

const char *const hora_rates_setting_names[] = {"over", "exact", "labelled", NULL};
const char *const hora_rates_teacher_names[] = {"linear", "tanh", "free", NULL};
const char *const hora_rates_init_names[] = {"near", "random", NULL};

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

hora_status hora_sizes_parse(const char *option, const char *text, int64_t least, int64_t *n,
                             int most, int *count) {
    hora_status s = HORA_OK;
    int kept = 0;
    *count = 0;
    for (char *word; s == HORA_OK && (word = hora_list_word(&text, HORA_LIST));) {
        int64_t v = 0;
        if (!hora_parse_int(word, &v) || v < least || v > 10000000)
            s = hora_fail(HORA_EUSAGE,
                          "--%s: `%s` is no sample size; give whole numbers of at "
                          "least %lld, such as 250,1000,4000",
                          option, word, (long long)least);
        else if (*count == most)
            s = hora_fail(HORA_EUSAGE, "--%s: more than %d sizes; give fewer", option, most);
        else
            n[(*count)++] = v;
        hora_free(word);
    }
    HORA_TRY(s);
    if (!*count)
        return hora_fail(HORA_EUSAGE, "--%s is empty; give sizes such as 250,1000,4000", option);
    qsort(n, (size_t)*count, sizeof *n, ascending);
    for (int i = 0; i < *count; i++)
        if (!i || n[i] != n[kept - 1])
            n[kept++] = n[i];
    *count = kept;
    return HORA_OK;
}

/* Which of `names` stand in the list, as on[]. text NULL: those of `def`. */
static hora_status choose(const char *option, const char *text, const char *def,
                          const char *const *names, int n, bool *on) {
    hora_status s = HORA_OK;
    const char *at = text ? text : def;
    int chosen = 0;
    for (char *word; s == HORA_OK && (word = hora_list_word(&at, HORA_LIST)); hora_free(word)) {
        int i = 0;
        while (i < n && !hora_eq(names[i], word))
            i++;
        if (i < n) {
            chosen += !on[i];
            on[i] = true;
            continue;
        }
        const char *near = hora_nearest(word, names, n);
        hora_str list = {0};
        for (int k = 0; k < n; k++)
            hora_str_printf(&list, "%s%s", k ? ", " : "", names[k]);
        s = hora_fail(HORA_EUSAGE, "--%s: there is no `%s`%s%s%s; choose from %s", option, word,
                      near ? " (did you mean `" : "", near ? near : "", near ? "`?)" : "", list.s);
        hora_str_release(&list);
    }
    if (s == HORA_OK && !chosen)
        s = hora_fail(HORA_EUSAGE, "--%s is empty; give at least one name", option);
    return s;
}

/* --- groups ----------------------------------------------------------------------------------- */
rates_shape hora_rates_shape_of(rates_setting s) {
    return (rates_shape){.d = 5,
                         .dh = 4,
                         .tokens = 4,
                         .heads = s == RATES_EXACT ? 3 : 6,
                         .labelled = s == RATES_LABELLED};
}

int hora_rates_teacher_heads(rates_setting s) {
    return s == RATES_LABELLED ? 6 : 3;
}

static void add(rates_run *run, const int64_t *n, int sizes, rates_setting setting,
                rates_kind teacher, const char *student, int init) {
    HORA_ASSERT(run->groups < RATES_GROUPS);
    rates_group *g = &run->group[run->groups++];
    const rates_shape s = hora_rates_shape_of(setting);
    *g = (rates_group){.setting = setting,
                       .teacher = teacher,
                       .student = hora_rates_student_find(student),
                       .init = init,
                       .heads = s.heads,
                       .sizes = sizes};
    g->p = hora_rates_model_new(g->student, &s, teacher, 0, 0).count;
    memcpy(g->n, n, (size_t)sizes * sizeof *n);
}

static void add_limit(rates_run *run, rates_setting setting, const char *student, int init) {
    static const int64_t size[] = {1000};
    add(run, size, 1, setting, RATES_LINEAR, student, init);
    run->group[run->groups - 1].limit = true;
}

typedef struct listed {
    rates_setting setting;
    rates_kind teacher;
    const char *student;
    int init, from; /* from: 0 quick too, 1 the default, 2 with --all */
} listed;
static const listed defaults[] = {
    {RATES_OVER, RATES_LINEAR, "lora", RATES_NEAR, 0},
    {RATES_OVER, RATES_LINEAR, "linear", RATES_NEAR, 0},
    {RATES_OVER, RATES_LINEAR, "wide", RATES_NEAR, 1},
    {RATES_OVER, RATES_LINEAR, "lora-wd", RATES_NEAR, 1},
    {RATES_EXACT, RATES_LINEAR, "lora", RATES_NEAR, 0},
    {RATES_EXACT, RATES_LINEAR, "linear", RATES_NEAR, 0},
    {RATES_EXACT, RATES_LINEAR, "wide", RATES_NEAR, 1},
    {RATES_LABELLED, RATES_LINEAR, "lora", RATES_NEAR, 1},
    {RATES_LABELLED, RATES_LINEAR, "linear", RATES_NEAR, 1},
    {RATES_OVER, RATES_LINEAR, "lora", RATES_RANDOM, 2},
    {RATES_OVER, RATES_LINEAR, "linear", RATES_RANDOM, 2},
    {RATES_OVER, RATES_TANH, "lora", RATES_NEAR, 2},
    {RATES_OVER, RATES_TANH, "linear", RATES_NEAR, 2},
    {RATES_OVER, RATES_TANH, "tanh", RATES_NEAR, 2},
    {RATES_EXACT, RATES_TANH, "tanh", RATES_NEAR, 2},
    {RATES_EXACT, RATES_LINEAR, "lora-perhead", RATES_NEAR, 2},
    {RATES_EXACT, RATES_FREE, "lora", RATES_NEAR, 2},
    {RATES_EXACT, RATES_FREE, "linear", RATES_NEAR, 2},
};

static void add_defaults(rates_run *run, const int64_t *n, int sizes) {
    static const char *const limits[] = {"lora", "wide", "linear"};
    const int level = run->c->all ? 2 : run->c->quick ? 0 : 1;
    for (size_t i = 0; i < HORA_COUNT(defaults); i++)
        if (defaults[i].from <= level)
            add(run, n, sizes, defaults[i].setting, defaults[i].teacher, defaults[i].student,
                defaults[i].init);
    for (size_t i = 0; i < HORA_COUNT(limits) && level; i++)
        for (int init = RATES_NEAR; init <= (level == 2 ? RATES_RANDOM : RATES_NEAR); init++)
            add_limit(run, RATES_OVER, limits[i], init);
}

static hora_status add_chosen(rates_run *run, const int64_t *n, int sizes) {
    const rates_config *c = run->c;
    const char *names[16];
    bool setting[3] = {0}, teacher[3] = {0}, student[16] = {0}, init[2] = {0};
    const int students = hora_rates_student_count;
    for (int i = 0; i < students; i++)
        names[i] = hora_rates_students[i].name;
    HORA_TRY(choose("setting", c->setting, c->quick ? "over,exact" : "over,exact,labelled",
                    hora_rates_setting_names, 3, setting));
    HORA_TRY(choose("teacher", c->teacher, "linear", hora_rates_teacher_names, 3, teacher));
    HORA_TRY(choose("student", c->student, "lora,linear", names, students, student));
    HORA_TRY(choose("init", c->init, "near", hora_rates_init_names, 2, init));
    if (student[hora_rates_student_find("tanh") - hora_rates_students] && init[RATES_NEAR] &&
        (teacher[RATES_LINEAR] || teacher[RATES_FREE]))
        return hora_fail(HORA_EUSAGE, "the student tanh can start near the teacher tanh only; give "
                                      "--teacher tanh or --init random");
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
            for (int s = 0; s < students; s++)
                for (int i = 0; i < 2; i++)
                    if (setting[a] && teacher[b] && student[s] && init[i])
                        add(run, n, sizes, (rates_setting)a, (rates_kind)b, names[s], i);
    return HORA_OK;
}

hora_status hora_rates_plan(rates_run *run, const rates_config *c) {
    int64_t n[RATES_SIZES], at = 0;
    int sizes;
    *run = (rates_run){.c = c};
    const char *text = c->n ? c->n : c->quick ? "250,1000,4000" : "250,500,1000,2000,4000,8000";
    HORA_TRY(hora_sizes_parse("n", text, 10, n, RATES_SIZES, &sizes));
    if (c->quick && c->all)
        return hora_fail(HORA_EUSAGE, "--quick and --all exclude each other; give one");
    if (c->setting || c->teacher || c->student || c->init)
        HORA_TRY(add_chosen(run, n, sizes));
    else
        add_defaults(run, n, sizes);
    for (int g = 0; g < run->groups; g++)
        run->count += run->group[g].sizes * c->seeds;
    run->rows = hora_calloc((size_t)run->count, sizeof *run->rows);
    for (int g = 0; g < run->groups; g++) {
        run->group[g].rows = run->rows + at;
        for (int k = 0; k < run->group[g].sizes; k++)
            for (int64_t seed = 0; seed < c->seeds; seed++)
                run->rows[at++] = (rates_row){
                    .group = g, .n = run->group[g].n[k], .seed = (uint64_t)(c->seed + seed)};
    }
    return HORA_OK;
}

void hora_rates_run_release(rates_run *run) {
    hora_free(run->rows);
    run->rows = NULL;
}

const rates_group *hora_rates_find(const rates_run *run, rates_setting s, rates_kind t,
                                   const char *student, int init, bool limit) {
    for (int i = 0; i < run->groups; i++) {
        const rates_group *g = &run->group[i];
        if (g->setting == s && g->teacher == t && g->init == init && g->limit == limit &&
            hora_eq(g->student->name, student))
            return g;
    }
    return NULL;
}
