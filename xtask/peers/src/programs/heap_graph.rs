//! `graph` on our heap: built in one closure, then collected from outside of any.

use super::graph::{COLLECTIONS, Shape, Walk};
use super::heap::used;
use super::run::{Clocks, Lines};
use super::{Failure, Params, heap_mixed};
use crate::cost;
use runtime::{Collector, Cx, Gc, GcCell, Mutator, Root, Runtime, Trace};

/// 24 B: two places for edges, as a user of a cyclic graph writes them, and a word.
#[derive(Trace)]
struct Node<'gc> {
    edges: [GcCell<'gc, Node<'gc>>; 2],
    word: u64,
}

type Heads = Root<[Gc<'static, Node<'static>>]>;

fn build<C: Collector>(cx: &Cx<'_, C>, shape: &mut Shape) -> Heads {
    let node = |word| {
        let edges = [GcCell::empty(), GcCell::empty()];
        cx.alloc(Node { edges, word })
    };
    let table: Vec<_> = (0..shape.nodes as u64).map(node).collect();
    shape.link(|from, to| {
        for (edge, to) in table[from].edges.iter().zip(to) {
            edge.set(cx, to.map(|to| table[to]));
        }
    });
    let heads: Vec<_> = shape.roots().into_iter().map(|at| table[at]).collect();
    cx.root(cx.alloc_slice(heads))
}

fn walk<C: Collector>(cx: &Cx<'_, C>, heads: &Heads, nodes: usize) -> Walk {
    let mut walk = Walk::new(nodes);
    let mut stack: Vec<_> = heads.get(cx).to_vec();
    while let Some(node) = stack.pop() {
        if walk.is_new(node.word) {
            stack.extend(node.edges.iter().filter_map(GcCell::get));
        }
    }
    walk
}

/// Collects once, then as often as is measured.
pub(super) fn collections<C: Collector>(mutator: &mut Mutator<C>) -> Result<Lines, Failure> {
    mutator.collect()?;
    let (heap, mut collections) = (mutator.heap(), Vec::new());
    let clocks = Clocks::start(|| Some(used(&heap)));
    for _ in 0..COLLECTIONS {
        let (cycle, cost) = cost(|| mutator.collect());
        cycle?;
        collections.push(cost);
    }
    let mut lines = clocks.stop_unanswered();
    for cost in collections {
        lines.add("collect_ns", cost.wall.as_nanos());
        lines.add("collect_cpu_ns", cost.cpu.as_nanos());
    }
    Ok(lines)
}

/// Runs the workload.
pub(super) fn run<C: Collector>(heap: &Runtime<C>, params: &Params) -> Result<Lines, Failure> {
    if params.text("kind", "random") == "mixed" {
        return heap_mixed::run(heap, params);
    }
    let mut shape = Shape::new(params)?;
    let mut mutator = heap.mutator();
    let heads = mutator.enter(|cx| build(cx, &mut shape));
    let nodes = shape.nodes;
    drop(shape);
    let mut lines = collections(&mut mutator)?;
    let walk = mutator.enter(|cx| walk(cx, &heads, nodes));
    lines.add("answer", walk.answer());
    lines.add("reached", walk.reached);
    Ok(lines)
}
