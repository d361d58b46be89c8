//! `graph kind=mixed`: five types of objects, two of them with vectors, in units of eight nodes.
//!
//! A unit is a folder, its three items, the value of each, and a note: node `8 u` is the folder of
//! unit `u`, `8 u + 1` to `8 u + 3` are its items, then come their values, and `8 u + 7` is its
//! note. All are allocated unit by unit, what is pointed at first: value and item three times, the
//! note, the vector of the items, the folder. Edges within a unit lead to neighbors; those between
//! units are set when all are there, and are random: each item's note, the folder that a note is
//! about, and the folder's vector of up to seven other folders (none: no vector). Roots are the
//! folders of the first sixteen units. So half of the references lead to where the allocator has
//! just been, and half to anywhere; a quarter of the objects hold none.
//!
//! The answer is that of the other graphs: values and vectors included in what is marked, but only
//! nodes, which have words, in the walk.

use super::params::SplitMix;
use super::{Failure, Params};

/// Nodes of a unit.
pub(super) const UNIT: usize = 8;

/// Items of a folder.
pub(super) const ITEMS: usize = 3;

/// Units whose folders are roots.
pub(super) const ROOTS: usize = 16;

/// A folder has fewer links than this.
const LINKS_END: usize = 8;

/// Units if not told otherwise: two million nodes.
const NODES: usize = 2_000_000;

/// Where the references between units lead, by the numbers of units.
pub(super) struct Links {
    /// Whose notes the items have.
    pub(super) notes: [usize; ITEMS],
    /// Which folder the note is about.
    pub(super) about: usize,
    /// The folder's own.
    pub(super) folders: Vec<usize>,
}

/// The shape: how many units, and their links, drawn one unit after the other.
pub(super) struct Mixed {
    /// How many there are.
    pub(super) units: usize,
    random: SplitMix,
}

impl Mixed {
    /// As many whole units as there are in `nodes`.
    pub(super) fn new(params: &Params) -> Result<Self, Failure> {
        let nodes: usize = params.number("nodes", NODES)?;
        if nodes < UNIT {
            return Err("a unit has eight nodes".into());
        }
        Ok(Self {
            units: nodes / UNIT,
            random: params.random(0)?,
        })
    }

    /// The next unit's.
    pub(super) fn draw(&mut self) -> Links {
        let units = self.units;
        let notes = [(); ITEMS].map(|()| self.random.below(units));
        let about = self.random.below(units);
        let count = self.random.below(LINKS_END);
        let folders = (0..count).map(|_| self.random.below(units)).collect();
        Links {
            notes,
            about,
            folders,
        }
    }
}
