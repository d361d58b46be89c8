/* What the workloads share: parameters, random numbers, figures, threads. */

#ifndef PEERS_H
#define PEERS_H

#ifndef GC_THREADS
#define GC_THREADS
#endif
#include <gc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { THREADS_MAX = 64 };

/* Ends the program with 2: it was called wrongly. */
_Noreturn void fail(const char *why, const char *what);

/* Ends the program with 1 if memory is exhausted. */
void *check(void *memory);

/* The argument of that key, or what it is otherwise. */
uint64_t number(const char *key, uint64_t otherwise);
const char *word(const char *key, const char *otherwise);
uint64_t threads(void);

/* Splitmix64; `below` gives a number less than `n`. */
uint64_t next(uint64_t *state);
uint64_t below(uint64_t *state, uint64_t n);

/* What the clocks said when the measured part began. */
typedef struct {
    uint64_t wall, cpu, collections, collector;
} Watch;

/* Time, processor time of the process: nanoseconds; resident memory: bytes. */
uint64_t wall_time(void);
uint64_t cpu_time(void);
uint64_t resident(void);

Watch start(void);
/* Prints the figures of the measured part; `answer` prints what all systems must agree on. */
void stop(Watch watch);
void answer(uint64_t value);

/* Runs the work once for each thread, and adds up what they return. */
uint64_t in_threads(uint64_t threads, uint64_t (*work)(uint64_t thread));

/* A thread's table of messages of 1 KiB, of which random ones are replaced. */
enum { WORDS = 128 };
typedef struct {
    uint64_t **table;
    /* `made` is the number of the next message. */
    uint64_t places, random, made, sum;
} Ring;

uint64_t **fill(uint64_t places, uint64_t first);
void ring_init(Ring *ring, uint64_t places, uint64_t first, uint64_t next, uint64_t seed);
void ring_step(Ring *ring);

/* The measured collections of a graph, and the one of mixed types. */
void collect(void);
void mixed(uint64_t nodes, uint64_t random);

/* The workloads. */
void trees(void);
void alloc(void);
void ring(void);
void graph(void);
void spike(void);
void limit(void);

#endif
