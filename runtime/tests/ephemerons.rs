//! Ephemerons and weak maps: a value lives as long as its key, whoever leads to whom; under all
//! collectors.
//!
//! Mutants: `ephemerons-not-resolved`, `ephemerons-not-looked-at-again`, `value-read-unlogged`,
//! `dead-key-not-cleared`, `chain-by-rounds`, `noscan-chain-by-rounds` and `stale-entry-found` are
//! killed here.

mod common;
#[allow(
    dead_code,
    reason = "the example's main and its table are not used here"
)]
#[path = "../examples/custom_collector.rs"]
mod custom_collector;

use common::{Drops, Random, Token, in_time, patience, seed, strict_heap};
use custom_collector::DepthFirst;
use runtime::{
    Builder, Collector, Cx, Debug, Ephemeron, Gc, GcCell, Locked, Mutator, OnTheFly, Root,
    StopTheWorld, Trace, WeakMap,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Trace)]
struct Node<'gc> {
    token: Token,
    to: GcCell<'gc, Node<'gc>>,
}

type Map<'gc> = WeakMap<'gc, Node<'gc>, Node<'gc>>;

#[derive(Trace)]
struct Holder<'gc> {
    map: Map<'gc>,
    nodes: Locked<Vec<Gc<'gc, Node<'gc>>>>,
    pairs: Locked<Vec<Ephemeron<'gc, Node<'gc>, Node<'gc>>>>,
}

fn node<'gc, C: Collector>(cx: &Cx<'gc, C>, drops: &Drops, id: u64) -> Gc<'gc, Node<'gc>> {
    cx.alloc(Node {
        token: drops.token(id),
        to: GcCell::empty(),
    })
}

fn holder<C: Collector>(mutator: &mut Mutator<C>) -> Root<Holder<'static>> {
    mutator.enter(|cx| {
        let (map, nodes, pairs) = (WeakMap::new(), Locked::default(), Locked::default());
        cx.root(cx.alloc(Holder { map, nodes, pairs }))
    })
}

fn a_value_lives_as_long_as_its_key<C: Collector + Default>() {
    let (heap, drops) = (strict_heap::<C>(), Drops::default());
    let mut mutator = heap.mutator();
    let holder = holder(&mut mutator);
    let key = mutator.enter(|cx| {
        let map = &holder.get(cx).map;
        let [key, value, reached, other_key, other_value] =
            [0, 1, 2, 3, 4].map(|id| node(cx, &drops, id));
        // The value leads back to its key, and on to another.
        value.to.set(cx, Some(key));
        reached.to.set(cx, Some(value));
        assert!(map.insert(cx, key, reached).is_none());
        other_value.to.set(cx, Some(other_key));
        assert!(map.insert(cx, other_key, other_value).is_none());
        cx.root(key)
    });
    for _ in 0..3 {
        mutator.collect().unwrap();
        assert_eq!(drops.dropped(), [3, 4]);
        mutator.enter(|cx| {
            let (map, key) = (&holder.get(cx).map, key.get(cx));
            let reached = map.get(cx, key).unwrap();
            let value = reached.to.get().unwrap();
            assert_eq!([reached.token.id, value.token.id], [2, 1]);
            assert!(Gc::ptr_eq(value.to.get().unwrap(), key));
            assert_eq!(map.entries(cx).len(), 1);
            assert_eq!(map.purge(cx), 1);
        });
    }
    drop(key);
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [0, 1, 2, 3, 4]);
    mutator.enter(|cx| assert!(holder.get(cx).map.entries(cx).is_empty()));
    // The cells go too, once their entries have.
    mutator.enter(|cx| assert_eq!(holder.get(cx).map.purge(cx), 0));
    drop(holder);
    mutator.collect().unwrap();
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn values_live_as_long_as_their_keys() {
    a_value_lives_as_long_as_its_key::<OnTheFly>();
    a_value_lives_as_long_as_its_key::<StopTheWorld>();
    a_value_lives_as_long_as_its_key::<DepthFirst>();
}

/// The pair is part of the bargain: without it the key keeps nothing.
fn a_value_dies_with_its_pair<C: Collector + Default>() {
    let (heap, drops) = (strict_heap::<C>(), Drops::default());
    let mut mutator = heap.mutator();
    let holder = holder(&mut mutator);
    let key = mutator.enter(|cx| {
        let [key, value] = [0, 1].map(|id| node(cx, &drops, id));
        let pair = cx.ephemeron(key, value);
        holder.get(cx).pairs.lock(cx).push(pair);
        cx.root(key)
    });
    mutator.collect().unwrap();
    mutator.enter(|cx| {
        let pair = holder.get(cx).pairs.lock(cx).pop().unwrap();
        assert!(Gc::ptr_eq(pair.key(cx).unwrap(), key.get(cx)));
        let old = pair.set(cx, Some(node(cx, &drops, 2))).unwrap();
        assert_eq!((old.token.id, pair.value(cx).unwrap().token.id), (1, 2));
        holder.get(cx).pairs.lock(cx).push(pair);
    });
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [1]);
    mutator.enter(|cx| holder.get(cx).pairs.lock(cx).clear());
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [1, 2]);
    drop(key);
}

#[test]
fn values_die_with_their_pairs() {
    a_value_dies_with_its_pair::<OnTheFly>();
    a_value_dies_with_its_pair::<StopTheWorld>();
    a_value_dies_with_its_pair::<DepthFirst>();
}

/// A pair whose key is dead is empty for ever: also for who comes with a new object in its place.
fn a_dead_keys_entry_is_gone<C: Collector + Default>() {
    let (heap, drops) = (strict_heap::<C>(), Drops::default());
    let mut mutator = heap.mutator();
    let holder = holder(&mut mutator);
    let address = mutator.enter(|cx| {
        let holder = holder.get(cx);
        let [key, value] = [0, 1].map(|id| node(cx, &drops, id));
        holder.map.insert(cx, key, value);
        holder.pairs.lock(cx).push(cx.ephemeron(key, value));
        Gc::address(key)
    });
    mutator.collect().unwrap();
    let again = mutator.enter(|cx| {
        let holder = holder.get(cx);
        let pair = holder.pairs.lock(cx)[0];
        assert!(pair.key(cx).is_none() && pair.value(cx).is_none());
        let other = node(cx, &drops, 2);
        assert!(pair.set(cx, Some(other)).is_none());
        assert!(pair.value(cx).is_none());
        let fresh = (10..).map(|id| node(cx, &drops, id));
        let fresh = std::iter::once(other).chain(fresh);
        let again = fresh
            .take(10_000)
            .find(|node| Gc::address(*node) == address);
        let again = again.expect("the key's slot is used again");
        assert!(holder.map.get(cx, again).is_none());
        // The entry is a new one, in which the collector believes.
        assert!(holder.map.insert(cx, again, node(cx, &drops, 3)).is_none());
        cx.root(again)
    });
    mutator.collect().unwrap();
    mutator.enter(|cx| {
        let value = holder.get(cx).map.get(cx, again.get(cx)).unwrap();
        assert_eq!((drops.of(3), value.token.id), (0, 3));
    });
}

#[test]
fn entries_of_the_dead_are_gone() {
    a_dead_keys_entry_is_gone::<OnTheFly>();
    a_dead_keys_entry_is_gone::<StopTheWorld>();
}

#[test]
fn a_map_is_a_map() {
    let (heap, drops) = (strict_heap::<OnTheFly>(), Drops::default());
    let mut mutator = heap.mutator();
    let holder = holder(&mut mutator);
    mutator.enter(|cx| {
        let map = &holder.get(cx).map;
        let [a, b, c] = [0, 1, 2].map(|id| node(cx, &drops, id));
        assert!(map.get(cx, a).is_none() && map.remove(cx, a).is_none());
        assert!(map.insert(cx, a, b).is_none());
        assert!(Gc::ptr_eq(map.insert(cx, a, c).unwrap(), b));
        assert!(Gc::ptr_eq(map.get(cx, a).unwrap(), c));
        assert!(map.get(cx, b).is_none());
        assert!(Gc::ptr_eq(map.remove(cx, a).unwrap(), c));
        assert!(map.get(cx, a).is_none() && map.remove(cx, a).is_none());
    });
    // Entries of the dead do not pile up.
    for round in 0..40_u64 {
        mutator.enter(|cx| {
            for n in 0..100 {
                let key = node(cx, &drops, 100 + round * 100 + n);
                holder.get(cx).map.insert(cx, key, key);
            }
        });
        mutator.collect().unwrap();
    }
    let live_bytes = heap.stats().live_bytes;
    assert!(live_bytes < 300 * 40, "{live_bytes}");
}

/// A chain in which each pair's value is, or reaches, the next pair's key, and pairs are listed in
/// the order in which looking at each in turn finds one a round.
fn chain<C: Collector>(collector: C, length: usize, direct: bool) {
    let heap = Builder::new(collector).gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let (first, pairs) = mutator.enter(|cx| {
        let mut value: Gc<'_, GcCell<'_, u64>> = cx.alloc(GcCell::empty());
        let mut pairs = Vec::new();
        for _ in 0..length {
            let key = cx.alloc(GcCell::empty());
            pairs.push(cx.ephemeron(key, value));
            value = if direct {
                key
            } else {
                // A value of a kind that is scanned, before the key.
                key.set(cx, Some(cx.alloc(7)));
                key
            };
        }
        (cx.root(value), cx.root(cx.alloc_slice(pairs)))
    });
    let begun = Instant::now();
    let cycle = mutator.collect().unwrap();
    let took = begun.elapsed();
    assert_eq!(
        cycle.objects_marked,
        2 * length + 2 + if direct { 0 } else { length }
    );
    assert!(took < patience(5), "{took:?}");
    mutator.enter(|cx| {
        assert!(pairs.get(cx).iter().all(|pair| pair.value(cx).is_some()));
    });
    drop(first);
    let cycle = mutator.collect().unwrap();
    assert_eq!(cycle.objects_marked, length + 1);
    mutator.enter(|cx| {
        assert!(pairs.get(cx).iter().all(|pair| pair.key(cx).is_none()));
    });
}

#[test]
fn a_long_chain_is_resolved_in_linear_time() {
    in_time(|| {
        for direct in [false, true] {
            chain(OnTheFly::with_markers(1), 100_000, direct);
            chain(StopTheWorld::with_markers(1), 100_000, direct);
        }
    });
}

/// The same of values that hold nothing: no packet is scanned between one and the next.
fn noscan_chain<C: Collector>(collector: C, length: usize) {
    let heap = Builder::new(collector).gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let roots = mutator.enter(|cx| {
        let mut value = cx.alloc(0_u64);
        let mut pairs = Vec::new();
        for n in 0..length {
            let key = cx.alloc(n as u64);
            pairs.push(cx.ephemeron(key, value));
            value = key;
        }
        (cx.root(value), cx.root(cx.alloc_slice(pairs)))
    });
    let begun = Instant::now();
    let cycle = mutator.collect().unwrap();
    let took = begun.elapsed();
    assert_eq!(cycle.objects_marked, 2 * length + 2);
    assert!(took < patience(5), "{took:?}");
    drop(roots.0);
    let cycle = mutator.collect().unwrap();
    assert_eq!(cycle.objects_marked, length + 1);
}

#[test]
fn a_long_chain_without_scanning() {
    in_time(|| {
        noscan_chain(OnTheFly::with_markers(1), 100_000);
        noscan_chain(StopTheWorld::with_markers(1), 100_000);
    });
}

/// Pairs that are reachable only through values of others.
fn pairs_in_values<C: Collector>(collector: C, markers: usize) {
    #[derive(Trace)]
    struct Link<'gc> {
        number: usize,
        /// The next link's pair, whose key is in `keys`.
        pair: Option<Ephemeron<'gc, u64, Link<'gc>>>,
    }
    const LENGTH: usize = 20_000;
    let heap = Builder::new(collector).gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let ballast = mutator.enter(|cx| {
        let bytes = (markers - 1) * (20 << 20);
        let parts = (0..bytes >> 20).map(|_| cx.root(cx.alloc_slice(vec![[1_u64; 1024]; 128])));
        parts.collect::<Vec<_>>()
    });
    let (first, keys) = mutator.enter(|cx| {
        let mut link = cx.alloc(Link {
            number: 0,
            pair: None,
        });
        let mut keys = Vec::new();
        for number in 1..=LENGTH {
            let key = cx.alloc(number as u64);
            keys.push(key);
            let pair = Some(cx.ephemeron(key, link));
            link = cx.alloc(Link { number, pair });
        }
        (cx.root(link), cx.root(cx.alloc_slice(keys)))
    });
    let cycle = mutator.collect().unwrap();
    assert_eq!(cycle.objects_marked, 3 * LENGTH + 2 + ballast.len());
    mutator.enter(|cx| {
        let (mut link, mut count) = (first.get(cx), LENGTH);
        while let Some(pair) = link.pair {
            assert_eq!(link.number, count);
            (link, count) = (pair.value(cx).expect("the pair's value"), count - 1);
        }
        assert_eq!(count, 0);
    });
    drop((first, keys));
}

#[test]
fn pairs_in_values_are_found() {
    pairs_in_values(OnTheFly::with_markers(1), 1);
    pairs_in_values(StopTheWorld::with_markers(1), 1);
    pairs_in_values(OnTheFly::with_markers(3), 3);
    pairs_in_values(StopTheWorld::with_markers(3), 3);
}

const KEYS: usize = 40;

/// Takes a value from somewhere and puts it somewhere else.
fn pass<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    holder: Gc<'gc, Holder<'gc>>,
    drops: &Drops,
    next: &AtomicUsize,
    random: &mut Random,
) {
    let keys = holder.nodes.lock(cx).clone();
    let [a, b] = [0; 2].map(|_: i32| keys[random.below(KEYS)]);
    let taken = match random.below(5) {
        0 | 1 => holder.map.remove(cx, a),
        2 => holder.map.get(cx, a),
        3 => a.to.swap(cx, None),
        _ => {
            let id = next.fetch_add(1, Ordering::Relaxed) as u64;
            holder.map.insert(cx, a, node(cx, drops, id))
        }
    };
    (0..random.below(60)).for_each(|n| _ = cx.alloc([n; 30]));
    let Some(taken) = taken else { return };
    assert_eq!(drops.of(taken.token.id), 0, "a value was dropped");
    if random.below(2) == 0 {
        b.to.set(cx, Some(taken));
        return;
    }
    taken.to.set(cx, Some(b));
    let old = holder.map.insert(cx, b, taken);
    assert!(old.is_none_or(|old| drops.of(old.token.id) == 0));
}

/// Threads pass values from pair to pair and to references, so that each is now held by a pair
/// alone, now by a closure alone, now by an object that may have been scanned, while cycles run one
/// after the other.
fn passing<C: Collector + Default>(millis: u64, handshake_delay: Duration) {
    let debug = Debug {
        check_marks: true,
        poison: true,
        collect_at_polls: true,
        handshake_delay,
        ..Debug::default()
    };
    let heap = Builder::new(C::default()).debug(debug).build().unwrap();
    let drops = Drops::default();
    let mut mutator = heap.mutator();
    let holder = holder(&mut mutator);
    mutator.enter(|cx| {
        let holder = holder.get(cx);
        for n in 0..KEYS as u64 {
            let [key, value] = [n, 1_000 + n].map(|id| node(cx, &drops, id));
            value.to.set(cx, Some(key));
            holder.nodes.lock(cx).push(key);
            holder.map.insert(cx, key, value);
        }
    });
    let (is_over, next) = (AtomicBool::new(false), AtomicUsize::new(2_000));
    let seed = seed();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (heap, holder, drops) = (&heap, &holder, &drops);
            let (is_over, next) = (&is_over, &next);
            scope.spawn(move || {
                let mut mutator = heap.mutator();
                let mut random = Random::new(seed + thread);
                while !is_over.load(Ordering::Relaxed) {
                    mutator.enter(|cx| pass(cx, holder.get(cx), drops, next, &mut random));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(millis));
        // However busy the machine is: without cycles this would test nothing.
        while heap.stats().cycles <= 5 {
            std::thread::sleep(Duration::from_millis(10));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    mutator.collect().unwrap();
    mutator.enter(|cx| {
        let holder = holder.get(cx);
        for (key, value) in holder.map.entries(cx) {
            let all = [Some(key), key.to.get(), Some(value), value.to.get()];
            let mut all = all.into_iter().flatten();
            assert!(all.all(|node| drops.of(node.token.id) == 0));
        }
    });
}

#[test]
fn values_change_hands_while_cycles_run() {
    passing::<OnTheFly>(1_000, Duration::ZERO);
    passing::<OnTheFly>(500, Duration::from_micros(300));
    passing::<StopTheWorld>(400, Duration::ZERO);
}

/// Pairs that the collector has not been told of when marking seems to be over: their values are
/// taken out, one every few milliseconds of a slow cycle, and stored in objects that it has
/// scanned.
#[test]
fn a_value_taken_out_while_a_cycle_ends_is_kept() {
    const PAIRS: usize = 100;
    let debug = Debug {
        check_marks: true,
        handshake_delay: Duration::from_millis(40),
        ..Debug::default()
    };
    let heap = Builder::new(OnTheFly::default()).gc_off().debug(debug);
    let (heap, drops) = (heap.build().unwrap(), Drops::default());
    let mut mutator = heap.mutator();
    let holder = holder(&mut mutator);
    mutator.enter(|cx| {
        let holder = holder.get(cx);
        for id in 0..PAIRS as u64 {
            let [key, value] = [id, 1_000 + id].map(|id| node(cx, &drops, id));
            holder.nodes.lock(cx).push(key);
            holder.pairs.lock(cx).push(cx.ephemeron(key, value));
        }
    });
    let collecting = std::thread::spawn(move || heap.collect().unwrap());
    for index in 0..PAIRS {
        mutator.enter(|cx| {
            let (key, pair) = {
                let holder = holder.get(cx);
                (holder.nodes.lock(cx)[index], holder.pairs.lock(cx)[index])
            };
            let value = pair.set(cx, None).unwrap();
            key.to.set(cx, Some(value));
        });
        std::thread::sleep(Duration::from_millis(5));
    }
    let cycle = collecting.join().unwrap();
    assert!(cycle.waves > 1, "no value was taken out in a wave");
    mutator.collect().unwrap();
    mutator.enter(|cx| {
        for (id, key) in (0..).zip(&*holder.get(cx).nodes.lock(cx)) {
            let value = key.to.get().unwrap();
            assert_eq!((value.token.id, drops.of(1_000 + id)), (1_000 + id, 0));
        }
    });
}
