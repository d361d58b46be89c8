//! The oldest compiler that the workspace's `Cargo.toml` promises builds every library crate.
//!
//! Checked, not tested: what a newer compiler's library has and an older one's has not is an error
//! when it is compiled.

use std::fs;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::cargo::{cargo_of, pass};
use crate::supply::Outcome;
use crate::workspace::{LIBRARIES, Workspace};

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let manifest = fs::read_to_string(workspace.root.join("Cargo.toml"))?;
    let version = promised(&manifest).context("Cargo.toml states no rust-version")?;
    // Rustup calls a toolchain as it was asked for, by two numbers or by three.
    let names = [version.clone(), format!("{version}.0")];
    let found = names.iter().find_map(|name| cargo_of(workspace, name));
    let Some(mut command) = found else {
        return Ok(Outcome::Skipped(format!(
            "Rust {version} is missing: rustup toolchain install {version} --profile minimal"
        )));
    };
    command.args(["check", "--locked", "--quiet", "--lib"]);
    for name in LIBRARIES {
        command.args(["-p", name]);
    }
    command.env("CARGO_TARGET_DIR", workspace.target.join("supply/compiler"));
    pass(&mut command).with_context(|| format!("the libraries do not build by Rust {version}"))?;
    Ok(Outcome::Passed(format!("Rust {version} builds them")))
}

/// The version that the workspace's manifest states.
fn promised(manifest: &str) -> Option<String> {
    let manifest = manifest.parse::<Table>().ok()?;
    let package = manifest.get("workspace")?.get("package")?;
    package
        .get("rust-version")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promise_is_read() {
        let manifest = "[workspace.package]\nrust-version = \"1.90\"\n";
        assert_eq!(promised(manifest).as_deref(), Some("1.90"));
        assert_eq!(promised("[package]\nrust-version = \"1.90\"\n"), None);
    }
}
