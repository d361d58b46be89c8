/* Binary trees: a long-lived one, and short-lived ones of all depths. */

#include "peers.h"

typedef struct Tree {
    struct Tree *left, *right;
} Tree;

static uint64_t depth, step;

static Tree *make(uint64_t depth)
{
    Tree *tree = check(GC_MALLOC(sizeof *tree));
    if (depth > 0) {
        tree->left = make(depth - 1);
        tree->right = make(depth - 1);
    }
    return tree;
}

static uint64_t count(const Tree *tree)
{
    return tree->left == NULL ? 1 : 1 + count(tree->left) + count(tree->right);
}

static uint64_t short_lived(uint64_t thread)
{
    uint64_t sum = 0;
    for (uint64_t d = 4; d <= depth; d += 2) {
        for (uint64_t i = thread; i < (uint64_t)1 << (depth - d + 4); i += step) {
            sum += d * count(make(d));
        }
    }
    return sum;
}

void trees(void)
{
    depth = number("depth", 18);
    step = threads();
    Watch watch = start();
    uint64_t sum = count(make(depth + 1));
    Tree *long_lived = make(depth);
    sum += in_threads(step, short_lived);
    sum += count(long_lived);
    stop(watch);
    answer(sum);
}
