/*
 * The latency ring: messages of 1 KiB in a table, of which a random one is replaced again and
 * again, at full speed or at a fixed rate; and the same under a memory limit.
 */

#include "peers.h"
#include <stdio.h>

/* Buckets of 1/128 of their value, exact below 256 ns. */
typedef struct {
    uint64_t counts[58 * 128];
} Histogram;

static Ring rings[THREADS_MAX];
static Histogram latencies[THREADS_MAX];
static uint64_t live, part, count, rate, seed;

static uint64_t *make(uint64_t number)
{
    uint64_t *message = check(GC_MALLOC_ATOMIC(WORDS * sizeof *message));
    for (uint64_t at = 0; at < WORDS; at++) {
        message[at] = number + at;
    }
    return message;
}

/* A table of messages, numbered on from `first`. */
uint64_t **fill(uint64_t places, uint64_t first)
{
    uint64_t **table = check(GC_MALLOC_IGNORE_OFF_PAGE(places * sizeof *table));
    for (uint64_t at = 0; at < places; at++) {
        table[at] = make(first + at);
    }
    return table;
}

/* With messages numbered on from `first`; replacements are from `next`. */
void ring_init(Ring *ring, uint64_t places, uint64_t first, uint64_t next, uint64_t seed)
{
    *ring = (Ring){.places = places, .random = seed, .made = next};
    ring->table = fill(places, first);
}

void ring_step(Ring *ring)
{
    uint64_t at = below(&ring->random, ring->places);
    const uint64_t *old = ring->table[at];
    ring->sum += old[0] + old[WORDS - 1];
    ring->table[at] = make(ring->made++);
}

static void record(Histogram *histogram, int64_t value)
{
    uint64_t v = value > 0 ? (uint64_t)value : 0;
    int bits = v == 0 ? 0 : 64 - __builtin_clzll(v);
    int shift = bits > 8 ? bits - 8 : 0;
    histogram->counts[((uint64_t)shift << 7) + (v >> shift)]++;
}

/* Prints each bucket's largest value and its count in all threads. */
static void print(uint64_t threads)
{
    for (uint64_t at = 0; at < 58 * 128; at++) {
        uint64_t sum = 0;
        for (uint64_t thread = 0; thread < threads; thread++) {
            sum += latencies[thread].counts[at];
        }
        if (sum > 0) {
            uint64_t shift = at >> 7 > 1 ? (at >> 7) - 1 : 0;
            uint64_t value = ((at - (shift << 7) + 1) << shift) - 1;
            printf("latency_ns %llu %llu\n", (unsigned long long)value, (unsigned long long)sum);
        }
    }
}

/* One look at the clock a message: a message's time begins where the one before ended. */
static void at_full_speed(Ring *ring, Histogram *latency)
{
    uint64_t before = wall_time();
    for (uint64_t k = 0; k < count; k++) {
        ring_step(ring);
        uint64_t now = wall_time();
        record(latency, (int64_t)(now - before));
        before = now;
    }
}

/* The times at which messages are due do not wait for the messages. */
static void at_rate(Ring *ring, Histogram *latency)
{
    uint64_t base = wall_time();
    for (uint64_t k = 0; k < count; k++) {
        uint64_t due = base + k * 1000000000 / rate;
        while (wall_time() < due) {
        }
        ring_step(ring);
        record(latency, (int64_t)(wall_time() - due));
    }
}

static uint64_t init(uint64_t thread)
{
    ring_init(&rings[thread], part, thread * part, live, seed + thread);
    return 0;
}

static uint64_t replace(uint64_t thread)
{
    if (rate == 0) {
        at_full_speed(&rings[thread], &latencies[thread]);
    } else {
        at_rate(&rings[thread], &latencies[thread]);
    }
    return rings[thread].sum;
}

void ring(void)
{
    uint64_t of_all = threads();
    live = number("live", 200000);
    part = live / of_all;
    count = number("count", 2000000) / of_all;
    rate = number("rate", 0);
    seed = number("seed", 1);
    in_threads(of_all, init);
    Watch watch = start();
    uint64_t sum = in_threads(of_all, replace);
    stop(watch);
    answer(sum);
    print(of_all);
}

void limit(void)
{
    live = number("live", 400) << 10;
    count = number("count", 3000000);
    GC_set_max_heap_size(number("limit", 512) << 20);
    ring_init(&rings[0], live, 0, live, number("seed", 1));
    Watch watch = start();
    for (uint64_t k = 0; k < count; k++) {
        ring_step(&rings[0]);
    }
    stop(watch);
    answer(rings[0].sum);
}
