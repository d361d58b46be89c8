//! The two brakes: a field at which the marker waits, and a mutator that does not leave.

use crate::raw::core::Local;
use crate::raw::phase::Phase;
use crate::raw::world::State;
use crate::{Cx, Heap, Rebrand, Trace, Visitor};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// After so long a test waits for itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A place in an object at which the marker waits.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<GateState>);

#[derive(Default)]
struct GateState {
    /// Whether the marker stands before it, and whether it may pass.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn wait_until(&self, is_so: impl Fn(&(bool, bool)) -> bool) {
        let state = self.0.state.lock().unwrap();
        let wait = self
            .0
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !is_so(state));
        assert!(!wait.unwrap().1.timed_out(), "the other side never came");
    }

    fn change(&self, change: impl FnOnce(&mut (bool, bool))) {
        change(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_all();
    }

    pub(super) fn wait_for_marker(&self) {
        self.wait_until(|state| state.0);
    }

    pub(super) fn open(&self) {
        self.change(|state| state.1 = true);
    }
}

// SAFETY: holds no reference. It waits for a mutator, which these tests alone may ask for.
unsafe impl Trace for Gate {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, _visitor: &mut V) {
        self.change(|state| state.0 = true);
        self.wait_until(|state| state.1);
    }
}

// SAFETY: no brand.
unsafe impl Rebrand for Gate {
    type With<'to> = Self;
}

/// Waits until something is so, but not for ever.
#[track_caller]
pub(super) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Waits until the collector asks something of a mutator that it has not acknowledged.
#[track_caller]
pub(super) fn wait_until_asked(heap: &Heap, state: &State<Local>) {
    let world = &heap.shared.core.world;
    wait_until("the collector asks", || !world.may_pass(state));
}

/// What a laggard is told to do.
enum Command {
    /// This, inside the closure that it is in.
    Run(Box<dyn for<'gc> FnOnce(&Cx<'gc>) + Send>),
    /// To leave the closure, and enter the next.
    Step,
}

/// A mutator on a thread of its own that stays inside; dropping it ends it.
pub(super) struct Laggard {
    commands: Option<mpsc::Sender<Command>>,
    done: mpsc::Receiver<Phase>,
    pub(super) state: Arc<State<Local>>,
    /// Its phase in this closure.
    pub(super) phase: Phase,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Laggard {
    /// One that is inside.
    pub(super) fn new(heap: &Heap) -> Self {
        let mut mutator = heap.mutator();
        let state = mutator.state.clone();
        let (commands, told) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut stays = true;
            while stays {
                stays = mutator.enter(|cx| {
                    tell.send(cx.inside().phase()).unwrap();
                    loop {
                        match told.recv() {
                            Ok(Command::Run(run)) => {
                                run(cx);
                                tell.send(cx.inside().phase()).unwrap();
                            }
                            Ok(Command::Step) => return true,
                            Err(_) => return false,
                        }
                    }
                });
            }
        });
        let mut laggard = Self {
            commands: Some(commands),
            done,
            state,
            phase: Phase::Idle,
            thread: Some(thread),
        };
        laggard.phase = laggard.wait();
        laggard
    }

    fn wait(&self) -> Phase {
        self.done.recv_timeout(PATIENCE).expect("it answers")
    }

    fn tell(&mut self, command: Command) {
        let commands = self.commands.as_ref().expect("until it is dropped");
        commands.send(command).expect("it listens");
        self.phase = self.wait();
    }

    pub(super) fn run(&mut self, run: impl for<'gc> FnOnce(&Cx<'gc>) + Send + 'static) {
        self.tell(Command::Run(Box::new(run)));
    }

    /// Leaves the closure and enters the next.
    pub(super) fn step(&mut self) {
        self.tell(Command::Step);
    }
}

impl Drop for Laggard {
    fn drop(&mut self) {
        self.commands.take();
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_some_and(|ended| ended.is_ok()));
        }
    }
}
