//! One state of an instance, its canonical form and the key under which it is remembered.
//!
//! Objects are 1, 2, 3, and 0 is null. A set of objects is a mask. Registers, logs and queues are
//! sets, since no order among them matters. What neither a program nor the collector can reach is
//! taken for free at once, so that programs allocate for ever in three slots; that hides nothing,
//! as nobody can ask about such an object.

use crate::actor::Mutator;
use crate::protocol::{Bounds, End, Gate, Protocol, World};

/// The most objects that fit in a key.
pub(crate) const OBJECTS_MAX: usize = 3;

/// The set that holds `object` alone; nothing, for null.
pub(crate) fn bit(object: u8) -> u8 {
    (1 << object) >> 1
}

/// A state of the whole instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) gate: Gate,
    /// The one field of each object; index 0 is unused.
    pub(crate) fields: [u8; OBJECTS_MAX + 1],
    pub(crate) marked: u8,
    /// Marked and to be scanned.
    pub(crate) grey: u8,
    /// To be marked: what was handed over, taken from handles or found in a field.
    pub(crate) shared: u8,
    /// Objects with a handle, by shard.
    pub(crate) table: [u8; 2],
    /// Which shards are scanned.
    pub(crate) scanned: [bool; 2],
    /// Handles dropped.
    pub(crate) dropped: u8,
    /// A handle was dropped since the table's last acknowledgement.
    pub(crate) table_sticky: bool,
    pub(crate) table_visited: bool,
    /// The target of the weak reference.
    pub(crate) weak: u8,
    /// A log was flushed early since the counter was read.
    pub(crate) flushed: bool,
    /// An acknowledgement of this wave was dirty.
    pub(crate) dirty: bool,
    /// An upgrade gave nothing although the target is marked.
    pub(crate) denied: bool,
    pub(crate) mutators: [Mutator; 2],
}

impl State {
    /// A state with neither objects nor mutators.
    pub(crate) fn white(world: World) -> Self {
        Self {
            world,
            gate: Gate::Open,
            fields: [0; OBJECTS_MAX + 1],
            marked: 0,
            grey: 0,
            shared: 0,
            table: [0; 2],
            scanned: [false; 2],
            dropped: 0,
            table_sticky: false,
            table_visited: false,
            weak: 0,
            flushed: false,
            dirty: false,
            denied: false,
            mutators: [Mutator::OUTSIDE; 2],
        }
    }

    /// All that fields lead to from `set`, itself included.
    fn reach(&self, set: u8) -> u8 {
        let mut reached = set;
        loop {
            let mut next = reached;
            for object in 1..=OBJECTS_MAX {
                if reached & bit(object as u8) != 0 {
                    next |= bit(self.fields[object]);
                }
            }
            if next == reached {
                return reached;
            }
            reached = next;
        }
    }

    /// What a program can still get at.
    pub(crate) fn reachable(&self) -> u8 {
        let registers = self.mutators[0].registers | self.mutators[1].registers;
        self.reach(registers | self.table[0] | self.table[1])
    }

    /// What a program or the collector can still get at.
    pub(crate) fn pinned(&self) -> u8 {
        let held = self.mutators[0].pins() | self.mutators[1].pins();
        let roots = self.table[0] | self.table[1] | self.dropped | bit(self.weak);
        self.reach(held | roots | self.grey | self.shared)
    }

    /// Forgets what cannot matter any more, and does at once what may as well be done at once.
    pub(crate) fn tidy(&mut self, protocol: &Protocol, bounds: &Bounds) {
        if protocol.end == End::Oracle {
            // The oracle looks at no log, and what was handed over waits as long as a log would.
            for mutator in &mut self.mutators {
                self.shared |= mutator.log;
                (mutator.log, mutator.sticky) = (0, false);
            }
            (self.dropped, self.table_sticky) = (0, false);
        } else if protocol.sticky {
            // A marked entry says no more than that something was logged.
            self.mutators[0].log &= !self.marked;
            self.mutators[1].log &= !self.marked;
            self.dropped &= !self.marked;
        }
        self.shared &= !self.marked;
        for mutator in &mut self.mutators {
            mutator.unscanned &= !self.marked;
        }
        if self.world == World::Marking && protocol.end == End::Waves && !bounds.fine {
            self.marked |= self.shared;
            self.grey |= self.shared;
            self.shared = 0;
        }
        if self.world >= World::Clearing {
            (self.grey, self.shared, self.dropped) = (0, 0, 0);
            self.table_sticky = false;
            for mutator in &mut self.mutators {
                (mutator.log, mutator.sticky) = (0, false);
            }
        }
        if self.world != World::Wave {
            (self.table_visited, self.dirty) = (false, false);
            self.mutators[0].visited = false;
            self.mutators[1].visited = false;
        }
        self.flushed &= matches!(self.world, World::Poised | World::Wave);
        let pinned = self.pinned();
        self.marked &= pinned;
        for object in 1..=OBJECTS_MAX {
            if pinned & bit(object as u8) == 0 {
                self.fields[object] = 0;
            }
        }
    }

    /// What tells an object from another, names apart.
    fn signature(&self, object: usize) -> u64 {
        let name = object as u8;
        let bit = bit(name);
        let mut signature = 0;
        for set in [
            self.marked,
            self.grey,
            self.shared,
            self.table[0],
            self.table[1],
            self.dropped,
        ] {
            signature = signature << 1 | (set & bit != 0) as u64;
        }
        for mutator in &self.mutators {
            signature = signature << 1 | (mutator.registers & bit != 0) as u64;
            signature = signature << 1 | (mutator.log & bit != 0) as u64;
            signature = signature << 1 | (mutator.unscanned & bit != 0) as u64;
            signature = signature << 1 | (mutator.a == name) as u64;
            signature = signature << 1 | (mutator.b == name && mutator.names_b()) as u64;
            signature = signature << 1 | (mutator.c == name && mutator.names_c()) as u64;
        }
        let mut incoming = 0;
        for from in 1..=OBJECTS_MAX {
            incoming += (self.fields[from] == name) as u64;
        }
        let field = self.fields[object];
        let field = if field == 0 {
            0
        } else {
            1 + (field == name) as u64
        };
        signature << 5 | incoming << 3 | field << 1 | (self.weak == name) as u64
    }

    /// The same state with object `n` named `names[n]`.
    fn renamed(&self, names: &[u8; OBJECTS_MAX + 1]) -> Self {
        let set = |set: u8| {
            let mut renamed = 0;
            for (object, &name) in names.iter().enumerate().skip(1) {
                if set & bit(object as u8) != 0 {
                    renamed |= bit(name);
                }
            }
            renamed
        };
        let mut state = *self;
        for object in 1..=OBJECTS_MAX {
            state.fields[names[object] as usize] = names[self.fields[object] as usize];
        }
        state.marked = set(self.marked);
        state.grey = set(self.grey);
        state.shared = set(self.shared);
        state.table = [set(self.table[0]), set(self.table[1])];
        state.dropped = set(self.dropped);
        state.weak = names[self.weak as usize];
        for mutator in &mut state.mutators {
            mutator.registers = set(mutator.registers);
            mutator.log = set(mutator.log);
            mutator.unscanned = set(mutator.unscanned);
            mutator.a = names[mutator.a as usize];
            if mutator.names_b() {
                mutator.b = names[mutator.b as usize];
            }
            if mutator.names_c() {
                mutator.c = names[mutator.c as usize];
            }
        }
        state
    }

    /// The key with the objects in the order of their signatures.
    fn ordered_key(&self) -> u128 {
        let mut signatures = [0; OBJECTS_MAX + 1];
        for (object, signature) in signatures.iter_mut().enumerate().skip(1) {
            *signature = self.signature(object);
        }
        let mut names = [0, 1, 1, 1];
        for object in 1..=OBJECTS_MAX {
            for other in 1..object {
                // Equal signatures keep their order.
                let (behind, ahead) = if signatures[object] > signatures[other] {
                    (other, object)
                } else {
                    (object, other)
                };
                debug_assert_ne!(behind, ahead);
                names[behind] += 1;
            }
        }
        if names == [0, 1, 2, 3] {
            self.key()
        } else {
            self.renamed(&names).key()
        }
    }

    /// The key that this state shares with those that differ from it in names alone. (Some that
    /// do have another: states are then counted twice, and nothing is missed.)
    pub(crate) fn canonical_key(&self) -> u128 {
        let [first, second] = [self.mutators[0].rank(), self.mutators[1].rank()];
        let mut swapped = *self;
        swapped.mutators = [self.mutators[1], self.mutators[0]];
        if first > second {
            self.ordered_key()
        } else if first < second {
            swapped.ordered_key()
        } else {
            self.ordered_key().min(swapped.ordered_key())
        }
    }

    fn key(&self) -> u128 {
        let flags = [
            self.scanned[0],
            self.scanned[1],
            self.table_sticky,
            self.table_visited,
            self.flushed,
            self.dirty,
            self.denied,
        ];
        let mut heap = self.world as u64 | (self.gate as u64) << 4;
        for flag in flags {
            heap = heap << 1 | flag as u64;
        }
        for reference in [self.fields[1], self.fields[2], self.fields[3], self.weak] {
            heap = heap << 2 | reference as u64;
        }
        let sets = [
            self.marked,
            self.grey,
            self.shared,
            self.dropped,
            self.table[0],
            self.table[1],
        ];
        for set in sets {
            heap = heap << 3 | set as u64;
        }
        let mutators = self.mutators[0].key() << 32 | self.mutators[1].key();
        (heap as u128) << 64 | mutators as u128
    }

    pub(crate) fn from_key(key: u128) -> Self {
        let mutators = key as u64;
        let mut heap = (key >> 64) as u64;
        let mut take = |bits: u32| {
            let value = heap & ((1 << bits) - 1);
            heap >>= bits;
            value as u8
        };
        let table_1 = take(3);
        let table = [take(3), table_1];
        let (dropped, shared, grey, marked) = (take(3), take(3), take(3), take(3));
        let (weak, third, second, first) = (take(2), take(2), take(2), take(2));
        let (denied, dirty, flushed) = (take(1) != 0, take(1) != 0, take(1) != 0);
        let (table_visited, table_sticky) = (take(1) != 0, take(1) != 0);
        let scanned_1 = take(1) != 0;
        let scanned = [take(1) != 0, scanned_1];
        let world = World::at(take(4) as u64);
        Self {
            world,
            gate: Gate::at(take(2) as u64),
            fields: [0, first, second, third],
            marked,
            grey,
            shared,
            table,
            scanned,
            dropped,
            table_sticky,
            table_visited,
            weak,
            flushed,
            dirty,
            denied,
            mutators: [
                Mutator::from_key(mutators >> 32),
                Mutator::from_key(mutators & 0xffff_ffff),
            ],
        }
    }
}
