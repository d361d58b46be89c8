//! Allocation throughput: objects without references, each dead when the next is made.

use crate::figures::Watch;
use crate::local::{HEADER, Local, Object};
use crate::params::{Params, fail};
use crate::world;

pub(crate) fn run(params: &Params) {
    let (count, threads) = (
        params.number("count", 50_000_000),
        params.number("threads", 1),
    );
    let bytes = params.number("size", 64) as usize;
    if !(2 * HEADER..=8192).contains(&bytes) || !bytes.is_multiple_of(8) {
        fail("size is a multiple of 8 from 16 to 8192");
    }
    Local::attached(|_| {
        let watch = Watch::start();
        let answer = world::in_threads(threads, |local, _| {
            let first = local.allocate(bytes, 0);
            first.init(0, 0);
            // The top of the stack, where the collector looks, holds the last one.
            local.push(first);
            let mut sum = 0_u64;
            for i in 0..count {
                let object = local.allocate(bytes, 0);
                object.init(0, i);
                let last = Object(local.top().replace(std::hint::black_box(object.0)));
                sum = sum.wrapping_add(last.get(0));
            }
            local.pop();
            sum
        });
        watch.stop(|| answer);
    });
}
