#ifndef HORA_LAB_RATES_H
#define HORA_LAB_RATES_H
/*
 * The two simulations: how fast fitted adapters approach the true ones (`hora theory rates`), and
 * test error against the number of samples at equal parameter count (`hora theory lowdata`). Both
 * take their options out of the settings, write into the folder of option `out`, and give the
 * results as JSON and as text for people. docs/theory.md says what is simulated and why.
 *
 * HORA_ENUMERIC with both results set: a check of the computation failed. A finding that differs
 * from what the theory lets us expect is no failure.
 */
#include "base/json.h"
#include "base/options.h"

extern const hora_options hora_rates_options;
extern const hora_options hora_lowdata_options;

hora_status hora_rates(hora_settings *s, hora_json **out, hora_str *text);
hora_status hora_lowdata(hora_settings *s, hora_json **out, hora_str *text);

/* "250,500,1000" (or + between) into n[0..most), each in [least, 1e7]; rising order is made.
 * HORA_EUSAGE that names the option otherwise. */
hora_status hora_sizes_parse(const char *option, const char *text, int64_t least, int64_t *n,
                             int most, int *count);
#endif
