/* Marking: forced full collections of a graph. The table of nodes is freed before the first. */

#include "peers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Node {
    struct Node *edges[2];
    uint64_t word;
} Node;

enum { LISTS = 1000, ROUNDS = 5 };

static Node *roots[LISTS];
static uint64_t roots_count;

static void link_randomly(Node **nodes, uint64_t n, uint64_t *random)
{
    for (uint64_t i = 0; i < n; i++) {
        nodes[i]->edges[0] = nodes[below(random, n)];
        nodes[i]->edges[1] = nodes[below(random, n)];
    }
    roots_count = 16;
}

/* Makes the nodes a complete tree in the order in which they stand. */
static void link_tree(Node **nodes, uint64_t n)
{
    for (uint64_t i = 1; i < n; i++) {
        nodes[(i - 1) / 2]->edges[(i - 1) % 2] = nodes[i];
    }
    roots_count = 1;
}

static void link_lists(Node **nodes, uint64_t n)
{
    for (uint64_t j = LISTS; j < n; j++) {
        nodes[j - LISTS]->edges[0] = nodes[j];
    }
    roots_count = LISTS;
}

static void shuffle(Node **nodes, uint64_t n, uint64_t *random)
{
    for (uint64_t i = n - 1; i > 0; i--) {
        uint64_t j = below(random, i + 1);
        Node *node = nodes[i];
        nodes[i] = nodes[j];
        nodes[j] = node;
    }
}

/* Makes the nodes, then their edges, and leaves the roots. */
static void build(const char *kind, uint64_t n, uint64_t random)
{
    Node **nodes = check(GC_MALLOC_IGNORE_OFF_PAGE(n * sizeof *nodes));
    for (uint64_t i = 0; i < n; i++) {
        nodes[i] = check(GC_MALLOC(sizeof *nodes[i]));
        nodes[i]->word = i;
    }
    if (strcmp(kind, "random") == 0) {
        link_randomly(nodes, n, &random);
    } else if (strcmp(kind, "tree") == 0) {
        link_tree(nodes, n);
    } else if (strcmp(kind, "shuffled") == 0) {
        shuffle(nodes, n, &random);
        link_tree(nodes, n);
    } else if (strcmp(kind, "lists") == 0) {
        shuffle(nodes, n, &random);
        link_lists(nodes, n);
    } else {
        fail("unknown kind of graph", kind);
    }
    roots_count = roots_count < n ? roots_count : n;
    memcpy(roots, nodes, roots_count * sizeof *nodes);
    /* A word on the stack that looks like its address would keep all nodes. */
    GC_FREE(nodes);
}

/* Finds what the roots reach, and makes a number of it. */
static uint64_t walk(uint64_t n)
{
    uint64_t *seen = check(calloc(n / 64 + 1, sizeof *seen));
    /* The collector does not look into this memory; it is not asked to collect either. */
    Node **stack = check(malloc((n + 1) * 2 * sizeof *stack));
    uint64_t reached = 0, words = 0;
    for (uint64_t root = 0; root < roots_count; root++) {
        uint64_t top = 0;
        stack[top++] = roots[root];
        while (top > 0) {
            Node *node = stack[--top];
            if (node == NULL || (seen[node->word / 64] >> node->word % 64 & 1)) {
                continue;
            }
            seen[node->word / 64] |= (uint64_t)1 << node->word % 64;
            reached++;
            words ^= node->word;
            stack[top++] = node->edges[0];
            stack[top++] = node->edges[1];
        }
    }
    free(seen);
    free(stack);
    return reached * 31 + words;
}

void collect(void)
{
    GC_gcollect();
    Watch watch = start();
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t cpu = cpu_time(), wall = wall_time();
        GC_gcollect();
        printf("collect_ns %llu\n", (unsigned long long)(wall_time() - wall));
        printf("collect_cpu_ns %llu\n", (unsigned long long)(cpu_time() - cpu));
    }
    stop(watch);
}

void graph(void)
{
    uint64_t n = number("nodes", 2000000);
    const char *kind = word("kind", "random");
    if (strcmp(kind, "mixed") == 0) {
        mixed(n, number("seed", 1));
        return;
    }
    build(kind, n, number("seed", 1));
    collect();
    answer(walk(n));
}
