/*
 * The Boehm collector's side of `cargo xtask bench --peers`: the shared workloads as a C programmer
 * writes them for libgc.
 *
 * One program, `peers WORKLOAD key=value ...`, a file a workload: trees.c, alloc.c, ring.c (the
 * limit too), graph.c, spike.c. This file reads the parameters, draws the random numbers and
 * prints the figures. Objects with references come from GC_MALLOC, those without from
 * GC_MALLOC_ATOMIC; the harness sets the number of markers by GC_MARKERS.
 *
 * What remains unequal: the collector is conservative (it scans stacks, static data and every word
 * of what GC_MALLOC gave); an object has a byte more than asked for, so that a pointer past its end
 * keeps it, which makes 16 B 32, unless `interior=0` turns that off; GC_MALLOC_ATOMIC clears
 * nothing; small objects are swept where they are allocated again, not in a forced collection.
 */

#include "peers.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static char **arguments;

void fail(const char *why, const char *what)
{
    fprintf(stderr, "%s: %s\n", why, what);
    exit(2);
}

void *check(void *memory)
{
    if (memory == NULL) {
        fputs("memory is exhausted\n", stderr);
        exit(1);
    }
    return memory;
}

const char *word(const char *key, const char *otherwise)
{
    size_t length = strlen(key);
    for (char **argument = arguments; *argument != NULL; argument++) {
        if (strncmp(*argument, key, length) == 0 && (*argument)[length] == '=') {
            return *argument + length + 1;
        }
    }
    return otherwise;
}

uint64_t number(const char *key, uint64_t otherwise)
{
    const char *text = word(key, NULL);
    if (text == NULL) {
        return otherwise;
    }
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        fail("not a number", text);
    }
    return value;
}

uint64_t threads(void)
{
    uint64_t value = number("threads", 1);
    if (value == 0 || value > THREADS_MAX) {
        fail("threads", "1 to 64");
    }
    return value;
}

uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

uint64_t below(uint64_t *state, uint64_t n)
{
    return (uint64_t)((unsigned __int128)next(state) * n >> 64);
}

static uint64_t of_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t wall_time(void)
{
    return of_clock(CLOCK_MONOTONIC);
}

uint64_t cpu_time(void)
{
    return of_clock(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t resident(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) {
        fail("cannot be read", "/proc/self/status");
    }
    char line[256];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmRSS: %llu", &kib) == 1) {
            break;
        }
    }
    fclose(status);
    return kib << 10;
}

/* Of the thread that collects, between the events of a collection; under the collector's lock. */
static uint64_t begun, collecting;

static void on_event(GC_EventType event)
{
    if (event == GC_EVENT_START) {
        begun = of_clock(CLOCK_THREAD_CPUTIME_ID);
    } else if (event == GC_EVENT_END) {
        collecting += of_clock(CLOCK_THREAD_CPUTIME_ID) - begun;
    }
}

/* Processor time of the thread that bears this number, if the collector has named it so. */
static uint64_t marker_time(const char *thread)
{
    char path[300], name[32] = "";
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) == NULL) {
            name[0] = '\0';
        }
        fclose(file);
    }
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", thread);
    file = strncmp(name, "GC-marker", 9) == 0 ? fopen(path, "r") : NULL;
    if (file != NULL) {
        if (fscanf(file, "%llu", &ns) != 1) {
            ns = 0;
        }
        fclose(file);
    }
    return ns;
}

/* Of who collects and of the markers; not of threads that sweep where they allocate. */
static uint64_t collector_time(void)
{
    uint64_t sum = collecting;
    DIR *threads = opendir("/proc/self/task");
    for (struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        sum += marker_time(entry->d_name);
    }
    if (threads != NULL) {
        closedir(threads);
    }
    return sum;
}

Watch start(void)
{
    Watch watch = {
        .collections = GC_get_gc_no(),
        .collector = collector_time(),
        .cpu = cpu_time(),
    };
    watch.wall = wall_time();
    return watch;
}

void stop(Watch watch)
{
    uint64_t wall = wall_time() - watch.wall;
    uint64_t cpu = cpu_time() - watch.cpu;
    printf("rss_end_bytes %llu\n", (unsigned long long)resident());
    printf("wall_ns %llu\n", (unsigned long long)wall);
    printf("cpu_ns %llu\n", (unsigned long long)cpu);
    uint64_t collector = collector_time() - watch.collector;
    printf("collector_cpu_ns %llu\n", (unsigned long long)collector);
    printf("collections %llu\n", (unsigned long long)(GC_get_gc_no() - watch.collections));
}

void answer(uint64_t value)
{
    printf("answer %llu\n", (unsigned long long)value);
}

typedef struct {
    uint64_t (*work)(uint64_t thread);
    uint64_t thread, result;
} Task;

static void *run(void *argument)
{
    Task *task = argument;
    task->result = task->work(task->thread);
    return NULL;
}

uint64_t in_threads(uint64_t threads, uint64_t (*work)(uint64_t thread))
{
    Task tasks[THREADS_MAX];
    pthread_t handles[THREADS_MAX];
    for (uint64_t at = 0; at < threads; at++) {
        tasks[at] = (Task){.work = work, .thread = at};
        if (pthread_create(&handles[at], NULL, run, &tasks[at]) != 0) {
            fail("a thread was not created", "threads");
        }
    }
    uint64_t sum = 0;
    for (uint64_t at = 0; at < threads; at++) {
        pthread_join(handles[at], NULL);
        sum += tasks[at].result;
    }
    return sum;
}

static const struct {
    const char *name;
    void (*run)(void);
} workloads[] = {
    {"trees", trees}, {"alloc", alloc}, {"ring", ring},
    {"graph", graph}, {"spike", spike}, {"limit", limit},
};

int main(int count, char **given)
{
    arguments = count > 2 ? given + 2 : given + count;
    const char *name = count > 1 ? given[1] : "";
    for (size_t at = 0; at < sizeof workloads / sizeof *workloads; at++) {
        if (strcmp(workloads[at].name, name) == 0) {
            if (number("interior", 1) == 0) {
                GC_set_all_interior_pointers(0);
            }
            if (workloads[at].run == graph) {
                /* GC_MARKERS comes before it. */
                GC_set_markers_count((unsigned)threads());
            }
            GC_INIT();
            GC_set_on_collection_event(on_event);
            workloads[at].run();
            return 0;
        }
    }
    fprintf(stderr, "unknown workload: %s\n", name);
    return 3;
}
