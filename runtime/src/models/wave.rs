//! The end of marking, in a heap of one place and a few objects: what a clean wave has proved.
//!
//! Which of the rules a wave needs is not obvious, since they back each other up: an entry at
//! hand when the wave begins is still there when it ends, for nobody takes it meanwhile. So each
//! rule of [`Logs`] has a model of its own in which others take what was handed over.

use super::{bounded, explore, model};
use crate::raw::fences::Fences;
use crate::raw::log::{Entry, Log, Logs};
use crate::raw::phase::Phase::{self, Marking};
use crate::raw::roots::{Handle, RootTable};
use crate::raw::wave;
use crate::raw::weak_gate::{Upgrade, WeakGate};
use crate::raw::world::{State, World};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use gc_mark::{Kind, Object, Roots, Visitor};
use loom::thread;
use std::sync::Arc;

/// No object.
pub(super) const NULL: usize = 0;
/// The object that is to be kept or lost.
pub(super) const LEAF: usize = 1;
/// As many entries as no log here ever has.
const NEVER: usize = 9;

pub(super) fn entry(object: usize) -> Entry {
    let kind = Kind {
        id: 0,
        noscan: true,
    };
    (Object(object), kind)
}

/// A world in which all mutators mark, a root with one place, and a leaf.
pub(super) struct Rig {
    world: World<Log>,
    logs: Logs,
    roots: Arc<RootTable>,
    gate: WeakGate,
    /// The root's place.
    place: AtomicUsize,
    mark: AtomicBool,
    entries_max: usize,
}

impl Rig {
    pub(super) fn new(held: usize, entries_max: usize) -> Arc<Rig> {
        let rig = Arc::new(Rig {
            world: World::new(Fences::Symmetric),
            logs: Logs::default(),
            roots: Arc::default(),
            gate: WeakGate::default(),
            place: AtomicUsize::new(held),
            mark: AtomicBool::new(false),
            entries_max,
        });
        rig.roots.set_logging(true);
        rig.handshake();
        rig
    }

    pub(super) fn register(&self) -> Arc<State<Log>> {
        self.world.register("", |phase| {
            assert_eq!(phase, Marking);
            Log::default()
        })
    }

    fn acknowledge(&self, log: &mut Log, from: Phase, _to: Phase) {
        if from == Marking {
            self.logs.hand_over(log);
        }
    }

    pub(super) fn handshake(&self) {
        let ack = |log: &mut Log, from, to| self.acknowledge(log, from, to);
        self.world.handshake(Marking, || (), &ack, &mut |_, _| ());
    }

    pub(super) fn enter(&self, state: &State<Log>) {
        self.world
            .enter(state, &|log, from, to| self.acknowledge(log, from, to));
    }

    pub(super) fn leave(&self, state: &State<Log>) {
        self.world.leave(state);
    }

    pub(super) fn poll(&self, state: &State<Log>) {
        let ack = |log: &mut Log, from, to| self.acknowledge(log, from, to);
        self.world.poll(state, &ack);
    }

    /// Goes for good, as a mutator that is dropped.
    fn retire(&self, state: &Arc<State<Log>>) {
        let ack = |log: &mut Log, from, to| self.acknowledge(log, from, to);
        let last = |log: &mut Log| self.logs.hand_over_early(log);
        // SAFETY: nobody uses it any more.
        unsafe { self.world.retire(state, &ack, last) };
    }

    fn load(&self) -> usize {
        // Acquire: pairs with the Release in `store`. It sees the newest value; see `models`.
        self.place.fetch_add(0, Ordering::Acquire)
    }

    pub(super) fn store(&self, state: &State<Log>, new: usize) {
        let old = self.load();
        if old == LEAF && !self.is_marked() {
            self.log(state);
        }
        // Release: pairs with the Acquire in `load`.
        self.place.store(new, Ordering::Release);
    }

    fn log(&self, state: &State<Log>) {
        // SAFETY: inside through this state.
        let mut log = unsafe { state.local() };
        if log.push(entry(LEAF), self.entries_max) {
            self.logs.hand_over_early(&mut log);
        }
    }

    pub(super) fn is_marked(&self) -> bool {
        // Relaxed: as a mark's bit. It sees the newest value; see `models`.
        self.mark.fetch_or(false, Ordering::Relaxed)
    }

    fn is_clean(&self) -> bool {
        let is_marked = |object| self.is_marked_object(object);
        wave::is_clean(&self.logs, &self.roots, is_marked, || self.handshake())
    }

    fn is_marked_object(&self, object: Object) -> bool {
        object.0 == LEAF && self.is_marked()
    }

    /// An upgrade of a weak reference to the leaf; true if it may be taken.
    pub(super) fn upgrade(&self, state: &State<Log>) -> bool {
        match self.gate.pass(|| self.is_marked()) {
            Upgrade::Take => true,
            Upgrade::Dead => false,
            Upgrade::Log => {
                self.log(state);
                true
            }
        }
    }

    pub(super) fn mark(&self, object: usize) {
        if object == LEAF {
            // Relaxed: as a mark's bit.
            self.mark.store(true, Ordering::Relaxed);
        }
    }

    /// Marks from the roots, and drains and asks until marking is over.
    pub(super) fn collect(&self) {
        let mut marker = Marker(self);
        self.mark(self.load());
        (0..self.roots.jobs()).for_each(|job| self.roots.scan(job, &mut marker));
        loop {
            self.logs
                .add(self.roots.take_log(|object| self.is_marked_object(object)));
            let logged = self.logs.take();
            (0..logged.jobs()).for_each(|job| logged.scan(job, &mut marker));
            let is_over = || wave::is_over(&self.gate, 1, || self.is_clean(), || true);
            if logged.is_empty() && is_over() {
                return;
            }
        }
    }
}

/// Marks what it visits.
struct Marker<'a>(&'a Rig);

impl Visitor for Marker<'_> {
    fn visit(&mut self, object: Object, _kind: Kind) {
        self.0.mark(object.0);
    }
}

/// A closure takes the leaf out of its place and puts it back behind the marker, with a poll
/// between; it hands its log over at handshakes only, or at each entry. When marking is over, the
/// leaf is marked.
///
/// Kills: `hand-over-nothing`, `wave-always-clean`, `wave-without-handshake`.
#[test]
fn hide_and_put_back() {
    for entries_max in [1, NEVER] {
        let name = format!("hide_and_put_back, {entries_max} entries");
        model(&name, move || {
            let rig = Rig::new(LEAF, entries_max);
            let state = rig.register();
            let collector = thread::spawn({
                let rig = rig.clone();
                move || rig.collect()
            });
            rig.enter(&state);
            let leaf = rig.load();
            rig.store(&state, NULL);
            rig.poll(&state);
            rig.store(&state, leaf);
            rig.leave(&state);
            collector.join().unwrap();
            assert!(rig.is_marked(), "reachable, and not marked");
        });
    }
}

/// A mutator comes while the collector marks, takes the leaf out of its place, and goes for good
/// with the only log that knows of it; another has held the leaf meanwhile and has put it back.
/// With three preemptions at most.
///
/// Kills: `hand-over-nothing-early`, `retire-unlisted-first`, `retire-without-entering`,
/// `retire-without-leaving`, `retire-with-its-log`.
#[test]
fn come_and_retire() {
    explore("come_and_retire", &[Some(1), Some(2), Some(3)], || {
        let rig = Rig::new(LEAF, NEVER);
        let holder = rig.register();
        let collector = thread::spawn({
            let rig = rig.clone();
            move || rig.collect()
        });
        rig.enter(&holder);
        let leaf = rig.load();
        let hider = rig.register();
        rig.enter(&hider);
        rig.store(&hider, NULL);
        rig.leave(&hider);
        rig.store(&holder, leaf);
        rig.leave(&holder);
        rig.retire(&hider);
        collector.join().unwrap();
        assert!(rig.is_marked(), "reachable, and not marked");
    });
}

/// A closure takes the leaf from a handle, drops the handle and keeps the leaf in the place, which
/// the marker has passed.
///
/// Kills: `log-forgotten`.
#[test]
fn root_to_place() {
    model("root_to_place", || {
        let rig = Rig::new(NULL, NEVER);
        let (Object(leaf), kind) = entry(LEAF);
        let handle = Handle::new(&rig.roots, Object(leaf), kind);
        let state = rig.register();
        let collector = thread::spawn({
            let rig = rig.clone();
            move || rig.collect()
        });
        rig.enter(&state);
        drop(handle);
        rig.store(&state, leaf);
        rig.leave(&state);
        collector.join().unwrap();
        assert!(rig.is_marked(), "reachable, and not marked");
    });
}

/// Entries are handed over early while a wave goes on in which others take what was handed over: a
/// wave in which something was taken is not clean, whether it was there before or came then.
///
/// Kills: `wave-over-chunks`, `early-uncounted`, `wave-without-early`.
#[test]
fn taken_meanwhile() {
    model("taken_meanwhile", || {
        let logs = Arc::new(Logs::default());
        let mutator = thread::spawn({
            let logs = logs.clone();
            move || {
                let mut log = Log::default();
                log.push(entry(LEAF), NEVER);
                logs.hand_over_early(&mut log);
            }
        });
        let began = logs.begin_wave();
        let taken = logs.take();
        let clean = began.is_some_and(|early| logs.was_clean(early));
        assert!(!clean || taken.is_empty(), "clean, and something was taken");
        mutator.join().unwrap();
    });
}

/// A log stays dirty until its mutator acknowledges, though its entries went ahead and were marked;
/// then it is clean.
///
/// Kills: `wave-without-dirty`, `early-cleans`, `push-leaves-clean`, `dirty-for-ever`,
/// `wave-stays-dirty`.
#[test]
fn sticky() {
    bounded("sticky", || {
        let rig = Rig::new(NULL, 1);
        let state = rig.register();
        rig.enter(&state);
        rig.log(&state);
        rig.leave(&state);
        let mutator = thread::spawn({
            let (rig, state) = (rig.clone(), state.clone());
            move || {
                rig.enter(&state);
                rig.leave(&state);
            }
        });
        let wave = || rig.is_clean();
        assert!(!wave(), "something is at hand");
        assert!(!rig.logs.take().is_empty());
        assert!(!wave(), "dirty since before the wave");
        assert!(wave(), "nothing was logged since");
        mutator.join().unwrap();
    });
}

/// What the table logs before a wave or in it makes it unclean.
///
/// Kills: `wave-over-chunks-at-its-end`.
#[test]
fn table_in_a_wave() {
    model("table_in_a_wave", || {
        let rig = Rig::new(NULL, NEVER);
        let (object, kind) = entry(LEAF);
        let handle = Handle::new(&rig.roots, object, kind);
        let dropper = thread::spawn(move || drop(handle));
        let clean = rig.is_clean();
        let logged = !rig.logs.take().is_empty();
        assert!(clean != logged, "logged in the wave: {logged}");
        dropper.join().unwrap();
    });
}
