//! The heap's fast paths, each as a function of its own that a profiler finds by its name.
//!
//! `cargo xtask instructions` runs this under callgrind, divides what each `path_` function took
//! by the operations that this program prints for it, and compares the quotients with the budgets
//! in `xtask/instructions.toml`. Instructions are counted, not time, so that a machine at work on
//! something else tells the same. A loop costs two or three of them itself, and `black_box` one or
//! two.
//!
//! What is counted happens on the calling thread. The other threads of the heap hardly run: it
//! collects when it is told to.

use alloc_core::malloc::Heapwright;
use runtime::stack::{EntryPoint, FrameKind, Frames, StackOptions, Stacks};
use runtime::{Builder, Cx, Gc, GcCell, Heap, Locked, Mutator, Root, StopTheWorld, Trace, Weak};
use std::error::Error;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: Heapwright = Heapwright;

/// Operations of a path, unless it says otherwise.
const OPS: usize = 100_000;
/// Cells that are set in turn.
const CELLS: usize = 64;

static WORD: FrameKind<u64> = FrameKind::new("word");

/// A tree's: 32 bytes, half of them references.
#[derive(Trace)]
struct Node<'gc> {
    edges: [GcCell<'gc, Node<'gc>>; 2],
    words: [u64; 2],
}

#[inline(never)]
fn path_enter_and_leave(mutator: &mut Mutator) {
    for at in 0..OPS {
        mutator.enter(|cx| {
            black_box(cx);
            black_box(at);
        });
    }
}

#[inline(never)]
fn path_alloc_16_bytes(cx: &Cx<'_>) {
    for at in 0..OPS as u64 {
        black_box(cx.alloc([at; 2]));
    }
}

#[inline(never)]
fn path_alloc_64_bytes(cx: &Cx<'_>) {
    for at in 0..OPS as u64 {
        black_box(cx.alloc([at; 8]));
    }
}

#[inline(never)]
fn path_cell_get(cells: &[GcCell<'_, [u64; 2]>]) -> usize {
    let address = |at: usize| cells[at % CELLS].get().map_or(0, Gc::address);
    (0..OPS).fold(0, |sum, at| sum ^ black_box(address(at)))
}

#[inline(never)]
fn path_cell_set<'gc>(
    cx: &Cx<'gc>,
    cells: &[GcCell<'gc, [u64; 2]>],
    numbers: [Gc<'gc, [u64; 2]>; 2],
) {
    for at in 0..OPS {
        cells[at % CELLS].set(cx, Some(black_box(numbers[at / CELLS % 2])));
    }
}

#[inline(never)]
fn path_lock_and_unlock<'gc>(cx: &Cx<'gc>, locked: &Locked<[Gc<'gc, [u64; 2]>; 2]>) {
    for at in 0..OPS {
        let mut numbers = locked.lock(cx);
        let number = numbers[0];
        numbers[at % 2] = number;
    }
}

#[inline(never)]
fn path_root_and_drop<'gc>(cx: &Cx<'gc>, number: Gc<'gc, [u64; 2]>) {
    for _ in 0..OPS {
        drop(black_box(cx.root(black_box(number))));
    }
}

#[inline(never)]
fn path_alloc_slice_of_4_words(cx: &Cx<'_>) {
    for at in 0..OPS as u64 {
        black_box(cx.alloc_slice(black_box([at; 4])));
    }
}

#[inline(never)]
fn path_downgrade<'gc>(cx: &Cx<'gc>, number: Gc<'gc, [u64; 2]>) {
    for _ in 0..OPS {
        black_box(cx.downgrade(black_box(number)));
    }
}

#[inline(never)]
fn path_upgrade<'gc>(cx: &Cx<'gc>, weak: Weak<'gc, [u64; 2]>) {
    for _ in 0..OPS {
        black_box(black_box(weak).upgrade(cx));
    }
}

#[inline(never)]
fn path_push_and_pop(frames: &mut Frames<'_, '_>) -> u64 {
    let mut sum = 0;
    for call in 0..OPS as u64 {
        if frames.push(&WORD, black_box(call), 0, ()).is_ok() {
            sum += frames.pop(&WORD);
        }
    }
    sum
}

#[inline(never)]
fn path_malloc_and_free_64_bytes() {
    for at in 0..OPS as u64 {
        drop(black_box(Box::new([at; 8])));
    }
}

/// Marks, by the one marker that the caller is, and begins to sweep.
#[inline(never)]
fn path_collect_a_live_node(mutator: &mut Mutator<StopTheWorld>) -> Result<(), Box<dyn Error>> {
    mutator.collect()?;
    Ok(())
}

/// What runs inside of one closure.
fn in_a_closure(cx: &Cx<'_>) {
    let numbers = [0, 1].map(|number| cx.alloc([number; 2]));
    let cells: [_; CELLS] = std::array::from_fn(|at| GcCell::new(Some(numbers[at % 2])));
    let cells = cx.alloc_slice(cells);
    let locked = cx.alloc(Locked::new(numbers));
    path_alloc_16_bytes(cx);
    path_alloc_64_bytes(cx);
    black_box(path_cell_get(Gc::get(cells)));
    path_cell_set(cx, Gc::get(cells), numbers);
    path_lock_and_unlock(cx, Gc::get(locked));
    path_root_and_drop(cx, numbers[0]);
    path_alloc_slice_of_4_words(cx);
    path_downgrade(cx, numbers[0]);
    path_upgrade(cx, cx.downgrade(numbers[0]));
}

/// A complete tree of `OPS` nodes in the order of their allocation, its root first.
fn tree<'gc>(cx: &Cx<'gc, StopTheWorld>) -> Root<Node<'static>> {
    let node = |at| {
        cx.alloc(Node {
            edges: [GcCell::empty(), GcCell::empty()],
            words: [at; 2],
        })
    };
    let nodes: Vec<Gc<'gc, Node<'gc>>> = (0..OPS as u64).map(node).collect();
    for (at, node) in nodes.iter().enumerate() {
        let children = nodes.iter().skip(2 * at + 1);
        for (edge, child) in node.edges.iter().zip(children) {
            edge.set(cx, Some(*child));
        }
    }
    cx.root(nodes[0])
}

fn main() -> Result<(), Box<dyn Error>> {
    let heap = Heap::builder().gc_off().build()?;
    let mut mutator = heap.mutator();
    path_enter_and_leave(&mut mutator);
    mutator.enter(in_a_closure);
    path_malloc_and_free_64_bytes();

    let stacks = Stacks::new(StackOptions::default())?;
    let mut stack = stacks.stack(&EntryPoint::new("fast paths"))?;
    black_box(stack.run(path_push_and_pop));

    let marked = Builder::new(StopTheWorld::with_markers(1))
        .gc_off()
        .build()?;
    let mut mutator = marked.mutator();
    let root = mutator.enter(tree);
    path_collect_a_live_node(&mut mutator)?;
    drop(root);
    println!("operations {OPS}");
    Ok(())
}
