//! What a mutator does with a reference store, and when it begins and stops.
//!
//! | phase | a store logs | new objects are | left for |
//! |---|---|---|---|
//! | idle | nothing | white | arming (H1) |
//! | arming | the old and the new value | white | armed (H2), when all are arming |
//! | armed | the old and the new value | white | marking (H3), when all are armed |
//! | marking | the old value | black | marking again (H4, a wave), or idle (H5) |
//!
//! Why three handshakes, both values until the third, and black objects from the third on: an
//! exhaustive search of small worlds (`tests/search.rs`) finds a lost object for everything less.
//! In words: a mutator that does not log yet may overwrite what another, which does, has just
//! read as the old value; so nobody relies on logs before everybody writes them (arming), nor
//! before everybody knows that everybody does (armed). And until then a new object must not be
//! black, because a mutator that logs only half could hide the last reference to a white one in it.

/// How far a mutator, or the world, is in a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Arming,
    Armed,
    Marking,
}

impl Phase {
    pub(crate) fn from_bits(bits: usize) -> Self {
        match bits & 3 {
            0 => Self::Idle,
            1 => Self::Arming,
            2 => Self::Armed,
            _ => Self::Marking,
        }
    }

    /// Whether a store must be logged at all.
    #[inline(always)]
    pub(crate) fn logs(self) -> bool {
        self != Self::Idle
    }

    /// Whether the new value is logged as well as the old one.
    #[inline(always)]
    pub(crate) fn logs_new(self) -> bool {
        matches!(self, Self::Arming | Self::Armed)
    }
}
