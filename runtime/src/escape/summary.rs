//! What a function does with what it is passed, for its callers.
//!
//! A summary has one entry for each way that a pointer takes through the function: from what
//! (a parameter, or memory that the caller does not know), after how many dereferences, to where
//! (beyond all frames, into a result, into memory that a parameter leads to). Go's tags are eight
//! bytes, with five results and one minimal count each; here results are as many as there are, and
//! a store through a parameter is an entry of its own, where Go lets the value escape.
//!
//! Counts are exact up to [`Derefs::LAST`], where "so many or more" begins. Recursive structures
//! make that necessary; two dereferences are the most that is common elsewhere.

use std::fmt;

/// How often a value is dereferenced on its way: a set of counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Derefs(u8);

impl Derefs {
    /// The last count that is told apart; it stands for all above it too.
    pub const LAST: u32 = 3;

    /// Adds a count.
    pub fn insert(&mut self, count: u32) {
        self.0 |= 1 << count.min(Derefs::LAST);
    }

    /// Whether the count is in the set.
    pub fn contains(self, count: u32) -> bool {
        self.0 & (1 << count.min(Derefs::LAST)) != 0
    }

    /// The least count, unless there is none.
    pub fn least(self) -> Option<u32> {
        (self.0 != 0).then(|| self.0.trailing_zeros())
    }

    /// The counts, the least first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..=Derefs::LAST).filter(move |count| self.contains(*count))
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A parameter, or behind them all, a capture.
    Input(u32),
    /// An object on the heap: allocated there by the function, or found in a global.
    Heap,
}

/// Where a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sink {
    /// Where it may outlive every frame.
    Heap,
    /// A result.
    Result(u32),
    /// The memory that this input points to after so many dereferences.
    Memory {
        /// Which input.
        input: u32,
        /// How often it is dereferenced before the store.
        derefs: u32,
    },
}

/// A way that a value takes through a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// Whence.
    pub from: Source,
    /// Whither.
    pub to: Sink,
    /// How often it is dereferenced on the way; nothing of [`Source::Heap`] is.
    pub derefs: Derefs,
}

/// All the ways through a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    inputs: u32,
    results: u32,
    /// In order, and each pair of ends once.
    ways: Vec<Way>,
    /// Into the memory of which inputs, after how many dereferences, pointers are made that point
    /// into the middle of an object.
    inside: Vec<(u32, Derefs)>,
}

impl Summary {
    /// Of a function that does nothing with what it is passed: none of so many inputs
    /// (parameters) flows anywhere, and so many results hold no pointers.
    pub fn harmless(inputs: u32, results: u32) -> Summary {
        Summary {
            inputs,
            results,
            ..Summary::default()
        }
    }

    /// Adds a way, after `derefs` dereferences.
    pub fn add(&mut self, from: Source, derefs: u32, to: Sink) {
        let found = self
            .ways
            .binary_search_by_key(&(from, to), |way| (way.from, way.to));
        let index = found.unwrap_or_else(|index| {
            let derefs = Derefs::default();
            self.ways.insert(index, Way { from, to, derefs });
            index
        });
        self.ways[index].derefs.insert(derefs);
    }

    /// Pointers into the middle of what the input leads to are made by the function.
    pub fn add_inside(&mut self, input: u32, derefs: u32) {
        let found = self
            .inside
            .binary_search_by_key(&input, |(input, _)| *input);
        let index = found.unwrap_or_else(|index| {
            self.inside.insert(index, (input, Derefs::default()));
            index
        });
        self.inside[index].1.insert(derefs);
    }

    /// Every way.
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// Of which inputs, after how many dereferences, pointers into the middle are made.
    pub fn insides(&self) -> &[(u32, Derefs)] {
        &self.inside
    }

    /// The least number of dereferences after which the parameter reaches the sink.
    pub fn least(&self, input: u32, to: Sink) -> Option<u32> {
        let way = |way: &&Way| way.from == Source::Input(input) && way.to == to;
        self.ways
            .iter()
            .find(way)
            .and_then(|way| way.derefs.least())
    }

    /// Parameters and captures, and results.
    pub(super) fn shape(&self) -> (u32, u32) {
        (self.inputs, self.results)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Way { from, to, derefs }) in self.ways.iter().enumerate() {
            let stars = "*".repeat(derefs.least().unwrap_or(0) as usize);
            let comma = if index == 0 { "" } else { ", " };
            match from {
                Source::Input(input) => write!(f, "{comma}{stars}#{input}")?,
                Source::Heap => write!(f, "{comma}heap")?,
            }
            match to {
                Sink::Heap => write!(f, " -> heap")?,
                Sink::Result(index) => write!(f, " -> result {index}")?,
                Sink::Memory { input, derefs } => {
                    let stars = "*".repeat(*derefs as usize + 1);
                    write!(f, " -> {stars}#{input}")?;
                }
            }
        }
        Ok(())
    }
}
