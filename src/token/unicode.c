/*
 * Unicode properties through utf8proc (unicode.h).
 */
#include "token/unicode.h"

#include <utf8proc.h>

hora_uc_class hora_unicode_class(uint32_t cp) {
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
        return HORA_UC_UPPER;
    case UTF8PROC_CATEGORY_LL:
        return HORA_UC_LOWER;
    case UTF8PROC_CATEGORY_LT:
        return HORA_UC_TITLE;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return HORA_UC_LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return HORA_UC_MARK;
    case UTF8PROC_CATEGORY_ND:
        return HORA_UC_DECIMAL;
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return HORA_UC_NUMBER;
    default:
        return HORA_UC_OTHER;
    }
}

bool hora_unicode_is_ideograph(uint32_t cp) {
    return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LO;
}

uint32_t hora_unicode_upper(uint32_t cp) {
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}
uint32_t hora_unicode_lower(uint32_t cp) {
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}
uint32_t hora_unicode_title(uint32_t cp) {
    return (uint32_t)utf8proc_totitle((utf8proc_int32_t)cp);
}
