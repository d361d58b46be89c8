//! What a worker leaves to others, cuts and takes; when it looks up, wakes and rests.

use std::thread;
use std::time::Duration;

use super::*;

const KIND: Kind = Kind {
    id: 9,
    noscan: false,
};

fn queued(local: &mut Local) -> Vec<(usize, Vec<Object>)> {
    let works = std::iter::from_fn(|| local.deque.pop());
    let packets = works.map(|work| match work {
        Work::Packet { kind, len, space } => (kind.id, space[..len].to_vec()),
        Work::Mixed(_) | Work::Parts { .. } => unreachable!("only packets were queued"),
    });
    packets.collect()
}

fn local_with(kinds: &[(usize, usize)]) -> Local {
    let mut local = Local::new(0);
    for &(id, objects) in kinds {
        let kind = Kind { id, noscan: false };
        (0..objects).for_each(|object| local.push(Object(object), kind));
    }
    local
}

#[test]
fn a_halved_packet_holds_what_the_whole_one_held() {
    let objects_end = if cfg!(miri) { 2 * SHARE_MIN + 5 } else { 100 };
    for objects in 2 * SHARE_MIN..objects_end {
        let mut local = local_with(&[(7, objects)]);
        let work = local.next(true).expect("a packet is open");
        let mut halves = queued(&mut local);
        local.queue(work);
        halves.extend(queued(&mut local));
        assert_eq!(
            halves.len(),
            2,
            "{objects} objects in one packet are worth sharing"
        );
        let sizes = [0, 1].map(|half: usize| halves[half].1.len());
        assert!(sizes[0].abs_diff(sizes[1]) <= 1, "halves of {sizes:?}");
        let mut together: Vec<Object> = halves.into_iter().flat_map(|half| half.1).collect();
        together.sort();
        assert_eq!(together, (0..objects).map(Object).collect::<Vec<_>>());
    }
}

#[test]
fn a_cut_packet_leaves_the_rest() {
    let mut local = local_with(&[(7, 100)]);
    let work = local.next(false).expect("a packet is open");
    let work = local.cut(work, 30);
    assert!(matches!(work, Work::Packet { len: 30, .. }));
    let rest = queued(&mut local);
    assert_eq!((rest.len(), rest[0].1.len()), (1, 70));
    local.queue(work);
    let first = queued(&mut local).remove(0).1;
    let together: Vec<_> = first.iter().chain(&rest[0].1).copied().collect();
    assert_eq!(together, (0..100).map(Object).collect::<Vec<_>>());
    let kind = Kind {
        id: 7,
        noscan: false,
    };
    let mixed = Work::Mixed(vec![(Object(1), kind), (Object(2), kind)]);
    let first = local.cut(mixed, 1);
    assert!(matches!(first, Work::Mixed(objects) if objects[0].0 == Object(1)));
    let rest = local.deque.pop();
    assert!(matches!(rest, Some(Work::Mixed(objects)) if objects[0].0 == Object(2)));
}

#[test]
fn what_fits_is_not_cut() {
    let mut local = local_with(&[(7, 30)]);
    let work = local.next(false).expect("a packet is open");
    assert!(matches!(local.cut(work, 30), Work::Packet { len: 30, .. }));
    local.cut(Work::Mixed(vec![(Object(1), KIND)]), 1);
    assert!(local.deque.is_empty(), "an empty rest was queued");
}

#[test]
fn who_has_something_to_steal_shares_no_more() {
    let mut local = local_with(&[(1, SHARE_MIN), (2, SHARE_MIN)]);
    local.open.flush(1, &local.deque);
    (0..SHARE_MIN).for_each(|object| local.push(Object(object), KIND));
    assert!(local.next(true).is_some());
    assert_eq!(queued(&mut local).len(), 1, "of two items one was taken");
}

/// Workers that have one item each, and what they share.
fn crew() -> (Vec<Local>, Common) {
    let mut locals: Vec<Local> = (0..4).map(Local::new).collect();
    for local in &mut locals {
        local.queue(Work::Mixed(vec![(Object(local.index), KIND)]));
    }
    let common = Common::new(&locals);
    (locals, common)
}

#[test]
fn each_worker_looks_at_every_other_beginning_with_its_neighbor() {
    for index in 0..4 {
        let (_locals, common) = crew();
        let items = common.others(index).map(Stealer::steal);
        let owners = items.map(|item| match item {
            Steal::Success(Work::Mixed(objects)) => objects[0].0.0,
            _ => unreachable!("each has one"),
        });
        let expected = [1, 2, 3].map(|distance| (index + distance) % 4);
        assert_eq!(owners.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn who_rests_wakes_for_work_and_when_nobody_is_busy_and_else_waits() {
    let rest = |common: &Common, locals: &[Local]| {
        let round = &common.termination;
        assert!(round.enter() && round.enter());
        assert_eq!(common.rest(round.look(), &locals[0], true), Rest::Left);
    };
    let (mut locals, common) = crew();
    rest(&common, &locals);
    assert!(common.wait_for_work(&locals[0]), "the others have work");

    locals.iter_mut().for_each(Local::clear);
    let common = Common::new(&locals);
    rest(&common, &locals);
    common.termination.quit(common.termination.look());
    assert!(common.wait_for_work(&locals[0]), "nobody is busy");

    let common = Common::new(&locals);
    rest(&common, &locals);
    let woken = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(5));
            common.termination.abort();
        });
        common.wait_for_work(&locals[0])
    });
    assert!(!woken, "one is busy, and has nothing to steal");
}

#[test]
fn what_is_small_is_not_shared() {
    let mut local = local_with(&[(7, 2 * SHARE_MIN - 1), (8, 3)]);
    assert!(local.next(true).is_some());
    assert!(queued(&mut local).is_empty());
}

#[test]
fn open_packets_are_shared_only_with_workers_at_rest() {
    let kinds = [(1, SHARE_MIN), (2, SHARE_MIN + 1), (3, SHARE_MIN - 1)];
    let mut local = local_with(&kinds);
    assert!(matches!(
        local.next(false),
        Some(Work::Packet {
            kind: Kind { id: 2, .. },
            ..
        })
    ));
    assert!(queued(&mut local).is_empty());
    let mut local = local_with(&kinds);
    assert!(local.next(true).is_some());
    assert_eq!(
        queued(&mut local).len(),
        1,
        "two were moved, and one of them taken"
    );
}
