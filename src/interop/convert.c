/* The list of converters. */
#include "interop/convert.h"

#include "base/text.h"

#define CONVERTER(x) extern const hora_converter hora_converter_##x;
#include "interop/converters.def"
#undef CONVERTER

static const hora_converter *const converters[] = {
#define CONVERTER(x) &hora_converter_##x,
#include "interop/converters.def"
#undef CONVERTER
};

#define OPT_OF hora_convert_config
static const hora_option rows[] = {
    OPT_INT(rotary_pairs, "rotary_pairs", NULL, "0", 0, 1 << 13,
            "latent: pairs of columns of a head that stay rotary; 0: head_dim / 8"),
    OPT_CHOICE(rotary_by, "rotary_by", NULL, "norm", "norm high low uniform",
               "latent: which pairs: those that add most to q'k, the highest frequencies, the "
               "lowest, every n-th"),
    OPT_STRING(calibrate, "calibrate", NULL, NULL, "FILE",
               "latent: text on which norm measures; unset: from the weights alone"),
    OPT_INT(calibrate_tokens, "calibrate_tokens", NULL, "4096", 1, 1e9,
            "latent: at most so many tokens of it"),
};
const hora_options hora_convert_options = {"Latent attention", rows, HORA_COUNT(rows)};

static hora_status unknown(const char *text) {
    hora_str all = {0};
    for (size_t i = 0; i < HORA_COUNT(converters); i++)
        hora_str_printf(&all, "%s%s%s", i ? " " : "", converters[i]->name,
                        converters[i]->number ? "[:N]" : "");
    const hora_status s =
        hora_fail(HORA_EUSAGE, "--to %s is no form to convert to; there are: %s", text, all.s);
    hora_str_release(&all);
    return s;
}

hora_status hora_converter_parse(const hora_converter **c, int64_t *n, const char *text) {
    const size_t word = strcspn(text, ":");
    *n = 0;
    for (size_t i = 0; i < HORA_COUNT(converters); i++) {
        *c = converters[i];
        if (strlen((*c)->name) != word || strncmp((*c)->name, text, word) != 0)
            continue;
        if (!text[word])
            return HORA_OK;
        if (!(*c)->number || !hora_parse_int(text + word + 1, n) || *n < 1)
            return hora_fail(HORA_EUSAGE, "--to %s: write %s%s%s, a whole number above 0", text,
                             (*c)->name, (*c)->number ? ":" : "", (*c)->number ? (*c)->number : "");
        return HORA_OK;
    }
    return unknown(text);
}
