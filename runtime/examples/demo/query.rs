//! What can be asked of the graph, in terms that know neither heap nor oracle.

use super::oracle::Oracle;

/// The kinds of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All that a package needs, directly or not, each with its distance.
    Closure,
    /// All that need the package, directly or not, each with its distance.
    Dependents,
    /// A shortest chain of dependencies from one package to another; empty if there is none.
    Path,
    /// The packages that lie on a cycle with the package, itself among them.
    Cycle,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Closure, Kind::Dependents, Kind::Path, Kind::Cycle];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Closure => "closure",
            Kind::Dependents => "dependents",
            Kind::Path => "path",
            Kind::Cycle => "cycle",
        }
    }
}

/// One question about the packages with the indices `from` and `to`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub(crate) kind: Kind,
    pub(crate) from: u32,
    /// The end of a path; of no meaning to the other kinds.
    pub(crate) to: u32,
    /// Whether `recommends` edges count.
    pub(crate) recommends: bool,
}

impl Query {
    /// Draws a question: four in ten closures, two dependents, three paths, one cycle.
    pub(crate) fn draw(oracle: &Oracle, random: &mut fastrand::Rng) -> Query {
        Query {
            kind: match random.u32(0..10) {
                0..4 => Kind::Closure,
                4..6 => Kind::Dependents,
                6..9 => Kind::Path,
                _ => Kind::Cycle,
            },
            from: random.u32(0..oracle.len() as u32),
            to: oracle.draw_target(random),
            recommends: random.bool(),
        }
    }

    /// The question in words.
    pub(crate) fn describe(&self, oracle: &Oracle) -> String {
        let from = oracle.name(self.from);
        let with = if self.recommends {
            "with recommends"
        } else {
            "depends only"
        };
        match self.kind {
            Kind::Path => format!("path from {from} to {} ({with})", oracle.name(self.to)),
            kind => format!("{} of {from} ({with})", kind.name()),
        }
    }
}
