//! What the analysis found: a decision for each site, a summary of each function, and why.

use super::explain::{Chain, Explanation, Writer};
use super::flow::{Function, Place, PlaceKind, Position, Site};
use super::program::Program;
use super::summary::Summary;

/// Where a site's memory may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// In the function's frame, in a slot of its own that is reused in each round of the innermost
    /// loop around it.
    Frame,
    /// In the frame if it turns out at run time to need at most so many bytes, else on the heap.
    FrameUpTo(u64),
    /// On the heap.
    Heap,
}

/// A decision, and the path that led to it.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) decision: Decision,
    pub(super) chain: Option<Chain>,
}

/// Decisions about every site of a program's defined functions.
///
/// No pointer to a site in a frame is ever stored on the heap, or found anywhere after the frame,
/// or the round of the loop, has ended.
#[derive(Clone, Debug)]
pub struct Report<'p> {
    pub(super) program: &'p Program,
    verdicts: Vec<Vec<Verdict>>,
    /// How the inputs of each function reach the heap.
    leaks: Vec<Vec<Option<Chain>>>,
    summaries: Vec<Option<Summary>>,
    steps: u64,
}

impl<'p> Report<'p> {
    pub(super) fn new(
        program: &'p Program,
        verdicts: Vec<Vec<Verdict>>,
        leaks: Vec<Vec<Option<Chain>>>,
        summaries: Vec<Option<Summary>>,
        steps: u64,
    ) -> Report<'p> {
        Report {
            program,
            verdicts,
            leaks,
            summaries,
            steps,
        }
    }

    /// Where the site's memory may be.
    ///
    /// # Panics
    /// If the site's function was not defined.
    pub fn decision(&self, site: Site) -> Decision {
        self.verdict(site).decision
    }

    /// Why the site is on the heap; nothing if it is not. Linear in the length of the path.
    ///
    /// # Panics
    /// If the site's function was not defined.
    pub fn explain(&self, site: Site) -> Option<Explanation> {
        Writer::new(self).site(site)
    }

    /// How what a parameter holds reaches the heap; nothing if it does not, or if the function was
    /// not defined. Behind the parameters, the captures are counted.
    pub fn explain_leak(&self, function: Function, input: u32) -> Option<Explanation> {
        Writer::new(self).input(function.0, input)
    }

    /// Where the function's parameters go, if it was defined; for [`Program::import`], when its
    /// callers are compiled elsewhere.
    pub fn summary(&self, function: Function) -> Option<&Summary> {
        self.summaries[function.0 as usize].as_ref()
    }

    /// Every site of the function, with its name, position, what it is and the decision, in the
    /// order of declaration.
    pub fn sites(
        &self,
        function: Function,
    ) -> impl Iterator<Item = (Site, &str, Position, PlaceKind, Decision)> {
        let places = &self.program.functions[function.0 as usize].places;
        let verdicts = &self.verdicts[function.0 as usize];
        (0..)
            .zip(places.iter().zip(verdicts))
            .map(move |(index, (place, verdict))| {
                let function = function.0;
                let site = Site { function, index };
                (site, &*place.name, place.at, place.kind, verdict.decision)
            })
    }

    /// How many steps the walk took: attempts to let a pointer flow from one node to another. A
    /// measure of work that does not depend on the machine.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn verdict(&self, site: Site) -> &Verdict {
        let verdicts = &self.verdicts[site.function as usize];
        let verdict = verdicts.get(site.index as usize);
        assert!(verdict.is_some(), "the site's function was not defined");
        &verdicts[site.index as usize]
    }

    pub(super) fn place(&self, site: Site) -> &Place {
        &self.program.functions[site.function as usize].places[site.index as usize]
    }

    pub(super) fn leak(&self, function: u32, input: u32) -> Option<&Chain> {
        self.leaks[function as usize].get(input as usize)?.as_ref()
    }
}
