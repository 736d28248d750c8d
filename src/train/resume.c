/*
 * Going on from a checkpoint. A checkpoint is whole when every file has the size and hash that
 * state.json says; what is not whole is passed over with a warning. What is whole but belongs to
 * another base, data set, method or set of options is refused, and the first difference is named.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "train/train_impl.h"

/* --- whole or not ----------------------------------------------------------------------------- */
static hora_status same_files(const char *dir, const hora_json *want) {
    hora_json *have;
    hora_status s = HORA_OK;
    if (hora_json_type(want) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT,
                         "%s/state.json: key `files` is missing; take another "
                         "checkpoint",
                         dir);
    HORA_TRY(hora_checkpoint_manifest(dir, "state.json", &have));
    for (void *it = hora_json_iter(want); it && !s; it = hora_json_next(want, it)) {
        const char *name = hora_json_iter_key(it);
        const hora_json *file = hora_json_get(have, name);
        if (!file)
            s = hora_fail(HORA_EFORMAT, "%s: %s is missing; take another checkpoint", dir, name);
        else if (!hora_json_equal(file, hora_json_iter_value(it)))
            s = hora_fail(HORA_EFORMAT, "%s: %s is not what was written; take another checkpoint",
                          dir, name);
    }
    hora_json_free(have);
    return s;
}

/* Format 2 has a hash of itself; 1 is of version 0.1 and has none. */
static hora_status check_hash(const char *path, hora_str *text) {
    char *digits = hora_checkpoint_hash_at(text->s);
    if (!digits)
        return hora_fail(HORA_EFORMAT, "%s: its hash is missing; take another checkpoint", path);
    char *stored = hora_strndup(digits, 16);
    memset(digits, '0', 16);
    const bool same = hora_hash64(text->s, text->n, 0) == strtoull(stored, NULL, 16);
    hora_free(stored);
    return same ? HORA_OK
                : hora_fail(HORA_EFORMAT, "%s: is not what was written; take another checkpoint",
                            path);
}

/* A folder called checkpoint-N is of step N. */
static hora_status check_number(const char *dir, const hora_json *state) {
    const char *tail;
    const int64_t number = hora_checkpoint_number(hora_path_base(dir), &tail);
    int64_t step = -1;
    hora_json_int(hora_json_get(state, "step"), &step);
    return number < 0 || number == step
               ? HORA_OK
               : hora_fail(HORA_EFORMAT,
                           "%s: state.json is of step %lld; give the folder its own name back", dir,
                           (long long)step);
}

/* Loads state.json and checks every file against it. */
static hora_status open_whole(const char *dir, hora_json **out) {
    char *path = hora_path_join(dir, "state.json");
    int64_t format = 0;
    hora_str text = {0};
    *out = NULL;
    hora_status s;
    HORA_TRY_OUT(s, hora_file_read(&text, path));
    HORA_TRY_OUT(s, hora_json_parse(out, text.s, text.n, path));
    HORA_TRY_OUT(s, hora_json_get_int(*out, "format", 0, &format));
    if (format != 1 && format != 2) {
        s = hora_fail(HORA_EUNSUPPORTED,
                      "%s: format %lld of another version of hora; resume with "
                      "that version",
                      path, (long long)format);
        goto out;
    }
    if (format == 2)
        HORA_TRY_OUT(s, check_hash(path, &text));
    HORA_TRY_OUT(s, check_number(dir, *out));
    s = same_files(dir, hora_json_get(*out, "files"));
out:
    if (s) {
        hora_json_free(*out);
        *out = NULL;
    }
    hora_str_release(&text);
    hora_free(path);
    return s;
}

/* --- ours or not ------------------------------------------------------------------------------ */
static void shown(const hora_json *v, hora_str *out) {
    const char *text = hora_json_string(v, NULL);
    if (text)
        hora_str_puts(out, *text ? text : "unset");
    else if (v)
        hora_json_dump(v, 0, false, out);
    else
        hora_str_puts(out, "nothing");
}

static hora_status differs(const char *dir, const char *group, const char *key,
                           const hora_json *here, const hora_json *there) {
    hora_str a = {0}, b = {0};
    shown(here, &a);
    shown(there, &b);
    hora_status s;
    if (hora_eq(key, "workers"))
        s = hora_fail(HORA_EMISMATCH,
                      "%s was written by %s ranks with local steps (sync_every), and these are %s; "
                      "go on with %s ranks",
                      dir, b.s, a.s, b.s);
    else
        s = hora_fail(HORA_EMISMATCH,
                      "%s: %s %s is %s there and %s here; resume with what it was made with, or "
                      "start anew (init_adapter takes its values)",
                      dir, group, key, b.s, a.s);
    hora_str_release(&a);
    hora_str_release(&b);
    return s;
}

static hora_status same_group(const char *dir, const char *group, const hora_json *here,
                              const hora_json *there) {
    for (void *it = hora_json_iter(here); it; it = hora_json_next(here, it)) {
        const char *key = hora_json_iter_key(it);
        const hora_json *a = hora_json_iter_value(it), *b = hora_json_get(there, key);
        const hora_option *row =
            hora_eq(group, "options") ? hora_options_find(&hora_train_options, key) : NULL;
        if (!(row && row->flags & HORA_OPT_RESUMABLE) && !hora_json_equal(a, b))
            return differs(dir, group, key, a, b);
    }
    return HORA_OK;
}

/* A run may become longer (or end earlier than planned): what is done stays, what is left follows
 * the schedule of the new length. */
static hora_status other_length(const hora_training *t, const char *dir, const hora_json *there,
                                int64_t taken) {
    const hora_json *options = hora_json_get(there, "options");
    const char *text = hora_json_string(hora_json_get(options, "steps"), NULL);
    int64_t old = 0;
    if (!text || !hora_parse_int(text, &old) || old == t->shape.steps)
        return HORA_OK;
    if (t->shape.steps < taken)
        return hora_fail(
            HORA_EMISMATCH,
            "%s has taken %lld steps already, and steps=%lld ends before; give at least "
            "that many, or start anew (init_adapter takes its values)",
            dir, (long long)taken, (long long)t->shape.steps);
    hora_info(
        "steps: %lld there, %lld here; goes on from step %lld, the schedule (%s) is that of %lld "
        "steps from here on",
        (long long)old, (long long)t->shape.steps, (long long)taken,
        hora_schedule_at(t->config.schedule)->name, (long long)t->shape.steps);
    return HORA_OK;
}

static hora_status same_identity(hora_training *t, const char *dir, const hora_json *there) {
    hora_json *here;
    hora_status s = hora_checkpoint_identity(t, there, &here);
    HORA_TRY(s);
    for (void *it = hora_json_iter(there); it && !s; it = hora_json_next(there, it)) {
        const char *group = hora_json_iter_key(it);
        if (hora_starts(group, "method") && !hora_json_get(here, group))
            s = hora_fail(HORA_EMISMATCH,
                          "%s holds more adapters than train here; resume with all of them", dir);
    }
    for (void *it = hora_json_iter(here); it && !s; it = hora_json_next(here, it)) {
        const char *group = hora_json_iter_key(it);
        s = same_group(dir, group, hora_json_iter_value(it), hora_json_get(there, group));
    }
    hora_json_free(here);
    return s;
}

/* --- reading ---------------------------------------------------------------------------------- */
/* One tensor of every parameter: kind -1 the values, else a moment. */
static hora_status read_span(hora_training *t, const hora_st *st, const char *dir, int kind) {
    for (int i = 0; i < t->state.nslots; i++) {
        hora_param *p = t->state.slots[i].p;
        if (p->fixed && kind >= 0)
            continue;
        char *name = hora_checkpoint_tensor(t, &t->state.slots[i], kind);
        const hora_st_tensor *e = hora_st_find(st, name);
        bool ok = e && e->view.dtype == HORA_F32 && hora_shape_equal(&e->view.shape, &p->shape);
        if (ok)
            memcpy(kind < 0 ? p->value : p->moment[kind], e->view.data,
                   (size_t)p->elems * sizeof(float));
        hora_status s = ok ? HORA_OK
                           : hora_fail(HORA_EMISMATCH,
                                       "%s/state.safetensors: %s is %s; resume with the method "
                                       "and options it was made with",
                                       dir, name, e ? "of another shape" : "missing");
        hora_free(name);
        HORA_TRY(s);
    }
    return HORA_OK;
}

static hora_status read_tensors(hora_training *t, const char *dir, bool moments) {
    hora_st *st;
    char *path = hora_path_join(dir, "state.safetensors");
    hora_status s = hora_st_open(&st, path);
    hora_state_pull(&t->state); /* moments that are not read stay as they are */
    for (int k = -1; !s && k < (moments ? t->state.optimizer->moments : 0); k++)
        s = read_span(t, st, dir, k);
    hora_state_push(&t->state);
    hora_st_close(st);
    hora_free(path);
    return s;
}

static double real_or_nan(const hora_json *o, const char *key) {
    double v;
    return hora_json_real(hora_json_get(o, key), &v) ? v : NAN;
}

static hora_status read_position(hora_training *t, const char *dir, const hora_json *o) {
    const hora_json *evals = hora_json_get(o, "evals");
    int64_t step, best, since;
    HORA_TRY(hora_json_get_int(o, "step", -1, &step));
    HORA_TRY(hora_json_get_int(o, "best_step", 0, &best));
    HORA_TRY(hora_json_get_int(o, "since_best", 0, &since));
    if (step < 0 || step > t->shape.steps)
        return hora_fail(HORA_EFORMAT,
                         "%s/state.json: step %lld of a run of %lld; take another "
                         "checkpoint",
                         dir, (long long)step, (long long)t->shape.steps);
    t->step = step;
    t->best_step = best;
    t->since_best = since;
    t->first_loss = real_or_nan(o, "first_loss");
    t->last_loss = real_or_nan(o, "last_loss");
    t->best_loss = real_or_nan(o, "best_loss");
    t->nevals = 0;
    for (size_t i = 0; i < hora_json_len(evals); i++) {
        const hora_json *e = hora_json_at(evals, i);
        past_eval p = {0, real_or_nan(e, "loss")};
        HORA_TRY(hora_json_get_int(e, "step", 0, &p.step));
        HORA_PUSH(t->evals, t->nevals, t->cevals, p);
    }
    return HORA_OK;
}

static hora_status take(hora_training *t, const char *dir, const hora_json *state) {
    const char *variant;
    int64_t taken;
    HORA_TRY(same_identity(t, dir, hora_json_get(state, "identity")));
    HORA_TRY(hora_json_get_int(state, "step", 0, &taken));
    HORA_TRY(other_length(t, dir, hora_json_get(state, "identity"), taken));
    HORA_TRY(read_tensors(t, dir, true));
    HORA_TRY(hora_local_read(t, dir));
    HORA_TRY(read_position(t, dir, state));
    HORA_TRY(hora_json_get_string(state, "variant", "", &variant));
    const char *here = hora_device_variant(t->parts.device);
    if (!hora_eq(variant, here))
        hora_warn("%s was computed with %s kernels, this one uses %s: the run goes on, but "
                  "not bit for bit",
                  dir, variant, here);
    hora_training_diagnose(t);
    return hora_training_feed(t);
}

hora_status hora_training_resume_from(hora_training *t, const char *checkpoint) {
    hora_json *state;
    HORA_ASSERT(t->prepared);
    HORA_TRY(open_whole(checkpoint, &state));
    hora_status s = take(t, checkpoint, state);
    hora_json_free(state);
    return s;
}

/* An error when it cannot be found out: then nothing may be removed. */
static hora_status look_whole(const char *dir, bool *whole) {
    hora_json *state = NULL;
    const hora_status s = open_whole(dir, &state);
    hora_json_free(state);
    *whole = s == HORA_OK;
    return s == HORA_EIO || s == HORA_ENOMEM ? s : HORA_OK;
}

hora_status hora_training_mend(hora_outdir *o) {
    char **names;
    int n;
    hora_status s = HORA_OK;
    HORA_TRY(hora_list_dir(hora_outdir_path(o), &names, &n));
    for (int i = n - 1; i >= 0 && !s; i--) {
        bool ours;
        if (!hora_starts(names[i], CHECKPOINT_PREFIX) || !hora_ends(names[i], CHECKPOINT_TMP) ||
            (s = hora_outdir_owns(o, names[i], &ours)) != HORA_OK || !ours)
            continue;
        char *torn = hora_path_join(hora_outdir_path(o), names[i]);
        /* of checkpoint-N.tmp and checkpoint-N.old.tmp the first is the newer; it comes first */
        char *name = hora_strndup(torn, strlen(torn) - strlen(CHECKPOINT_TMP));
        if (hora_ends(name, ".old"))
            name[strlen(name) - 4] = 0;
        bool whole = false;
        if (!hora_path_exists(name))
            s = look_whole(torn, &whole);
        if (s) {
            hora_free(name);
            hora_free(torn);
            break;
        }
        if (whole) {
            s = hora_outdir_seal(torn);
            if (!s)
                s = hora_rename(torn, name);
        } else {
            s = hora_remove_tree(torn);
        }
        hora_free(name);
        hora_free(torn);
    }
    hora_list_free(names, n);
    return s;
}

hora_status hora_training_resume(hora_training *t, const char *dir) {
    int64_t *steps;
    int n;
    hora_status s = HORA_ENOTFOUND;
    char *why = NULL; /* of the newest that is passed over */
    HORA_ASSERT(t->prepared);
    HORA_TRY(hora_checkpoint_list(dir, &steps, &n));
    for (int i = n - 1; i >= 0 && s == HORA_ENOTFOUND; i--) {
        char *path = hora_checkpoint_path(dir, steps[i]);
        hora_json *state;
        if (open_whole(path, &state) == HORA_OK) {
            s = take(t, path, state);
            hora_json_free(state);
        } else {
            hora_warn("checkpoint passed over: %s", hora_errmsg());
            why = why ? why : hora_strdup(hora_errmsg());
        }
        hora_free(path);
    }
    hora_free(steps);
    if (s == HORA_ENOTFOUND)
        s = hora_fail(HORA_ENOTFOUND,
                      "%s has no whole checkpoint to resume from%s%s; start anew (without resume)",
                      dir, why ? ": " : "", why ? why : "");
    hora_free(why);
    return s;
}

hora_status hora_training_take_best(hora_training *t, const char *dir) {
    if (!t->best_step || t->best_step == t->step)
        return HORA_OK;
    hora_json *state;
    char *path = hora_checkpoint_path(dir, t->best_step);
    hora_status s = open_whole(path, &state);
    if (!s)
        s = read_tensors(t, path, false);
    hora_json_free(state);
    hora_free(path);
    return s;
}
