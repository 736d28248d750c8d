#ifndef HORA_BASE_RATE_H
#define HORA_BASE_RATE_H
/*
 * The best rate that all threads together reach, on a machine that may have other work: every
 * thread repeats `work` for `seconds`, what they did is summed in bins of two milliseconds, and the
 * fullest bin counts. A bin is full only when all threads ran all of it.
 *
 * A system with more to do than cores may run two of our threads on one of them for long: while the
 * best bin is far from what that many threads of the best one's rate would do, or no piece ended in
 * time, it is tried again, up to five times. Where other work leaves no whole bin, what the threads
 * did in their own processor time counts.
 *
 * work(arg, thread) does a piece of some ten microseconds and returns its amount. Units per second;
 * 0 when `seconds` are fewer than a bin.
 */
double hora_best_rate(double seconds, double (*work)(void *arg, int thread), void *arg);
#endif
