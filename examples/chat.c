/*
 * Renders a conversation with the model's chat template, shows its tokens and turns them back.
 * Needs the tokenizer's files alone.
 *
 *     chat MODEL-DIR QUESTION
 */
#include <hora/hora.h>
#include <stdio.h>
#include <string.h>

/* The question as a JSON string; control characters are left out. */
static void quote(char *out, size_t room, const char *s) {
    size_t n = 0;
    for (; *s && n + 3 < room; s++) {
        if ((unsigned char)*s < ' ')
            continue;
        if (*s == '"' || *s == '\\')
            out[n++] = '\\';
        out[n++] = *s;
    }
    out[n] = 0;
}

int main(int argc, char **argv) {
    char question[1024], messages[2048];
    hora_tokenizer *t = NULL;
    hora_str text = {0}, back = {0};
    hora_ids ids = {0};
    hora_status s;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL-DIR QUESTION\n", argv[0]);
        return 2;
    }
    quote(question, sizeof question, argv[2]);
    snprintf(messages, sizeof messages, "[{\"role\": \"user\", \"content\": \"%s\"}]", question);
    if ((s = hora_tokenizer_open(&t, argv[1])) ||
        (s = hora_tokenizer_render(t, messages, true, &text)) ||
        (s = hora_tokenizer_encode(t, text.s, text.n, false, &ids)) ||
        (s = hora_tokenizer_decode(t, ids.at, ids.n, false, &back)))
        goto out;
    printf("%s\n\n", text.s);
    for (size_t i = 0; i < ids.n; i++)
        printf("%d ", ids.at[i]);
    printf("\n%zu tokens; decoding %s\n", ids.n,
           strcmp(text.s, back.s) == 0 ? "gives the same text" : "gives another text");
out:
    if (s)
        fprintf(stderr, "%s\n", hora_errmsg());
    hora_str_release(&text);
    hora_str_release(&back);
    hora_ids_release(&ids);
    hora_tokenizer_close(t);
    return s != HORA_OK;
}
