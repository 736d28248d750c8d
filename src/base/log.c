/*
 * Messages for people. Owns the threshold and the sink, the only settings of the process that
 * concern nobody's results. A message is one whole line, written at once; nothing is allocated, so
 * a step may log.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

/* Guards the sink and keeps lines whole; recursive, so that a sink that makes the library speak
 * does not hang. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_once_t watched = PTHREAD_ONCE_INIT;
static void (*sink)(void *user, int level, const char *text);
static void *sink_user;
static _Atomic int threshold = HORA_LOG_INFO;

/* In the child of a fork the thread that was writing a line is not there to give the lock back. */
static void start_anew(void) {
    static const pthread_mutex_t fresh = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    memcpy(&lock, &fresh, sizeof lock);
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, start_anew);
}

void hora_log(hora_log_level level, const char *fmt, ...) {
    static const char *const prefix[] = {"error: ", "warning: ", "", "debug: "};
    char raw[4096], line[4096];
    if ((int)level > atomic_load(&threshold))
        return;
    va_list ap;
    va_start(ap, fmt);
    hora_vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    hora_escape(line, sizeof line, raw, strlen(raw)); /* parts of it may be a file's */
    pthread_once(&watched, watch_forks);
    pthread_mutex_lock(&lock);
    if (sink)
        sink(sink_user, (int)level, line);
    else
        fprintf(stderr, "%s%s\n", prefix[level], line);
    pthread_mutex_unlock(&lock);
}

void hora_log_threshold(hora_log_level level) {
    atomic_store(&threshold, (int)level);
}

void hora_log_sink(void (*fn)(void *user, int level, const char *text), void *user) {
    pthread_mutex_lock(&lock);
    sink = fn;
    sink_user = user;
    pthread_mutex_unlock(&lock);
}

double hora_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
