#ifndef HORA_LAB_PLOT_H
#define HORA_LAB_PLOT_H
/*
 * Pictures by gnuplot, an outside program that is run, not linked. A picture NAME is the script
 * DIR/NAME.gp, which reads data files beside it, and what gnuplot draws from it: NAME.svg and
 * NAME.png. Users restyle the script and run `gnuplot NAME.gp` in DIR; `gnuplot -e "kind='pdf'"
 * NAME.gp` draws the other kinds.
 *
 * In front of the body comes: the terminal (svg, png, pdf) at the given size in a sans-serif font
 * that papers have, CSV as data format ("first.csv" in a plot command lies in DIR), keys below the
 * plot so that they cover nothing, a light grid, and line styles 1-6 (`ls 1` ..) that differ in
 * colour, dash and marker, so that they are told apart in grey; 9 is the grey of guide lines.
 */
#include <stdbool.h>

#include "base/outdir.h"

typedef struct hora_plot {
    hora_outdir *out; /* begun (base/outdir.h); DIR is its path */
    const char *name;
    double width, height; /* of the picture in inches */
    const char *body;     /* gnuplot commands from the first `set` to the last `plot` */
} hora_plot;

/* Writes DIR/NAME.gp and draws. *drawn: gnuplot made both pictures. Where it is missing or fails,
 * that is a warning that says what to do, not an error: the script stays. Old
 * pictures of that name are replaced or removed, never left beside a newer script. */
hora_status hora_plot_draw(const hora_plot *p, bool *drawn);
#endif
