/*
 * Pictures of one layer: gates as heat maps, heads as bars, similarity between the heads' updates
 * as heat maps; and of all layers, as lines. Every colour scale runs from light to dark, so that it
 * reads in grey.
 */
#include <math.h>

#include "base/text.h"
#include "lab/hmoe_report.h"
#include "lab/plot.h"

enum { SHOWN_HEADS = 8, SHOWN_TOKENS = 64 };

static const char palette[] =
    "unset grid\nunset key\n"
    "set palette defined (0 \"#ffffff\", 0.35 \"#9ecae1\", 0.7 \"#3182bd\", 1 \"#08264f\")\n";

static void put_real(hora_str *out, double v) {
    char text[32];
    hora_str_printf(out, ",%s", isnan(v) ? "NaN" : hora_format_real(text, v));
}

/* Distance of tick marks over 0 .. n-1: whole numbers, not too many. */
static int64_t tick(int64_t n) {
    return hora_ceil_div(n, 10);
}

/* Writes the data, then draws; frees both texts. */
static hora_status draw(hora_outdir *dir, const char *name, const char *tag, const char *data_name,
                        hora_str *data, hora_str *body, double width, double height, bool *drawn) {
    char *full = hora_format("%s%s%s", name, *tag ? "_" : "", tag);
    hora_status s = data ? hora_outdir_write(dir, data_name, data->s, data->n) : HORA_OK;
    const hora_plot p = {dir, full, width, height, body->s};
    bool done = false;
    if (s == HORA_OK)
        s = hora_plot_draw(&p, &done);
    *drawn &= done;
    hora_free(full);
    if (data)
        hora_str_release(data);
    hora_str_release(body);
    return s;
}

/* --- gates ------------------------------------------------------------------------------------ */
static void gate_data(const hora_hmoe_layer *l, const hora_hmoe_plain *const *when, int64_t heads,
                      int64_t n, hora_str *data) {
    static const char *const names[] = {"before", "after"};
    hora_str_puts(data, "query,key");
    for (int w = 0; w < 2; w++)
        for (int64_t h = 0; h < heads; h++)
            hora_str_printf(data, ",%s_%lld", names[w], (long long)h);
    hora_str_putc(data, '\n');
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t lo, hi;
            hora_hmoe_keys(l, 0, i, &lo, &hi);
            hora_str_printf(data, "%lld,%lld", (long long)i, (long long)j);
            for (int w = 0; w < 2; w++)
                for (int64_t h = 0; h < heads; h++)
                    if (j >= lo && j < hi)
                        hora_str_printf(data, ",%.6g", when[w]->gate[(h * l->n + i) * l->n + j]);
                    else
                        hora_str_puts(data, ",NaN");
            hora_str_putc(data, '\n');
        }
}

static hora_status draw_gates(hora_outdir *dir, const char *label, const char *tag,
                              const hora_hmoe_layer *l, const hora_hmoe_plain *before,
                              const hora_hmoe_plain *after, bool *drawn) {
    const int64_t heads = hora_min(l->heads, SHOWN_HEADS);
    const int64_t length = l->lengths ? l->lengths[0] : l->n, n = hora_min(length, SHOWN_TOKENS);
    const hora_hmoe_plain *const when[] = {before, after};
    hora_str data = {0}, body = {0};
    char name[64];
    if (n < 2) /* a gate with one choice */
        return HORA_OK;
    hora_snprintf(name, sizeof name, "hmoe_gates_%s.csv", tag);
    gate_data(l, when, heads, n, &data);
    hora_str_printf(&body,
                    "%sset multiplot layout 2,%lld margins 0.06,0.90,0.12,0.82 spacing 0.008,0.06 "
                    "title \"Inner gates of %s, first sequence: query (down) over keys\"\n"
                    "set logscale cb\nset cbrange [0.001:1]\nset format cb \"%%g\"\n"
                    "set colorbox user origin 0.92,0.12 size 0.015,0.70\n"
                    "set xrange [-0.5:%lld.5]\nset yrange [%lld.5:-0.5]\nset size noratio\n"
                    "set tics out nomirror\nset xtics 0,%lld\n",
                    palette, (long long)heads, label, (long long)n - 1, (long long)n - 1,
                    (long long)hora_ceil_div(n, 2)); /* two labels fit under a narrow panel */
    for (int w = 0; w < 2; w++)
        for (int64_t h = 0; h < heads; h++)
            hora_str_printf(
                &body, "%s\n%s\n%s%lld%s\n%s\nplot \"%s\" skip 1 using 2:1:%lld with image\n",
                h == 0 ? (w ? "set ylabel \"after\"" : "set ylabel \"before\"") : "unset ylabel",
                h == 0 ? "set format y \"%g\"" : "set format y \"\"",
                w == 0 ? "set title \"head " : "unset title # head ", (long long)h,
                w == 0 ? "\" offset 0,-0.7" : "", w ? "set format x \"%g\"" : "set format x \"\"",
                name, (long long)(3 + w * heads + h));
    hora_str_puts(&body, "unset multiplot\n");
    return draw(dir, "hmoe_gates", tag, name, &data, &body, 1.3 + 1.15 * (double)heads, 3.6, drawn);
}

/* --- heads ------------------------------------------------------------------------------------ */
static const struct {
    const char *column, *value;
    bool groups; /* one per key and value head */
} head_columns[] = {{"ratio_before", "gate_entropy_ratio_before", false},
                    {"ratio_after", "gate_entropy_ratio_after", false},
                    {"share_before", "head_share_before", false},
                    {"share_after", "head_share", false},
                    {"change", "head_change", false},
                    {"rel_q", "rel_q", false},
                    {"rel_v", "rel_v", true}};

static void head_data(const hora_hmoe_layer *l, const hora_hmoe_values *v, hora_str *data) {
    hora_str_puts(data, "head");
    for (size_t i = 0; i < HORA_COUNT(head_columns); i++)
        hora_str_printf(data, ",%s", head_columns[i].column);
    hora_str_putc(data, '\n');
    for (int64_t h = 0; h < l->heads; h++) {
        hora_str_printf(data, "%lld", (long long)h);
        for (size_t i = 0; i < HORA_COUNT(head_columns); i++) {
            const hora_hmoe_value *x = hora_hmoe_find(v, head_columns[i].value);
            const int64_t at = head_columns[i].groups ? h * l->groups / l->heads : h;
            put_real(data, x ? x->v[at] : NAN);
        }
        hora_str_putc(data, '\n');
    }
}

static hora_status draw_heads(hora_outdir *dir, const char *label, const char *tag,
                              const hora_hmoe_layer *l, const hora_hmoe_values *v, bool *drawn) {
    static const char *const light = "lc rgb \"#bdbdbd\"", *const dark = "lc rgb \"#08519c\"";
    const bool adapted = hora_hmoe_find(v, "rel_q") || hora_hmoe_find(v, "rel_v");
    hora_str data = {0}, body = {0};
    char name[64];
    hora_snprintf(name, sizeof name, "hmoe_bars_%s.csv", tag);
    head_data(l, v, &data);
    hora_str_printf(
        &body,
        "set multiplot layout %d,1 title \"Heads of %s\"\n"
        "set style data histograms\nset style histogram clustered gap 1\n"
        "set style fill solid border rgb \"#404040\"\nset boxwidth 0.9\n"
        "set key outside right top vertical\nunset xlabel\n"
        "set yrange [0:*]\nset tics nomirror\nset xtics scale 0\nset rmargin 24\nset lmargin 10\n"
        "set ylabel \"entropy / ln keys\"\n"
        "plot \"%s\" using \"ratio_before\":xtic(1) title \"gate, before\" %s, '' "
        "using \"ratio_after\" title \"gate, after\" %s\n"
        "set ylabel \"share of output\"\n%s"
        "plot \"%s\" using \"share_before\":xtic(1) title \"share, before\" %s, '' "
        "using \"share_after\" title \"share, after\" %s\n",
        adapted ? 3 : 2, label, name, light, dark, adapted ? "" : "set xlabel \"head\"\n", name,
        light, dark);
    if (adapted)
        hora_str_printf(&body,
                        "set ylabel \"relative change\"\nset xlabel \"head\"\n"
                        "plot \"%s\" using \"change\":xtic(1) title \"output of the head\" %s, '' "
                        "using \"rel_q\" title \"|{/Symbol D}Q| / |Q|\" lc rgb \"#6baed6\", '' "
                        "using \"rel_v\" title \"|{/Symbol D}V| / |V|\" %s\n",
                        name, light, dark);
    hora_str_puts(&body, "unset multiplot\n");
    return draw(dir, "hmoe_heads", tag, name, &data, &body, 7, adapted ? 6 : 4.4, drawn);
}

/* --- pairs ------------------------------------------------------------------------------------ */
static const char *const pair_kinds[] = {"cos", "overlap", "cka"};
static const char *const pair_titles[] = {"cosine", "overlap of spans", "CKA of outputs"};

/* Writes head,other,cos,overlap,cka; false when that map is not adapted or has one head. */
static hora_status pair_data(hora_outdir *dir, const char *file, const hora_hmoe_values *v,
                             const char *of, int64_t *heads) {
    hora_str data = {0};
    const hora_hmoe_value *x[3];
    char name[32];
    *heads = 0;
    for (int i = 0; i < 3; i++) {
        hora_snprintf(name, sizeof name, "%s_%s", pair_kinds[i], of);
        x[i] = hora_hmoe_find(v, name);
    }
    if (!x[0] || x[0]->shape.d[0] < 2)
        return HORA_OK;
    *heads = x[0]->shape.d[0];
    hora_str_puts(&data, "head,other,cos,overlap,cka\n");
    for (int64_t h = 0; h < *heads; h++)
        for (int64_t k = 0; k < *heads; k++) {
            hora_str_printf(&data, "%lld,%lld", (long long)h, (long long)k);
            for (int i = 0; i < 3; i++)
                put_real(&data, x[i]->v[h * *heads + k]);
            hora_str_putc(&data, '\n');
        }
    hora_status s = hora_outdir_write(dir, file, data.s, data.n);
    hora_str_release(&data);
    return s;
}

static hora_status draw_pairs(hora_outdir *dir, const char *label, const char *tag,
                              const hora_hmoe_values *v, bool *drawn) {
    static const char *const of[] = {"q", "v"};
    hora_str body = {0};
    char file[2][64];
    int64_t heads[2];
    for (int i = 0; i < 2; i++) {
        hora_snprintf(file[i], sizeof file[i], "hmoe_pairs_%s_%s.csv", tag, of[i]);
        HORA_TRY(pair_data(dir, file[i], v, of[i], &heads[i]));
    }
    const int lines = (heads[0] > 0) + (heads[1] > 0);
    if (!lines)
        return HORA_OK;
    hora_str_printf(&body,
                    "%sset multiplot layout %d,3 title \"Similarity between heads' updates, %s\"\n"
                    "set tics out nomirror\nset size ratio 1\n",
                    palette, lines, label);
    const int64_t most = hora_max(heads[0], heads[1]);
    hora_str_printf(&body, "set xtics 0,%lld\nset ytics 0,%lld\n", (long long)tick(most),
                    (long long)tick(most));
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3 && heads[i]; k++)
            hora_str_printf(&body,
                            "set title \"%s of {/Symbol D}%c\"\nset cbrange [* < 0.9:1]\n"
                            "set xrange [-0.5:%lld.5]\nset yrange [%lld.5:-0.5]\n"
                            "plot \"%s\" skip 1 using 2:1:%d with image\n",
                            pair_titles[k], "QV"[i], (long long)heads[i] - 1,
                            (long long)heads[i] - 1, file[i], 3 + k);
    hora_str_puts(&body, "unset multiplot\n");
    return draw(dir, "hmoe_pairs", tag, NULL, NULL, &body, 9, 0.6 + 2.8 * lines, drawn);
}

/* --- all of it -------------------------------------------------------------------------------- */
hora_status hora_hmoe_pictures(hora_outdir *dir, const char *label, const char *tag,
                               const hora_hmoe_layer *l, const hora_hmoe_plain *before,
                               const hora_hmoe_plain *after, const hora_hmoe_values *v,
                               bool *drawn) {
    *drawn = true;
    HORA_TRY(draw_gates(dir, label, tag, l, before, after, drawn));
    HORA_TRY(draw_heads(dir, label, tag, l, v, drawn));
    return draw_pairs(dir, label, tag, v, drawn);
}

hora_status hora_hmoe_picture_layers(hora_outdir *dir, const hora_str *csv, int layers,
                                     bool *drawn) {
    static const struct {
        const char *title, *before, *after;
    } panels[] = {{"gate entropy / ln keys", "ratio_before", "ratio_after"},
                  {"routing apart (JS)", "js_before", "js_after"},
                  {"effective heads", "effective_before", "effective_after"}};
    hora_str data = {0}, body = {0};
    *drawn = true;
    hora_str_add(&data, csv->s, csv->n);
    hora_str_printf(
        &body,
        "set multiplot layout 1,3 title \"Layers, before and after adaptation\"\n"
        "set key below height 1 samplen 3\nset xlabel \"layer\"\nset offsets 0, 0, graph 0.08, "
        "graph 0.08\nset tics nomirror\nset xtics %lld\nset xrange [-0.3:%lld.3]\n",
        (long long)tick(layers), (long long)layers - 1);
    for (size_t i = 0; i < HORA_COUNT(panels); i++)
        hora_str_printf(&body,
                        "set title \"%s\"\nplot \"hmoe_layers.csv\" using \"layer\":\"%s\" with "
                        "linespoints ls 1 title \"before\", '' using \"layer\":\"%s\" with "
                        "linespoints ls 2 title \"after\"\n",
                        panels[i].title, panels[i].before, panels[i].after);
    hora_str_puts(&body, "unset multiplot\n");
    return draw(dir, "hmoe_layers", "", "hmoe_layers.csv", &data, &body, 9, 3.2, drawn);
}
