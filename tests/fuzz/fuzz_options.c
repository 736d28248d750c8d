/* Option text, "rank=16,alpha=32": keys and values, and what the tables of a run make of them. */
#include "fuzz.h"
#include "fuzz_settings.h"

HORA_FUZZ(options) {
    hora_settings s = {0};
    char *text = hora_strndup(data, n);
    const hora_status st = hora_settings_parse(&s, text, "test");
    must_say(st, "option text");
    for (int i = 0; i < s.n; i++)
        must(*s.at[i].key && !strchr(s.at[i].key, ',') && !strchr(s.at[i].key, '='));
    const bool taken = st == HORA_OK && hora_fuzz_take(&s);
    hora_settings_release(&s);
    hora_free(text);
    return taken;
}
