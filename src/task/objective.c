/*
 * A task made definite: which classes there are, in which order, and what their head is. Names come
 * from the model's config.json or the adapter; where neither has any, from the data, in byte order,
 * whole numbers by size.
 */
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "format/peft_config.h"
#include "format/safetensors.h"
#include "model/family.h"
#include "task/objective.h"

/* --- choosing --------------------------------------------------------------------------------- */
static const char *architecture(const hora_json *config) {
    return hora_json_string(hora_json_at(hora_json_get(config, "architectures"), 0), NULL);
}

/* The class ends in one of the task's words. */
static bool made_for(const hora_json *config, const hora_task *t) {
    const char *a = architecture(config);
    for (const char *p = t->architecture; a && p && *p;) {
        const size_t n = strcspn(p, " "), len = strlen(a);
        if (len >= n && strncmp(a + len - n, p, n) == 0)
            return true;
        p += n + (p[n] != '\0');
    }
    return false;
}

/* What config.json calls them under problem_type. */
static const char *const problems[] = {[HORA_LOSS_XENT] = "single_label_classification",
                                       [HORA_LOSS_BCE] = "multi_label_classification",
                                       [HORA_LOSS_MSE] = "regression"};

void hora_objective_forget_names(hora_objective *o) {
    for (int64_t i = 0; o->names && i < o->classes; i++)
        hora_free(o->names[i]);
    hora_free(o->names);
    o->names = NULL;
    o->classes = 0;
}

/* "LABEL_3": what transformers calls a class nobody named. */
const char *hora_objective_spare_name(char text[40], int64_t i) {
    hora_snprintf(text, 40, "LABEL_%lld", (long long)i);
    return text;
}

/* Classes that a config names under id2label, or counts under num_labels: transformers' two. */
static hora_status class_count(int64_t *n, const hora_json *from) {
    const hora_json *map = hora_json_get(from, "id2label");
    *n = hora_json_type(map) == HORA_JOBJECT ? (int64_t)hora_json_len(map) : 0;
    return *n ? HORA_OK : hora_json_get_int(from, "num_labels", 2, n);
}

/* Says once that the two maps of a config name different classes. */
static void compare_maps(const hora_objective *o, const hora_json *from) {
    const hora_json *back = hora_json_get(from, "label2id");
    for (int64_t i = 0; hora_json_type(back) == HORA_JOBJECT && i < o->classes; i++) {
        const hora_json *v = hora_json_get(back, o->names[i]);
        const char *text = hora_json_string(v, NULL);
        int64_t id = i;
        if (text ? hora_parse_int(text, &id) && id != i : hora_json_int(v, &id) && id != i) {
            for (int64_t k = 0; k < o->classes; k++)
                if (k != i && hora_eq(o->names[k], o->names[i]))
                    return; /* a name that stands twice */
            hora_warn("config.json: label2id calls `%s` class %lld, id2label class %lld: id2label "
                      "counts",
                      o->names[i], (long long)id, (long long)i);
            return;
        }
    }
}

/* Names under id2label, or num_labels placeholders, or transformers' two. */
static hora_status take_names(hora_objective *o, const hora_json *from) {
    const hora_json *map = hora_json_get(from, "id2label");
    int64_t n;
    HORA_TRY(class_count(&n, from));
    if (n < 1 || n > 1 << 24)
        return hora_fail(HORA_EFORMAT, "config.json: num_labels %lld makes no head", (long long)n);
    hora_objective_forget_names(o);
    o->classes = n;
    o->own_classes = true;
    o->names = hora_calloc((size_t)n, sizeof *o->names);
    for (int64_t i = 0; i < n; i++) {
        char key[24], spare[40];
        hora_snprintf(key, sizeof key, "%lld", (long long)i);
        const hora_json *v = hora_json_get(map, key);
        if (map && hora_json_len(map) && !hora_json_string(v, NULL))
            return hora_fail(HORA_EFORMAT, "id2label has %lld names, but none for class %lld",
                             (long long)n, (long long)i);
        o->names[i] =
            hora_strdup(v ? hora_json_string(v, NULL) : hora_objective_spare_name(spare, i));
    }
    compare_maps(o, from);
    return HORA_OK;
}

static hora_status take_problem(hora_objective *o, const hora_json *from) {
    const char *type = hora_json_string(hora_json_get(from, "problem_type"), NULL);
    o->loss = o->task->loss;
    if (!type && o->task->labels == HORA_LABELS_CLASS && o->task->pictures && o->classes == 1) {
        o->loss = HORA_LOSS_MSE;
        hora_info("config.json: one output and no problem_type: its number is taken as it is");
    }
    if (!type || o->task->labels == HORA_LABELS_TAG || o->task->labels == HORA_LABELS_PIXELS)
        return HORA_OK;
    for (int i = 0; i < (int)HORA_COUNT(problems); i++)
        if (hora_eq(type, problems[i])) {
            /* another task's: that one was asked for by name */
            if (o->task->pictures || (i == HORA_LOSS_MSE) == (o->task->loss == HORA_LOSS_MSE))
                o->loss = (hora_loss_kind)i;
            return HORA_OK;
        }
    return hora_fail(HORA_EUNSUPPORTED,
                     "config.json: problem_type `%s` is not known; there are "
                     "single_label_classification, multi_label_classification and regression",
                     type);
}

/* What segment's head is, and its loss; which clips are read. */
static void take_shape(hora_objective *o, const hora_json *from) {
    const char *head = hora_json_string(hora_json_get(from, "segment_head"), NULL);
    const char *seen = hora_json_string(hora_json_get(from, "frame_attention"), NULL);
    double dice;
    int64_t frames;
    if (o->task->pictures && seen && hora_json_int(hora_json_get(from, "frames"), &frames) &&
        frames > 0 && frames <= HORA_FRAMES_MOST) {
        o->frames = frames;
        o->joint = hora_eq(seen, "joint");
    }
    if (o->task->labels != HORA_LABELS_PIXELS || !head)
        return;
    o->told = true;
    o->upsampled = hora_eq(head, "upsampled");
    if (hora_json_real(hora_json_get(from, "dice"), &dice) && dice >= 0 && dice < 1e6)
        o->dice = dice;
}

void hora_objective_shape(hora_objective *o, double dice, bool upsampled) {
    o->dice = dice;
    o->upsampled = upsampled;
}

hora_status hora_objective_clips(hora_objective *o, hora_base *base, int64_t frames,
                                 int attention) {
    hora_vision *v = base->vision;
    if (frames)
        o->frames = frames;
    if (attention != HORA_FRAMES_AUTO)
        o->joint = attention == HORA_FRAMES_JOINT;
    if (!frames && attention == HORA_FRAMES_AUTO && !o->frames)
        return HORA_OK;
    if (!v || o->task->labels != HORA_LABELS_CLASS)
        return hora_fail(HORA_EUSAGE,
                         "%s is not for clips: leave frames and "
                         "frame_attention out, or give --task image-classification",
                         v ? o->task->name : base->model_type);
    if (!o->frames && !v->fixed)
        return hora_fail(HORA_EUSAGE, "frame_attention is of clips; give frames too, as many as "
                                      "are taken of each");
    return hora_vision_clips(v, o->frames ? o->frames : v->frames, o->joint);
}

static bool is_regression(const hora_json *c) {
    const char *type = hora_json_string(hora_json_get(c, "problem_type"), NULL);
    int64_t n;
    if (class_count(&n, c))
        return false;
    return type ? hora_eq(type, "regression") : n == 1;
}

/* The first row that fits the model's class; of the two with one class, what the rest tells. */
static const hora_task *task_of(const hora_json *config) {
    const hora_task *found = NULL;
    for (int i = 0; i < hora_task_count(); i++) {
        const hora_task *t = hora_task_at(i);
        if (made_for(config, t) && (!found || (t->loss == HORA_LOSS_MSE && is_regression(config))))
            found = t;
    }
    const hora_family *family = hora_family_of(config);
    for (int i = 0; !found && family && family->vision && i < hora_task_count(); i++)
        found = hora_task_at(i)->pictures ? hora_task_at(i) : NULL;
    if (!found && family && family->encoder && !family->vision)
        return hora_task_named("embedding"); /* an encoder writes no text */
    return found ? found : hora_objective_causal()->task;
}

static void become(hora_objective *o, const hora_task *t) {
    o->task = t;
    o->loss = t->loss;
    o->rule = (hora_data_rule){.labels = t->labels,
                               .ranges = o->encoder ? hora_ranges_whole : t->ranges,
                               .targets = t->targets,
                               .pad = o->pad,
                               .own = o};
}

/* A task of pictures for a model of text, or the other way round. */
static hora_status check_kind(const hora_objective *o, const hora_json *config) {
    const hora_family *f = hora_family_of(config);
    if (!f || o->task->pictures == f->vision)
        return HORA_OK;
    return hora_fail(HORA_EUSAGE, "task %s: a %s reads %s", o->task->name,
                     hora_json_string(hora_json_get(config, "model_type"), NULL),
                     f->vision ? "pictures; give --task image-classification"
                               : "text; give another --task");
}

hora_status hora_objective_choose(hora_objective *o, const char *name, const hora_json *config) {
    int64_t pad;
    const hora_family *family = hora_family_of(config);
    *o = (hora_objective){
        .pad = -1, .encoder = family && family->encoder, .similarity_scale = 20, .dice = 1};
    const hora_task *t = name ? hora_task_named(name) : task_of(config);
    if (!t)
        return hora_task_unknown(name);
    if (hora_json_int(hora_json_get(config, "pad_token_id"), &pad) && pad >= 0 && pad <= INT32_MAX)
        o->pad = (int32_t)pad;
    become(o, t);
    HORA_TRY(check_kind(o, config));
    if (!t->head)
        return HORA_OK;
    static const char *const keys[] = {"hidden_dropout", "hidden_dropout_prob",
                                       "seq_classif_dropout", "classifier_dropout"};
    o->head_dropout = t->head_dropout;
    for (size_t i = 0; i < HORA_COUNT(keys) && t->head_dropout > 0; i++) /* the last one counts */
        HORA_TRY(hora_json_get_real(config, keys[i], o->head_dropout, &o->head_dropout));
    if (!made_for(config, t))
        return HORA_OK;
    HORA_TRY(take_names(o, config));
    take_shape(o, config);
    return take_problem(o, config);
}

/* --- from an adapter -------------------------------------------------------------------------- */
/* A whole head saved beside the factors: "base_model.model.score.weight", RoBERTa's
 * "..classifier.out_proj.weight", not the layer in front of DistilBERT's. */
static bool is_head(const char *name) {
    char *module, *full = NULL;
    hora_peft_part part;
    if (hora_starts(name, "base_model.") && !hora_starts(name, "base_model.model."))
        full = hora_format("base_model.model.%s", name + strlen("base_model.")); /* of prompts */
    const bool ours =
        hora_peft_parse_key(full ? full : name, &module, &part) == HORA_OK &&
        part == HORA_PEFT_WEIGHT &&
        (hora_ends(module, ".out_proj") || (!strchr(module, '.') && !hora_eq(module, "lm_head") &&
                                            !hora_eq(module, "pre_classifier")));
    hora_free(module);
    hora_free(full);
    return ours;
}

/* Classes of the head in adapter_model.safetensors; 0: it holds none. */
static hora_status head_rows(int64_t *n, const char *dir) {
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_st *st = NULL;
    *n = 0;
    hora_status s = hora_path_exists(path) ? hora_st_open(&st, path) : HORA_OK;
    hora_free(path);
    for (int i = 0; st && i < hora_st_count(st); i++)
        if (is_head(hora_st_at(st, i)->name) && hora_st_at(st, i)->view.shape.n == 2)
            *n = hora_st_at(st, i)->view.shape.d[0];
    hora_st_close(st);
    return s;
}

static const hora_task *task_of_type(const char *type, bool numbers) {
    const hora_task *found = NULL;
    for (int i = 0; type && i < hora_task_count(); i++) {
        const hora_task *t = hora_task_at(i);
        if (hora_eq(t->task_type, type) && (!found || (numbers && t->loss == HORA_LOSS_MSE)))
            found = t;
    }
    return found;
}

/* The config of the head that the adapter was trained with, as config.json would say it. */
static hora_status adapter_words(hora_json **out, const char *dir) {
    hora_json *words = NULL, *peft = NULL;
    int64_t rows;
    hora_status s;
    HORA_TRY_OUT(s, hora_json_load_beside(&words, dir, "task.json"));
    HORA_TRY_OUT(s, hora_json_load_beside(&peft, dir, "adapter_config.json"));
    HORA_TRY_OUT(s, head_rows(&rows, dir));
    if (!words && peft)
        words = hora_json_new_object();
    if (words && !hora_json_get(words, "task_type") && peft && hora_json_get(peft, "task_type"))
        hora_json_set(words, "task_type", hora_json_copy(hora_json_get(peft, "task_type")));
    if (words && rows && !hora_json_get(words, "id2label"))
        hora_json_set(words, "num_labels", hora_json_new_int(rows));
out:
    hora_json_free(peft);
    *out = words;
    return s;
}

hora_status hora_objective_adapter(hora_objective *o, const char *name, const char *dir) {
    hora_json *words;
    hora_status s = adapter_words(&words, dir);
    if (s) {
        hora_json_free(words);
        return s;
    }
    const char *type = hora_json_string(hora_json_get(words, "task_type"), NULL);
    const hora_task *t = name ? o->task : task_of_type(type, is_regression(words));
    if (t && t != o->task && (t->head || o->task->head || t->body)) {
        const hora_objective was = *o;
        become(o, t);
        o->head_dropout = was.task->head ? was.head_dropout : t->head_dropout;
    }
    if (o->task->head && (type ? hora_eq(type, o->task->task_type) : o->task->pictures) &&
        (hora_json_get(words, "id2label") || hora_json_get(words, "num_labels"))) {
        s = take_names(o, words);
        take_shape(o, words);
        o->brought = true;
        if (!s)
            s = take_problem(o, words);
    }
    hora_json_free(words);
    return s;
}

hora_status hora_objective_soften(hora_objective *o, double smoothing, bool mixed) {
    if (!(smoothing > 0) && !mixed)
        return HORA_OK;
    if (o->task->labels != HORA_LABELS_CLASS || o->loss != HORA_LOSS_XENT)
        return hora_fail(HORA_EUSAGE,
                         "label_smoothing, mixup and cutmix need one class for each record; leave "
                         "them out");
    if (mixed && !o->task->pictures)
        return hora_fail(HORA_EUSAGE, "mixup and cutmix mix pictures; leave them out");
    o->smoothing = smoothing;
    o->soft = true;
    return HORA_OK;
}

/* --- settling --------------------------------------------------------------------------------- */
/* Of transformers' class, the part that is the model's: "BertForMaskedLM", "ViTModel",
 * "CLIPVisionModelWithProjection". NULL: it is none of these. */
static char *class_stem(const char *name) {
    static const char *const cuts[] = {"For", "VisionModel", "LMHeadModel", "Model", "Backbone"};
    for (size_t i = 0; name && i < HORA_COUNT(cuts); i++) {
        const char *cut = strstr(name, cuts[i]);
        if (cut && cut > name)
            return hora_strndup(name, (size_t)(cut - name));
    }
    return NULL;
}

/* The class of the model with this head. */
static char *class_name(const hora_objective *o, const hora_base *b) {
    static const char clips[] = "ForVideoClassification";
    const char *was = architecture(b->config), *type = b->model_type;
    const char *own = o->task->architecture;
    if (made_for(b->config, o->task))
        return hora_strdup(was);
    const bool video = b->vision && b->vision->fixed && hora_has_word(own, clips);
    char *stem = class_stem(was);
    stem =
        stem ? stem
             : hora_format("%c%s", type[0] - ('a' <= type[0] && type[0] <= 'z' ? 32 : 0), type + 1);
    char *name = video ? hora_format("%s%s", stem, clips)
                       : hora_format("%s%.*s", stem, (int)strcspn(own, " "), own);
    hora_free(stem);
    return name;
}

/* config.json of the model with this head: its class, names, problem. */
static void tell_config(const hora_objective *o, hora_base *b) {
    hora_json *c = b->config;
    char *name = class_name(o, b);
    hora_json *list = hora_json_new_array();
    hora_json_push(list, hora_json_new_string(name));
    hora_json_set(c, "architectures", list);
    hora_free(name);
    hora_json *ids = hora_json_new_object(), *labels = hora_json_new_object();
    for (int64_t i = 0; i < o->classes; i++) {
        char key[24], spare[40];
        hora_snprintf(key, sizeof key, "%lld", (long long)i);
        const char *label = o->names ? o->names[i] : hora_objective_spare_name(spare, i);
        hora_json_set(ids, key, hora_json_new_string(label));
        hora_json_set(labels, label, hora_json_new_int(i));
    }
    hora_json_set(c, "id2label", ids);
    hora_json_set(c, "label2id", labels);
    if (o->task->labels != HORA_LABELS_TAG && o->task->labels != HORA_LABELS_PIXELS)
        hora_json_set(c, "problem_type", hora_json_new_string(problems[o->loss]));
}

static hora_status classes_of(hora_objective *o, hora_dataset *data, bool train, bool *fresh) {
    const hora_label_table *t = data ? hora_data_labels(data) : NULL;
    if (t && o->task->labels == HORA_LABELS_NUMBER) {
        if (!o->classes)
            o->classes = t->numbers;
        if (train && o->classes != t->numbers) {
            hora_objective_forget_names(o);
            o->classes = t->numbers;
            *fresh = true;
        }
    } else if (t) {
        if (t->several && o->task->labels == HORA_LABELS_CLASS && !o->own_classes)
            o->loss = HORA_LOSS_BCE;
        HORA_TRY(hora_objective_decide(o, t, train, fresh));
    }
    if (!o->classes)
        return hora_fail(HORA_EUSAGE,
                         "the model has no head for %s, and without data nobody knows its classes; "
                         "give data or an adapter",
                         o->task->name);
    return HORA_OK;
}

hora_status hora_objective_classes(hora_objective *o, hora_dataset *data, hora_dataset *eval,
                                   bool train, bool *fresh) {
    *fresh = false;
    HORA_TRY(classes_of(o, data, train, fresh));
    if (data)
        HORA_TRY(hora_objective_number(o, data));
    if (eval && (!data || hora_data_labels(eval) != hora_data_labels(data)))
        HORA_TRY(hora_objective_number(o, eval));
    return HORA_OK;
}

/* DeiT with a distillation head beside the other: transformers uses both, but trains neither: a
 * training has one new head. */
static bool taught(const hora_json *config) {
    const hora_json *list = hora_json_get(config, "architectures");
    const char *name = hora_json_string(hora_json_at(list, 0), NULL);
    return name && hora_ends(name, "WithTeacher");
}

hora_status hora_objective_settle(hora_objective *o, hora_base *base, hora_dataset *data,
                                  hora_dataset *eval, bool train, uint64_t seed) {
    bool fresh = false;
    if (o->settled || !o->task->head) {
        o->settled = true;
        if (o->task->body)
            base->task_type = o->task->task_type;
        return HORA_OK;
    }
    HORA_TRY(hora_objective_classes(o, data, eval, train, &fresh));
    fresh |= train && taught(base->config);
    if (o->task->labels == HORA_LABELS_PIXELS) {
        hora_json_set(base->config, "segment_head",
                      hora_json_new_string(o->upsampled ? "upsampled" : "linear"));
        hora_json_set(base->config, "dice", hora_json_new_real(o->dice));
    }
    if (o->frames > 1 || hora_json_get(base->config, "frames")) {
        hora_json_set(base->config, "frames", hora_json_new_int(hora_max(o->frames, 1)));
        hora_json_set(base->config, "frame_attention",
                      hora_json_new_string(o->joint ? "joint" : "apart"));
    }
    base->head_elsewhere = !train || o->brought;
    HORA_TRY(hora_base_head(base, o->task->task_type, o->classes, o->task->head_bias, fresh, seed));
    base->task_type = o->task->task_type;
    base->head_trains = train;
    tell_config(o, base);
    o->settled = true;
    return HORA_OK;
}

hora_status hora_objective_balance(hora_objective *o, const hora_dataset *data) {
    const int64_t k = o->classes;
    int64_t all = 0, met = 0;
    if (!o->names || o->loss != HORA_LOSS_XENT || o->task->labels == HORA_LABELS_PIXELS)
        return hora_fail(HORA_EUSAGE, "class_weights=balanced needs one class for each record; "
                                      "leave it out for numbers, lists of classes, pixels and "
                                      "language modelling");
    int64_t *count = hora_calloc((size_t)k, sizeof *count);
    hora_data_count_classes(data, count, k);
    for (int64_t i = 0; i < k; i++) {
        all += count[i];
        met += count[i] > 0;
    }
    hora_free(o->class_weight);
    o->class_weight = hora_malloc((size_t)k * sizeof *o->class_weight);
    for (int64_t i = 0; i < k; i++)
        o->class_weight[i] = count[i] ? (float)((double)all / ((double)met * (double)count[i])) : 1;
    hora_free(count);
    return HORA_OK;
}

void hora_objective_release(hora_objective *o) {
    hora_free(o->class_weight);
    hora_objective_forget_names(o);
    *o = (hora_objective){0};
}
