#ifndef HORA_TEMPLATE_LIST_IMPL_H
#define HORA_TEMPLATE_LIST_IMPL_H
/* Filters over lists (template_list.c), and the text functions that filters and methods share
 * (template_filter.c). */
#include "template/template_impl.h"

#define HORA_TPL_FILTER(name)                                                                      \
    hora_status hora_tpl_##name(hora_ts *st, const hora_args *a, hora_tv *out)
HORA_TPL_FILTER(list);
HORA_TPL_FILTER(first);
HORA_TPL_FILTER(last);
HORA_TPL_FILTER(reverse);
HORA_TPL_FILTER(join);
HORA_TPL_FILTER(sort);
HORA_TPL_FILTER(dictsort);
HORA_TPL_FILTER(unique);
HORA_TPL_FILTER(items);
HORA_TPL_FILTER(min);
HORA_TPL_FILTER(max);
HORA_TPL_FILTER(sum);
HORA_TPL_FILTER(map);
HORA_TPL_FILTER(select);
HORA_TPL_FILTER(reject);
HORA_TPL_FILTER(selectattr);
HORA_TPL_FILTER(rejectattr);
HORA_TPL_FILTER(batch);
HORA_TPL_FILTER(slice);
HORA_TPL_FILTER(groupby);
HORA_TPL_FILTER(center);
/* template_words.c */
HORA_TPL_FILTER(truncate);
HORA_TPL_FILTER(wordwrap);
HORA_TPL_FILTER(urlencode);
HORA_TPL_FILTER(striptags);
HORA_TPL_FILTER(xmlattr);
HORA_TPL_FILTER(filesizeformat);
HORA_TPL_FILTER(pprint);
#undef HORA_TPL_FILTER

/* template_case.c. mode: 'u' all upper, 'l' all lower, 'c' first upper, 't' first of each word, as
 * Jinja's title (a word starts after - ( { [ < or white space), 'T' as Python's str.title (after
 * any that is no letter), 's' each to its other case */
hora_status hora_tpl_is_case(hora_ts *st, const hora_tv *v, bool upper, bool *yes);
bool hora_tpl_is_alnum(uint32_t cp); /* str.isalnum */
/* str.isalpha and its like, by name; text that is empty is nothing */
hora_status hora_tpl_is_kind(hora_ts *st, const hora_tv *v, const char *kind, bool *yes);
hora_status hora_tpl_case(hora_ts *st, const hora_tv *in, char mode, hora_tv *out);
hora_status hora_tpl_strip(hora_ts *st, const hora_tv *in, const hora_tv *chars, int sides,
                           hora_tv *out);
hora_status hora_tpl_replace(hora_ts *st, const hora_tv *in, const hora_tv *from, const hora_tv *to,
                             int64_t count, hora_tv *out);
/* Bytes of the line break at s, as str.splitlines has them; 0 when there is none. */
size_t hora_tpl_break(const char *s, size_t n);
hora_status hora_tpl_need_string(hora_ts *st, const hora_tv *v);
const hora_builtin *hora_tpl_find(const hora_builtin *rows, size_t count, const char *s, size_t n);
#endif
