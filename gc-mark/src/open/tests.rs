//! Open packets: what goes in comes out, once, with its kind; rooms are used again.

use std::collections::{HashMap, HashSet};

use super::*;

/// Pushes objects 0, 1, 2… of the given kinds; returns the queued work, and what was open.
fn push_all(ids: impl Iterator<Item = usize>) -> (Vec<Work>, Vec<Work>) {
    let (mut open, deque) = (Open::new(), Deque::new_lifo());
    for (number, id) in ids.enumerate() {
        let kind = Kind { id, noscan: false };
        // As the tracer does it: first without making room.
        if !open.append_if(Object(number), kind, || true) {
            open.push(Object(number), kind, &deque);
        }
    }
    let queued = std::iter::from_fn(|| deque.pop()).collect();
    let left = std::iter::from_fn(|| open.take_largest()).collect();
    assert!(open.is_empty());
    (queued, left)
}

fn objects(work: &Work) -> Vec<(Object, Kind)> {
    match work {
        Work::Packet { kind, len, space } => space[..*len]
            .iter()
            .map(|&object| (object, *kind))
            .collect(),
        Work::Mixed(objects) => objects.clone(),
        Work::Parts { .. } => unreachable!("no object was deferred"),
    }
}

/// Each object comes out once, with the kind that it went in with.
fn check(ids: &[usize]) -> (Vec<Work>, Vec<Work>) {
    let (queued, left) = push_all(ids.iter().copied());
    let mut seen = HashMap::new();
    for (object, kind) in queued.iter().chain(&left).flat_map(objects) {
        assert_eq!(ids[object.0], kind.id);
        assert!(
            seen.insert(object, kind).is_none(),
            "{object:?} came out twice"
        );
    }
    assert_eq!(seen.len(), ids.len());
    (queued, left)
}

/// Addresses far apart or close together: the home is a slot, and most slots are some's home.
#[test]
fn homes_are_slots_and_spread() {
    for stride in [8, 64, 4096, 1 << 20] {
        let homes: HashSet<_> = (0..4 * SLOTS).map(|id| home(id * stride)).collect();
        assert!(homes.iter().all(|&home| home < SLOTS));
        assert!(homes.len() > SLOTS / 2, "{} of {stride}", homes.len());
    }
}

/// The last slot, so that they go on at the first.
#[test]
fn kinds_of_one_home_sit_in_slots_of_their_own() {
    let (mut open, deque) = (Open::new(), Deque::new_lifo());
    let ids = (1..).filter(|&id| home(id) == SLOTS - 1).take(PROBES);
    let kinds: Vec<_> = ids.map(|id| Kind { id, noscan: false }).collect();
    for &kind in &kinds {
        open.push(Object(kind.id), kind, &deque);
    }
    let slots: HashSet<_> = kinds.iter().filter_map(|kind| open.find(kind.id)).collect();
    assert_eq!(slots.len(), PROBES);
    for &kind in &kinds {
        assert!(open.append_if(Object(0), kind, || true), "found, with room");
    }
}

#[test]
fn what_was_put_back_is_open() {
    let (mut open, deque) = (Open::new(), Deque::new_lifo());
    let id = (1..).find(|&id| home(id) > 0).unwrap_or_default();
    let kind = Kind { id, noscan: false };
    let Some((id, mut space, len)) = open.lend(kind, &deque) else {
        panic!("an empty table has a slot");
    };
    assert_eq!((id, len, open.is_empty()), (kind.id, 0, true));
    space[0] = Object(5);
    open.put_back((id, space, 1), &deque);
    assert!(!open.is_empty());
    assert_eq!(
        open.take_largest().map(|work| objects(&work).len()),
        Some(1)
    );
}

#[test]
fn rooms_are_used_again_and_few_are_kept() {
    let mut open = Open::new();
    let space = open.space();
    let room = space.as_ptr();
    open.recycle(space);
    let again = open.space();
    assert_eq!(again.as_ptr(), room);
    let mut objects = Vec::with_capacity(PACKET_OBJECTS);
    let (room, kind) = (
        objects.as_ptr(),
        Kind {
            id: 0,
            noscan: false,
        },
    );
    objects.push((Object(1), kind));
    open.recycle_mixed(objects);
    for number in 0..PACKET_OBJECTS {
        open.push_mixed(Object(number), kind, &Deque::new_lifo());
    }
    assert_eq!((open.mixed.as_ptr(), open.mixed.len()), (room, 0));

    for _ in 0..2 * SPARE_MAX {
        open.recycle(Space::default());
        open.recycle_mixed(Vec::new());
    }
    open.trim();
    assert_eq!(open.spare.len(), SPARE_MAX);
    assert_eq!(open.spare_mixed.len(), SPARE_MAX / 4);
}

/// Of frequent kinds and of rare ones, which have no packet: a stale object would be scanned
/// when it has been freed.
#[test]
fn nothing_is_left_when_cleared() {
    let (mut open, deque) = (Open::new(), Deque::new_lifo());
    for number in 0..3 * SLOTS {
        let id = number * 4096;
        open.push(Object(number), Kind { id, noscan: false }, &deque);
    }
    assert!(!open.mixed.is_empty(), "some kinds found no slot");
    open.clear();
    assert!(open.is_empty() && open.take_largest().is_none());
}

#[test]
fn full_packets_are_queued_and_hold_one_kind() {
    let (kinds, count) = if cfg!(miri) { (2, 520) } else { (7, 10_000) };
    let ids: Vec<usize> = (0..count).map(|number| number % kinds * 4096).collect();
    let (queued, left) = check(&ids);
    assert_eq!(left.len(), kinds);
    assert_eq!(queued.len(), kinds * (count / kinds / PACKET_OBJECTS));
    assert!(
        queued
            .iter()
            .all(|work| objects(work).len() == PACKET_OBJECTS)
    );
}

#[test]
fn thousands_of_kinds_open_no_more_packets_than_there_are_slots() {
    let count = if cfg!(miri) { 400 } else { 100_000 };
    let ids: Vec<usize> = (0..count).map(|number| number * 7919 % 5003 * 48).collect();
    let (queued, left) = check(&ids);
    assert!(left.len() <= SLOTS + 1, "{} packets are open", left.len());
    // All that is queued is full: memory is in proportion to the objects, not to the kinds.
    assert!(
        queued
            .iter()
            .all(|work| objects(work).len() == PACKET_OBJECTS)
    );
}

#[test]
fn a_frequent_kind_gets_and_keeps_a_packet_among_many_rare_ones() {
    let frequent = 64;
    let rare = |number: usize| 1_000_000 + number * 7919 % 5003 * 48;
    let is_frequent = |number: &usize| *number >= 5_000 && number.is_multiple_of(2);
    let ids: Vec<usize> = (0..105_000)
        .map(|number| {
            if is_frequent(&number) {
                frequent
            } else {
                rare(number)
            }
        })
        .collect();
    let (queued, _) = check(&ids);
    let packets = |work: &&Work| matches!(work, Work::Packet { kind, .. } if kind.id == frequent);
    let in_packets = queued.iter().filter(packets).count() * PACKET_OBJECTS;
    assert!(
        in_packets > 49_000,
        "only {in_packets} of 50,000 were in packets of their kind"
    );
}

#[test]
fn a_claim_that_is_lost_appends_nothing() {
    let (mut open, deque) = (Open::new(), Deque::new_lifo());
    let kind = Kind {
        id: 0,
        noscan: false,
    };
    assert!(!open.append_if(Object(1), kind, || panic!("claimed without room")));
    open.push(Object(1), kind, &deque);
    assert!(open.append_if(Object(2), kind, || false));
    assert!(open.append_if(Object(3), kind, || true));
    assert_eq!(open.pop_if_few(kind), Some(Object(3)));
    assert_eq!(open.pop_if_few(kind), Some(Object(1)));
    assert_eq!(open.pop_if_few(kind), None);
    for number in 0..FEW {
        open.push(Object(number), kind, &deque);
    }
    assert_eq!(open.pop_if_few(kind), None, "four are a packet");
}
