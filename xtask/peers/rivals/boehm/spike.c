/*
 * A spike: much is made and dropped at once, and a light load goes on. Who gives memory back, and
 * when, without being asked?
 */

#include "peers.h"
#include <stdio.h>
#include <time.h>

/* When resident memory is read, in milliseconds after the drop. */
static const uint64_t moments[] = {100, 250, 500, 1000, 2000, 5000, 10000};

static Ring ring_kept;

/* The table is freed by hand, or a word on the stack could keep it. */
static void make_and_drop(uint64_t messages)
{
    GC_FREE(fill(messages, 0));
}

static void wait_until(uint64_t due)
{
    struct timespec time = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0) {
    }
}

void spike(void)
{
    uint64_t live = number("live", 64) << 10;
    uint64_t replacements = number("seconds", 10) * 1000;
    ring_init(&ring_kept, live, 0, live, number("seed", 1));
    make_and_drop(number("drop", 2048) << 10);
    Watch watch = start();
    size_t looks = 0;
    for (uint64_t k = 0;; k++) {
        wait_until(watch.wall + k * 1000000);
        if (looks < sizeof moments / sizeof *moments && moments[looks] == k) {
            unsigned long long bytes = resident();
            printf("rss %llu %llu\n", (unsigned long long)k, bytes);
            looks++;
        }
        if (k == replacements) {
            break;
        }
        ring_step(&ring_kept);
    }
    uint64_t sum = 0;
    for (uint64_t at = 0; at < live; at++) {
        sum += ring_kept.table[at][0];
    }
    stop(watch);
    answer(sum);
}
