//! The leaf crates know nothing of each other, nor of what is built on them.

use toml::{Table, Value};

use crate::tidy::tree::Tree;
use crate::tidy::{Found, note};
use crate::workspace::{LEAVES, LIBRARIES};

/// Packages with a rule of their own, and the packages of ours that each may depend on.
///
/// The derive is a part of the marker: each may use the other, the derive in its tests only,
/// which cargo sees to, since packages cannot depend on each other in a circle.
const FAMILIES: [(&str, &[&str]); 5] = [
    ("alloc-core", &[]),
    ("gc-mark", &["gc-mark-derive"]),
    ("gc-mark/derive", &["gc-mark"]),
    ("gc-sweep", &[]),
    ("scavenger", &[]),
];

/// No leaf crate depends on another crate of ours, its tests included.
pub(crate) fn leaves(tree: &Tree, found: &mut Found) {
    for (folder, family) in FAMILIES {
        let path = format!("{folder}/Cargo.toml");
        let Some(file) = tree.file(&path) else {
            note(found, &path, 0, "a leaf crate's manifest is missing");
            continue;
        };
        let manifest = match file.text.parse::<Table>() {
            Ok(manifest) => manifest,
            Err(error) => {
                note(found, &path, 0, format!("not TOML: {}", error.message()));
                continue;
            }
        };
        for (name, key) in dependencies(&manifest) {
            let is_ours = LIBRARIES.contains(&name.as_str())
                || ["gc-mark-derive", "peers", "xtask"].contains(&name.as_str());
            if is_ours && !family.contains(&name.as_str()) {
                let line = file
                    .text
                    .lines()
                    .position(|line| line.trim_start().starts_with(&key));
                let advice = "state what is needed as a trait of this crate";
                let leaves = LEAVES.join(", ");
                let message = format!("depends on {name}; {leaves} stand alone: {advice}");
                note(found, &path, line.map_or(0, |index| index + 1), message);
            }
        }
    }
}

/// Every dependency of a manifest: the package's name, and the key it stands under.
fn dependencies(manifest: &Table) -> Vec<(String, String)> {
    let mut tables = vec![manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let mut found = Vec::new();
    for table in tables {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(Value::Table(entries)) = table.get(section) else {
                continue;
            };
            for (key, value) in entries {
                let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
                found.push((package.to_owned(), key.clone()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// What is found when gc-sweep's manifest reads so, and the others are empty.
    fn found(manifest: &str) -> Vec<String> {
        places(
            leaves,
            &[
                ("alloc-core/Cargo.toml", ""),
                (
                    "gc-mark/Cargo.toml",
                    "[dependencies]\ngc-mark-derive.workspace = true\n",
                ),
                (
                    "gc-mark/derive/Cargo.toml",
                    "[dev-dependencies]\ngc-mark.workspace = true\n",
                ),
                ("gc-sweep/Cargo.toml", manifest),
                ("scavenger/Cargo.toml", "[dependencies]\nloom = \"0.7\"\n"),
            ],
        )
    }

    #[test]
    fn a_leaf_that_names_one_of_ours_is_found() {
        for (manifest, line) in [
            ("[dependencies]\nalloc-core.workspace = true\n", 2),
            (
                "[dev-dependencies]\n\nruntime = { path = \"../runtime\" }\n",
                3,
            ),
            (
                "[dependencies]\nmarks = { package = \"gc-mark\", path = \"../gc-mark\" }\n",
                2,
            ),
            ("[target.'cfg(unix)'.dependencies]\nscavenger = \"1\"\n", 2),
            ("[dependencies.alloc-core]\nworkspace = true\n", 0),
            ("[", 0),
        ] {
            assert_eq!(
                found(manifest),
                [format!("gc-sweep/Cargo.toml:{line}")],
                "{manifest}"
            );
        }
    }

    #[test]
    fn foreign_crates_and_the_derive_pass() {
        assert!(
            found("[dependencies]\nloom = { version = \"0.7\", optional = true }\n").is_empty()
        );
    }

    #[test]
    fn a_missing_manifest_is_found() {
        assert_eq!(places(leaves, &[]).len(), FAMILIES.len());
    }
}
