//! Runs the loom models: every interleaving of each crate's protocols, within the model's bounds.
//!
//! The models live in `CRATE/tests/loom.rs`, and those of what a crate keeps to itself in
//! `CRATE/src/models.rs` or a folder of that name. They need a cfg that is global to the build, so
//! they are built in a target folder of their own; otherwise each turn between a model and a
//! plain test would rebuild every dependency.

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::cargo::{cargo, tee, with_loom};
use crate::tally::Tally;
use crate::workspace::{LIBRARIES, Workspace};

/// Runs the models of the `chosen` crates, or of every crate that has some.
pub(crate) fn run(workspace: &Workspace, chosen: &[String]) -> Result<String> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for package in choose(workspace, chosen)? {
        println!("== models of {package}");
        if let Err(error) = models(workspace, package, &mut tally) {
            eprintln!("xtask: {error:#}");
            failed.push(package);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if !failed.is_empty() {
        bail!("models failed in {} ({seconds:.0} s)", failed.join(", "));
    }
    Ok(format!("{} models in {seconds:.0} s", tally.passed))
}

/// The crates to check: those named, all of which must have models, or all that have.
fn choose(workspace: &Workspace, chosen: &[String]) -> Result<Vec<&'static str>> {
    let has_models = |package: &str| !targets(workspace, package).is_empty();
    for name in chosen {
        ensure!(
            LIBRARIES.contains(&name.as_str()),
            "{name} is not one of our library crates"
        );
        ensure!(has_models(name), "{name} has no models");
    }
    let wanted = |package: &str| chosen.is_empty() || chosen.iter().any(|name| name == package);
    let packages: Vec<_> = LIBRARIES
        .into_iter()
        .filter(|package| wanted(package) && has_models(package))
        .collect();
    ensure!(!packages.is_empty(), "no crate has models");
    Ok(packages)
}

/// What cargo calls the places where a crate has models.
fn targets(workspace: &Workspace, package: &str) -> Vec<&'static [&'static str]> {
    let folder = workspace.root.join(package);
    let mut targets: Vec<&[&str]> = Vec::new();
    if folder.join("tests/loom.rs").is_file() {
        targets.push(&["--test", "loom", "--"]);
    }
    if folder.join("src/models.rs").is_file() || folder.join("src/models").is_dir() {
        targets.push(&["--lib", "--", "models"]);
    }
    targets
}

/// A crate's places of models as exams name them: a test target, and a part of the tests' names.
pub(crate) fn exams(workspace: &Workspace, package: &str) -> Vec<(&'static str, &'static str)> {
    let named = |target: &&[&'static str]| match **target {
        ["--test", test, ..] => (test, ""),
        _ => ("lib", "models"),
    };
    targets(workspace, package).iter().map(named).collect()
}

/// Runs the models of one crate; none at all is a failure too.
fn models(workspace: &Workspace, package: &str, total: &mut Tally) -> Result<()> {
    let mut tally = Tally::default();
    for target in targets(workspace, package) {
        let before = tally.passed;
        let mut command = cargo(workspace);
        with_loom(&mut command);
        command
            .env("CARGO_TARGET_DIR", workspace.target.join("loom"))
            .args(["test", "--profile", "loom", "-p", package])
            .args(["--features", "loom"])
            .args(target)
            .arg("--nocapture");
        tee(&mut command, |line| tally.add(line))?;
        ensure!(tally.passed > before, "{package}: {target:?} ran no model");
    }
    ensure!(
        tally.ignored == 0,
        "{package}: {} models are ignored",
        tally.ignored
    );
    total.passed += tally.passed;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_models_is_refused() {
        let workspace = Workspace::find().unwrap();
        let error = choose(&workspace, &["serde".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("not one of our library crates"), "{error}");
    }
}
