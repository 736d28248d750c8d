#ifndef HORA_TOKEN_UNICODE_H
#define HORA_TOKEN_UNICODE_H
/*
 * What Unicode says of one character, from utf8proc's tables: classes by general category, and the
 * mappings of case that give one character.
 */
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    HORA_UC_OTHER,   /* punctuation, symbols, separators, controls, unassigned */
    HORA_UC_UPPER,   /* Lu */
    HORA_UC_LOWER,   /* Ll */
    HORA_UC_TITLE,   /* Lt */
    HORA_UC_LETTER,  /* Lm, Lo */
    HORA_UC_MARK,    /* M  */
    HORA_UC_DECIMAL, /* Nd */
    HORA_UC_NUMBER   /* Nl, No */
} hora_uc_class;
hora_uc_class hora_unicode_class(uint32_t cp);
bool hora_unicode_is_ideograph(uint32_t cp); /* Lo: some of those are numbers too */
uint32_t hora_unicode_upper(uint32_t cp);
uint32_t hora_unicode_lower(uint32_t cp);
uint32_t hora_unicode_title(uint32_t cp);
#endif
