#ifndef HORA_BASE_LOG_H
#define HORA_BASE_LOG_H
/* Progress and warnings for people, to stderr unless a sink is set. Results never go through here.
 */
#include "base/status.h"

typedef enum { HORA_LOG_ERROR, HORA_LOG_WARN, HORA_LOG_INFO, HORA_LOG_DEBUG } hora_log_level;
void hora_log(hora_log_level level, const char *fmt, ...) HORA_PRINTF(2, 3);
void hora_log_threshold(hora_log_level level); /* default HORA_LOG_INFO */
/* NULL: stderr */
void hora_log_sink(void (*fn)(void *user, int level, const char *text), void *user);
#define hora_warn(...) hora_log(HORA_LOG_WARN, __VA_ARGS__)
#define hora_info(...) hora_log(HORA_LOG_INFO, __VA_ARGS__)
double hora_now(void); /* seconds, monotonic */
#endif
