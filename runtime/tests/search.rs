//! The collector's protocol against any program: an exhaustive search of small instances.
//!
//! Loom judges memory orders along fixed scripts. Here memory is sequentially consistent, and the
//! *programs* are arbitrary: two mutators that load, store, allocate, keep handles, upgrade, come
//! and go in any order, a thread that drops handles, and the collector. Every interleaving is
//! visited, so a verdict holds for every program within the bounds, and for nothing beyond them.
//!
//! `Protocol::SHIPPED` is what the runtime does. Each other value of [`Protocol`] is a variant,
//! and must lose an object; the shortest way to lose it is printed (`-- --nocapture`).

#[path = "search/actor.rs"]
mod actor;
#[path = "search/collector.rs"]
mod collector;
#[path = "search/explore.rs"]
mod explore;
#[path = "search/losing.rs"]
mod losing;
#[path = "search/mutator.rs"]
mod mutator;
#[path = "search/protocol.rs"]
mod protocol;
#[path = "search/state.rs"]
mod state;

use explore::{Found, explore};
use protocol::{Bounds, End, Protocol, Store, World};
use std::time::Instant;

/// Loads, stores, allocation and handles.
const PROGRAMS: Bounds = Bounds {
    objects: 2,
    registers: 2,
    cut_off: false,
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

const SHIPPED: Protocol = Protocol::SHIPPED;
const ARMING: Protocol = Protocol::ARMING;
const STACKS: Protocol = Protocol::STACKS;

/// The same without handles that come and go.
const STORES: Bounds = Bounds {
    handles: false,
    ..PROGRAMS
};

/// From the end of H3 on, when arming is known to be sound.
const MARKING: Bounds = Bounds {
    from: World::Marking,
    ..STORES
};

const REGISTRATION: Bounds = Bounds {
    registration: true,
    allocation: false,
    ..MARKING
};

const WEAK: Bounds = Bounds {
    weak: true,
    registers: 1,
    allocation: false,
    ..MARKING
};

#[test]
fn arming_is_safe() {
    is_safe("arming", ARMING, PROGRAMS);
}

/// With logging as a step of its own, which the other searches join to a step beside it.
#[test]
fn arming_is_safe_in_fine_steps() {
    let bounds = Bounds {
        registers: 1,
        fine: true,
        ..PROGRAMS
    };
    is_safe("arming, fine", ARMING, bounds);
}

#[test]
fn a_store_may_log_before_or_after_it_writes() {
    let late = Protocol {
        store: Store::ReadWriteLog,
        ..ARMING
    };
    is_safe("write, then log", late, STORES);
}

#[test]
fn a_table_in_parts_is_safe() {
    let bounds = Bounds {
        registers: 1,
        shards: 2,
        ..PROGRAMS
    };
    is_safe("two shards", ARMING, bounds);
}

#[test]
fn arming_and_registration_are_safe() {
    let bounds = Bounds {
        registration: true,
        ..STORES
    };
    is_safe("arming, registration", ARMING, bounds);
}

#[test]
fn termination_is_safe() {
    let bounds = Bounds {
        early_flush: true,
        ..MARKING
    };
    is_safe("termination", SHIPPED, bounds);
}

#[test]
fn termination_and_dropped_handles_are_safe() {
    let bounds = Bounds {
        handles: true,
        registers: 1,
        allocation: false,
        ..MARKING
    };
    is_safe("termination, handles", SHIPPED, bounds);
}

#[test]
fn registration_and_leaving_are_safe() {
    is_safe("registration", SHIPPED, REGISTRATION);
}

/// All but H3 is acknowledged inside closures here, as in every search of the shipped protocol.
#[test]
fn upgrades_are_safe() {
    is_safe("weak", SHIPPED, WEAK);
}

#[test]
fn a_whole_cycle_is_safe() {
    let bounds = Bounds {
        registers: 1,
        early_flush: true,
        registration: true,
        ..STORES
    };
    is_safe("cycle", SHIPPED, bounds);
}

/// References in frames of stacks: acknowledged at checkpoints, and scanned afterwards, by the
/// mutator that pops them or by the collector, whoever comes first.
#[test]
fn stacks_are_safe() {
    let arming = Protocol {
        end: End::Oracle,
        ..STACKS
    };
    is_safe("stacks, arming", arming, PROGRAMS);
    let cycle = Bounds {
        registers: 1,
        early_flush: true,
        registration: true,
        ..STORES
    };
    is_safe("stacks, cycle", STACKS, cycle);
}

/// The same at sizes that take minutes.
#[test]
#[ignore = "minutes: cargo test --release -p runtime --test search -- --ignored"]
fn larger_instances_are_safe() {
    let three = Bounds {
        objects: 3,
        allocation: false,
        ..STORES
    };
    is_safe("arming, three objects", ARMING, three);
    is_safe(
        "arming, fine, handles",
        ARMING,
        Bounds {
            fine: true,
            ..PROGRAMS
        },
    );
    let cycle = Bounds {
        early_flush: true,
        ..STORES
    };
    is_safe("cycle, two registers", SHIPPED, cycle);
    let handles = Bounds {
        handles: true,
        ..MARKING
    };
    is_safe("termination, handles, two registers", SHIPPED, handles);
    let shards = Bounds {
        shards: 2,
        registers: 1,
        ..handles
    };
    is_safe("termination, two shards", SHIPPED, shards);
    is_safe(
        "weak, cycle",
        SHIPPED,
        Bounds {
            from: World::Arming,
            ..WEAK
        },
    );
    is_safe(
        "weak, registration",
        SHIPPED,
        Bounds {
            registration: true,
            ..WEAK
        },
    );
}
