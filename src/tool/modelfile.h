#ifndef HORA_TOOL_MODELFILE_H
#define HORA_TOOL_MODELFILE_H
/* An Ollama Modelfile beside a GGUF model. */
#include "token/tokenizer.h"

#define HORA_MODELFILE_KIND "Modelfile"      /* in its last line (hora_outfile_text_ours) */
char *hora_modelfile_path(const char *gguf); /* "Modelfile" in its folder; new string */
/* dir: the model that it was made of, for its end tokens and how it samples. */
hora_status hora_modelfile_write(const char *gguf, const hora_tokenizer *t, const char *dir);
#endif
