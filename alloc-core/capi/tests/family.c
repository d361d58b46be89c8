/* What a C program may ask of malloc and its kin, each answer checked, for a run under memcheck.
 *
 * The heap's memory is mapped once, and memcheck takes all of it for defined. So this program tells
 * memcheck what it knows of its blocks, by client requests, which are nothing without valgrind:
 *
 *   content    What a block holds is undefined when it is new and again before it is freed. An
 *              allocator that decides anything by what somebody left in a slot, a calloc that
 *              leaves a byte out and a realloc that copies too little are then reported as jumps
 *              that depend on undefined values.
 *   untouched  A block's memory may not be accessed from before it is freed until it is handed out
 *              again: whoever reads or writes a free slot is reported. Only functions that have no
 *              business inside a block are called: no calloc, no realloc, no poison.
 *   broken     As content, and decides by what a freed block holds: memcheck must report it.
 *   trespass   As untouched, and reads a freed block: likewise.
 *
 * Pages that go back to the system come as zeros at the next touch, which memcheck does not know:
 * `madvise` below tells it. Usage: family MODE ROUNDS; LD_PRELOAD names the allocator. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

enum { BLOCKS = 64, POOL = 32, THREADS = 3, STEPS = 1500 };

struct block {
    unsigned char *at;
    size_t bytes;
    unsigned seed;
};

static int is_untouched;
static int rounds;
/* Blocks on their way from one thread to another. */
static struct block pool[POOL];
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t started;

int madvise(void *at, size_t bytes, int advice)
{
    long said = syscall(SYS_madvise, at, bytes, advice);
    if (said == 0 && advice == MADV_DONTNEED)
        (void)VALGRIND_MAKE_MEM_DEFINED(at, bytes);
    return (int)said;
}

static void expect(int is_so, const char *what)
{
    if (!is_so) {
        fprintf(stderr, "family: %s\n", what);
        abort();
    }
}

static unsigned next(unsigned *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

/* Every byte of a small block, some of a large one, and always the last. */
static size_t after(size_t index, size_t bytes)
{
    size_t step = bytes <= 2048 ? 1 : 509;
    return index + 1 < bytes && index + step >= bytes ? bytes - 1 : index + step;
}

static unsigned char byte_of(const struct block *block, size_t index)
{
    return (unsigned char)(block->seed + index * 7);
}

static void fill(struct block *block)
{
    for (size_t i = 0; i < block->bytes; i = after(i, block->bytes))
        block->at[i] = byte_of(block, i);
}

/* The bytes of `block` that lie in its first `bytes` are what `fill` has written. */
static void verify(const struct block *block, size_t bytes)
{
    for (size_t i = 0; i < block->bytes && i < bytes; i = after(i, block->bytes))
        expect(block->at[i] == byte_of(block, i), "a block does not hold what was written");
}

static size_t some_bytes(unsigned *random)
{
    unsigned kind = next(random) % 64;
    if (kind == 0)
        return 1 + next(random) % (1u << 20);
    if (kind < 8)
        return 1 + next(random) % 40000;
    return next(random) % 1024;
}

static void *aligned(unsigned *random, size_t bytes, size_t *align)
{
    void *at = NULL;
    *align = (size_t)16 << next(random) % 13;
    switch (next(random) % 3) {
    case 0:
        return aligned_alloc(*align, bytes);
    case 1:
        return memalign(*align, bytes);
    default:
        expect(posix_memalign(&at, *align, bytes) == 0, "posix_memalign has no memory");
        return at;
    }
}

static struct block take(unsigned *random)
{
    struct block block = { NULL, some_bytes(random), next(random) };
    size_t align = 16;
    unsigned how = next(random) % 8;
    if (how == 0) {
        block.at = aligned(random, block.bytes, &align);
    } else if (how < 4 && !is_untouched) {
        block.at = calloc(1, block.bytes);
        expect(block.at != NULL, "calloc has no memory");
        expect(VALGRIND_CHECK_MEM_IS_DEFINED(block.at, block.bytes) == 0, "calloc left bytes out");
        for (size_t i = 0; i < block.bytes; i = after(i, block.bytes))
            expect(block.at[i] == 0, "calloc gave something else than zeros");
    } else {
        block.at = malloc(block.bytes);
    }
    expect(block.at != NULL, "there is no memory");
    expect((uintptr_t)block.at % align == 0, "an alignment is not kept");
    expect(malloc_usable_size(block.at) >= block.bytes, "a block is shorter than was asked for");
    if (next(random) % 4 == 0)
        block.bytes = malloc_usable_size(block.at);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(block.at, block.bytes);
    fill(&block);
    return block;
}

static void give(struct block *block)
{
    verify(block, block->bytes);
    if (is_untouched)
        (void)VALGRIND_MAKE_MEM_NOACCESS(block->at, block->bytes);
    else
        (void)VALGRIND_MAKE_MEM_UNDEFINED(block->at, block->bytes);
    free(block->at);
    block->at = NULL;
}

static void resize(struct block *block, unsigned *random)
{
    size_t old = block->bytes;
    size_t bytes = 1 + some_bytes(random);
    unsigned char *at = next(random) % 2 ? realloc(block->at, bytes)
                                         : reallocarray(block->at, 1, bytes);
    expect(at != NULL, "realloc has no memory");
    block->at = at;
    verify(block, bytes);
    block->bytes = bytes;
    if (bytes > old)
        (void)VALGRIND_MAKE_MEM_UNDEFINED(at + old, bytes - old);
    fill(block);
}

/* Puts a block into the pool, or takes the one there: it was another thread's, as a rule. */
static void exchange(struct block *block, unsigned *random)
{
    struct block *place = &pool[next(random) % POOL];
    pthread_mutex_lock(&pool_lock);
    struct block other = *place;
    *place = *block;
    pthread_mutex_unlock(&pool_lock);
    *block = other;
}

static void live(struct block *blocks, unsigned *random)
{
    for (int step = 0; step < STEPS; step++) {
        struct block *block = &blocks[next(random) % BLOCKS];
        unsigned what = next(random) % 8;
        if (block->at == NULL)
            *block = take(random);
        else if (what == 0)
            exchange(block, random);
        else if (what < 4 && !is_untouched)
            resize(block, random);
        else
            give(block);
    }
}

static void give_all(struct block *blocks, int count)
{
    for (int i = 0; i < count; i++)
        if (blocks[i].at != NULL)
            give(&blocks[i]);
}

/* A thread's whole life; it ends with what it has in caches, and with blocks in the pool. */
static void *thread(void *seed)
{
    struct block blocks[BLOCKS] = { { NULL, 0, 0 } };
    unsigned random = (unsigned)(uintptr_t)seed;
    /* What the allocator needs for a thread comes from free pages: it has it before any block is
     * freed that may not be accessed. A compiler may leave out a pair whose pointer it sees. */
    void *volatile first = malloc(1);
    free(first);
    pthread_barrier_wait(&started);
    for (int round = 0; round < (is_untouched ? rounds : 1); round++)
        live(blocks, &random);
    give_all(blocks, BLOCKS);
    return NULL;
}

/* A child of a process with threads goes on with the blocks of the thread that forked. */
static void child_goes_on(struct block *blocks, unsigned *random)
{
    int status = 1;
    pid_t child = fork();
    expect(child >= 0, "there is no second process");
    if (child == 0) {
        live(blocks, random);
        give_all(blocks, BLOCKS);
        _exit(VALGRIND_COUNT_ERRORS == 0 ? 0 : 1);
    }
    expect(waitpid(child, &status, 0) == child && status == 0, "the child of a fork failed");
}

static void together(struct block *blocks, unsigned *random)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&started, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        void *seed = (void *)(uintptr_t)next(random);
        expect(pthread_create(&threads[i], NULL, thread, seed) == 0, "there is no thread");
    }
    pthread_barrier_wait(&started);
    live(blocks, random);
    if (!is_untouched)
        child_goes_on(blocks, random);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&started);
}

static void what_cannot_be_had(void)
{
    volatile size_t half = SIZE_MAX / 2, most = (size_t)1 << 46;
    void *at = NULL;
    errno = 0;
    expect(malloc(most) == NULL && errno == ENOMEM, "malloc gave 64 TiB");
    errno = 0;
    expect(calloc(half, 3) == NULL && errno == ENOMEM, "calloc multiplied beyond all sizes");
    expect(posix_memalign(&at, 24, 8) == EINVAL, "posix_memalign took no power of two");
    at = malloc(40);
    expect(realloc(at, most) == NULL && realloc(at, 0) == NULL, "realloc gave 64 TiB, or nothing");
    free(NULL);
}

/* Reads what it has freed. */
static void misuse(void)
{
    struct block block = { malloc(48), 48, 5 };
    unsigned char *at = block.at;
    fill(&block);
    give(&block);
    __asm__ volatile("" : "+r"(at));
    if (*(volatile unsigned char *)(at + 20) == 145)
        puts("a freed block holds what it held");
}

int main(int count, char **words)
{
    struct block blocks[BLOCKS] = { { NULL, 0, 0 } };
    unsigned random = 1;
    expect(count == 3, "usage: family content|untouched|broken|trespass ROUNDS");
    rounds = atoi(words[2]);
    /* A buffer would be a block that nobody has named to memcheck. */
    setvbuf(stdout, NULL, _IONBF, 0);
    is_untouched = !strcmp(words[1], "untouched") || !strcmp(words[1], "trespass");
    void *volatile probe = malloc(100);
    expect(malloc_usable_size(probe) % 16 == 0, "this is the allocator of memcheck");
    free(probe);
    if (!strcmp(words[1], "broken") || !strcmp(words[1], "trespass")) {
        misuse();
        return 0;
    }
    what_cannot_be_had();
    for (int round = 0; round < (is_untouched ? 1 : rounds); round++)
        together(blocks, &random);
    give_all(blocks, BLOCKS);
    give_all(pool, POOL);
    printf("%d blocks and %d threads, %d rounds\n", BLOCKS, THREADS, rounds);
    return 0;
}
