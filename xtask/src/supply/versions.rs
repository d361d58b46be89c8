//! The library crates with the oldest versions of their dependencies that their manifests promise,
//! and with the newest that there are.
//!
//! The lock file says which versions are tested every day, and a user of a library has another. So
//! the libraries' sources are copied, and there a lock file is made that goes to one end or to the
//! other. Of each dev-dependency the copy keeps what unit tests name: the others are the tests'
//! own, in whose oldest versions nobody builds, and need not promise anything.
//!
//! Making the oldest takes a flag that only nightly's cargo has; what is built is built by the
//! toolchain that runs us.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::cargo::{cargo, cargo_of, pass, tee};
use crate::mutants::sync;
use crate::supply::Outcome;
use crate::tally::Tally;
use crate::workspace::{Files, Workspace};

/// Library crates, and what is a part of one.
const PACKAGES: [&str; 6] = [
    "alloc-core",
    "gc-mark",
    "gc-mark/derive",
    "gc-sweep",
    "scavenger",
    "runtime",
];
/// Tables of a manifest whose targets are not copied.
const TARGETS: [&str; 4] = ["example", "test", "bench", "bin"];

/// Builds and tests with the oldest versions.
pub(super) fn minimal(workspace: &Workspace) -> Result<Outcome> {
    let Some(mut command) = cargo_of(workspace, "nightly") else {
        let why = "the oldest versions are found by nightly: rustup toolchain install nightly";
        return Ok(Outcome::Skipped(why.to_owned()));
    };
    command.args(["-Z", "direct-minimal-versions"]);
    with_lock(workspace, "oldest", command)
}

/// Builds and tests with the newest versions, whatever compiler they ask for.
pub(super) fn latest(workspace: &Workspace) -> Result<Outcome> {
    let mut command = cargo(workspace);
    command.env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "allow");
    with_lock(workspace, "newest", command)
}

/// Builds and runs the unit tests with the lock file that this cargo makes.
fn with_lock(workspace: &Workspace, which: &str, mut lock: Command) -> Result<Outcome> {
    let root = workspace.target.join("supply").join(which);
    copy(workspace, &root)?;
    pass(lock.current_dir(&root).arg("generate-lockfile"))?;
    let mut tally = Tally::default();
    let mut command = cargo(workspace);
    command
        .current_dir(&root)
        .env("CARGO_TARGET_DIR", workspace.target.join("supply/versions"))
        .args(["test", "--workspace", "--lib", "--locked"]);
    tee(&mut command, |line| tally.add(line))
        .with_context(|| format!("the {which} versions do not do: see {}", root.display()))?;
    Ok(Outcome::Passed(format!(
        "{} unit tests with the {which} versions",
        tally.passed
    )))
}

/// Makes `root` a workspace of the library crates alone, without a lock file.
fn copy(workspace: &Workspace, root: &Path) -> Result<()> {
    let mut files = workspace.files(Files::Working)?;
    files.retain(|file| is_copied(file));
    fs::create_dir_all(root)?;
    sync(&workspace.root, root, &files)?;
    let path = root.join("Cargo.toml");
    change(&path, |manifest| {
        let members = PACKAGES.map(Value::from).to_vec();
        let Some(Value::Table(workspace)) = manifest.get_mut("workspace") else {
            return;
        };
        workspace.insert("members".to_owned(), Value::Array(members));
        workspace.remove("default-members");
    })?;
    for package in PACKAGES {
        let folder = format!("{package}/src/");
        let mut code = String::new();
        for file in files.iter().filter(|file| file.starts_with(&folder)) {
            code += &fs::read_to_string(root.join(file))?;
        }
        let path: PathBuf = root.join(package).join("Cargo.toml");
        change(&path, |manifest| trim(manifest, &code))?;
    }
    Ok(())
}

/// Whether the file belongs to a library crate, or says what they are together.
fn is_copied(file: &str) -> bool {
    let of_package = |package: &str| {
        let rest = file
            .strip_prefix(package)
            .and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| {
            rest.starts_with("src/") || ["Cargo.toml", "README.md"].contains(&rest)
        })
    };
    file == "Cargo.toml" || PACKAGES.iter().any(|package| of_package(package))
}

/// Takes out of a manifest the targets that are not copied, and the dev-dependencies that `code`
/// does not name.
fn trim(manifest: &mut Table, code: &str) {
    for target in TARGETS {
        manifest.remove(target);
    }
    if let Some(Value::Table(entries)) = manifest.get_mut("dev-dependencies") {
        entries.retain(|name, _| code.contains(&format!("{}::", name.replace('-', "_"))));
    }
}

/// Changes a manifest.
fn change(path: &Path, change: impl FnOnce(&mut Table)) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("no {}", path.display()))?;
    let mut manifest: Table = text.parse()?;
    change(&mut manifest);
    fs::write(path, toml::to_string(&manifest)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::LIBRARIES;

    #[test]
    fn every_library_is_copied() {
        for library in LIBRARIES {
            assert!(PACKAGES.contains(&library));
            assert!(is_copied(&format!("{library}/src/lib.rs")));
            assert!(!is_copied(&format!("{library}/tests/loom.rs")));
        }
        assert!(is_copied("gc-mark/derive/Cargo.toml"));
        assert!(!is_copied("Cargo.lock") && !is_copied("xtask/src/main.rs"));
    }

    #[test]
    fn what_unit_tests_name_is_kept() {
        let mut manifest: Table = "[[example]]\nname = 'demo'\n[dependencies]\na = '1'\n\
            [dev-dependencies]\nhdr-histogram = '7'\nclap = '4'\n"
            .parse()
            .unwrap();
        trim(&mut manifest, "use hdr_histogram::Histogram;");
        let kept: Table = "[dependencies]\na = '1'\n[dev-dependencies]\nhdr-histogram = '7'\n"
            .parse()
            .unwrap();
        assert_eq!(manifest, kept);
    }
}
