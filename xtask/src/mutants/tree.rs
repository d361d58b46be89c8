//! The copy of the workspace in which mutants are planted, one for each kind of exam.
//!
//! It lies in the target folder, so that the working tree is never changed, whatever happens to
//! this program. Files whose content already agrees are left alone: cargo sees by their times that
//! there is nothing to build. A file that a mutant changed is written anew when the mutant is taken
//! out; were its old time put back, cargo would take the mutant's build for the current one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::mutants::list::{Kind, Mutant};
use crate::workspace::{Files, Workspace};

/// The copy, up to date with the working tree when it is opened.
pub(crate) struct Tree {
    /// Where the copy's root is.
    pub(crate) root: PathBuf,
    /// Held as long as the copy is in use: two runs in one copy would plant in each other's.
    _lock: File,
}

/// Where the mutants of one kind are planted and built.
pub(crate) fn folder(workspace: &Workspace, kind: Kind) -> PathBuf {
    workspace.target.join("mutants").join(match kind {
        Kind::Loom => "loom",
        Kind::Test => "test",
    })
}

/// A mutant in the tree.
pub(crate) struct Planted {
    path: PathBuf,
    original: String,
}

impl Tree {
    /// Brings the copy up to date, and locks it.
    ///
    /// Fails if another run holds it.
    pub(crate) fn open(workspace: &Workspace, kind: Kind) -> Result<Self> {
        let folder = folder(workspace, kind);
        let root = folder.join("tree");
        fs::create_dir_all(&root)?;
        let lock = File::create(folder.join("lock"))?;
        if lock.try_lock().is_err() {
            bail!(
                "another `cargo xtask mutants` is running in {}",
                folder.display()
            );
        }
        sync(&workspace.root, &root, &workspace.files(Files::Working)?)?;
        Ok(Self { root, _lock: lock })
    }

    /// Changes the copy as the mutant says.
    pub(crate) fn plant(&self, mutant: &Mutant) -> Result<Planted> {
        let path = self.root.join(&mutant.file);
        let original =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let changed = original.replacen(&mutant.find, &mutant.replace, 1);
        ensure!(
            changed != original,
            "{}: `find` is not in {}",
            mutant.name,
            mutant.file
        );
        fs::write(&path, changed)?;
        Ok(Planted { path, original })
    }
}

impl Planted {
    /// Puts the original text back. Left undone, the next `Tree::open` does it.
    pub(crate) fn take_out(self) -> Result<()> {
        fs::write(&self.path, &self.original)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Makes `copy` hold exactly `files` of `root`, and rewrites only those that differ.
fn sync(root: &Path, copy: &Path, files: &[String]) -> Result<()> {
    for file in files {
        let (from, to) = (root.join(file), copy.join(file));
        let wanted = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        if fs::read(&to).is_ok_and(|present| present == wanted) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, wanted).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let wanted: BTreeSet<PathBuf> = files.iter().map(|file| copy.join(file)).collect();
    prune(copy, &wanted)
}

/// Removes every file below `folder` that is not wanted, and folders that are left empty.
fn prune(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            prune(&path, wanted)?;
            if fs::read_dir(&path)?.next().is_none() {
                fs::remove_dir(&path)?;
            }
        } else if !wanted.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fresh folder for one test, below the workspace's target.
    fn scratch(name: &str) -> PathBuf {
        let target = Workspace::find().unwrap().target;
        let folder = target
            .join("xtask-tests")
            .join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn sync_rewrites_what_differs_and_removes_what_is_gone() {
        let folder = scratch("sync");
        let (root, copy) = (folder.join("root"), folder.join("copy"));
        fs::create_dir_all(root.join("a")).unwrap();
        fs::create_dir_all(copy.join("old")).unwrap();
        fs::write(root.join("a/same"), "same").unwrap();
        fs::write(root.join("a/new"), "new").unwrap();
        fs::write(copy.join("old/gone"), "gone").unwrap();
        let files = ["a/same".to_owned(), "a/new".to_owned()];
        sync(&root, &copy, &files).unwrap();
        assert!(!copy.join("old").exists());

        let time = |name: &str| fs::metadata(copy.join(name)).unwrap().modified().unwrap();
        let (same, new) = (time("a/same"), time("a/new"));
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(root.join("a/new"), "newer").unwrap();
        sync(&root, &copy, &files).unwrap();
        assert_eq!(time("a/same"), same);
        assert!(time("a/new") > new);
        assert_eq!(fs::read_to_string(copy.join("a/new")).unwrap(), "newer");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_mutant_is_planted_and_taken_out() {
        let root = scratch("plant");
        fs::write(root.join("a.rs"), "fence(Release);").unwrap();
        let lock = File::create(root.join("lock")).unwrap();
        let tree = Tree {
            root: root.clone(),
            _lock: lock,
        };
        let list = "[[mutant]]\nname = 'm'\nfile = 'a.rs'\nfind = 'Release'\n\
            replace = 'Acquire'\nkind = 'test'\npackage = 'p'\ntest = 'lib'\nfilter = ''\n\
            breaks = 'b'\n";
        let mutant = crate::mutants::list::parse(list).unwrap().remove(0);
        let planted = tree.plant(&mutant).unwrap();
        assert_eq!(
            fs::read_to_string(root.join("a.rs")).unwrap(),
            "fence(Acquire);"
        );
        assert!(tree.plant(&mutant).is_err(), "it is there already");
        planted.take_out().unwrap();
        assert_eq!(
            fs::read_to_string(root.join("a.rs")).unwrap(),
            "fence(Release);"
        );
        fs::remove_dir_all(root).unwrap();
    }
}
