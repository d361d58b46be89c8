//! Breadth first through every state, so that the counterexample is a shortest one.
//!
//! A state is remembered as its canonical key, in order of discovery, with the index of the state
//! it was found from. Steps are not remembered: a counterexample is found again by walking its
//! keys, this time without renaming, so that an object keeps its letter.

use crate::actor::Mutator;
use crate::collector::{fault, successors};
use crate::mutator::each;
use crate::protocol::{Bounds, Phase, Protocol, World};
use crate::state::{OBJECTS_MAX, State};
use std::fmt::{self, Write as _};

/// Who acts, when it is no mutator.
pub(crate) const COLLECTOR: usize = 2;
pub(crate) const OTHER: usize = 3;

/// A step, as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) who: usize,
    /// What is done, with `{a}` and `{b}` where the objects go.
    pub(crate) verb: &'static str,
    pub(crate) a: u8,
    pub(crate) b: u8,
}

fn letter(object: u8) -> &'static str {
    ["null", "X", "Y", "Z"][object as usize]
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = ["M1", "M2", "the collector", "a thread"][self.who];
        let text = self.verb.replace("{a}", letter(self.a));
        write!(f, "{who} {}", text.replace("{b}", letter(self.b)))
    }
}

/// What a search found.
pub(crate) struct Found {
    /// States, up to names.
    pub(crate) states: usize,
    /// Of those, states in which the cycle was at its end: a search without any shows nothing.
    pub(crate) ends: usize,
    /// The counterexample.
    pub(crate) lost: Option<Vec<String>>,
}

const NONE: u32 = u32::MAX;

/// The states seen so far: keys in order of discovery, and an open-addressed table of indices.
struct Seen {
    keys: Vec<u128>,
    parents: Vec<u32>,
    slots: Vec<u32>,
}

impl Seen {
    fn new() -> Self {
        Self {
            keys: Vec::new(),
            parents: Vec::new(),
            slots: vec![NONE; 1 << 16],
        }
    }

    fn hash(key: u128) -> usize {
        let mixed = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (key >> 64) as u64;
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 20) as usize
    }

    /// Whether `key` is new.
    fn insert(&mut self, key: u128, parent: u32) -> bool {
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = Self::hash(key) & mask;
        while self.slots[slot] != NONE {
            if self.keys[self.slots[slot] as usize] == key {
                return false;
            }
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = self.keys.len() as u32;
        self.keys.push(key);
        self.parents.push(parent);
        true
    }

    fn grow(&mut self) {
        let len = self.slots.len() * 4;
        self.slots.clear();
        self.slots.resize(len, NONE);
        for (index, &key) in self.keys.iter().enumerate() {
            let mut slot = Self::hash(key) & (len - 1);
            while self.slots[slot] != NONE {
                slot = (slot + 1) & (len - 1);
            }
            self.slots[slot] = index as u32;
        }
    }
}

/// Every heap of white objects with every set of handles and every weak reference, all mutators
/// outside.
fn beginnings(protocol: &Protocol, bounds: &Bounds) -> Vec<State> {
    let radix = bounds.objects as usize + 1;
    let sets = 1_u8 << bounds.objects;
    let weaks = if bounds.weak { bounds.objects } else { 0 };
    let phase = match bounds.from {
        World::Arming => Phase::Idle,
        World::Starting if protocol.handshakes == 1 => Phase::Idle,
        World::Armed => Phase::Arming,
        World::Starting => Phase::Armed,
        _ => Phase::Marking,
    };
    let mut registered = [Mutator::OUTSIDE; 2];
    for mutator in registered.iter_mut().take(bounds.registered as usize) {
        (mutator.registered, mutator.phase) = (true, phase);
    }
    if bounds.cut_off {
        registered[0].registers = 0b110;
        (registered[1].log, registered[1].sticky) = (0b010, true);
        return vec![State {
            fields: [0, 0, 3, 0],
            marked: 0b001,
            table: [1, 0],
            scanned: [true; 2],
            mutators: registered,
            ..State::white(bounds.from)
        }];
    }
    let mut found = Vec::new();
    for heap in 0..radix.pow(bounds.objects as u32) {
        let mut fields = [0; OBJECTS_MAX + 1];
        let mut rest = heap;
        for field in fields.iter_mut().skip(1).take(bounds.objects as usize) {
            *field = (rest % radix) as u8;
            rest /= radix;
        }
        for (table, weak) in (0..sets).flat_map(|set| (0..=weaks).map(move |weak| (set, weak))) {
            found.push(State {
                fields,
                table: [table, 0],
                weak,
                mutators: registered,
                ..State::white(bounds.from)
            });
        }
    }
    found
}

/// Searches every state that `protocol` can come to within `bounds`.
pub(crate) fn explore(protocol: &Protocol, bounds: &Bounds) -> Found {
    let mut seen = Seen::new();
    for mut state in beginnings(protocol, bounds) {
        state.tidy(protocol, bounds);
        seen.insert(state.canonical_key(), NONE);
    }
    let mut next = Vec::new();
    let (mut at, mut ends) = (0, 0);
    while at < seen.keys.len() {
        let state = State::from_key(seen.keys[at]);
        next.clear();
        successors(protocol, bounds, state, &mut next);
        ends += next.is_empty() as usize;
        for (_, state) in &mut next {
            state.tidy(protocol, bounds);
            let is_new = seen.insert(state.canonical_key(), at as u32);
            if is_new && let Some(fault) = fault(protocol, state) {
                let lost = Some(retell(protocol, bounds, &seen, fault));
                let states = seen.keys.len();
                return Found { states, ends, lost };
            }
        }
        at += 1;
    }
    Found {
        states: seen.keys.len(),
        ends,
        lost: None,
    }
}

/// The steps to the state that was found last, in words.
fn retell(protocol: &Protocol, bounds: &Bounds, seen: &Seen, fault: &str) -> Vec<String> {
    let mut path = Vec::new();
    let mut index = seen.keys.len() as u32 - 1;
    while index != NONE {
        path.push(seen.keys[index as usize]);
        index = seen.parents[index as usize];
    }
    let mut state = State::from_key(path.pop().expect("a path has a beginning"));
    let mut told = vec![describe(&state)];
    for key in path.into_iter().rev() {
        let mut next = Vec::new();
        successors(protocol, bounds, state, &mut next);
        let step = next.into_iter().find_map(|(step, mut next)| {
            next.tidy(protocol, bounds);
            (next.canonical_key() == key).then_some((step, next))
        });
        let (step, next) = step.expect("a state's successor has a step that leads to it");
        told.push(step.to_string());
        state = next;
    }
    told.push(fault.to_owned());
    told
}

/// Where a counterexample begins.
fn describe(state: &State) -> String {
    let mut text = String::from("at first");
    let handles = state.table[0];
    for object in each(state.pinned()) {
        let field = letter(state.fields[object as usize]);
        let _ = write!(text, " {}.f = {field},", letter(object));
    }
    for object in each(handles) {
        let _ = write!(text, " {} has a handle,", letter(object));
    }
    for (who, mutator) in ["M1", "M2"].iter().zip(&state.mutators) {
        for object in each(mutator.registers) {
            let _ = write!(text, " {who} holds {},", letter(object));
        }
    }
    if state.weak != 0 {
        let _ = write!(text, " the weak reference is to {},", letter(state.weak));
    }
    text.trim_end_matches(',').to_owned()
}
