/*
 * Marking: objects of several types, two of them with vectors, in units of eight. Everything of a
 * unit leads to its neighbors, or to other units at random. What holds no references comes from
 * GC_MALLOC_ATOMIC.
 */

#include "peers.h"
#include <stdlib.h>
#include <string.h>

enum { UNIT = 8, ITEMS = 3, LINKS_END = 8, ROOTS = 16 };

typedef struct {
    uint64_t word, content[4];
} Value;

typedef struct Folder Folder;

typedef struct {
    Folder *about;
    uint64_t word;
} Note;

typedef struct {
    Value *value;
    Note *note;
    uint64_t word;
} Item;

struct Folder {
    Item **items;
    Folder **links;
    uint64_t links_count;
    Note *note;
    uint64_t word;
};

static Folder *roots[ROOTS];
static uint64_t roots_count;

static Folder *make(uint64_t unit)
{
    uint64_t word = unit * UNIT;
    Folder *folder = check(GC_MALLOC(sizeof *folder));
    folder->word = word;
    folder->items = check(GC_MALLOC(ITEMS * sizeof *folder->items));
    for (uint64_t at = 0; at < ITEMS; at++) {
        Value *value = check(GC_MALLOC_ATOMIC(sizeof *value));
        *value = (Value){word + 4 + at, {word, word, word, word}};
        Item *item = check(GC_MALLOC(sizeof *item));
        item->value = value;
        item->word = word + 1 + at;
        folder->items[at] = item;
    }
    folder->note = check(GC_MALLOC(sizeof *folder->note));
    folder->note->word = word + 7;
    return folder;
}

/* Makes all units, then the references between them, and leaves the roots. */
static void build(uint64_t units, uint64_t random)
{
    Folder **folders = check(GC_MALLOC_IGNORE_OFF_PAGE(units * sizeof *folders));
    for (uint64_t unit = 0; unit < units; unit++) {
        folders[unit] = make(unit);
    }
    for (uint64_t unit = 0; unit < units; unit++) {
        Folder *from = folders[unit];
        for (uint64_t at = 0; at < ITEMS; at++) {
            from->items[at]->note = folders[below(&random, units)]->note;
        }
        from->note->about = folders[below(&random, units)];
        from->links_count = below(&random, LINKS_END);
        if (from->links_count > 0) {
            from->links = check(GC_MALLOC(from->links_count * sizeof *from->links));
        }
        for (uint64_t at = 0; at < from->links_count; at++) {
            from->links[at] = folders[below(&random, units)];
        }
    }
    roots_count = units < ROOTS ? units : ROOTS;
    memcpy(roots, folders, roots_count * sizeof *folders);
    /* A word on the stack that looks like its address would keep all of them. */
    GC_FREE(folders);
}

typedef struct {
    uint64_t *seen, reached, words;
    Folder **stack;
    uint64_t top;
} Walk;

static bool is_new(Walk *walk, uint64_t word)
{
    uint64_t bit = (uint64_t)1 << word % 64;
    if (walk->seen[word / 64] & bit) {
        return false;
    }
    walk->seen[word / 64] |= bit;
    walk->reached++;
    walk->words ^= word;
    return true;
}

static void visit(Walk *walk, Note *note)
{
    if (is_new(walk, note->word)) {
        walk->stack[walk->top++] = note->about;
    }
}

static uint64_t walk(uint64_t units)
{
    /* A folder is pushed once for each link and each note that leads to it, and for a root. */
    uint64_t places = units * (LINKS_END + ITEMS + 1) + ROOTS;
    Walk walk = {
        .seen = check(calloc(units * UNIT / 64 + 1, sizeof *walk.seen)),
        .stack = check(malloc(places * sizeof *walk.stack)),
    };
    memcpy(walk.stack, roots, roots_count * sizeof *roots);
    walk.top = roots_count;
    while (walk.top > 0) {
        Folder *folder = walk.stack[--walk.top];
        if (!is_new(&walk, folder->word)) {
            continue;
        }
        for (uint64_t at = 0; at < folder->links_count; at++) {
            walk.stack[walk.top++] = folder->links[at];
        }
        visit(&walk, folder->note);
        for (uint64_t at = 0; at < ITEMS; at++) {
            Item *item = folder->items[at];
            visit(&walk, item->note);
            is_new(&walk, item->word);
            is_new(&walk, item->value->word);
        }
    }
    free(walk.seen);
    free(walk.stack);
    return walk.reached * 31 + walk.words;
}

void mixed(uint64_t nodes, uint64_t random)
{
    build(nodes / UNIT, random);
    collect();
    answer(walk(nodes / UNIT));
}
