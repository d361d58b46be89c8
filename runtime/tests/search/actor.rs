//! A mutator's own state: its phase, registers and log, and where it is within an operation.
//!
//! It packs into 24 bits of a key.

use crate::protocol::Phase;
use crate::state::bit;

/// Where a mutator is within an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum At {
    /// Between operations.
    Rest,
    /// A store `a.f = b` has read the old value `c`.
    OldRead,
    /// It has logged, and is about to write; `a` is null if the place is a handle, in shard `c`.
    Logged,
    /// It has written, and is about to log.
    Written,
    /// An upgrade has read the target `c`.
    Target,
    /// It has read the gate, into `b`; or the mark, if that comes first.
    Judged,
    /// It has found the gate closing.
    Closing,
    /// It has done the first of two steps of leaving.
    Leaving,
}

impl At {
    fn nth(index: u64) -> Self {
        const ALL: [At; 8] = [
            At::Rest,
            At::OldRead,
            At::Logged,
            At::Written,
            At::Target,
            At::Judged,
            At::Closing,
            At::Leaving,
        ];
        ALL[index as usize]
    }
}

/// A mutator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutator {
    pub(crate) registered: bool,
    pub(crate) phase: Phase,
    /// References that it holds.
    pub(crate) registers: u8,
    /// Of these, what is in frames below the watermark.
    pub(crate) unscanned: u8,
    /// Its private log.
    pub(crate) log: u8,
    /// It has logged since its last acknowledgement.
    pub(crate) sticky: bool,
    /// It has acknowledged the present wave.
    pub(crate) visited: bool,
    pub(crate) at: At,
    pub(crate) a: u8,
    pub(crate) b: u8,
    pub(crate) c: u8,
}

impl Mutator {
    pub(crate) const OUTSIDE: Self = Self {
        registered: false,
        phase: Phase::Idle,
        registers: 0,
        unscanned: 0,
        log: 0,
        sticky: false,
        visited: false,
        at: At::Rest,
        a: 0,
        b: 0,
        c: 0,
    };

    /// What it could still touch or log.
    pub(crate) fn pins(&self) -> u8 {
        let in_flight = match self.at {
            At::Rest | At::Leaving => 0,
            At::Logged if self.a == 0 => bit(self.b),
            At::OldRead | At::Logged | At::Written => bit(self.a) | bit(self.b) | bit(self.c),
            At::Target | At::Judged | At::Closing => bit(self.c),
        };
        self.registers | self.log | in_flight
    }

    /// Whether `b` is an object (`c` is one in every operation but a handle's).
    pub(crate) fn names_b(&self) -> bool {
        !matches!(self.at, At::Target | At::Judged | At::Closing)
    }

    pub(crate) fn names_c(&self) -> bool {
        !(self.at == At::Logged && self.a == 0)
    }

    pub(crate) fn key(&self) -> u64 {
        let flags =
            (self.registered as u64) | (self.sticky as u64) << 1 | (self.visited as u64) << 2;
        let places = (self.a as u64) | (self.b as u64) << 2 | (self.c as u64) << 4;
        let sets = (self.registers as u64) | (self.log as u64) << 3;
        flags
            | (self.phase as u64) << 3
            | (self.at as u64) << 6
            | places << 9
            | sets << 15
            | (self.unscanned as u64) << 21
    }

    pub(crate) fn from_key(key: u64) -> Self {
        Self {
            registered: key & 1 != 0,
            sticky: key & 2 != 0,
            visited: key & 4 != 0,
            phase: Phase::at(key >> 3 & 7),
            at: At::nth(key >> 6 & 7),
            a: (key >> 9 & 3) as u8,
            b: (key >> 11 & 3) as u8,
            c: (key >> 13 & 3) as u8,
            registers: (key >> 15 & 7) as u8,
            log: (key >> 18 & 7) as u8,
            unscanned: (key >> 21 & 7) as u8,
        }
    }

    /// What does not depend on the objects' names; mutators are ordered by it.
    pub(crate) fn rank(&self) -> u64 {
        let held = self.registers.count_ones() as u64;
        let logged = self.log.count_ones() as u64;
        (self.key() & 0x1ff) | held << 9 | logged << 12
    }
}
