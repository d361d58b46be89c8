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
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use list::{Exam, Mutant};
use report::{Line, Verdict};
use tree::Tree;
use trial::{Build, Run, Trial};

/// What to run, and how.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Packages whose mutants to run; all by default
    crates: Vec<String>,
    /// Run this mutant alone
    #[arg(long)]
    only: Option<String>,
    /// List the mutants and run none
    #[arg(long)]
    list: bool,
    /// Write the table to docs/mutants.md; needs a run of all
    #[arg(long, conflicts_with_all = ["only", "list", "crates"])]
    write: bool,
    /// Seconds after which a test counts as hanging
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            crates: Vec::new(),
            only: None,
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
    if options.write {
        let path = workspace.root.join("docs/mutants.md");
        std::fs::write(&path, report::markdown(&lines))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote docs/mutants.md");
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
            && options
                .only
                .as_ref()
                .is_none_or(|name| *name == mutant.name)
    };
    let chosen: Vec<_> = all.into_iter().filter(wanted).collect();
    ensure!(
        !chosen.is_empty(),
        "no mutant is called {}; `cargo xtask mutants --list` names all",
        options.only.as_deref().unwrap_or_default()
    );
    Ok(chosen)
}

/// Runs each exam once on untouched source, then each mutant's exam on the mutant.
fn try_all<'a>(
    workspace: &Workspace,
    mutants: &'a [Mutant],
    timeout: Duration,
) -> Result<Vec<Line<'a>>> {
    let tree = Tree::open(workspace)?;
    let trial = Trial {
        workspace,
        tree: &tree,
        timeout,
    };
    let mut baselines: BTreeMap<Exam, Option<String>> = BTreeMap::new();
    for mutant in mutants {
        let exam = mutant.exam();
        if let std::collections::btree_map::Entry::Vacant(entry) = baselines.entry(exam) {
            let start = Instant::now();
            let fault = baseline(&trial, entry.key())?;
            let verdict = fault.as_deref().unwrap_or("passes");
            let seconds = start.elapsed().as_secs_f64();
            println!("untouched: {} {verdict} ({seconds:.1} s)", entry.key());
            entry.insert(fault);
        }
    }
    let mut lines = Vec::new();
    for mutant in mutants {
        let start = Instant::now();
        let verdict = match &baselines[&mutant.exam()] {
            Some(fault) => Verdict::NoBaseline(fault.clone()),
            None => examine(&trial, mutant)?,
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

/// What is wrong with an exam on untouched source; nothing if it ran some test and passed.
fn baseline(trial: &Trial<'_>, exam: &Exam) -> Result<Option<String>> {
    let log = format!("untouched-{}", exam.slug());
    let binary = match trial.build(exam, &log)? {
        Build::Done(binary) => binary,
        Build::Broken => return Ok(Some(format!("does not build, see {}", trial.log(&log)))),
    };
    Ok(match trial.run(exam, &binary, &log)? {
        Run::Passed(0) => Some("runs no test: the filter matches none".to_owned()),
        Run::Passed(_) => None,
        Run::Failed(how) => Some(format!("{how}, see {}", trial.log(&log))),
        Run::TimedOut => Some(format!("does not end in {} s", trial.timeout.as_secs())),
    })
}

/// Plants one mutant, runs its exam, and takes the mutant out again.
fn examine(trial: &Trial<'_>, mutant: &Mutant) -> Result<Verdict> {
    let exam = mutant.exam();
    let log = format!("{}-{}", mutant.package, mutant.name);
    let planted = trial.tree.plant(mutant)?;
    let verdict = match trial.build(&exam, &log)? {
        Build::Broken => Verdict::NotBuilt(trial.log(&log)),
        Build::Done(binary) => match trial.run(&exam, &binary, &log)? {
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
        let only = Some("one".to_owned());
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
        let only = Some("three".to_owned());
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
