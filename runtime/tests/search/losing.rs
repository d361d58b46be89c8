//! The variants: those that lose an object, and at the end those that do not within the bounds.

use crate::protocol::{Bounds, End, Frames, InClosure, Phase, Protocol, Store, WeakGate, World};
use crate::{
    ARMING, MARKING, PROGRAMS, REGISTRATION, SHIPPED, STACKS, STORES, WEAK, is_safe, loses,
};

/// Three objects, of which two are white and one of these is in a log.
const CUT_OFF: Bounds = Bounds {
    objects: 3,
    cut_off: true,
    early_flush: true,
    allocation: false,
    ..MARKING
};

#[test]
fn one_handshake_loses() {
    let bounds = Bounds {
        from: World::Starting,
        ..STORES
    };
    let one = Protocol {
        handshakes: 1,
        new_in_marking: true,
        ..ARMING
    };
    loses("one handshake", one, bounds);
    let one = Protocol {
        store: Store::SwapLog,
        ..one
    };
    loses("one handshake, exchange", one, bounds);
}

/// The exchange makes two enough; that is a candidate for later, not what ships.
#[test]
fn two_handshakes_lose_unless_stores_exchange() {
    let two = Protocol {
        handshakes: 2,
        ..ARMING
    };
    loses("two handshakes", two, STORES);
    let late = Protocol {
        store: Store::ReadWriteLog,
        ..two
    };
    loses("two handshakes, write, then log", late, STORES);
    let exchange = Protocol {
        store: Store::SwapLog,
        ..two
    };
    is_safe("two handshakes, exchange", exchange, PROGRAMS);
}

#[test]
fn half_a_barrier_loses() {
    let no_new = Protocol {
        new_until_h3: false,
        ..ARMING
    };
    loses("no insertion half", no_new, PROGRAMS);
    let no_old = Protocol {
        old_until_h3: false,
        ..ARMING
    };
    loses("no deletion half in arming", no_old, STORES);
    let insertion = Protocol {
        old_in_marking: false,
        new_in_marking: true,
        ..ARMING
    };
    loses("no deletion half in marking", insertion, STORES);
}

#[test]
fn black_before_the_third_handshake_loses() {
    for (name, black_from) in [("H1", Phase::Arming), ("H2", Phase::Armed)] {
        let black = Protocol {
            black_from,
            ..ARMING
        };
        loses(&format!("black from {name}"), black, PROGRAMS);
    }
}

/// What a closure holds in registers may have been cut off before anybody logged. So H1 and H2 may
/// be acknowledged there, as in every search, and H3 may not.
#[test]
fn h3_in_a_closure_loses() {
    let in_closure = InClosure {
        h1: false,
        h2: false,
        h3: true,
        ..SHIPPED.in_closure
    };
    let protocol = Protocol {
        in_closure,
        ..ARMING
    };
    loses("H3 in a closure", protocol, STORES);
}

/// What a stack's frames hold is that of H3, scanned before it is popped, and all of it.
#[test]
fn frames_scanned_otherwise_lose() {
    let with = |frames| Protocol {
        frames: Some(frames),
        end: End::Oracle,
        ..STACKS
    };
    let at_h2 = Frames {
        from: Phase::Armed,
        ..Frames::SHIPPED
    };
    loses("frames as they were at H2", with(at_h2), STORES);
    let popped = Frames {
        before_pop: false,
        ..Frames::SHIPPED
    };
    loses("frames popped unscanned", with(popped), STORES);
    let left = Frames {
        before_end: false,
        ..Frames::SHIPPED
    };
    loses("frames left unscanned", with(left), STORES);
    let forgotten = Frames {
        kept_in_arming: false,
        ..Frames::SHIPPED
    };
    loses("a watermark forgotten in arming", with(forgotten), STORES);
}

#[test]
fn marking_before_the_first_handshake_is_done_loses() {
    let early = Protocol {
        mark_from: World::Arming,
        ..ARMING
    };
    loses("marking from H1", early, PROGRAMS);
}

#[test]
fn handles_dropped_unlogged_lose() {
    let never = Protocol {
        drops_logged_from: None,
        ..ARMING
    };
    loses("drops are not logged", never, PROGRAMS);
    let late = Protocol {
        drops_logged_from: Some(World::Marking),
        ..ARMING
    };
    loses("drops are logged once H3 is done", late, PROGRAMS);
}

/// Either rule alone would do if no mutator ever left.
#[test]
fn a_wave_without_sticky_rule_and_counter_loses() {
    let neither = Protocol {
        sticky: false,
        counter: false,
        ..SHIPPED
    };
    let bounds = Bounds {
        early_flush: true,
        ..MARKING
    };
    loses("neither", neither, bounds);
    let unmarked_only = Protocol {
        ignore_marked: true,
        ..neither
    };
    loses(
        "neither, and marked entries are clean",
        unmarked_only,
        bounds,
    );
}

/// A mutator that leaves in the wave is never asked whether it is clean.
#[test]
fn a_wave_without_counter_loses_when_mutators_leave() {
    let none = Protocol {
        counter: false,
        ..SHIPPED
    };
    loses("no counter", none, REGISTRATION);
    let late = Protocol {
        counter_first: false,
        ..SHIPPED
    };
    loses("the counter is read after the queues", late, REGISTRATION);
    let count_first = Protocol {
        push_before_count: false,
        ..SHIPPED
    };
    loses(
        "who leaves counts, then hands over",
        count_first,
        REGISTRATION,
    );
}

/// golang/go#27993: while markers run, "no one who was visited handed over white objects" proves
/// nothing, even if the queues are looked at again in the end and stores are one step.
#[test]
fn a_wave_that_looks_at_flushed_work_alone_loses() {
    let flushed_work = Protocol {
        mark_in_wave: true,
        ignore_marked: true,
        sticky: false,
        counter: false,
        store: Store::SwapLog,
        ..SHIPPED
    };
    loses("flushed work", flushed_work, CUT_OFF);
}

#[test]
fn leaving_without_handing_over_loses() {
    let keeps = Protocol {
        leaving_hands_over: false,
        ..SHIPPED
    };
    loses("leaving keeps the log", keeps, REGISTRATION);
}

#[test]
fn registering_as_idle_loses() {
    let idle = Protocol {
        registers_as_published: false,
        ..SHIPPED
    };
    loses("registers as idle", idle, REGISTRATION);
}

#[test]
fn upgrades_without_a_whole_gate_lose() {
    let missing = Protocol {
        gate: WeakGate::Missing,
        ..SHIPPED
    };
    loses("no gate", missing, WEAK);
    let late = Protocol {
        gate: WeakGate::ClosedInWave,
        ..SHIPPED
    };
    loses("the gate closes in the wave", late, WEAK);
    let silent = Protocol {
        closing_aborts: false,
        ..SHIPPED
    };
    loses("an upgrade leaves the gate closing", silent, WEAK);
    let after = Protocol {
        clear_before_h5: false,
        ..SHIPPED
    };
    loses("H5 before weak references are cleared", after, WEAK);
}

// Variants that lose nothing within these bounds: what ships has a margin there.

#[test]
fn margins() {
    let early = Protocol {
        mark_from: World::Starting,
        ..ARMING
    };
    is_safe("marking once H2 is done", early, STORES);
    let late = Protocol {
        drops_logged_from: Some(World::Starting),
        ..ARMING
    };
    is_safe("drops are logged from H3", late, PROGRAMS);
    let unlogged = Protocol {
        handles_until_h3: false,
        ..ARMING
    };
    is_safe("fresh handles are not logged", unlogged, PROGRAMS);
}

#[test]
#[ignore = "a minute: cargo test --release -p runtime --test search -- --ignored"]
fn margins_of_the_end() {
    let bounds = Bounds {
        allocation: false,
        early_flush: true,
        ..MARKING
    };
    is_safe(
        "no sticky rule",
        Protocol {
            sticky: false,
            ..SHIPPED
        },
        bounds,
    );
    is_safe(
        "no counter, none leaves",
        Protocol {
            counter: false,
            ..SHIPPED
        },
        bounds,
    );
    is_safe(
        "marked entries are clean",
        Protocol {
            ignore_marked: true,
            ..SHIPPED
        },
        bounds,
    );
    let mark_first = Protocol {
        gate_before_mark: false,
        ..SHIPPED
    };
    is_safe("an upgrade reads the mark first", mark_first, WEAK);
}
