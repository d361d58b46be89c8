//! The collector's protocol against any program: an exhaustive search of small instances.
//!
//! Loom judges memory orders along fixed scripts. Here memory is sequentially consistent, and the
//! *programs* are arbitrary: two mutators that load, store, allocate, keep handles, upgrade, come
//! and go in any order, a thread that drops handles, and the collector. Every interleaving is
//! visited, so a verdict holds for every program within the bounds, and for nothing beyond them.
//!
//! `Protocol::SHIPPED` is what the runtime does. Each other value of [`Protocol`] is a variant,
//! and must lose an object; the shortest way to lose it is printed (`-- --nocapture`).

#[path = "search/collector.rs"]
mod collector;
#[path = "search/explore.rs"]
mod explore;
#[path = "search/mutator.rs"]
mod mutator;
#[path = "search/protocol.rs"]
mod protocol;
#[path = "search/state.rs"]
mod state;

use explore::{Found, explore};
use protocol::{Bounds, Protocol, World};
use std::time::Instant;

/// Loads, stores, allocation and handles.
const PROGRAMS: Bounds = Bounds {
    objects: 2,
    registers: 2,
    from: World::Arming,
    shards: 1,
    registered: 2,
    registration: false,
    handles: true,
    weak: false,
    early_flush: false,
    fine: false,
    allocation: true,
};

fn report(name: &str, protocol: &Protocol, bounds: &Bounds) -> Found {
    let begun = Instant::now();
    let found = explore(protocol, bounds);
    let verdict = if found.lost.is_some() {
        "loses"
    } else {
        "safe"
    };
    println!(
        "{name}: {verdict}, {} states, {:.1?}",
        found.states,
        begun.elapsed()
    );
    for (index, line) in found.lost.iter().flatten().enumerate() {
        println!("  {index:2} {line}");
    }
    found
}

/// Within `bounds`, no program makes `protocol` lose an object.
fn is_safe(name: &str, protocol: Protocol, bounds: Bounds) {
    let found = report(name, &protocol, &bounds);
    assert!(
        found.lost.is_none(),
        "{name}: an object is lost, see the steps above"
    );
    assert!(
        found.ends > 0,
        "{name}: no cycle ends, so nothing was shown"
    );
}

/// Within `bounds`, some program makes `protocol` lose an object.
fn loses(name: &str, protocol: Protocol, bounds: Bounds) {
    let found = report(name, &protocol, &bounds);
    assert!(
        found.lost.is_some(),
        "{name}: no object is lost within the bounds"
    );
}

const ARMING: Protocol = Protocol::ARMING;

#[test]
fn arming_is_safe() {
    is_safe("arming", ARMING, PROGRAMS);
}

#[test]
fn one_handshake_loses() {
    let bounds = Bounds {
        from: World::Starting,
        ..PROGRAMS
    };
    loses(
        "one handshake",
        Protocol {
            handshakes: 1,
            new_in_marking: true,
            ..ARMING
        },
        bounds,
    );
}

#[test]
fn two_handshakes_lose() {
    loses(
        "two handshakes",
        Protocol {
            handshakes: 2,
            ..ARMING
        },
        PROGRAMS,
    );
}
