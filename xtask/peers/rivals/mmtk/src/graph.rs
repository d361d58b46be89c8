//! Marking: forced full collections of a graph.

use crate::figures::{Watch, cpu_ns};
use crate::local::{HEADER, Local, Object, Table};
use crate::mixed;
use crate::params::{Params, Random, fail};
use std::time::Instant;

const LISTS: usize = 1000;

/// The word of a node, behind its two references.
const WORD: usize = 2;

/// Makes the nodes, then their edges, and returns the roots; the table of nodes dies.
fn build(local: &Local, kind: &str, n: usize, seed: u64) -> Table {
    let mut random = Random(seed);
    let nodes = Table::new(n);
    for i in 0..n {
        let node = local.allocate(HEADER + 24, 2);
        node.init(0, 0);
        node.init(1, 0);
        node.init(WORD, i as u64);
        nodes.set(i, node);
    }
    let roots = match kind {
        "random" => {
            for i in 0..n {
                local.set(nodes.get(i), 0, nodes.get(random.below(n)));
                local.set(nodes.get(i), 1, nodes.get(random.below(n)));
            }
            16
        }
        "tree" => link_tree(local, &nodes),
        "shuffled" => {
            shuffle(&nodes, &mut random);
            link_tree(local, &nodes)
        }
        "lists" => {
            shuffle(&nodes, &mut random);
            for j in LISTS..n {
                local.set(nodes.get(j - LISTS), 0, nodes.get(j));
            }
            LISTS
        }
        _ => fail(&format!("unknown kind of graph: {kind}")),
    };
    let kept = Table::new(roots.min(n));
    (0..kept.len()).for_each(|at| kept.set(at, nodes.get(at)));
    kept
}

/// Makes the nodes a complete tree in the order in which they stand.
fn link_tree(local: &Local, nodes: &Table) -> usize {
    for i in 1..nodes.len() {
        local.set(nodes.get((i - 1) / 2), (i - 1) % 2, nodes.get(i));
    }
    1
}

fn shuffle(nodes: &Table, random: &mut Random) {
    for i in (1..nodes.len()).rev() {
        nodes.swap(i, random.below(i + 1));
    }
}

/// Finds what the roots reach, and makes a number of it.
fn walk(roots: &Table, n: usize) -> u64 {
    let mut seen = vec![0_u64; n / 64 + 1];
    let (mut reached, mut words) = (0, 0);
    let mut stack: Vec<Object> = (0..roots.len()).map(|at| roots.get(at)).collect();
    while let Some(node) = stack.pop() {
        if node == Object::NULL {
            continue;
        }
        let word = node.get(WORD);
        let (at, bit) = (word as usize / 64, 1 << (word % 64));
        if seen[at] & bit != 0 {
            continue;
        }
        seen[at] |= bit;
        reached += 1;
        words ^= word;
        stack.extend([node.edge(0), node.edge(1)]);
    }
    reached * 31 + words
}

/// Collects once, then as often as is measured; the walk is not.
pub(crate) fn collections(local: &Local, walk: impl FnOnce() -> u64) {
    local.collect();
    let watch = Watch::start();
    for _ in 0..5 {
        let (cpu, wall) = (cpu_ns(), Instant::now());
        local.collect();
        println!("collect_ns {}", wall.elapsed().as_nanos());
        println!("collect_cpu_ns {}", cpu_ns() - cpu);
    }
    watch.stop(walk);
}

pub(crate) fn run(params: &Params) {
    let n = params.number("nodes", 2_000_000) as usize;
    let kind = params.word("kind", "random");
    if kind == "mixed" {
        mixed::run(params, n);
        return;
    }
    Local::attached(|local| {
        let roots = build(local, kind, n, params.number("seed", 1));
        collections(local, || walk(&roots, n));
    });
}
