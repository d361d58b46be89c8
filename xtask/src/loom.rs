//! Runs the loom models: every interleaving of each crate's protocols, within the model's bounds.
//!
//! The models live in `CRATE/tests/loom.rs`. They need a cfg that is global to the build, so they
//! are built in a target folder of their own; otherwise each turn between a model and a plain
//! test would rebuild every dependency.

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
    let has_models = |package: &str| workspace.root.join(package).join("tests/loom.rs").is_file();
    for name in chosen {
        ensure!(
            LIBRARIES.contains(&name.as_str()),
            "{name} is not one of our library crates"
        );
        ensure!(has_models(name), "{name} has no models (tests/loom.rs)");
    }
    let wanted = |package: &str| chosen.is_empty() || chosen.iter().any(|name| name == package);
    let packages: Vec<_> = LIBRARIES
        .into_iter()
        .filter(|package| wanted(package) && has_models(package))
        .collect();
    ensure!(!packages.is_empty(), "no crate has models (tests/loom.rs)");
    Ok(packages)
}

/// Runs the models of one crate; none at all is a failure too.
fn models(workspace: &Workspace, package: &str, total: &mut Tally) -> Result<()> {
    let mut command = cargo(workspace);
    with_loom(&mut command);
    command
        .env("CARGO_TARGET_DIR", workspace.target.join("loom"))
        .args([
            "test",
            "--profile",
            "loom",
            "-p",
            package,
            "--features",
            "loom",
        ])
        .args(["--test", "loom", "--", "--nocapture"]);
    let mut tally = Tally::default();
    tee(&mut command, |line| tally.add(line))?;
    ensure!(tally.passed > 0, "{package}: tests/loom.rs ran no model");
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
