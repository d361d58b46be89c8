//! What `#[derive(Trace)]` and the impls for std's types report, in which order, and what they call
//! a type under another brand.
//!
//! Each shape is traced by a visitor that writes down what it is told. A `Gc` of these tests is a
//! number, so a missed, doubled or swapped edge is a wrong list of numbers.
//!
//! Mutants: `skip-last-field`, `stop-at-skipped-field`, `forget-map-values`, `noscan-box` and
//! `forget-range-end` are killed here.

#![cfg(feature = "derive")]

#[path = "ui/fake.rs"]
mod fake;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::{Bound, Range, RangeInclusive};
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use fake::Gc;
use gc_mark::{Kind, Object, Rebrand, Trace, Visitor};

#[derive(Default)]
struct Recorder(Vec<usize>);

impl Visitor for Recorder {
    fn visit(&mut self, object: Object, kind: Kind) {
        assert_eq!(
            kind,
            Kind {
                id: 7,
                noscan: false
            }
        );
        self.0.push(object.0);
    }
}

fn edges<T: Trace + ?Sized>(value: &T) -> Vec<usize> {
    let mut recorder = Recorder::default();
    value.trace(&mut recorder);
    recorder.0
}

/// Compiles only if `From` is `To` under the brand `'static`.
fn rebrands<From: ?Sized + Rebrand<With<'static> = To>, To: ?Sized>() {}

fn gc<'gc, T: ?Sized>(object: usize) -> Gc<'gc, T> {
    Gc::new(object)
}

#[derive(Trace)]
struct Named<'gc> {
    first: Gc<'gc, Named<'gc>>,
    number: u32,
    second: Option<Gc<'gc, Self>>,
    text: String,
    last: Vec<Gc<'gc, u8>>,
}

#[derive(Trace)]
struct Tuple<'gc>(Gc<'gc, ()>, bool, (Gc<'gc, str>, [Gc<'gc, ()>; 2]));

#[derive(Trace)]
struct Unit;

#[derive(Trace)]
struct Empty {}

#[derive(Trace)]
enum Never {}

#[derive(Trace)]
enum Shape<'gc> {
    Nothing,
    Empty(),
    Plain(u64),
    Both(Gc<'gc, Shape<'gc>>, Gc<'gc, Shape<'gc>>),
    Named {
        left: Gc<'gc, u8>,
        size: usize,
        right: Gc<'gc, u8>,
    },
}

#[derive(Trace)]
struct Generic<T, U>
where
    U: Clone,
{
    items: Vec<T>,
    other: U,
}

#[derive(Trace)]
struct Branded<'gc, T> {
    own: Gc<'gc, T>,
    value: T,
}

#[derive(Trace)]
struct Grid<T, const W: usize, const H: usize = 2>([[T; W]; H]);

#[derive(Trace)]
struct Tail<T: ?Sized> {
    head: u8,
    tail: T,
}

#[derive(Trace)]
struct Skipping<'gc> {
    before: Gc<'gc, ()>,
    #[trace(skip)]
    counter: Rc<std::cell::Cell<u32>>,
    #[trace(skip)]
    function: fn(&str) -> usize,
    after: Gc<'gc, ()>,
}

/// `T` is named by a skipped field alone, so it need not be `Trace` or `Rebrand`.
#[derive(Trace)]
struct Host<'gc, T: 'static> {
    object: Gc<'gc, ()>,
    #[trace(skip)]
    data: Rc<T>,
}

#[derive(Trace)]
#[trace(noscan)]
struct Leaf<T: 'static> {
    data: Rc<T>,
}

impl<T: 'static> Drop for Leaf<T> {
    fn drop(&mut self) {
        assert!(Rc::strong_count(&self.data) > 0);
    }
}

trait Likes<Other> {}

impl<T> Likes<T> for T {}

#[derive(Trace)]
struct Bounded<'gc, T: Clone + for<'a> Likes<T>, U: ?Sized>
where
    T: 'gc + Likes<T>,
    for<'a> (T, Gc<'gc, T>): Sized + Likes<(T, Gc<'gc, T>)>,
{
    value: T,
    target: Gc<'gc, U>,
    phantom: PhantomData<U>,
}

#[test]
fn structs_report_each_field_in_order() {
    let named = Named {
        first: gc(1),
        number: 40,
        second: Some(gc(2)),
        text: "none".into(),
        last: vec![gc(3), gc(4)],
    };
    assert_eq!(edges(&named), [1, 2, 3, 4]);
    assert_eq!((named.number, named.text.as_str()), (40, "none"));
    assert_eq!(
        edges(&Tuple(gc(1), true, (gc(2), [gc(3), gc(4)]))),
        [1, 2, 3, 4]
    );
    assert_eq!(edges(&Unit), []);
    assert_eq!(edges(&Empty {}), []);
}

#[test]
fn enums_report_the_variant_that_there_is() {
    assert_eq!(edges(&Shape::Nothing), []);
    assert_eq!(edges(&Shape::Empty()), []);
    assert_eq!(edges(&Shape::Plain(9)), []);
    assert_eq!(edges(&Shape::Both(gc(1), gc(2))), [1, 2]);
    assert_eq!(
        edges(&Shape::Named {
            left: gc(3),
            size: 5,
            right: gc(4)
        }),
        [3, 4]
    );
    assert_eq!(edges(&None::<Never>), []);
}

#[test]
fn generic_types_report_what_their_parameters_hold() {
    let generic = Generic {
        items: vec![gc::<u8>(1), gc(2)],
        other: 5_u8,
    };
    assert_eq!(edges(&generic), [1, 2]);
    assert_eq!(
        edges(&Branded {
            own: gc(1),
            value: Some(gc::<()>(2))
        }),
        [1, 2]
    );
    assert_eq!(
        edges(&Grid([[gc::<()>(1), gc(2), gc(3)], [gc(4), gc(5), gc(6)]])),
        [1, 2, 3, 4, 5, 6]
    );
    let tail: &Tail<[Gc<'_, ()>]> = &Tail {
        head: 0,
        tail: [gc(1), gc(2)],
    };
    assert_eq!(edges(tail), [1, 2]);
    assert_eq!(tail.head, 0);
    let bounded: Bounded<'_, u8, str> = Bounded {
        value: 1,
        target: gc(2),
        phantom: PhantomData,
    };
    assert_eq!(edges(&bounded), [2]);
}

#[test]
fn skipped_fields_and_noscan_types_report_nothing() {
    let skipping = Skipping {
        before: gc(1),
        counter: Rc::default(),
        function: str::len,
        after: gc(2),
    };
    assert_eq!(edges(&skipping), [1, 2]);
    assert_eq!(skipping.counter.get(), (skipping.function)("") as u32);
    let host = Host {
        object: gc(1),
        data: Rc::new(Mutex::new(1)),
    };
    assert_eq!(edges(&host), [1]);
    assert_eq!(Rc::strong_count(&host.data), 1);
    assert_eq!(
        edges(&Leaf {
            data: Rc::new("leaf")
        }),
        []
    );
}

#[test]
fn containers_report_each_element() {
    let one_two = || [gc::<()>(1), gc::<()>(2)];
    assert_eq!(edges(&one_two()), [1, 2]);
    assert_eq!(edges(&one_two()[..]), [1, 2]);
    assert_eq!(edges(&Vec::from(one_two())), [1, 2]);
    assert_eq!(edges(&VecDeque::from(one_two())), [1, 2]);
    assert_eq!(edges(&LinkedList::from(one_two())), [1, 2]);
    assert_eq!(edges::<Box<[_]>>(&Box::from(one_two())), [1, 2]);
    assert_eq!(edges(&Box::new(gc::<()>(1))), [1]);
    assert_eq!(edges(&Some(gc::<()>(1))), [1]);
    assert_eq!(edges(&None::<Gc<'_, ()>>), []);
    assert_eq!(edges(&Ok::<Gc<'_, ()>, u8>(gc(1))), [1]);
    assert_eq!(edges(&Err::<u8, Gc<'_, ()>>(gc(2))), [2]);
    assert_eq!(edges(&(gc::<()>(1)..gc::<()>(2))), [1, 2]);
    assert_eq!(edges(&(gc::<()>(1)..=gc::<()>(2))), [1, 2]);
    assert_eq!(edges(&(gc::<()>(1)..)), [1]);
    assert_eq!(edges(&(..gc::<()>(2))), [2]);
    assert_eq!(edges(&(..=gc::<()>(2))), [2]);
    assert_eq!(edges(&Bound::Included(gc::<()>(1))), [1]);
    assert_eq!(edges(&Bound::Excluded(gc::<()>(2))), [2]);
    assert_eq!(edges(&Bound::Unbounded::<Gc<'_, ()>>), []);
    assert_eq!(edges(&PhantomData::<Gc<'_, ()>>), []);
}

/// A reference that has an order and a hash, for the containers that ask for one.
#[derive(Trace, Clone, Copy)]
struct Key<'gc>(Gc<'gc, ()>);

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.object == other.0.object
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.object.cmp(&other.0.object)
    }
}

impl std::hash::Hash for Key<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.object.hash(state);
    }
}

#[test]
fn ordered_and_hashed_containers_report_keys_and_values() {
    let key = |object| Key(gc(object));
    assert_eq!(edges(&BTreeSet::from([key(2), key(1)])), [1, 2]);
    assert_eq!(
        edges(&BTreeMap::from([(key(3), gc::<()>(4)), (key(1), gc(2))])),
        [1, 2, 3, 4]
    );
    assert_eq!(edges(&BinaryHeap::from([key(1)])), [1]);
    let sorted = |mut edges: Vec<usize>| {
        edges.sort_unstable();
        edges
    };
    assert_eq!(
        sorted(edges(&BinaryHeap::from([key(1), key(2), key(3)]))),
        [1, 2, 3]
    );
    assert_eq!(sorted(edges(&HashSet::from([key(1), key(2)]))), [1, 2]);
    assert_eq!(edges(&HashMap::from([(key(1), gc::<()>(2))])), [1, 2]);
    let map = HashMap::from([(1_u8, gc::<()>(2)), (3, gc(4))]);
    assert_eq!(sorted(edges(&map)), [2, 4]);
}

#[test]
fn tuples_report_each_member() {
    let g = gc::<()>;
    assert_eq!(edges(&()), []);
    assert_eq!(edges(&(g(1),)), [1]);
    assert_eq!(edges(&(g(1), 0, g(2))), [1, 2]);
    let eight = (g(1), g(2), g(3), g(4), g(5), g(6), g(7), g(8));
    assert_eq!(edges(&eight), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn nested_containers_report_all_the_way_down() {
    type Nested<'gc> = Vec<Option<(u8, Box<[Result<Branded<'gc, u8>, Gc<'gc, ()>>]>)>>;
    let branded = Branded {
        own: gc(2),
        value: 9,
    };
    let nested: Nested<'_> = vec![
        None,
        Some((0, Box::new([Err(gc(1)), Ok(branded)]))),
        Some((1, Box::new([]))),
    ];
    assert_eq!(edges(&nested), [1, 2]);
}

/// That a type needs a trace is known when it is compiled.
const _: () = {
    assert!(Named::NEEDS_TRACE && Tuple::NEEDS_TRACE && Shape::NEEDS_TRACE);
    assert!(Skipping::NEEDS_TRACE && <Host<'static, Rc<u8>>>::NEEDS_TRACE);
    assert!(!Unit::NEEDS_TRACE && !Empty::NEEDS_TRACE && !Never::NEEDS_TRACE);
    assert!(!<Leaf<u8>>::NEEDS_TRACE && !<Option<Vec<Leaf<u8>>>>::NEEDS_TRACE);

    assert!(!<Generic<u8, String>>::NEEDS_TRACE);
    assert!(<Generic<Gc<'static, ()>, String>>::NEEDS_TRACE);
    assert!(<Generic<String, Gc<'static, ()>>>::NEEDS_TRACE);
    assert!(<Grid<Gc<'static, ()>, 3>>::NEEDS_TRACE && !<Grid<u8, 3>>::NEEDS_TRACE);

    assert!(<Vec<Gc<'static, ()>>>::NEEDS_TRACE && !<Vec<u8>>::NEEDS_TRACE);
    assert!(<[Gc<'static, ()>]>::NEEDS_TRACE && !<Box<str>>::NEEDS_TRACE);
    assert!(<(u8, Gc<'static, ()>)>::NEEDS_TRACE && !<(u8, u16, char)>::NEEDS_TRACE);
    assert!(<HashMap<u8, Gc<'static, ()>>>::NEEDS_TRACE);
    assert!(<HashMap<Gc<'static, ()>, u8>>::NEEDS_TRACE && !<HashMap<u8, u8>>::NEEDS_TRACE);
    assert!(<Result<u8, Gc<'static, ()>>>::NEEDS_TRACE && !<Result<u8, String>>::NEEDS_TRACE);
    assert!(!<PhantomData<Gc<'static, ()>>>::NEEDS_TRACE && !<&'static str>::NEEDS_TRACE);
    assert!(!<Arc<dyn Debug>>::NEEDS_TRACE && !<Mutex<Rc<u8>>>::NEEDS_TRACE);
    assert!(!AtomicU64::NEEDS_TRACE && !<fn(u8) -> String>::NEEDS_TRACE);
};

#[test]
fn types_under_another_brand() {
    fn check<'gc>(_: Gc<'gc, ()>) {
        rebrands::<Named<'gc>, Named<'static>>();
        rebrands::<Tuple<'gc>, Tuple<'static>>();
        rebrands::<Shape<'gc>, Shape<'static>>();
        rebrands::<Unit, Unit>();
        rebrands::<Never, Never>();
        rebrands::<Generic<Gc<'gc, u8>, u8>, Generic<Gc<'static, u8>, u8>>();
        rebrands::<Branded<'gc, Vec<Named<'gc>>>, Branded<'static, Vec<Named<'static>>>>();
        rebrands::<Grid<Key<'gc>, 3, 4>, Grid<Key<'static>, 3, 4>>();
        rebrands::<Tail<[Key<'gc>]>, Tail<[Key<'static>]>>();
        rebrands::<Skipping<'gc>, Skipping<'static>>();
        rebrands::<Host<'gc, Rc<u8>>, Host<'static, Rc<u8>>>();
        rebrands::<Leaf<Rc<u8>>, Leaf<Rc<u8>>>();
        rebrands::<Bounded<'gc, u8, Key<'gc>>, Bounded<'static, u8, Key<'static>>>();
        rebrands::<HashMap<Key<'gc>, Key<'gc>>, HashMap<Key<'static>, Key<'static>>>();
        rebrands::<(u8, Box<[Key<'gc>]>), (u8, Box<[Key<'static>]>)>();
        rebrands::<Range<Key<'gc>>, Range<Key<'static>>>();
        rebrands::<RangeInclusive<u8>, RangeInclusive<u8>>();
        rebrands::<Result<Key<'gc>, Key<'gc>>, Result<Key<'static>, Key<'static>>>();
        rebrands::<PhantomData<Key<'gc>>, PhantomData<Key<'static>>>();
        rebrands::<Arc<Mutex<u8>>, Arc<Mutex<u8>>>();
    }
    check(gc(0));
}

#[test]
fn integer_literals_are_inferred_through_rebrand() {
    fn stored<T: Trace + Rebrand>(_: &T) -> bool {
        T::NEEDS_TRACE
    }
    assert!(!stored(&vec![1]) && !stored(&(1, 2.5)) && !stored(&Some([1])));
    assert!(!stored(&Generic {
        items: vec![1],
        other: 1_u8
    }));
    assert!(stored(&Branded {
        own: gc(1),
        value: 2
    }));
    assert!(!stored(&HashMap::from([(1, "one")])));
}
