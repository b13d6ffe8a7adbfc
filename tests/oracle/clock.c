/*
 * A clock that a test sets, preloaded into redis-server: what asks for the time of day is told the number of
 * microseconds that the file PANTRY_CLOCK holds. The monotonic clock, which timers use, is left alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *shared_us;

static int64_t now_us(void) {
    if (!shared_us) {
        int file = open(getenv("PANTRY_CLOCK"), O_RDONLY);
        shared_us = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        if (shared_us == MAP_FAILED) abort();
        close(file);
    }
    return *shared_us;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    (void)zone;
    int64_t us = now_us();
    tv->tv_sec = us / 1000000;
    tv->tv_usec = us % 1000000;
    return 0;
}

time_t time(time_t *out) {
    time_t seconds = now_us() / 1000000;
    if (out) *out = seconds;
    return seconds;
}

int clock_gettime(clockid_t which, struct timespec *ts) {
    if (which != CLOCK_REALTIME) return syscall(SYS_clock_gettime, which, ts);
    int64_t us = now_us();
    ts->tv_sec = us / 1000000;
    ts->tv_nsec = us % 1000000 * 1000;
    return 0;
}
