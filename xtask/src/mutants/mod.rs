//! Plants known faults, one at a time, and demands that the test named for each fails.
//!
//! A model or a test that cannot fail is worth nothing, and reading it does not tell. So each
//! lists the faults it is there to catch, as small changes of the shipped source, in
//! `xtask/mutants/CRATE.toml`. This task copies the workspace, checks that each named test passes
//! on the untouched copy (else its failure would say nothing), then plants fault after fault:
//! most of them together and each behind a number, so that they share one build, the rest alone.
//!
//! Verdicts: *killed*, the test failed, as it should; *survived*, it passed: a hole in the test
//! until the fault is shown to be none; *not built*, the changed source does not compile: a
//! mistake in the list. A test that hangs is killed by its timeout and counts as caught: the
//! untouched source ended in time.

mod list;
mod report;
mod switch;
mod tree;
mod trial;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ptr;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use list::Exam;
pub(crate) use list::{Kind, Mutant};
pub(crate) use report::{Line, Verdict};
use tree::Tree;
pub(crate) use tree::sync;
use trial::{Binary, Build, Run, Trial};

/// A test hangs that takes this many times as long as on untouched source,
const LIMIT_FACTOR: u32 = 10;
/// and at least so long: the machine may be busy with something else.
const LIMIT_MIN: Duration = Duration::from_secs(6);

/// What to run, and how.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Packages whose mutants to run; all by default
    crates: Vec<String>,
    /// Run this mutant alone, or these if given several times
    #[arg(long)]
    only: Vec<String>,
    /// List the mutants and run none
    #[arg(long)]
    list: bool,
    /// Write the table to docs/mutants.md; needs a run of all
    #[arg(long, conflicts_with_all = ["only", "list", "crates"])]
    write: bool,
    /// Seconds after which any test counts as hanging
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            crates: Vec::new(),
            only: Vec::new(),
            list: false,
            write: false,
            timeout: 120,
        }
    }
}

/// Runs the chosen mutants; fails unless every one is killed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    let all = list::load(&workspace.root)?;
    ensure!(!all.is_empty(), "no mutants: xtask/mutants/ lists none");
    let chosen = choose(all, options)?;
    if options.list {
        report::list(&chosen);
        return Ok(format!("{} mutants", chosen.len()));
    }
    let start = Instant::now();
    let lines = try_all(workspace, &chosen, Duration::from_secs(options.timeout))?;
    println!("\n{}", report::table(&lines));
    let mut paths = vec![workspace.target.join("mutants/mutants.md")];
    if options.write {
        paths.push(workspace.root.join("docs/mutants.md"));
    }
    for path in paths {
        std::fs::write(&path, report::markdown(&lines))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    let killed = lines.iter().filter(|line| line.verdict.is_killed()).count();
    let count = format!("{killed} of {} mutants killed", lines.len());
    if killed < lines.len() {
        bail!("{count}");
    }
    Ok(format!("{count} in {:.0} s", start.elapsed().as_secs_f64()))
}

/// The mutants that the options ask for; asking for one that is not there is an error.
fn choose(all: Vec<Mutant>, options: &Options) -> Result<Vec<Mutant>> {
    for name in &options.crates {
        ensure!(
            all.iter().any(|mutant| &mutant.package == name),
            "{name} has no mutants"
        );
    }
    let wanted = |mutant: &Mutant| {
        (options.crates.is_empty() || options.crates.contains(&mutant.package))
            && (options.only.is_empty() || options.only.contains(&mutant.name))
    };
    let chosen: Vec<_> = all.into_iter().filter(wanted).collect();
    for name in &options.only {
        ensure!(
            chosen.iter().any(|mutant| &mutant.name == name),
            "no mutant is called {name}; `cargo xtask mutants --list` names all"
        );
    }
    Ok(chosen)
}

/// Examines the mutants of both kinds side by side, each in a folder of its own: a test that waits
/// leaves its processor to the other kind.
pub(crate) fn try_all<'a>(
    workspace: &Workspace,
    mutants: &'a [Mutant],
    timeout: Duration,
) -> Result<Vec<Line<'a>>> {
    let of_kind = |kind| -> Result<Vec<Line<'a>>> {
        let chosen: Vec<_> = mutants
            .iter()
            .filter(|mutant| mutant.kind == kind)
            .collect();
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        try_kind(workspace, kind, &chosen, timeout)
    };
    std::thread::scope(|scope| {
        let tests = scope.spawn(|| of_kind(Kind::Test));
        let mut lines = of_kind(Kind::Loom)?;
        lines.extend(join(tests)?);
        lines.sort_by_key(|line| std::ptr::from_ref(line.mutant));
        Ok(lines)
    })
}

/// Waits for a thread; goes on with its panic.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs each exam once on untouched source, then each mutant's exam on the mutant.
fn try_kind<'a>(
    workspace: &Workspace,
    kind: Kind,
    mutants: &[&'a Mutant],
    timeout: Duration,
) -> Result<Vec<Line<'a>>> {
    let tree = Tree::open(workspace, kind)?;
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for &mutant in mutants {
        match tree.fits_behind_a_number(mutant)? {
            true => together.push(mutant),
            false => alone.push(mutant),
        }
    }
    let trial = Trial {
        workspace,
        tree: &tree,
    };
    let mut board = Board {
        trial,
        timeout,
        baselines: BTreeMap::new(),
        lines: Vec::new(),
    };
    alone.extend(board.examine_together(together)?);
    alone.sort_by_key(|mutant| std::ptr::from_ref(*mutant));
    board.examine_alone(&alone)?;
    Ok(board.lines)
}

/// What examines the mutants of one kind, and what it has found so far.
struct Board<'a, 't> {
    trial: Trial<'t>,
    timeout: Duration,
    baselines: BTreeMap<Exam, Baseline>,
    lines: Vec<Line<'a>>,
}

/// The binaries of the test targets, by package and name.
type Binaries = BTreeMap<(String, String), Binary>;

/// How an exam ended on untouched source.
enum Baseline {
    /// After so long.
    Passes(Duration),
    /// Not as it should.
    Faulty(String),
}

impl<'a> Board<'a, '_> {
    /// Examines mutants in one build; returns those that do not compile in it.
    fn examine_together(&mut self, mutants: Vec<&'a Mutant>) -> Result<Vec<&'a Mutant>> {
        let mut mutants = mutants;
        let mut refused = Vec::new();
        while !mutants.is_empty() {
            let planted = self.trial.tree.plant_together(&mutants)?;
            let errors = match self.build_targets(&mutants)? {
                Build::Done(binaries) => {
                    self.examine_switched(&mutants, &binaries)?;
                    planted.take_out()?;
                    break;
                }
                Build::Broken(errors) => errors,
            };
            let mut guilty = planted.at(&errors);
            planted.take_out()?;
            if guilty.is_empty() {
                guilty.clone_from(&mutants);
            }
            mutants.retain(|mutant| !guilty.iter().any(|other| ptr::eq(*mutant, *other)));
            refused.append(&mut guilty);
        }
        Ok(refused)
    }

    /// Builds each target that has an exam of `mutants`, or says where the compiler found errors.
    fn build_targets(&self, mutants: &[&Mutant]) -> Result<Build<Binaries>> {
        let mut binaries = Binaries::new();
        for mutant in mutants {
            let exam = mutant.exam();
            if let Entry::Vacant(entry) = binaries.entry(exam.target()) {
                let log = format!("together-{}-{}", exam.package, exam.test);
                match self.trial.build(&exam, &log)? {
                    Build::Done(binary) => drop(entry.insert(binary)),
                    Build::Broken(errors) => return Ok(Build::Broken(errors)),
                }
            }
        }
        Ok(Build::Done(binaries))
    }

    /// Examines mutants that are all in `binaries`, each behind the number of its place.
    fn examine_switched(&mut self, mutants: &[&'a Mutant], binaries: &Binaries) -> Result<()> {
        for mutant in mutants {
            let exam = mutant.exam();
            let untouched = &binaries[&exam.target()];
            self.baseline(exam, |_, _| Ok(Build::Done(untouched.clone())))?;
        }
        for (&mutant, number) in mutants.iter().zip(1..) {
            let exam = mutant.exam();
            let untouched = &binaries[&exam.target()];
            self.examine(mutant, |trial, _| {
                Ok(Build::Done(trial.switched(&exam, untouched, number)?))
            })?;
        }
        Ok(())
    }

    /// Examines mutants each in a build of its own.
    fn examine_alone(&mut self, mutants: &[&'a Mutant]) -> Result<()> {
        for mutant in mutants {
            let exam = mutant.exam();
            self.baseline(exam.clone(), |trial, log| trial.build(&exam, log))?;
        }
        for &mutant in mutants {
            let planted = self.trial.tree.plant(mutant)?;
            self.examine(mutant, |trial, log| trial.build(&mutant.exam(), log))?;
            planted.take_out()?;
        }
        Ok(())
    }

    /// Runs an exam on untouched source, if that has not been done: it must run some test, and
    /// pass.
    fn baseline(
        &mut self,
        exam: Exam,
        build: impl FnOnce(&Trial<'_>, &str) -> Result<Build>,
    ) -> Result<()> {
        let Entry::Vacant(entry) = self.baselines.entry(exam) else {
            return Ok(());
        };
        let log = format!("untouched-{}", entry.key().slug());
        let sat = self.trial.sit(entry.key(), build, &log, self.timeout)?;
        let baseline = match sat {
            None => Baseline::Faulty(format!("does not build, see {}", self.trial.log(&log))),
            Some((Run::Passed(0), _)) => {
                Baseline::Faulty("runs no test: none has the name".to_owned())
            }
            Some((Run::Passed(_), took)) => Baseline::Passes(took),
            Some((Run::Failed(how), _)) => {
                Baseline::Faulty(format!("{how}, see {}", self.trial.log(&log)))
            }
            Some((Run::TimedOut, _)) => {
                Baseline::Faulty(format!("does not end in {} s", self.timeout.as_secs()))
            }
        };
        println!("untouched: {} {baseline}", entry.key());
        entry.insert(baseline);
        Ok(())
    }

    /// Runs a mutant's exam on what `build` makes, and notes the verdict.
    fn examine(
        &mut self,
        mutant: &'a Mutant,
        build: impl FnOnce(&Trial<'_>, &str) -> Result<Build>,
    ) -> Result<()> {
        let exam = mutant.exam();
        let log = format!("{}-{}", mutant.package, mutant.name);
        let start = Instant::now();
        let verdict = match &self.baselines[&exam] {
            Baseline::Faulty(fault) => Verdict::NoBaseline(fault.clone()),
            Baseline::Passes(took) => {
                let limit = limit(*took, self.timeout);
                match self.trial.sit(&exam, build, &log, limit)? {
                    None => Verdict::NotBuilt(self.trial.log(&log)),
                    Some((Run::Passed(_), _)) => Verdict::Survived,
                    Some((Run::Failed(how), _)) => Verdict::Killed(how),
                    Some((Run::TimedOut, _)) => Verdict::Killed("hangs".to_owned()),
                }
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}/{}: {verdict} ({seconds:.1} s)",
            mutant.package, mutant.name
        );
        self.lines.push(Line {
            mutant,
            verdict,
            seconds,
        });
        Ok(())
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes(took) => write!(f, "passes in {:.1} s", took.as_secs_f64()),
            Self::Faulty(fault) => f.write_str(fault),
        }
    }
}

/// How long an exam may take that took `took` on untouched source.
fn limit(took: Duration, timeout: Duration) -> Duration {
    (took * LIMIT_FACTOR).max(LIMIT_MIN).min(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Mutant> {
        let entry = |package: &str, name: &str| {
            format!(
                "[[mutant]]\nname = '{name}'\nfile = 'a.rs'\nfind = 'x'\nreplace = 'y'\n\
                 kind = 'test'\npackage = '{package}'\ntest = 'lib'\nfilter = ''\nbreaks = 'all'\n"
            )
        };
        list::parse(&(entry("gc-mark", "one") + &entry("gc-sweep", "two"))).unwrap()
    }

    #[test]
    fn options_choose() {
        let names = |options: Options| -> Vec<String> {
            choose(two(), &options)
                .unwrap()
                .into_iter()
                .map(|mutant| mutant.name)
                .collect()
        };
        assert_eq!(names(Options::default()), ["one", "two"]);
        let crates = vec!["gc-sweep".to_owned()];
        assert_eq!(
            names(Options {
                crates,
                ..Options::default()
            }),
            ["two"]
        );
        let only = vec!["one".to_owned()];
        assert_eq!(
            names(Options {
                only,
                ..Options::default()
            }),
            ["one"]
        );
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let only = vec!["one".to_owned(), "three".to_owned()];
        assert!(
            choose(
                two(),
                &Options {
                    only,
                    ..Options::default()
                }
            )
            .is_err()
        );
        let crates = vec!["runtime".to_owned()];
        assert!(
            choose(
                two(),
                &Options {
                    crates,
                    ..Options::default()
                }
            )
            .is_err()
        );
    }
}
