/* Allocation throughput: objects without references, each dead when the next is made. */

#include "peers.h"

/* A thread's last object; volatile, so that each must really be made. */
typedef struct {
    uint64_t *volatile last;
    char apart[120];
} Holder;

static Holder holders[THREADS_MAX];
static uint64_t size, count;

static uint64_t allocate(uint64_t thread)
{
    Holder *holder = &holders[thread];
    uint64_t sum = 0;
    holder->last = check(GC_MALLOC_ATOMIC(size));
    *holder->last = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t *object = check(GC_MALLOC_ATOMIC(size));
        *object = i;
        sum += *holder->last;
        holder->last = object;
    }
    return sum;
}

void alloc(void)
{
    size = number("size", 64);
    count = number("count", 50000000);
    if (size < sizeof(uint64_t)) {
        fail("too small", word("size", ""));
    }
    Watch watch = start();
    uint64_t sum = in_threads(threads(), allocate);
    stop(watch);
    answer(sum);
}
