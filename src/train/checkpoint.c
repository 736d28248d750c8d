/*
 * Checkpoints. A folder checkpoint-N holds the adapter (loadable on its own), state.safetensors
 * (exact f32 values and moments) and state.json (position, history, what must be equal to go on,
 * size and hash of every file). It is written as checkpoint-N.tmp, flushed and renamed, and older
 * ones go only after that: a kill at any moment leaves the newest whole checkpoint in place.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "model/family.h"
#include "train/train_impl.h"

char *hora_checkpoint_path(const char *dir, int64_t step) {
    char name[64];
    hora_snprintf(name, sizeof name, CHECKPOINT_PREFIX "%lld", (long long)step);
    return hora_path_join(dir, name);
}

/* As the mark lists it. */
static void entry_name(char name[64], int64_t step) {
    hora_snprintf(name, 64, CHECKPOINT_PREFIX "%lld/", (long long)step);
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t hora_checkpoint_number(const char *name, const char **tail) {
    int64_t step = -1;
    *tail = name;
    if (!hora_starts(name, CHECKPOINT_PREFIX))
        return -1;
    const char *digits = name + strlen(CHECKPOINT_PREFIX);
    const size_t n = strspn(digits, "0123456789");
    char *text = hora_strndup(digits, n);
    if (!hora_parse_int(text, &step))
        step = -1;
    hora_free(text);
    *tail = digits + n;
    return step;
}

hora_status hora_checkpoint_list(const char *dir, int64_t **steps, int *n) {
    char **names;
    int count, cap = 0;
    *steps = NULL;
    *n = 0;
    bool folder;
    HORA_TRY(hora_path_is_folder(dir, &folder));
    if (!folder)
        return HORA_OK;
    HORA_TRY(hora_list_dir(dir, &names, &count));
    for (int i = 0; i < count; i++) {
        const char *tail;
        const int64_t step = hora_checkpoint_number(names[i], &tail);
        if (step >= 0 && !*tail)
            HORA_PUSH(*steps, *n, cap, step);
    }
    hora_list_free(names, count);
    if (*n)
        qsort(*steps, (size_t)*n, sizeof **steps, by_number);
    return HORA_OK;
}

static hora_json *hex(uint64_t v) {
    char text[32];
    hora_snprintf(text, sizeof text, "%016llx", (unsigned long long)v);
    return hora_json_new_string(text);
}

static hora_status manifest_into(const char *root, const char *prefix, const char *skip,
                                 hora_json *out) {
    char **names = NULL;
    int n = 0;
    char *dir = *prefix ? hora_path_join(root, prefix) : hora_strdup(root);
    hora_status s = hora_list_dir(dir, &names, &n);
    for (int i = 0; i < n && !s; i++) {
        char *rel = *prefix ? hora_path_join(prefix, names[i]) : hora_strdup(names[i]);
        char *path = hora_path_join(root, rel);
        hora_map m;
        bool folder;
        if ((s = hora_path_is_folder(path, &folder)) == HORA_OK && folder) {
            s = manifest_into(root, rel, skip, out);
        } else if (!s && !hora_eq(rel, skip) && !(s = hora_map_open(&m, path))) {
            hora_json *file = hora_json_set(out, rel, hora_json_new_object());
            hora_json_set(file, "bytes", hora_json_new_int((int64_t)m.n));
            hora_json_set(file, "xxh3", hex(hora_hash64(m.data, m.n, 0)));
            hora_map_release(&m);
        }
        hora_free(path);
        hora_free(rel);
    }
    hora_list_free(names, n);
    hora_free(dir);
    return s;
}

hora_status hora_checkpoint_manifest(const char *dir, const char *skip, hora_json **out) {
    *out = hora_json_new_object();
    hora_status s = manifest_into(dir, "", skip, *out);
    if (s) {
        hora_json_free(*out);
        *out = NULL;
    }
    return s;
}

char *hora_checkpoint_tensor(const hora_training *t, const hora_state_slot *s, int kind) {
    int a = 0;
    while (t->parts.adapters[a] != s->p->adapter)
        a++;
    return hora_format("%d/%s/%s", a, kind < 0 ? "value" : t->state.optimizer->moment_name[kind],
                       s->p->name);
}

/* --- what must be equal ----------------------------------------------------------------------- */
/* The text of a row's default. */
static bool is_default(const hora_option *row, const char *text) {
    hora_option alone = *row;
    alone.offset = 0;
    const hora_options table = {"", &alone, 1};
    hora_settings none = {0};
    hora_str def = {0};
    union {
        bool b;
        int choice;
        int64_t i;
        double d;
        char *s;
    } field;
    if (hora_options_take(&table, &field, &none))
        return false;
    hora_option_format(&alone, &field, &def);
    const bool same = hora_eq(def.s, text);
    hora_str_release(&def);
    hora_options_release(&table, &field);
    return same;
}

/* An adapter's own number; what the checkpoint has and the adapter has not is a difference. */
static void put_own(hora_json *out, const hora_json *there, const char *name, bool own,
                    double value) {
    char text[32];
    if (own)
        hora_json_set(out, name, hora_json_new_string(hora_format_real(text, value)));
    else if (hora_json_get(there, name))
        hora_json_set(out, name, hora_json_new_string("the run's"));
}

/* What a resume may change is left out. An option that `there` does not know stood at its default
 * when that checkpoint was written, so a default is no difference. */
static void put_options(hora_json *out, const hora_options *table, const void *config,
                        const hora_json *there) {
    for (int i = 0; table && i < table->n; i++) {
        const hora_option *row = &table->rows[i];
        hora_str text = {0};
        if (row->flags & HORA_OPT_RESUMABLE)
            continue;
        hora_option_format(row, config, &text);
        const char *value = text.s ? text.s : "";
        if (!there || hora_json_get(there, row->name) || !is_default(row, value))
            hora_json_set(out, row->name, hora_json_new_string(value));
        hora_str_release(&text);
    }
}

hora_status hora_checkpoint_identity(hora_training *t, const hora_json *there, hora_json **out) {
    const hora_training_parts *p = &t->parts;
    uint64_t base;
    char lr[32], steps[32];
    HORA_TRY(hora_base_hash(p->base, &base));
    hora_json *o = *out = hora_json_new_object();
    hora_json *b = hora_json_set(o, "base", hora_json_new_object());
    hora_json_set(b, "model_type", hora_json_new_string(p->base->model_type));
    hora_json_set(b, "parameters", hora_json_new_int(hora_base_parameters(p->base)));
    hora_json_set(b, "hash", hex(base));
    if (p->train) {
        hora_json *d = hora_json_set(o, "data", hora_json_new_object());
        const bool old =
            hora_json_get(hora_json_get(there, "data"), "rows"); /* version 0.1's word */
        hora_json_set(d, old ? "rows" : "sequences",
                      hora_json_new_int(hora_data_about(p->train)->sequences));
        hora_json_set(d, "hash", hex(hora_data_about(p->train)->hash));
        if (hora_data_default_task(p->train) && hora_adapters_routed(p->adapters, p->nadapters))
            hora_json_set(d, "default_task",
                          hora_json_new_string(hora_data_default_task(p->train)));
    }
    for (int a = 0; a < p->nadapters; a++) {
        const hora_method *m = p->adapters[a]->method;
        char key[32];
        hora_snprintf(key, sizeof key, a ? "method %d" : "method", a + 1);
        hora_json *j = hora_json_set(o, key, hora_json_new_object());
        hora_json_set(j, "name", hora_json_new_string(m->name));
        if (!hora_eq(p->adapters[a]->name, m->name)) /* version 0.1 had no other names */
            hora_json_set(j, "adapter_name", hora_json_new_string(p->adapters[a]->name));
        if (p->adapters[a]->task || hora_json_get(hora_json_get(there, key), "adapter_task"))
            hora_json_set(j, "adapter_task",
                          hora_json_new_string(p->adapters[a]->task ? p->adapters[a]->task : ""));
        hora_json_set(j, "seed", hora_json_new_int((int64_t)p->adapters[a]->seed));
        put_own(j, hora_json_get(there, key), "lr", p->adapters[a]->lr > 0, p->adapters[a]->lr);
        put_own(j, hora_json_get(there, key), "weight_decay", p->adapters[a]->own_decay,
                p->adapters[a]->weight_decay);
        put_options(j, m->options, p->adapters[a]->config, hora_json_get(there, key));
    }
    hora_json *c = hora_json_set(o, "options", hora_json_new_object());
    put_options(c, &hora_train_options, &t->config, hora_json_get(there, "options"));
    hora_json_set(c, "lr", hora_json_new_string(hora_format_real(lr, t->lr)));
    hora_snprintf(steps, sizeof steps, "%lld", (long long)t->shape.steps);
    hora_json_set(c, "steps", hora_json_new_string(steps));
    hora_json_set(c, "seq_len", hora_json_new_int(p->seq_len));
    if (hora_local_on(t))
        hora_json_set(c, "workers", hora_json_new_int(hora_comm_size(p->comm)));
    return HORA_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */
static hora_status write_tensors(const hora_training *t, const char *dir) {
    const hora_state *st = &t->state;
    int moments = st->optimizer->moments, n = 0;
    hora_st_entry *e = hora_calloc((size_t)st->nslots * 3 + 1, sizeof *e);
    for (int i = 0; i < st->nslots; i++) {
        const hora_param *p = st->slots[i].p;
        for (int k = -1; k < (p->fixed ? 0 : moments); k++)
            e[n++] = (hora_st_entry){hora_checkpoint_tensor(t, &st->slots[i], k),
                                     {k < 0 ? p->value : p->moment[k], HORA_F32, p->shape},
                                     HORA_F32};
    }
    char *path = hora_path_join(dir, "state.safetensors");
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    for (int i = 0; i < n; i++)
        hora_free((char *)e[i].name);
    hora_free(e);
    return s;
}

char *hora_checkpoint_hash_at(char *text) {
    static const char key[] = "\"hash\": \"";
    char *at = text ? strstr(text, key) : NULL; /* the first one: it stands before all else */
    if (!at || strspn(at + sizeof key - 1, "0123456789abcdef") != 16)
        return NULL;
    return at + sizeof key - 1;
}

static hora_status write_state(hora_training *t, const char *dir) {
    char digits[32];
    hora_json *identity, *files, *o = hora_json_new_object();
    hora_str text = {0};
    char *path = hora_path_join(dir, "state.json");
    hora_training_status now;
    hora_training_get(t, &now);
    hora_status s = hora_checkpoint_identity(t, NULL, &identity);
    if (s)
        goto out;
    hora_json_set(o, "format", hora_json_new_int(2));
    hora_json_set(o, "hash", hex(0)); /* of this file, with zeros here */
    hora_json_set(o, "step", hora_json_new_int(t->step));
    hora_json_set(o, "sequences", hora_json_new_int(now.sequences));
    hora_json_set(o, "first_loss", hora_json_new_real(t->first_loss));
    hora_json_set(o, "last_loss", hora_json_new_real(t->last_loss));
    hora_json_set(o, "best_loss", hora_json_new_real(t->best_loss));
    hora_json_set(o, "best_step", hora_json_new_int(t->best_step));
    hora_json_set(o, "since_best", hora_json_new_int(t->since_best));
    hora_json *evals = hora_json_set(o, "evals", hora_json_new_array());
    for (int i = 0; i < t->nevals; i++) {
        hora_json *e = hora_json_push(evals, hora_json_new_object());
        hora_json_set(e, "step", hora_json_new_int(t->evals[i].step));
        hora_json_set(e, "loss", hora_json_new_real(t->evals[i].loss));
    }
    hora_json_set(o, "variant", hora_json_new_string(hora_device_variant(t->parts.device)));
    hora_json_set(o, "identity", identity);
    HORA_TRY_OUT(s, hora_checkpoint_manifest(dir, "state.json", &files));
    hora_json_set(o, "files", files);
    hora_json_dump(o, 2, false, &text);
    hora_str_putc(&text, '\n');
    const uint64_t hash = hora_hash64(text.s, text.n, 0);
    hora_snprintf(digits, sizeof digits, "%016llx", (unsigned long long)hash);
    memcpy(hora_checkpoint_hash_at(text.s), digits, 16);
    s = hora_file_write(path, text.s, text.n);
out:
    hora_free(path);
    hora_str_release(&text);
    hora_json_free(o);
    return s;
}

static hora_status write_adapters(hora_training *t, const char *dir) {
    char note[96];
    hora_snprintf(note, sizeof note, "Checkpoint after %lld of %lld steps%s.", (long long)t->step,
                  (long long)t->shape.steps, hora_local_on(t) ? " (local steps, DiLoCo)" : "");
    return hora_adapters_save(t->parts.adapters, t->parts.nadapters, dir, note);
}

/* Everything, flushed, under a name that no reader takes for a checkpoint. */
static hora_status write_whole(hora_training *t, const char *tmp) {
    hora_status s;
    HORA_ASSERT(t->prepared);
    HORA_TRY(hora_base_unchanged(t->parts.base));
    hora_state_pull(&t->state);
    for (int a = 0; a < t->parts.nadapters; a++)
        HORA_TRY(hora_adapter_finite(t->parts.adapters[a], false));
    if ((s = hora_mkdirs(tmp)) || (s = write_adapters(t, tmp)) || (s = write_tensors(t, tmp)) ||
        (s = hora_local_write(t, tmp)) || (s = write_state(t, tmp)) ||
        (s = hora_outdir_seal(tmp)) || (s = hora_fsync_dir(tmp)))
        hora_remove_tree(tmp);
    return s;
}

static hora_status rename_into(const char *tmp, const char *checkpoint) {
    char *parent = hora_path_dir(checkpoint);
    hora_status s = hora_rename(tmp, checkpoint);
    if (!s)
        s = hora_fsync_dir(parent);
    hora_free(parent);
    return s;
}

hora_status hora_training_save_to(hora_training *t, const char *checkpoint) {
    struct stat st;
    char *tmp = NULL;
    if (!lstat(checkpoint, &st))
        return hora_fail(HORA_EEXISTS, "%s is there already; remove it or give another name",
                         checkpoint);
    HORA_TRY(hora_mkdir_temporary(checkpoint, &tmp));
    hora_status s = write_whole(t, tmp);
    if (!s)
        s = rename_into(tmp, checkpoint);
    hora_free(tmp);
    return s;
}

/* The oldest beyond the limit; never the newest, never the best, and only what hora wrote. */
hora_status hora_training_prune(const hora_training *t, hora_outdir *o) {
    int64_t *steps;
    int n, kept = 0;
    HORA_TRY(hora_checkpoint_list(hora_outdir_path(o), &steps, &n));
    for (int i = n - 1; i >= 0 && t->config.save_limit > 0; i--) {
        char name[64];
        if (steps[i] > t->step || (steps[i] == t->best_step && steps[i] != t->step))
            continue;
        entry_name(name, steps[i]);
        bool ours;
        if (hora_outdir_owns(o, name, &ours) || !ours || kept++ < t->config.save_limit)
            continue;
        if (hora_outdir_drop(o, name))
            hora_warn("an old checkpoint could not be removed: %s", hora_errmsg());
    }
    hora_free(steps);
    return HORA_OK;
}

hora_status hora_training_save(hora_training *t, hora_outdir *o) {
    char name[64];
    entry_name(name, t->step);
    char *path = hora_checkpoint_path(hora_outdir_path(o), t->step);
    char *tmp = hora_format("%s" CHECKPOINT_TMP, path);
    char *old = hora_format("%s.old" CHECKPOINT_TMP, path);
    hora_status s = hora_outdir_claim(o, name);
    if (!s && !(s = hora_remove_tree(tmp)))
        s = write_whole(t, tmp);
    /* One of this step may stand there, damaged or of an evaluation ago. It makes room only when
     * its successor is whole; a kill in between is mended by the next resume. */
    bool there = false, ours;
    if (!s)
        s = hora_path_is_folder(path, &there);
    if (there) {
        s = hora_outdir_owns(o, name, &ours);
        if (!s && !ours)
            s = hora_fail(HORA_EEXISTS,
                          "%s holds what hora did not write; move that away, the new checkpoint is "
                          "%s",
                          path, tmp);
        else if (!s && !(s = hora_remove_tree(old)))
            s = hora_rename(path, old);
    }
    if (s)
        goto out;
    HORA_TRY_OUT(s, rename_into(tmp, path));
    s = hora_remove_tree(old);
out:
    hora_free(old);
    hora_free(tmp);
    hora_free(path);
    return s ? s : hora_training_prune(t, o);
}

/* --- folders from before the mark ------------------------------------------------------------- */
/* A README that is not hora's model card is the user's. */
static bool is_our_card(const hora_outdir *o) {
    hora_str text = {0};
    char *path = hora_path_join(hora_outdir_path(o), "README.md");
    const bool ours = hora_path_exists(path) && hora_file_read(&text, path) == HORA_OK && text.s &&
                      strstr(text.s, "made-with-hora");
    hora_free(path);
    hora_str_release(&text);
    return ours;
}

static void add_name(char ***names, int *n, int *cap, const char *name) {
    HORA_PUSH(*names, *n, *cap, hora_strdup(name));
}

/* A checkpoint's own manifest says what hora wrote (where it cannot be read, the names that hora
 * uses do); those names are hora's in OUT as well. */
static hora_status adopt_checkpoint(hora_outdir *o, const char *name, const char *dir) {
    static const char *const usual[] = {"adapter_config.json",    "adapter_model.safetensors",
                                        "hora_state.safetensors", "delta_config.json",
                                        "delta.safetensors",      "config.json",
                                        "model.safetensors",      "README.md",
                                        "state.safetensors"};
    hora_json *state = NULL;
    char **names = NULL, *path = hora_path_join(dir, "state.json");
    int n = 0, cap = 0;
    hora_status s = HORA_OK;
    hora_status read = hora_json_load(&state, path);
    const hora_json *files = read ? NULL : hora_json_get(state, "files");
    add_name(&names, &n, &cap, "state.json");
    for (void *it = hora_json_iter(files); it; it = hora_json_next(files, it))
        add_name(&names, &n, &cap, hora_json_iter_key(it));
    for (size_t i = 0; i < HORA_COUNT(usual) && !files; i++)
        add_name(&names, &n, &cap, usual[i]);
    for (int i = 0; i < n && !s && files; i++)
        if (!strchr(names[i], '/') && !hora_starts(names[i], "state.") &&
            (!hora_eq(names[i], "README.md") || is_our_card(o)))
            s = hora_outdir_adopt(o, names[i]);
    bool folder = false;
    s = s ? s : hora_path_is_folder(dir, &folder);
    if (!s && folder)
        s = hora_outdir_seal_only(dir, names, n);
    if (!s)
        s = hora_outdir_adopt(o, name);
    hora_list_free(names, n);
    hora_json_free(state);
    hora_free(path);
    return s;
}

/* Numbers of checkpoint-N, checkpoint-N.tmp and checkpoint-N.old.tmp. */
static int64_t number_of(const char *name) {
    const char *tail;
    const int64_t step = hora_checkpoint_number(name, &tail);
    const bool ours =
        !*tail || hora_eq(tail, CHECKPOINT_TMP) || hora_eq(tail, ".old" CHECKPOINT_TMP);
    return ours ? step : -1;
}

hora_status hora_training_adopt(hora_outdir *o) {
    static const char *const known[] = {"recipe.yaml", "log.jsonl", "log.csv"};
    const char *dir = hora_outdir_path(o);
    char **names;
    int n;
    hora_status s = HORA_OK;
    for (size_t i = 0; i < HORA_COUNT(known) && !s; i++)
        s = hora_outdir_adopt(o, known[i]);
    HORA_TRY(s);
    HORA_TRY(hora_list_dir(dir, &names, &n));
    for (int i = 0; i < n && !s; i++) {
        char name[64];
        const int64_t step = number_of(names[i]);
        if (hora_starts(names[i], "events.out.tfevents."))
            s = hora_outdir_adopt(o, names[i]);
        if (s || step < 0)
            continue;
        char *path = hora_checkpoint_path(dir, step);
        entry_name(name, step);
        s = adopt_checkpoint(o, name, path);
        hora_free(path);
    }
    hora_list_free(names, n);
    return s;
}
