#ifndef HORA_FORMAT_TB_EVENTS_H
#define HORA_FORMAT_TB_EVENTS_H
/*
 * TensorBoard event files: a writer for scalars. A file is a row of TFRecords,
 *
 *     u64 n | u32 masked(crc32c(of those 8 bytes)) | n bytes | u32 masked(crc32c(of those n bytes))
 *
 * little-endian, masked(c) = ((c >> 15) | (c << 17)) + 0xa282ead8. Each record is an Event:
 *
 *     Event      { double wall_time = 1; int64 step = 2; string file_version = 3;
 *                  Summary summary = 5; SessionLog session_log = 7; }
 *     Summary    { repeated Value value = 1; }  Value { string tag = 1; float simple_value = 2; }
 *     SessionLog { int status = 1; }            START = 1: what has this step or later is void
 *
 * in protobuf's wire format (a field is a varint of number * 8 + type; types here: 0 varint, 1
 * eight bytes, 2 length and bytes, 5 four bytes; a value of 0 is left out). The first record has
 * file_version "brain.Event:2". The file is called events.out.tfevents.SECONDS.HOST.PID.N;
 * TensorBoard reads those of a folder in order of their names.
 *
 * Records are appended whole: after a crash or on a full disk the file ends behind a record. The
 * tags of a training are train/loss, train/grad_norm, train/learning_rate and eval/loss.
 * Sources: tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto; RFC 3720 B.4.
 */
#include "base/mem.h"

typedef struct hora_tb hora_tb;

/* A name that no file of the folder has; owned by the caller. */
char *hora_tb_name(const char *dir);
/* Starts the file `name` in `dir`, which must exist. steps_taken > 0: the run goes on from there,
 * and what older files of the folder say about later steps is void. */
hora_status hora_tb_open(hora_tb **out, const char *dir, const char *name, int64_t steps_taken);
/* Collects a value; nothing is written before hora_tb_flush. Not finite is fine. */
void hora_tb_scalar(hora_tb *t, const char *tag, int64_t step, double value);
/* Appends what was collected, at best once per step. After a failure it is kept for the next try.
 */
hora_status hora_tb_flush(hora_tb *t);
/* Flushes and frees; accepts NULL. Frees in any case. */
hora_status hora_tb_close(hora_tb *own_t);
const char *hora_tb_path(const hora_tb *t);

/* The pieces, for who checks them: whole records are added to `out`. */
void hora_tb_record_version(hora_str *out, double wall_time);
void hora_tb_record_scalar(hora_str *out, double wall_time, int64_t step, const char *tag,
                           double value);
uint32_t hora_tb_masked_crc(const void *p, size_t n);
#endif
