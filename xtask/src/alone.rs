//! Each library crate alone: it builds, its tests pass, and it drags in none of the others.
//!
//! A build of the whole workspace cannot show this: cargo unites the features of all packages, so
//! a crate may lean on a feature that only another crate switches on.

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, pass, read, tee};
use crate::tally::Tally;
use crate::workspace::{LEAVES, LIBRARIES, Workspace};

/// Tests each leaf crate by itself and checks what it depends on.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let mut tally = Tally::default();
    for leaf in LEAVES {
        println!("== {leaf} alone");
        let tree = read(
            cargo(workspace)
                .args(["tree", "-p", leaf, "-e", "normal", "--prefix"])
                .args(["none", "--all-features"]),
        )?;
        let strangers = strangers(leaf, &tree);
        ensure!(
            strangers.is_empty(),
            "{leaf} depends on {}: a leaf crate states what it needs as a trait of its own, and \
             `runtime` implements it",
            strangers.join(", ")
        );
        tee(cargo(workspace).args(["test", "-p", leaf]), |line| {
            tally.add(line)
        })
        .with_context(|| format!("{leaf} does not stand alone"))?;
    }
    println!("== gc-mark without its derive");
    pass(cargo(workspace).args(["check", "-p", "gc-mark", "--no-default-features"]))?;
    Ok(format!("{} crates, {} tests", LEAVES.len(), tally.passed))
}

/// The library crates other than `leaf` in the output of `cargo tree --prefix none`.
fn strangers(leaf: &str, tree: &str) -> Vec<String> {
    let named = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut names: Vec<String> = tree.lines().map(named).collect();
    names.retain(|name| name != leaf && LIBRARIES.contains(&name.as_str()));
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_library_is_a_stranger() {
        let tree = "gc-sweep v0.1.0 (somewhere)\nalloc-core v0.1.0 (somewhere)\nlibc v0.2.1\n";
        assert_eq!(strangers("gc-sweep", tree), ["alloc-core"]);
    }

    #[test]
    fn the_derive_belongs_to_the_marker() {
        let tree = "gc-mark v0.1.0\ngc-mark-derive v0.1.0 (proc-macro)\nsyn v2.0.0\n";
        assert!(strangers("gc-mark", tree).is_empty());
    }
}
