//! What the collector does, and what mutators and the root table do for it: acknowledgements,
//! registration, marking, waves; and handles that are dropped by threads that are no mutators.

use crate::actor::{At, Mutator};
use crate::explore::{COLLECTOR, OTHER, Step};
use crate::mutator::{Steps, each};
use crate::protocol::{Bounds, End, Gate, Phase, Protocol, WeakGate, World};
use crate::state::{State, bit};

/// Everything that can happen next in `state`.
pub(crate) fn successors(
    protocol: &Protocol,
    bounds: &Bounds,
    state: State,
    next: &mut Vec<(Step, State)>,
) {
    let mut steps = Steps {
        protocol,
        bounds,
        state,
        next,
    };
    if steps.is_over() {
        return;
    }
    steps.mutator(0);
    steps.mutator(1);
    steps.others();
    steps.mark();
    steps.advance();
}

/// Whether something is amiss, and what.
pub(crate) fn fault(protocol: &Protocol, state: &State) -> Option<&'static str> {
    if state.denied {
        return Some("an upgrade is denied an object that lives on");
    }
    let over = state.world >= World::Clearing || nothing_grey(protocol, state);
    let lost = over && state.reachable() & !state.marked != 0;
    lost.then_some("an object that can be reached is swept")
}

/// The oracle of `End::Oracle`: no grey object is left, nor anyone who could bring one forth.
fn nothing_grey(protocol: &Protocol, state: &State) -> bool {
    let [one, two] = &state.mutators;
    protocol.end == End::Oracle
        && state.world == World::Marking
        && state.scanned == [true; 2]
        && state.grey | state.shared | state.dropped | one.log | two.log == 0
        && (one.unscanned | two.unscanned == 0 || !waits_for_frames(protocol))
        && one.at == At::Rest
        && two.at == At::Rest
}

/// Whether the collector scans what frames are left before it ends.
fn waits_for_frames(protocol: &Protocol) -> bool {
    protocol.frames.is_some_and(|frames| frames.before_end)
}

impl Steps<'_> {
    /// Whether nothing that happens from here on can matter.
    fn is_over(&self) -> bool {
        let world = self.state.world;
        let judged = world >= World::Clearing && !self.bounds.weak;
        judged
            || world == World::Done
            || self.nothing_to_lose()
            || nothing_grey(self.protocol, &self.state)
    }

    /// Whether all that can be reached is marked, and all that is born will be.
    fn nothing_to_lose(&self) -> bool {
        let (state, protocol) = (&self.state, self.protocol);
        let is_black = |mutator: &Mutator| !mutator.registered || mutator.phase == Phase::Marking;
        state.world >= World::Marking
            && !self.bounds.weak
            && protocol.registers_as_published
            && is_black(&state.mutators[0])
            && is_black(&state.mutators[1])
            && state.reachable() & !state.marked == 0
    }

    pub(crate) fn acknowledge(&mut self, who: usize, mutator: Mutator) {
        let (world, allowed) = (self.state.world, self.protocol.in_closure);
        let (is_due, in_closure, verb) = match world {
            World::Arming => (mutator.phase < Phase::Arming, allowed.h1, "acknowledges H1"),
            World::Armed => (mutator.phase < Phase::Armed, allowed.h2, "acknowledges H2"),
            World::Starting => (
                mutator.phase < Phase::Marking,
                allowed.h3,
                "acknowledges H3",
            ),
            World::Wave => (!mutator.visited, allowed.h4, "acknowledges H4, clean"),
            World::Sweeping => (
                mutator.phase < Phase::Sweeping,
                allowed.h5,
                "acknowledges H5",
            ),
            _ => return,
        };
        if !is_due || (mutator.registers != 0 && !in_closure) {
            return;
        }
        let is_dirty = world == World::Wave && self.is_dirty(mutator.log, mutator.sticky);
        let verb = if is_dirty {
            "acknowledges H4, dirty"
        } else {
            verb
        };
        let frames = self.protocol.frames;
        let mut state = self.state;
        state.shared |= mutator.log;
        state.dirty |= is_dirty;
        let mutator = &mut state.mutators[who];
        (mutator.log, mutator.sticky) = (0, false);
        if world == World::Wave {
            mutator.visited = true;
        } else {
            mutator.phase = Phase::published(world);
            if frames.is_some_and(|frames| frames.from == mutator.phase) {
                mutator.unscanned = mutator.registers;
            }
        }
        self.push(who, verb, 0, 0, state);
    }

    /// Whether handing over `log` makes an acknowledgement dirty.
    fn is_dirty(&self, log: u8, sticky: bool) -> bool {
        let known = if self.protocol.ignore_marked {
            self.state.marked
        } else {
            0
        };
        log & !known != 0 || (self.protocol.sticky && sticky)
    }

    pub(crate) fn register(&mut self, who: usize) {
        let mut state = self.state;
        let phase = if self.protocol.registers_as_published {
            Phase::published(state.world)
        } else {
            Phase::Idle
        };
        state.mutators[who] = Mutator {
            registered: true,
            phase,
            // The number of the wave is part of what it takes.
            visited: state.world == World::Wave,
            ..Mutator::OUTSIDE
        };
        self.push(who, "registers", 0, 0, state);
    }

    /// Handles that are dropped or cloned by anyone.
    pub(crate) fn others(&mut self) {
        if !self.bounds.handles {
            return;
        }
        let protocol = self.protocol;
        let logs = protocol
            .drops_logged_from
            .is_some_and(|from| self.state.world >= from);
        let filtered = self.filtered();
        for shard in 0..self.bounds.shards as usize {
            for a in each(self.state.table[shard]) {
                let mut state = self.state;
                state.table[shard] &= !bit(a);
                if logs && filtered & bit(a) == 0 {
                    state.dropped |= bit(a);
                    state.table_sticky = true;
                    // Taken with the oracle at once: the same as a log that is taken at once.
                    state.shared |= if protocol.end == End::Oracle {
                        bit(a)
                    } else {
                        0
                    };
                }
                self.push(OTHER, "drops a handle of {a}", a, 0, state);
                if self.bounds.shards == 2 && self.state.table[1 - shard] & bit(a) == 0 {
                    let mut state = self.state;
                    state.table[1 - shard] |= bit(a);
                    self.push(OTHER, "clones a handle of {a}", a, 0, state);
                }
            }
        }
    }

    /// Whether every mutator has acknowledged the published step.
    fn all_acknowledged(&self) -> bool {
        let state = &self.state;
        let published = Phase::published(state.world);
        let has = |mutator: &Mutator| match state.world {
            World::Wave => !mutator.registered || mutator.visited,
            _ => !mutator.registered || mutator.phase >= published,
        };
        has(&state.mutators[0]) && has(&state.mutators[1])
    }

    /// Takes handles and logs, marks and scans.
    pub(crate) fn mark(&mut self) {
        let (state, protocol) = (self.state, self.protocol);
        let in_wave = state.world == World::Wave;
        let may = state.world >= protocol.mark_from && state.world <= World::Marking;
        if !(may || in_wave && protocol.mark_in_wave) {
            return;
        }
        for shard in 0..self.bounds.shards as usize {
            if !state.scanned[shard] {
                let mut next = state;
                next.shared |= state.table[shard];
                next.scanned[shard] = true;
                // One shard: the second is empty.
                next.scanned[1] |= self.bounds.shards == 1;
                self.push(COLLECTOR, "takes the handles", 0, 0, next);
            }
        }
        for a in each(state.shared) {
            let mut next = state;
            next.shared &= !bit(a);
            next.marked |= bit(a);
            next.grey |= bit(a);
            self.push(COLLECTOR, "marks {a}", a, 0, next);
        }
        for a in each(state.grey) {
            let mut next = state;
            let b = state.fields[a as usize];
            next.grey &= !bit(a);
            next.shared |= bit(b);
            self.push(COLLECTOR, "scans {a} and finds {b}", a, b, next);
        }
        for who in 0..2 {
            for a in each(state.mutators[who].unscanned) {
                let mut next = state;
                next.mutators[who].unscanned &= !bit(a);
                next.shared |= bit(a);
                self.push(COLLECTOR, "scans a frame with {a}", a, 0, next);
            }
        }
        if state.dropped != 0 && !in_wave {
            let mut next = state;
            next.shared |= state.dropped;
            next.dropped = 0;
            self.push(COLLECTOR, "takes the dropped handles", 0, 0, next);
        }
    }

    /// Goes on to the next step of the cycle, or of a wave.
    pub(crate) fn advance(&mut self) {
        let mut state = self.state;
        let protocol = self.protocol;
        let [one, two] = &state.mutators;
        let rests = state.shared | state.grey == 0
            && state.scanned == [true; 2]
            && (one.unscanned | two.unscanned == 0 || !waits_for_frames(protocol));
        let verb = match state.world {
            World::Arming | World::Armed | World::Starting if !self.all_acknowledged() => return,
            World::Arming if protocol.handshakes == 3 => {
                state.world = World::Armed;
                "publishes H2"
            }
            World::Arming | World::Armed => {
                state.world = World::Starting;
                "publishes H3"
            }
            World::Starting => {
                state.world = World::Marking;
                "sees H3 done"
            }
            World::Marking if rests && protocol.end == End::Waves => {
                state.world = World::Poised;
                state.flushed = false;
                "reads the counter"
            }
            World::Poised => self.begin_wave(&mut state, rests),
            World::Wave => return self.wave(),
            World::Clearing => {
                state.world = World::Sweeping;
                if protocol.clear_before_h5 && state.marked & bit(state.weak) == 0 {
                    state.weak = 0;
                }
                "clears weak references and publishes H5"
            }
            World::Sweeping if self.all_acknowledged() => {
                state.world = World::Done;
                state.gate = Gate::Open;
                "sees H5 done"
            }
            World::Marking | World::Sweeping | World::Done => return,
        };
        self.push(COLLECTOR, verb, 0, 0, state);
    }

    fn begin_wave(&self, state: &mut State, rests: bool) -> &'static str {
        if !rests && self.protocol.counter_first {
            state.world = World::Marking;
            return "finds a log handed over";
        }
        state.world = World::Wave;
        if self.protocol.gate == WeakGate::Kept {
            state.gate = Gate::Closing;
        }
        if !self.protocol.counter_first {
            state.flushed = false;
        }
        "closes the gate and publishes H4"
    }

    fn wave(&mut self) {
        let (state, protocol) = (self.state, self.protocol);
        if !state.table_visited {
            let mut next = state;
            next.dirty |= self.is_dirty(state.dropped, state.table_sticky);
            next.shared |= state.dropped;
            (next.dropped, next.table_sticky, next.table_visited) = (0, false, true);
            self.push(COLLECTOR, "acknowledges H4 for the table", 0, 0, next);
        }
        if protocol.gate == WeakGate::ClosedInWave && state.gate == Gate::Open {
            let mut next = state;
            next.gate = Gate::Closing;
            self.push(COLLECTOR, "closes the gate", 0, 0, next);
        }
        if !state.table_visited || !self.all_acknowledged() {
            return;
        }
        let is_open = state.gate != Gate::Closing && protocol.gate != WeakGate::Missing;
        let spoilt = protocol.counter && state.flushed;
        let busy = protocol.mark_in_wave && state.shared | state.grey != 0;
        let mut next = state;
        if state.dirty || spoilt || is_open || busy {
            (next.world, next.gate) = (World::Marking, Gate::Open);
            self.push(COLLECTOR, "finds that the wave proves nothing", 0, 0, next);
            return;
        }
        (next.world, next.gate) = (World::Clearing, Gate::Clearing);
        if protocol.gate == WeakGate::Missing && state.marked & bit(state.weak) == 0 {
            next.weak = 0;
        }
        self.push(COLLECTOR, "finds the end proven", 0, 0, next);
    }
}
