//! Where the workspace is, which packages it has, and which files belong to it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The library crates that know nothing of each other.
pub(crate) const LEAVES: [&str; 4] = ["alloc-core", "gc-mark", "gc-sweep", "scavenger"];

/// Every library crate, and its folder at the top level by the same name.
pub(crate) const LIBRARIES: [&str; 5] =
    ["alloc-core", "gc-mark", "gc-sweep", "scavenger", "runtime"];

/// The workspace on disk.
pub(crate) struct Workspace {
    /// The folder that holds the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds; tasks that need other flags build in a folder below it.
    pub(crate) target: PathBuf,
}

/// Which files to list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// Those that git tracks.
    Tracked,
    /// Those, and new ones that are not ignored: what a build of the working tree sees.
    Working,
}

impl Workspace {
    /// Finds the workspace that this program was built from.
    ///
    /// Fails if that folder is gone or holds no workspace.
    pub(crate) fn find() -> Result<Self> {
        // Cargo sets the variable when it runs us; the constant serves a binary started by hand.
        let own = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own
            .parent()
            .context("xtask's folder has no parent")?
            .to_path_buf();
        let manifest = root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        ensure!(
            text.contains("[workspace]"),
            "{} is not a workspace",
            manifest.display()
        );
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The project's files, relative to the root and with `/`, sorted.
    ///
    /// A file that is listed by git but deleted in the working tree is left out.
    pub(crate) fn files(&self, which: Files) -> Result<Vec<String>> {
        let mut paths = match self.git_files(which) {
            Some(paths) => paths,
            None => {
                let mut paths = Vec::new();
                walk(&self.root, "", &mut paths)?;
                paths
            }
        };
        paths.retain(|path| self.root.join(path).is_file());
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// What git lists; nothing where git or its repository is missing.
    fn git_files(&self, which: Files) -> Option<Vec<String>> {
        // An archive unpacked inside some other repository must not ask that one.
        if !self.root.join(".git").exists() {
            return None;
        }
        let mut git = Command::new("git");
        git.current_dir(&self.root)
            .args(["ls-files", "-z", "--cached"]);
        if which == Files::Working {
            git.args(["--others", "--exclude-standard"]);
        }
        let output = git.output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.split_terminator('\0').map(str::to_owned).collect())
    }
}

/// Lists every file below `folder`, build folders and git's own left out.
fn walk(root: &Path, folder: &str, paths: &mut Vec<String>) -> Result<()> {
    let full = root.join(folder);
    let entries = fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))?;
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name == ".git" || name == "target" || name.starts_with("target-") {
            continue;
        }
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        if entry.file_type()?.is_dir() {
            walk(root, &path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_own_sources_with_and_without_git() {
        let workspace = Workspace::find().unwrap();
        let own = "xtask/src/workspace.rs".to_owned();
        assert!(workspace.files(Files::Working).unwrap().contains(&own));
        let mut walked = Vec::new();
        walk(&workspace.root, "", &mut walked).unwrap();
        assert!(walked.contains(&own));
        assert!(!walked.iter().any(|path| path.starts_with("target/")));
    }
}
