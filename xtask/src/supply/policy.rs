//! Licenses, duplicates and sources of every package that the lock file names, held against
//! `.cargo/deny.toml`: by cargo-deny where it is installed, and always by what cargo itself says.
//!
//! The lists are cargo-deny's, so there is one policy. Its own check sees more, such as which
//! license files a package has; the one here needs nothing but cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::cargo::{cargo, pass, read};
use crate::supply::{Outcome, license};
use crate::workspace::Workspace;

/// Where the policy stands.
const POLICY: &str = ".cargo/deny.toml";
/// The one registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What is read of the policy; the rest is cargo-deny's alone.
#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licenses that one package may have besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    #[serde(default)]
    skip: Vec<Skip>,
}

/// A version that may be linked beside another of its package.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    /// `name@version`, of which the version may be the beginning.
    #[serde(rename = "crate")]
    package: String,
    reason: String,
}

/// What cargo says of all packages.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Nothing for a folder.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    // Packages for other platforms are looked at too, and may not have been fetched.
    let fetch = cargo(workspace)
        .args(["fetch", "--locked", "--quiet"])
        .status()?;
    if !fetch.success() {
        let why = "packages for other platforms are missing and no registry answers: cargo fetch";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    let text = fs::read_to_string(workspace.root.join(POLICY))
        .with_context(|| format!("cannot read {POLICY}"))?;
    let policy: Policy = toml::from_str(&text).with_context(|| format!("in {POLICY}"))?;
    let text = read(
        cargo(workspace)
            .args(["metadata", "--locked", "--all-features"])
            .args(["--format-version", "1"]),
    )?;
    let metadata: Metadata = serde_json::from_str(&text).context("what cargo metadata says")?;
    let wrong = wrong(&policy, &metadata.packages);
    ensure!(wrong.is_empty(), "{}\n({POLICY})", wrong.join("\n"));
    let deny = deny(workspace)?;
    Ok(Outcome::Passed(format!(
        "{} packages under {} licenses, {deny}",
        metadata.packages.len(),
        policy.licenses.allow.len()
    )))
}

/// Lets cargo-deny judge too, if it is there.
fn deny(workspace: &Workspace) -> Result<&'static str> {
    let probe = cargo(workspace).args(["deny", "--version"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("without cargo-deny: cargo install cargo-deny --locked");
        return Ok("without cargo-deny");
    }
    pass(
        cargo(workspace)
            .args(["deny", "--locked", "--offline", "check"])
            .args(["bans", "licenses", "sources"]),
    )?;
    Ok("also by cargo-deny")
}

/// What the policy forbids, and what of it nothing needs.
fn wrong(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    let Licenses { allow, exceptions } = &policy.licenses;
    let mut named = BTreeSet::new();
    for Package {
        name,
        version,
        license,
        source,
        dependencies,
    } in packages
    {
        let stated = license.as_deref().unwrap_or_default();
        named.extend(license::names(stated));
        let own = exceptions.iter().filter(|own| own.package == *name);
        let all: Vec<_> = own.flat_map(|own| &own.allow).chain(allow).collect();
        let allowed = |name: &str| all.iter().any(|license| *license == name);
        if !license::is_met(stated, &allowed) {
            wrong.push(format!("{name} {version} is licensed under `{stated}`"));
        }
        match source.as_deref() {
            None => {
                let is_wild =
                    |dependency: &&Dependency| dependency.req == "*" && dependency.path.is_none();
                wrong.extend(dependencies.iter().filter(is_wild).map(|dependency| {
                    format!("{name} depends on any version of {}", dependency.name)
                }));
            }
            Some(source) if source != REGISTRY => {
                wrong.push(format!("{name} {version} comes from {source}"));
            }
            Some(_) => {}
        }
    }
    let unneeded = |license: &&String| !named.contains(license.as_str());
    let unneeded = allow.iter().filter(unneeded);
    wrong.extend(unneeded.map(|license| format!("no package is licensed under `{license}`")));
    let is_gone = |own: &&Exception| packages.iter().all(|package| package.name != own.package);
    let gone = exceptions.iter().filter(is_gone);
    wrong.extend(gone.map(|own| format!("an exception is for {}, which is gone", own.package)));
    duplicates(&policy.bans.skip, packages, &mut wrong);
    wrong
}

/// Packages in two versions, but for those that are skipped; and skips of what is not there twice.
fn duplicates(skips: &[Skip], packages: &[Package], wrong: &mut Vec<String>) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    for skip in skips {
        let (name, begin) = skip.package.split_once('@').unwrap_or((&skip.package, ""));
        let of_skip = |version: &str| format!("{version}.").starts_with(&format!("{begin}."));
        let known = versions.get_mut(name);
        let before = known.as_ref().map_or(0, |versions| versions.len());
        let after = known.map_or(0, |versions| {
            versions.retain(|version| !of_skip(version));
            versions.len()
        });
        if after == before || skip.reason.is_empty() {
            wrong.push(format!(
                "{} is not there twice, or without reason",
                skip.package
            ));
        }
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        wrong.push(format!("{name} is linked as {}", versions.join(" and ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[licenses]\nallow = ['MIT']\n\
        [[licenses.exceptions]]\ncrate = 'rival'\nallow = ['MPL-2.0']\n\
        [[bans.skip]]\ncrate = 'syn@2'\nreason = 'derives'\n";

    fn package(name: &str, version: &str, license: &str, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: (!license.is_empty()).then(|| license.to_owned()),
            source: source.map(str::to_owned),
            dependencies: Vec::new(),
        }
    }

    /// What is wrong with these beside the two versions of syn that are skipped.
    fn found(more: Vec<Package>) -> Vec<String> {
        let policy: Policy = toml::from_str(POLICY).unwrap();
        let mut packages = vec![
            package("syn", "2.0.75", "MIT", Some(REGISTRY)),
            package("syn", "3.0.1", "MIT", Some(REGISTRY)),
            package("rival", "1.0.0", "MPL-2.0", Some(REGISTRY)),
        ];
        packages.extend(more);
        wrong(&policy, &packages)
    }

    #[test]
    fn what_the_policy_allows_passes() {
        assert_eq!(found(vec![package("own", "0.1.0", "MIT", None)]), [""; 0]);
    }

    #[test]
    fn licenses_sources_duplicates_and_wildcards_are_found() {
        let mut wild = package("own", "0.1.0", "MIT", None);
        wild.dependencies.push(Dependency {
            name: "rand".to_owned(),
            req: "*".to_owned(),
            path: None,
        });
        for (more, says) in [
            (
                package("a", "1.0.0", "GPL-3.0", Some(REGISTRY)),
                "a 1.0.0 is licensed under `GPL-3.0`",
            ),
            (
                package("a", "1.0.0", "MPL-2.0", Some(REGISTRY)),
                "a 1.0.0 is licensed under `MPL-2.0`",
            ),
            (
                package("a", "1.0.0", "", Some(REGISTRY)),
                "a 1.0.0 is licensed under ``",
            ),
            (
                package("a", "1.0.0", "MIT", Some("git+https://example.org")),
                "a 1.0.0 comes from git+https://example.org",
            ),
            (
                package("syn", "1.0.0", "MIT", Some(REGISTRY)),
                "syn is linked as 3.0.1 and 1.0.0",
            ),
            (wild, "own depends on any version of rand"),
        ] {
            assert_eq!(found(vec![more]), [says]);
        }
    }

    #[test]
    fn what_nothing_needs_is_found() {
        let policy: Policy = toml::from_str(POLICY).unwrap();
        let found = wrong(&policy, &[]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("no package is licensed under `MIT`"));
        assert!(found[1].contains("an exception is for rival"));
        assert!(found[2].contains("syn@2 is not there twice"));
    }
}
