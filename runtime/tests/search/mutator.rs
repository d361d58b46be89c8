//! What mutators may do: any program at all, one step at a time.
//!
//! A step is what no other thread can see in parts: one access to shared memory together with
//! private work beside it. A mutator is at its closure's edge when it holds no reference and is
//! in no operation. Logging is private, and so one step with judging what is to be logged.

use crate::actor::{At, Mutator};
use crate::explore::Step;
use crate::protocol::{Bounds, Gate, Phase, Protocol, Store, WeakGate, World};
use crate::state::{OBJECTS_MAX, State, bit};

/// The objects of a set.
pub(crate) fn each(set: u8) -> impl Iterator<Item = u8> {
    (1..=OBJECTS_MAX as u8).filter(move |&object| set & bit(object) != 0)
}

/// The steps from one state.
pub(crate) struct Steps<'a> {
    pub(crate) protocol: &'a Protocol,
    pub(crate) bounds: &'a Bounds,
    pub(crate) state: State,
    pub(crate) next: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    pub(crate) fn push(&mut self, who: usize, verb: &'static str, a: u8, b: u8, state: State) {
        self.next.push((Step { who, verb, a, b }, state));
    }

    /// Adds a step of mutator `who` that does `act`.
    fn act(
        &mut self,
        who: usize,
        step: (&'static str, u8, u8),
        act: impl FnOnce(&mut State, &mut Mutator),
    ) {
        let mut state = self.state;
        let mut mutator = state.mutators[who];
        act(&mut state, &mut mutator);
        state.mutators[who] = mutator;
        self.push(who, step.0, step.1, step.2, state);
    }

    pub(crate) fn mutator(&mut self, who: usize) {
        let mutator = self.state.mutators[who];
        if !mutator.registered {
            if self.bounds.registration {
                self.register(who);
            }
            return;
        }
        match mutator.at {
            At::Rest => self.at_rest(who, mutator),
            At::OldRead | At::Logged | At::Written => self.storing(who, mutator),
            At::Target | At::Judged | At::Closing => self.upgrading(who, mutator),
            At::Leaving => self.leave(who, mutator),
        }
        if self.bounds.early_flush && mutator.log != 0 && mutator.at != At::Leaving {
            self.act(who, ("flushes its log early", 0, 0), |state, mutator| {
                state.shared |= mutator.log;
                state.flushed = true;
                mutator.log = 0;
            });
        }
    }

    fn at_rest(&mut self, who: usize, mutator: Mutator) {
        self.acknowledge(who, mutator);
        self.registers(who, mutator);
        for a in each(mutator.registers) {
            for b in [0].into_iter().chain(each(mutator.registers)) {
                self.begin_store(who, mutator, a, b);
            }
        }
        if self.bounds.handles {
            self.handles(who, mutator);
        }
        let weak = self.state.weak;
        let fits = (mutator.registers | bit(weak)).count_ones() <= self.bounds.registers;
        if weak != 0 && fits {
            self.begin_upgrade(who, mutator);
        }
        if self.bounds.registration && mutator.registers == 0 {
            self.leave(who, mutator);
        }
    }

    /// Leaves: at once with nothing to hand over, else in two steps.
    fn leave(&mut self, who: usize, mutator: Mutator) {
        let push_first = self.protocol.push_before_count;
        if mutator.log == 0 || !self.protocol.leaving_hands_over {
            self.act(who, ("leaves", 0, 0), |_, mutator| {
                *mutator = Mutator::OUTSIDE
            });
            return;
        }
        let is_first = mutator.at == At::Rest;
        let pushes = is_first == push_first;
        let verb = match (is_first, pushes) {
            (true, true) => "begins to leave: hands its log over",
            (true, false) => "begins to leave: counts its log",
            (false, true) => "hands its log over and has left",
            (false, false) => "counts its log and has left",
        };
        self.act(who, (verb, 0, 0), |state, mutator| {
            if pushes {
                state.shared |= mutator.log;
            } else {
                state.flushed = true;
            }
            mutator.at = At::Leaving;
            if !is_first {
                *mutator = Mutator::OUTSIDE;
            }
        });
    }

    /// Loads, discards and allocates.
    fn registers(&mut self, who: usize, mutator: Mutator) {
        let (state, held) = (self.state, mutator.registers);
        let has_room = held.count_ones() < self.bounds.registers;
        for a in each(held) {
            let b = state.fields[a as usize];
            if has_room && b != 0 && held & bit(b) == 0 {
                self.act(who, ("loads {a}.f and gets {b}", a, b), |_, mutator| {
                    mutator.registers |= bit(b);
                });
            }
            self.discard(who, mutator, a);
            self.pass_on(who, a);
        }
        if !has_room {
            return;
        }
        for a in each((state.table[0] | state.table[1]) & !held) {
            self.act(who, ("gets {a} from its handle", a, 0), |_, mutator| {
                mutator.registers |= bit(a);
            });
        }
        let pinned = state.pinned();
        let free = (1..=self.bounds.objects).find(|&object| pinned & bit(object) == 0);
        let Some(a) = free.filter(|_| self.bounds.allocation) else {
            return;
        };
        // What is born after the wave's end is not swept, whatever its color.
        let is_black = mutator.phase >= self.protocol.black_from || state.world >= World::Clearing;
        let verb = if is_black {
            "allocates {a}, black, with {a}.f = {b}"
        } else {
            "allocates {a}, white, with {a}.f = {b}"
        };
        for b in [0].into_iter().chain(each(held)) {
            self.act(who, (verb, a, b), |state, mutator| {
                state.fields[a as usize] = b;
                state.marked |= if is_black { bit(a) } else { 0 };
                mutator.registers |= bit(a);
            });
        }
    }

    /// Hands a stack to the other mutator, with one frame that holds `a`.
    fn pass_on(&mut self, who: usize, a: u8) {
        let Some(frames) = self.protocol.frames else {
            return;
        };
        let to = self.state.mutators[1 - who];
        let held = (to.registers | bit(a)).count_ones();
        if !to.registered || to.registers & bit(a) != 0 || held > self.bounds.registers {
            return;
        }
        let unscanned = match (self.state.mutators[who].phase, to.phase) {
            (Phase::Marking, Phase::Marking) => self.state.mutators[who].unscanned & bit(a),
            (_, Phase::Marking) => bit(a),
            (Phase::Marking, Phase::Arming | Phase::Armed) if frames.kept_in_arming => {
                self.state.mutators[who].unscanned & bit(a)
            }
            _ => 0,
        };
        self.act(
            who,
            ("hands over its stack with {a}", a, 0),
            |state, mutator| {
                mutator.registers &= !bit(a);
                mutator.unscanned &= !bit(a);
                let to = &mut state.mutators[1 - who];
                to.registers |= bit(a);
                to.unscanned |= unscanned;
            },
        );
    }

    /// Forgets a reference; one in a frame that is not scanned yet is logged first.
    fn discard(&mut self, who: usize, mutator: Mutator, a: u8) {
        let scans = self.protocol.frames.is_some_and(|frames| frames.before_pop)
            && mutator.unscanned & bit(a) != 0;
        if scans {
            self.act(who, ("scans its frame with {a}", a, 0), |_, mutator| {
                mutator.unscanned &= !bit(a);
                log(mutator, bit(a));
            });
            return;
        }
        self.act(who, ("discards {a}", a, 0), |_, mutator| {
            mutator.registers &= !bit(a);
            mutator.unscanned &= !bit(a);
        });
    }

    fn handles(&mut self, who: usize, mutator: Mutator) {
        let logs =
            self.protocol.handles_until_h3 && matches!(mutator.phase, Phase::Arming | Phase::Armed);
        for b in each(mutator.registers) {
            for shard in 0..self.bounds.shards {
                if self.state.table[shard as usize] & bit(b) != 0 {
                    continue;
                }
                if logs {
                    let marked = self.filtered();
                    self.act(who, ("logs {a} for a handle", b, 0), |_, mutator| {
                        log(mutator, bit(b) & !marked);
                        (mutator.at, mutator.b, mutator.c) = (At::Logged, b, shard);
                    });
                } else {
                    self.act(who, ("makes a handle of {a}", b, 0), |state, _| {
                        state.table[shard as usize] |= bit(b);
                    });
                }
            }
        }
    }

    /// What the barrier does not log.
    pub(crate) fn filtered(&self) -> u8 {
        if self.protocol.filter {
            self.state.marked
        } else {
            0
        }
    }

    /// Which of the old and the new value `mutator` logs in its phase.
    fn halves(&self, mutator: &Mutator) -> (bool, bool) {
        let protocol = self.protocol;
        match mutator.phase {
            Phase::Arming | Phase::Armed => (protocol.old_until_h3, protocol.new_until_h3),
            Phase::Marking => (protocol.old_in_marking, protocol.new_in_marking),
            Phase::Idle | Phase::Sweeping => (false, false),
        }
    }

    fn begin_store(&mut self, who: usize, mutator: Mutator, a: u8, b: u8) {
        let after_end = self.state.world >= World::Clearing;
        let (old, new) = self.halves(&mutator);
        let c = self.state.fields[a as usize];
        if after_end || !(old || new) {
            if b != c {
                self.act(who, ("stores {a}.f = {b}", a, b), |state, _| {
                    state.fields[a as usize] = b;
                });
            }
            return;
        }
        let store = self.protocol.store;
        let entries = self.entries(&mutator, c, b);
        let fine = self.bounds.fine;
        let verb = match store {
            Store::SwapLog => "exchanges {a}.f for {b}",
            Store::ReadLogWrite if !fine => match (entries & bit(c), entries & bit(b)) {
                (0, 0) => "begins {a}.f = {b}: logs nothing",
                (0, _) => "begins {a}.f = {b}: logs the new value",
                (_, 0) => "begins {a}.f = {b}: logs the old value",
                _ => "begins {a}.f = {b}: logs both values",
            },
            _ => "begins {a}.f = {b}: reads the old value",
        };
        self.act(who, (verb, a, b), |state, mutator| {
            (mutator.a, mutator.b, mutator.c, mutator.at) = (a, b, c, At::OldRead);
            if store == Store::SwapLog {
                state.fields[a as usize] = b;
                mutator.at = At::Written;
            }
            if fine {
                return;
            }
            match store {
                Store::ReadLogWrite => {
                    log(mutator, entries);
                    (mutator.at, mutator.c) = (At::Logged, 0);
                }
                Store::ReadWriteLog => {}
                Store::SwapLog => {
                    log(mutator, entries);
                    rest(mutator);
                }
            }
        });
    }

    /// What `mutator` logs when it stores `new` over `old`.
    fn entries(&self, mutator: &Mutator, old: u8, new: u8) -> u8 {
        let (logs_old, logs_new) = self.halves(mutator);
        let old = if logs_old { bit(old) } else { 0 };
        let new = if logs_new { bit(new) } else { 0 };
        (old | new) & !self.filtered()
    }

    fn storing(&mut self, who: usize, mutator: Mutator) {
        let (a, b, c) = (mutator.a, mutator.b, mutator.c);
        let write = |state: &mut State| match a {
            0 => state.table[c as usize] |= bit(b),
            _ => state.fields[a as usize] = b,
        };
        let entries = self.entries(&mutator, c, b);
        let fine = self.bounds.fine;
        match (mutator.at, self.protocol.store) {
            (At::OldRead, Store::ReadWriteLog) => {
                self.act(who, ("writes {a}.f = {b}", a, b), |state, mutator| {
                    write(state);
                    mutator.at = At::Written;
                    if !fine {
                        log(mutator, entries);
                        rest(mutator);
                    }
                });
            }
            (At::Logged, _) => {
                let verb = if a == 0 {
                    "makes a handle of {b}"
                } else {
                    "writes {a}.f = {b}"
                };
                self.act(who, (verb, a, b), |state, mutator| {
                    write(state);
                    rest(mutator);
                });
            }
            (at, _) => {
                let verb = match (entries & bit(c), entries & bit(b)) {
                    (0, 0) => "logs nothing",
                    (0, _) => "logs the new {b}",
                    (_, 0) => "logs the old {a}",
                    _ => "logs the old {a} and the new {b}",
                };
                self.act(who, (verb, c, b), |_, mutator| {
                    log(mutator, entries);
                    if at == At::Written {
                        rest(mutator);
                    } else {
                        (mutator.at, mutator.c) = (At::Logged, 0);
                    }
                });
            }
        }
    }

    fn begin_upgrade(&mut self, who: usize, mutator: Mutator) {
        let weak = self.state.weak;
        if mutator.phase.is_active() && self.protocol.gate != WeakGate::Missing {
            self.act(who, ("begins to upgrade to {a}", weak, 0), |_, mutator| {
                (mutator.at, mutator.c) = (At::Target, weak);
            });
            return;
        }
        let entries = bit(weak) & !self.state.marked;
        self.act(who, ("upgrades to {a}", weak, 0), |_, mutator| {
            if mutator.phase.is_active() {
                log(mutator, entries);
            }
            mutator.registers |= bit(weak);
        });
    }

    fn upgrading(&mut self, who: usize, mutator: Mutator) {
        let (state, c) = (self.state, mutator.c);
        let is_marked = state.marked & bit(c) != 0;
        if mutator.at == At::Target {
            let gate_first = self.protocol.gate_before_mark;
            let (verb, read) = match (gate_first, state.gate, is_marked) {
                (true, Gate::Open, _) => ("reads the gate: open", 0),
                (true, Gate::Closing, _) => ("reads the gate: closing", 1),
                (true, Gate::Clearing, _) => ("reads the gate: clearing", 2),
                (false, _, marked) => ("reads the mark of {a}", marked as u8),
            };
            self.act(who, (verb, c, 0), |_, mutator| {
                (mutator.at, mutator.b) = (At::Judged, read)
            });
            return;
        }
        let (gate, is_marked) = if self.protocol.gate_before_mark {
            (Gate::at(mutator.b as u64), is_marked)
        } else {
            (state.gate, mutator.b == 1)
        };
        let gives = |mutator: &mut Mutator, entries: u8| {
            log(mutator, entries);
            mutator.registers |= bit(c);
            rest(mutator);
        };
        if mutator.at == At::Closing {
            if state.gate == Gate::Closing {
                self.act(
                    who,
                    ("opens the gate, logs {a} and gets it", c, 0),
                    |state, mutator| {
                        state.gate = Gate::Open;
                        gives(mutator, bit(c));
                    },
                );
            } else {
                self.act(who, ("fails to open the gate", 0, 0), |_, mutator| {
                    (mutator.at, mutator.b) = (At::Target, 0);
                });
            }
        } else if is_marked {
            self.act(who, ("gets {a}, which is marked", c, 0), |_, mutator| {
                gives(mutator, 0)
            });
        } else if gate == Gate::Clearing {
            self.act(who, ("is denied {a}", c, 0), |state, mutator| {
                state.denied |= state.marked & bit(c) != 0;
                rest(mutator);
            });
        } else if gate == Gate::Closing && self.protocol.closing_aborts {
            self.act(who, ("finds {a} white", c, 0), |_, mutator| {
                mutator.at = At::Closing
            });
        } else {
            self.act(who, ("logs {a} and gets it", c, 0), |_, mutator| {
                gives(mutator, bit(c))
            });
        }
    }
}

/// Logs a set, which may be empty.
fn log(mutator: &mut Mutator, entries: u8) {
    mutator.log |= entries;
    mutator.sticky |= entries != 0;
}

/// Ends an operation.
fn rest(mutator: &mut Mutator) {
    (mutator.at, mutator.a, mutator.b, mutator.c) = (At::Rest, 0, 0, 0);
}
