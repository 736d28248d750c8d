/* hora data: what of a data file is trained on, record by record and in numbers. */
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/outdir.h"
#include "base/text.h"
#include "format/image.h"
#include "task/task.h"
#include "tool/data_pictures.h"
#include "tool/tool.h"

typedef struct config {
    char *model, *task, *labels, *sheet;
    int64_t record, show, frames;
    bool overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(
        model, "model", NULL, NULL, "DIR",
        "directory with the tokenizer and its chat template; no weights are needed; without it "
        "records with labels are read as bytes"),
    OPT_STRING(task, "task", "task_type", NULL, "NAME",
               "read the records as this task does: " HORA_TASK_NAMES
               "; unset: what the model is made for"),
    OPT_INT(record, "record", NULL, "0", 0, 9e15,
            "show this record, counted from 1, with its ids; 0: the first ones"),
    OPT_INT(show, "show", NULL, "3", 0, 1e9, "how many sequences are shown"),
    OPT_STRING(labels, "labels", NULL, NULL, "DIR",
               "of pictures: number the classes as this set does, by their names"),
    OPT_STRING(sheet, "sheet", NULL, NULL, "FILE",
               "of pictures: PNG to write, 64 of them as training would see them"),
    OPT_INT(frames, "frames", NULL, NULL, 2, HORA_FRAMES_MOST,
            "of clips, folders of frames: count them, of so many frames each; unset: as the "
            "model's files say"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace the sheet of an earlier run"),
};
static const hora_options options = {"Data shown", rows, HORA_COUNT(rows)};

/* ---- sequences ---- */
static void put_run(const hora_json *run, bool colour) {
    size_t n;
    const char *s = hora_json_string(hora_json_get(run, "text"), &n);
    bool on = false;
    hora_json_bool(hora_json_get(run, "supervised"), &on);
    fputs(!on ? "" : colour ? "\033[1;32m" : "[[", stdout);
    fwrite(s, 1, n, stdout);
    fputs(!on ? "" : colour ? "\033[0m" : "]]", stdout);
}

static void put_ids(const hora_json *sequence) {
    const hora_json *ids = hora_json_get(sequence, "ids"), *mask = hora_json_get(sequence, "mask");
    bool on = false;
    printf("ids:");
    for (size_t i = 0; i < hora_json_len(ids); i++) {
        int64_t id = 0, m = 0;
        hora_json_int(hora_json_at(ids, i), &id);
        hora_json_int(hora_json_at(mask, i), &m);
        printf("%s %s%lld", on && !m ? "]]" : "", m && !on ? "[[" : "", (long long)id);
        on = m != 0;
    }
    puts(on ? "]]" : "");
}

static void put_sequence(const hora_json *sequence, bool with_ids) {
    const hora_json *runs = hora_json_get(sequence, "runs");
    const char *file = hora_cli_text(sequence, "file");
    double cut = hora_cli_number(sequence, "cut");
    bool colour = isatty(STDOUT_FILENO);
    printf("--- record %.0f, %s%sline %.0f, %s: %.0f tokens, %.0f supervised",
           hora_cli_number(sequence, "record"), file, *file ? ", " : "",
           hora_cli_number(sequence, "line"), hora_cli_text(sequence, "kind"),
           hora_cli_number(sequence, "tokens"), hora_cli_number(sequence, "supervised"));
    if (cut > 0)
        printf(", %.0f cut off", cut);
    putchar('\n');
    for (size_t i = 0; i < hora_json_len(runs); i++)
        put_run(hora_json_at(runs, i), colour);
    putchar('\n');
    if (with_ids)
        put_ids(sequence);
}

/* ---- the whole ---- */
static void put_histogram(const hora_json *bars) {
    double most = 1;
    for (size_t i = 0; i < hora_json_len(bars); i++)
        if (hora_cli_number(hora_json_at(bars, i), "sequences") > most)
            most = hora_cli_number(hora_json_at(bars, i), "sequences");
    for (size_t i = 0; i < hora_json_len(bars); i++) {
        const hora_json *bar = hora_json_at(bars, i);
        double n = hora_cli_number(bar, "sequences");
        printf("  up to %6.0f  %8.0f  %.*s\n", hora_cli_number(bar, "to"), n,
               (int)(40 * n / most + 0.5), "########################################");
    }
}

/* Which classes, how often, and what a model that knows nothing would reach. */
static void put_counts(const hora_json *s) {
    const hora_json *names = hora_json_get(s, "names"), *counts = hora_json_get(s, "counts");
    const size_t n = hora_json_len(names);
    if (!n)
        return;
    printf("%zu classes:", n);
    for (size_t i = 0; i < n && i < 12; i++) {
        int64_t count = 0;
        hora_json_int(hora_json_at(counts, i), &count);
        printf("%s `%s` %lld", i ? "," : "", hora_json_string(hora_json_at(names, i), NULL),
               (long long)count);
    }
    printf("%s", n > 12 ? ", .." : "");
    if (hora_json_get(s, "most"))
        printf("; always `%s` would be %.1f %% right", hora_cli_text(s, "most"),
               100 * hora_cli_number(s, "most_share"));
    putchar('\n');
}

static void put_survey(const hora_json *s) {
    const hora_json *kinds = hora_json_get(s, "kinds"), *l = hora_json_get(s, "lengths"),
                    *longest = hora_json_get(s, "longest");
    const char *notes = hora_cli_text(s, "notes");
    printf("--- %.0f records", hora_cli_number(s, "records"));
    int n = 0;
    for (void *it = hora_json_iter(kinds); it; it = hora_json_next(kinds, it), n++)
        printf("%s%.0f %s", n ? ", " : " (", hora_cli_number(kinds, hora_json_iter_key(it)),
               hora_json_iter_key(it));
    printf("%s, %.0f sequences of at most %.0f tokens\n", n ? ")" : "",
           hora_cli_number(s, "sequences"), hora_cli_number(s, "seq_len"));
    printf("tokens: %.0f, supervised: %.0f (%.1f %%), cut off: %.0f (%.1f %%), on both sides of a "
           "boundary: %.0f\n",
           hora_cli_number(s, "tokens"), hora_cli_number(s, "supervised"),
           100 * hora_cli_number(s, "supervised_share"), hora_cli_number(s, "cut_tokens"),
           100 * hora_cli_number(s, "cut_share"), hora_cli_number(s, "straddling_tokens"));
    printf("sequences cut: %.0f, sequences lost: %.0f, bad records: %.0f, duplicates: %.0f\n",
           hora_cli_number(s, "cut_sequences"), hora_cli_number(s, "lost_sequences"),
           hora_cli_number(s, "bad_records"), hora_cli_number(s, "duplicates"));
    printf("lengths: median %.0f, 90 %% up to %.0f, longest %.0f (line %.0f)\n",
           hora_cli_number(l, "median"), hora_cli_number(l, "p90"),
           hora_cli_number(longest, "tokens"), hora_cli_number(longest, "line"));
    put_histogram(hora_json_get(l, "histogram"));
    put_counts(s);
    if (*notes)
        printf("%s\n", notes);
}

static void print(const hora_json *r) {
    if (hora_json_get(r, "counts")) {
        hora_cli_put_pictures(r);
        return;
    }
    const hora_json *shown = hora_json_get(r, "shown");
    bool one = false;
    hora_json_bool(hora_json_get(r, "one"), &one);
    for (size_t i = 0; i < hora_json_len(shown); i++)
        put_sequence(hora_json_at(shown, i), one);
    if (!one)
        put_survey(hora_json_get(r, "summary"));
}

/* ---- opening ---- */
/* A list of pictures looks like one of texts: the task tells them apart. Records with labels need
 * no model: without one a byte counts as a token. */
static hora_status settle(const config *c, const char *path, bool *pictures, bool *masks) {
    const hora_task *t = c->task ? hora_task_named(c->task) : NULL;
    *masks = t && t->labels == HORA_LABELS_PIXELS;
    *pictures = hora_cli_is_pictures(path) || (t && t->pictures);
    if (*pictures || c->model)
        return HORA_OK;
    if (!t || !t->labels)
        return hora_cli_required("model", NULL, "a directory with a tokenizer");
    hora_info("without --model each byte is a token");
    return HORA_OK;
}

/* seq_len that nobody set is at most what the model has positions for; without one no text is
 * cut. */
static void fit(hora_data_config *c, const hora_settings *s, const char *model) {
    if (!model) {
        c->seq_len = hora_settings_get(s, "seq_len") ? c->seq_len : 1 << 24;
        return;
    }
    char *path = hora_path_join(model, "config.json");
    hora_json *config = NULL;
    int64_t most = 0;
    if (!hora_settings_get(s, "seq_len") && hora_path_exists(path) &&
        !hora_json_load(&config, path) &&
        hora_json_int(hora_json_get(config, "max_position_embeddings"), &most) && most > 1)
        c->seq_len = hora_min(c->seq_len, most);
    hora_json_free(config);
    hora_free(path);
}

static hora_status sequences_of(const hora_dataset *d, const config *c, hora_json *shown) {
    int64_t first = 0, n = hora_min(c->show, hora_data_about(d)->sequences);
    if (c->record)
        first = hora_data_find(d, c->record, &n);
    if (first < 0)
        return hora_fail(
            HORA_EUSAGE,
            "record %lld has no sequence: there are fewer, or it was left out (bad, or what "
            "is to be learned lies behind seq_len)",
            (long long)c->record);
    for (int64_t i = 0; i < n; i++) {
        hora_json *sequence;
        HORA_TRY(hora_data_sequence_json(d, first + i, &sequence));
        hora_json_push(shown, sequence);
    }
    return HORA_OK;
}

static hora_status choose(hora_objective *o, const config *c) {
    hora_json *config = NULL;
    if (c->model)
        HORA_TRY(hora_json_load_beside(&config, c->model, "config.json"));
    const hora_status s = hora_objective_choose(o, c->task, config);
    hora_json_free(config);
    return s;
}

/* Names in the order of their numbers, and how many records (or words) have each. */
static void put_classes(hora_json *summary, const hora_objective *o, const hora_dataset *d) {
    const hora_label_table *t = hora_data_labels(d);
    hora_json_set(summary, "task", hora_json_new_string(o->task->name));
    if (!o->names || o->task->labels == HORA_LABELS_NUMBER)
        return;
    hora_json_set(summary, "several", hora_json_new_bool(t->several));
    hora_json_set(summary, "lost_words", hora_json_new_int(t->lost_words));
    hora_json *names = hora_json_set(summary, "names", hora_json_new_array());
    hora_json *counts = hora_json_set(summary, "counts", hora_json_new_array());
    int64_t all = 0, most = 0, at = 0;
    for (int64_t i = 0; i < o->classes; i++) {
        int64_t n = 0;
        for (int k = 0; k < t->n; k++)
            n += hora_eq(t->at[k].name, o->names[i]) ? t->at[k].count : 0;
        hora_json_push(names, hora_json_new_string(o->names[i]));
        hora_json_push(counts, hora_json_new_int(n));
        all += n;
        at = n > most ? i : at;
        most = hora_max(most, n);
    }
    if (t->several || !all)
        return;
    hora_json_set(summary, "most", hora_json_new_string(o->names[at]));
    hora_json_set(summary, "most_share", hora_json_new_real((double)most / (double)all));
}

static hora_status look(const char *file, const config *c, hora_data_config *data,
                        hora_json **out) {
    hora_tokenizer *tok = NULL;
    hora_template *chat = NULL;
    hora_dataset *d = NULL;
    hora_str notes = {0};
    hora_objective o;
    bool fresh;
    data->packing = false; /* every record stands for itself */
    HORA_TRY(choose(&o, c));
    hora_status s;
    HORA_TRY_OUT(s,
                 c->model ? hora_tokenizer_open(&tok, c->model) : hora_tokenizer_open_bytes(&tok));
    HORA_TRY_OUT(s, hora_chat_open(&chat, tok, &data->date));
    HORA_TRY_OUT(s, hora_dataset_open(&d, file, tok, chat, data, &o.rule));
    if (o.task->head)
        HORA_TRY_OUT(s, hora_objective_classes(&o, d, NULL, true, &fresh));
    *out = hora_json_new_object();
    hora_json_set(*out, "one", hora_json_new_bool(c->record > 0));
    s = sequences_of(d, c, hora_json_set(*out, "shown", hora_json_new_array()));
    hora_json *summary = hora_json_set(*out, "summary", hora_data_survey(d));
    put_classes(summary, &o, d);
    hora_data_notes(d, &notes);
    hora_json_set(summary, "notes", hora_json_new_string(notes.s ? notes.s : ""));
out:
    if (s != HORA_OK) {
        hora_json_free(*out);
        *out = NULL;
    }
    hora_str_release(&notes);
    hora_dataset_close(d);
    hora_objective_release(&o);
    hora_template_close(chat);
    hora_tokenizer_close(tok);
    return s;
}

hora_status hora_cli_data(hora_cli *cli) {
    hora_json *r = NULL;
    config c = {0};
    hora_data_config data = {0};
    hora_str files = {0};
    bool pictures, masks;
    if (!cli->nrest)
        return hora_fail(HORA_EUSAGE, "no file; give the text, JSONL, CSV or TSV to look at");
    hora_status s;
    HORA_TRY_OUT(s, hora_options_take(&options, &c, &cli->settings));
    HORA_TRY_OUT(s, hora_options_take(&hora_data_options, &data, &cli->settings));
    HORA_TRY_OUT(s, settle(&c, cli->rest[0], &pictures, &masks));
    if (pictures) {
        const hora_input in[] = {{"data", cli->rest[0]}, {"model", c.model}, {"labels", c.labels}};
        const hora_cli_pictures_config pc = {&data, c.model, c.labels, masks, c.sheet, c.frames};
        const hora_outfile kind = {"sheet", hora_image_png_is_ours, "--sheet"};
        if (c.sheet)
            HORA_TRY_OUT(s,
                         hora_outfile_check(c.sheet, c.overwrite, &kind, in, (int)HORA_COUNT(in)));
        s = hora_cli_pictures(cli->rest[0], &pc, &r);
        goto out;
    }
    HORA_TRY_OUT(s, hora_data_idle(&data, &cli->settings, false, true));
    const char *of_pictures = c.sheet ? "sheet" : c.labels ? "labels" : c.frames ? "frames" : NULL;
    if (of_pictures) {
        s = hora_fail(HORA_EUSAGE, "option %s is for pictures, and texts are read; leave it out",
                      of_pictures);
        goto out;
    }
    fit(&data, &cli->settings, c.model);
    for (int i = 0; i < cli->nrest; i++)
        hora_str_printf(&files, "%s%s", i ? "\n" : "", cli->rest[i]);
    s = look(files.s, &c, &data, &r);
out:
    hora_str_release(&files);
    if (hora_json_get(r, "counts")) /* names of classes are no texts of several lines */
        hora_cli_show(cli, r, print);
    else
        hora_cli_show_lines(cli, r, print);
    hora_options_release(&options, &c);
    hora_options_release(&hora_data_options, &data);
    return s;
}

const hora_command hora_command_data = {
    .name = "data",
    .summary = "What of a data file is trained on, or what a set of pictures holds",
    .usage = "(--model DIR FILE.. [--record N] | --task NAME FILE.. | DIR) [options] [--json]",
    .more = "Shows the first sequences with what is supervised in [[ ]] (in colour on a terminal), "
            "then\n"
            "the file in numbers. With --record all sequences of that record, and their ids.\n"
            "Of a folder of pictures (or a tar, MNIST, CIFAR; a list with --task "
            "image-classification):\n"
            "classes, sizes, what cannot be read; with --frames clips.",
    .tables = {&options, &hora_data_options},
    .most = 256,
    .run = hora_cli_data};
