//! Ephemerons against the end of marking: the value of a key that is held is never found dead, and
//! no value is kept or lost by the moment at which its pair, its key or itself is looked at.
//!
//! The heap is a place, a pair, its key and its value. The pair's cell is marked from the start: it
//! stands for one that a root holds. What is under test is the cell, the list, the look behind a
//! wave ([`wave::is_over`]) and the gate; the loop around them is that of [`crate::beside`].

use super::{bounded, model};
use crate::raw::ephemerons::{EphemeronCell, EphemeronList, Released};
use crate::raw::fences::Fences;
use crate::raw::log::{Log, Logs};
use crate::raw::object_type::{info, kind_of, object_at};
use crate::raw::phase::Phase::{self, Marking};
use crate::raw::roots::RootTable;
use crate::raw::wave;
use crate::raw::weak_gate::{Upgrade, WeakGate};
use crate::raw::world::{State, World};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use gc_mark::{Kind, Object, Roots, Visitor};
use loom::cell::UnsafeCell;
use loom::thread;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// No object.
const NULL: usize = 0;
/// The pair's key.
const KEY: usize = 16;
/// The pair's value.
const VALUE: usize = 32;
/// As many entries as no log here ever has.
const NEVER: usize = 9;

fn address(object: usize) -> NonNull<u8> {
    NonNull::new(std::ptr::without_provenance_mut(object)).unwrap()
}

fn kind() -> Kind {
    kind_of(info::<EphemeronCell>())
}

/// What a mutator has not handed over.
#[derive(Default)]
struct Local {
    log: Log,
    cells: Vec<usize>,
}

/// A world in which all mutators mark.
struct Rig {
    world: World<Local>,
    logs: Logs,
    roots: RootTable,
    gate: WeakGate,
    list: EphemeronList,
    cell: Box<EphemeronCell>,
    place: AtomicUsize,
    /// Of the key and of the value.
    marks: [AtomicBool; 2],
}

impl Rig {
    /// A rig whose place holds an object, and whose pair is nowhere listed yet.
    fn new(held: usize) -> Arc<Rig> {
        let cell = EphemeronCell::new(address(KEY), address(VALUE), info::<EphemeronCell>());
        let rig = Arc::new(Rig {
            world: World::new(Fences::Symmetric),
            logs: Logs::default(),
            roots: RootTable::default(),
            gate: WeakGate::default(),
            list: EphemeronList::default(),
            cell: Box::new(cell),
            place: AtomicUsize::new(held),
            marks: Default::default(),
        });
        rig.handshake();
        rig
    }

    fn cell_object(&self) -> Object {
        object_at(NonNull::from(&*self.cell).cast())
    }

    /// A mutator; it has made the pair before marking began, and nobody knows of that, if
    /// `with_pair`, or else the pair is listed.
    fn register(&self, with_pair: bool) -> Arc<State<Local>> {
        let mut cells = vec![self.cell_object().0];
        if !with_pair {
            self.list.add(&mut cells);
        }
        self.world.register("", |phase| {
            assert_eq!(phase, Marking);
            let log = Log::default();
            Local { log, cells }
        })
    }

    /// As `Core::acknowledge`.
    fn acknowledge(&self, local: &mut Local, from: Phase, _to: Phase) {
        if from == Marking {
            self.logs.hand_over(&mut local.log);
            self.list.add(&mut local.cells);
        }
    }

    fn handshake(&self) {
        let ack = |local: &mut Local, from, to| self.acknowledge(local, from, to);
        self.world.handshake(Marking, || (), &ack, &mut |_, _| ());
    }

    fn enter(&self, state: &State<Local>) {
        let ack = |local: &mut Local, from, to| self.acknowledge(local, from, to);
        self.world.enter(state, &ack);
    }

    fn poll(&self, state: &State<Local>) {
        let ack = |local: &mut Local, from, to| self.acknowledge(local, from, to);
        self.world.poll(state, &ack);
    }

    fn leave(&self, state: &State<Local>) {
        self.world.leave(state);
    }

    fn load(&self) -> usize {
        // Acquire: pairs with the Release in `store`. It sees the newest value; see `models`.
        self.place.fetch_add(0, Ordering::Acquire)
    }

    fn store(&self, state: &State<Local>, new: usize) {
        let old = self.load();
        if old != NULL && !self.is_marked(Object(old)) {
            self.log(state, old);
        }
        // Release: pairs with the Acquire in `load`.
        self.place.store(new, Ordering::Release);
    }

    fn log(&self, state: &State<Local>, object: usize) {
        // SAFETY: inside through this state.
        let mut local = unsafe { state.local() };
        local.log.push((Object(object), kind()), NEVER);
    }

    fn is_marked(&self, object: Object) -> bool {
        match object.0 {
            // Relaxed, both: as a mark's bit. They see the newest value; see `models`.
            KEY => self.marks[0].fetch_or(false, Ordering::Relaxed),
            VALUE => self.marks[1].fetch_or(false, Ordering::Relaxed),
            _ => true,
        }
    }

    fn mark(&self, object: usize) {
        let at = usize::from(object == VALUE);
        // Relaxed: as a mark's bit.
        self.marks[at].store(true, Ordering::Relaxed);
    }

    /// As `Inside::upgrade`.
    fn upgrade(&self, state: &State<Local>, object: usize) -> bool {
        match self.gate.pass(|| self.is_marked(Object(object))) {
            Upgrade::Take => true,
            Upgrade::Dead => false,
            Upgrade::Log => {
                self.log(state, object);
                true
            }
        }
    }

    /// As `Ephemeron::take_out`.
    fn take_out(&self, state: &State<Local>, value: *mut u8) -> Option<usize> {
        let value = value.addr();
        (value != NULL && self.upgrade(state, value)).then_some(value)
    }

    fn mark_from(&self, roots: &impl Roots, released: Option<&Released>) {
        let mut marker = Marker(self, released);
        (0..roots.jobs()).for_each(|job| roots.scan(job, &mut marker));
    }

    /// As `Beside::resolve`.
    fn resolve(&self) -> bool {
        let released = Released::of(&self.list, |object| self.is_marked(object));
        let Some(released) = released else {
            return false;
        };
        self.mark_from(&released, Some(&released));
        true
    }

    fn is_clean(&self) -> bool {
        let is_marked = |object| self.is_marked(object);
        wave::is_clean(&self.logs, &self.roots, is_marked, || self.handshake())
    }

    /// As `Beside::mark` and `Beside::drain`, until marking is over.
    fn collect(&self) {
        match self.load() {
            NULL => {}
            held => self.mark(held),
        }
        loop {
            let logged = self.logs.take();
            if !logged.is_empty() {
                self.mark_from(&logged, None);
                continue;
            }
            if self.resolve() {
                continue;
            }
            let is_resolved = || self.list.ready(|object| self.is_marked(object)).is_empty();
            if wave::is_over(&self.gate, 1, || self.is_clean(), is_resolved) {
                return;
            }
        }
    }

    /// Clears the pair, if its key is dead; whether it still has one.
    fn clear(&self) -> bool {
        // SAFETY: marking is over.
        unsafe { self.list.clear_dead(|object| self.is_marked(object), false) };
        self.cell.key().is_some()
    }
}

/// Marks what it visits, and looks it up.
struct Marker<'a>(&'a Rig, Option<&'a Released>);

impl Visitor for Marker<'_> {
    fn visit(&mut self, object: Object, _kind: Kind) {
        let Self(rig, released) = *self;
        rig.mark(object.0);
        if let Some(released) = released {
            let is_marked = |object| rig.is_marked(object);
            released.waiting().note(object, is_marked);
        }
    }
}

/// A key that nothing else holds is upgraded while the collector resolves, and its value taken
/// behind a poll. Who got the key gets the value; both are alive then, and the pair; else all are
/// dead.
///
/// Kills: `ready-without-its-key`, `clear-the-living`.
#[test]
fn key_upgraded_late() {
    bounded("key_upgraded_late", || {
        let rig = Rig::new(NULL);
        let state = rig.register(false);
        let collector = thread::spawn({
            let rig = rig.clone();
            move || rig.collect()
        });
        rig.enter(&state);
        let has_key = rig.upgrade(&state, KEY);
        rig.poll(&state);
        if has_key {
            let value = rig.cell.get(|value| rig.take_out(&state, value));
            assert_eq!(value, Some(VALUE), "dead, though its key is held");
        }
        rig.leave(&state);
        collector.join().unwrap();
        for object in [KEY, VALUE].map(Object) {
            assert_eq!(rig.is_marked(object), has_key, "{object:?}");
        }
        assert_eq!(rig.clear(), has_key, "the pair");
    });
}

/// The key is taken out of its place before the marker has seen it, or behind it, and held while
/// the value is taken out of the pair and put into the place: the collector learns of the key from
/// a log. With a mutator that has not handed its pair over, too.
///
/// Kills: `look-skipped`, `look-before-the-wave`.
#[test]
fn key_reached_late() {
    for with_pair in [false, true] {
        let name = format!("key_reached_late, handed over: {}", !with_pair);
        bounded(&name, move || {
            let rig = Rig::new(KEY);
            let state = rig.register(with_pair);
            let collector = thread::spawn({
                let rig = rig.clone();
                move || rig.collect()
            });
            rig.enter(&state);
            assert_eq!(rig.load(), KEY);
            rig.store(&state, NULL);
            rig.poll(&state);
            let value = rig.cell.get(|value| rig.take_out(&state, value));
            assert_eq!(value, Some(VALUE), "dead, though its key is held");
            rig.leave(&state);
            collector.join().unwrap();
            assert!(rig.is_marked(Object(KEY)), "held, and not marked");
            assert!(rig.is_marked(Object(VALUE)), "its key lives");
            assert!(rig.clear(), "its key lives");
        });
    }
}

/// The list grows after it was resolved, by the pair of a root's key. A closure that has handed it
/// over at a poll takes the value out for good, and keeps it in the heap.
///
/// Kills: `look-behind-the-gate`, `look-skipped`, `look-before-the-wave`,
/// `value-gone-before-it-is-taken`.
#[test]
fn list_grows() {
    bounded("list_grows", || {
        let rig = Rig::new(KEY);
        let state = rig.register(true);
        let collector = thread::spawn({
            let rig = rig.clone();
            move || rig.collect()
        });
        rig.enter(&state);
        rig.poll(&state);
        let value = rig.cell.swap(null_mut(), |old| rig.take_out(&state, old));
        assert_eq!(value, Some(VALUE), "dead, though its key is held");
        rig.leave(&state);
        collector.join().unwrap();
        assert!(rig.is_marked(Object(VALUE)), "held, and not marked");
        assert!(rig.clear(), "its key lives");
    });
}

/// A value is written, and put into the pair; who finds it there, a mutator or the collector that
/// looks for values to mark, finds it written.
///
/// Kills: `swap-unordered`, `get-unordered`, `look-unordered`.
#[test]
fn value_published() {
    for beside in ["mutator", "collector"] {
        model(&format!("value_published, to a {beside}"), move || {
            let rig = Rig::new(NULL);
            rig.list.add(&mut vec![rig.cell_object().0]);
            rig.mark(KEY);
            rig.cell.swap(null_mut(), |_| Some(()));
            let content = Arc::new(UnsafeCell::new(0));
            let writer = thread::spawn({
                let (rig, content) = (rig.clone(), content.clone());
                move || {
                    // SAFETY: nobody reads it before it is published.
                    content.with_mut(|content| unsafe { *content = 7 });
                    let new = address(VALUE).as_ptr();
                    rig.cell.swap(new, |_| Some(()));
                }
            });
            let found = match beside {
                "mutator" => {
                    let take = |value: *mut u8| (!value.is_null()).then_some(());
                    rig.cell.get(take).is_some()
                }
                _ => !rig.list.ready(|object| rig.is_marked(object)).is_empty(),
            };
            if found {
                // SAFETY: it was published and is written no more.
                let seen = content.with(|content| unsafe { *content });
                assert_eq!(seen, 7);
            }
            writer.join().unwrap();
        });
    }
}
