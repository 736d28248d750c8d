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
