#ifndef HORA_TINY_MODEL_H
#define HORA_TINY_MODEL_H
/* A model of a few thousand parameters with a tokenizer of single characters, a chat template and
 * random weights, made anew in the test's temporary folder: what command line and API tests run
 * on when nothing else is there. */
#define TINY_VOCAB     100 /* ids: <s> 0, </s> 1, blank 2, line break 3, '!' .. '~' 4 .. 97 */
#define TINY_POSITIONS 96

/* Path of the model directory; the string lives until the test ends. */
const char *tiny_model(void);
/* The same of an encoder without a head. */
const char *tiny_encoder(void);
/* Writes `text` into the test's temporary folder as `name`; returns the path. */
const char *tiny_file(const char *name, const char *text);
#endif
