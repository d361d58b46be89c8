//! Binary trees: a long-lived one, and short-lived ones of all depths.

use crate::figures::Watch;
use crate::local::{HEADER, Local, Object};
use crate::params::Params;
use crate::world;

/// Makes a tree from its leaves up, so that every reference is written into a new object.
fn make(local: &Local, depth: u64) -> Object {
    let (mut left, mut right) = (Object::NULL, Object::NULL);
    if depth > 0 {
        left = make(local, depth - 1);
        local.push(left);
        right = make(local, depth - 1);
        local.push(right);
    }
    let node = local.allocate(HEADER + 16, 2);
    if depth > 0 {
        right = local.pop();
        left = local.pop();
    }
    node.init(0, left.0 as u64);
    node.init(1, right.0 as u64);
    node
}

fn count(node: Object) -> u64 {
    if node.edge(0) == Object::NULL {
        return 1;
    }
    1 + count(node.edge(0)) + count(node.edge(1))
}

pub(crate) fn run(params: &Params) {
    let (depth, threads) = (params.number("depth", 18), params.number("threads", 1));
    Local::attached(|local| {
        let watch = Watch::start();
        let mut answer = count(make(local, depth + 1));
        local.push(make(local, depth));
        answer += world::in_threads(threads, |local, thread| {
            let mut sum = 0;
            for d in (4..=depth).step_by(2) {
                for _ in (thread..1 << (depth - d + 4)).step_by(threads as usize) {
                    sum += d * count(make(local, d));
                }
            }
            sum
        });
        answer += count(local.pop());
        watch.stop(|| answer);
    });
}
