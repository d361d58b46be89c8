//! No library crate drags in what it does not use.
//!
//! The compiler knows: `unused_crate_dependencies` names what is handed to it and named nowhere. It
//! is asked for each library by itself, as built by default; a feature that brings a dependency is
//! asked for too. Loom is not: its feature is for builds under a cfg, which the models are.

use anyhow::{Context, Result};

use crate::cargo::{cargo, pass};
use crate::supply::Outcome;
use crate::workspace::{LIBRARIES, Workspace};

/// Features beyond the default ones that bring a dependency: the package, the feature.
const FEATURES: [(&str, &str); 1] = [("alloc-core", "allocator-api2")];

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let plain = LIBRARIES.iter().chain(&["gc-mark-derive"]);
    let plain = plain.map(|package| (*package, None));
    let featured = FEATURES.map(|(package, feature)| (package, Some(feature)));
    for (package, feature) in plain.chain(featured) {
        let mut command = cargo(workspace);
        command
            .args(["rustc", "--locked", "--quiet", "--lib", "--profile"])
            .args(["check", "-p", package]);
        if let Some(feature) = feature {
            command.args(["--features", feature]);
        }
        command.args(["--", "-D", "unused_crate_dependencies"]);
        pass(&mut command).with_context(|| format!("{package} does not use a dependency"))?;
    }
    let count = LIBRARIES.len() + 1;
    Ok(Outcome::Passed(format!(
        "{count} packages use what they depend on"
    )))
}
