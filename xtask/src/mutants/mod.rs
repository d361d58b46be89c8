//! Plants known faults, one at a time, and demands that the test named for each fails.
//!
//! A model or a test that cannot fail is worth nothing, and reading it does not tell. So each
//! lists the faults it is there to catch, as small changes of the shipped source, in
//! `xtask/mutants/CRATE.toml`. This task copies the workspace, checks that each named test passes
//! on the untouched copy (else its failure would say nothing), then plants fault after fault.
//!
//! Verdicts: *killed*, the test failed, as it should; *survived*, it passed: a hole in the test
//! until the fault is shown to be none; *not built*, the changed source does not compile: a
//! mistake in the list. A test that hangs is killed by its timeout and counts as caught: the
//! untouched source ended in time.

mod list;
mod report;
mod tree;
mod trial;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use list::{Exam, Kind, Mutant};
use report::{Line, Verdict};
use tree::Tree;
use trial::{Build, Run, Trial};

/// A test hangs that takes this many times as long as on untouched source,
const LIMIT_FACTOR: u32 = 20;
/// and at least so long: the machine may be busy with something else.
const LIMIT_MIN: Duration = Duration::from_secs(20);

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
fn try_all<'a>(
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
    let trial = Trial {
        workspace,
        tree: &tree,
    };
    let mut baselines = BTreeMap::new();
    for mutant in mutants {
        if let Entry::Vacant(entry) = baselines.entry(mutant.exam()) {
            let baseline = baseline(&trial, entry.key(), timeout)?;
            println!("untouched: {} {baseline}", entry.key());
            entry.insert(baseline);
        }
    }
    let mut lines = Vec::new();
    for &mutant in mutants {
        let start = Instant::now();
        let verdict = match &baselines[&mutant.exam()] {
            Baseline::Faulty(fault) => Verdict::NoBaseline(fault.clone()),
            Baseline::Passes(took) => examine(&trial, mutant, limit(*took, timeout))?,
        };
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}/{}: {verdict} ({seconds:.1} s)",
            mutant.package, mutant.name
        );
        lines.push(Line {
            mutant,
            verdict,
            seconds,
        });
    }
    Ok(lines)
}

/// How an exam ended on untouched source.
enum Baseline {
    /// After so long.
    Passes(Duration),
    /// Not as it should.
    Faulty(String),
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

/// Runs an exam on untouched source: it must run some test, and pass.
fn baseline(trial: &Trial<'_>, exam: &Exam, timeout: Duration) -> Result<Baseline> {
    let log = format!("untouched-{}", exam.slug());
    let faulty = |fault: String| Ok(Baseline::Faulty(fault));
    let binary = match trial.build(exam, &log)? {
        Build::Done(binary) => binary,
        Build::Broken => return faulty(format!("does not build, see {}", trial.log(&log))),
    };
    let start = Instant::now();
    match trial.run(exam, &binary, &log, timeout)? {
        Run::Passed(0) => faulty("runs no test: the filter matches none".to_owned()),
        Run::Passed(_) => Ok(Baseline::Passes(start.elapsed())),
        Run::Failed(how) => faulty(format!("{how}, see {}", trial.log(&log))),
        Run::TimedOut => faulty(format!("does not end in {} s", timeout.as_secs())),
    }
}

/// Plants one mutant, runs its exam, and takes the mutant out again.
fn examine(trial: &Trial<'_>, mutant: &Mutant, limit: Duration) -> Result<Verdict> {
    let exam = mutant.exam();
    let log = format!("{}-{}", mutant.package, mutant.name);
    let planted = trial.tree.plant(mutant)?;
    let verdict = match trial.build(&exam, &log)? {
        Build::Broken => Verdict::NotBuilt(trial.log(&log)),
        Build::Done(binary) => match trial.run(&exam, &binary, &log, limit)? {
            Run::Passed(_) => Verdict::Survived,
            Run::Failed(how) => Verdict::Killed(how),
            Run::TimedOut => Verdict::Killed("hangs".to_owned()),
        },
    };
    planted.take_out()?;
    Ok(verdict)
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
