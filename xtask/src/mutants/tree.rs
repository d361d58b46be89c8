//! The copy of the workspace in which mutants are planted, one for each kind of exam.
//!
//! It lies in the target folder, so that the working tree is never changed, whatever happens to
//! this program. Files whose content already agrees are left alone: cargo sees by their times that
//! there is nothing to build. A file that a mutant changed is written anew when the mutant is taken
//! out; were its old time put back, cargo would take the mutant's build for the current one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::mutants::list::{Kind, Mutant};
use crate::mutants::switch::{self, Number, Place};
use crate::workspace::{Files, LIBRARIES, Workspace};

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

/// Mutants in the tree.
pub(crate) struct Planted<'a> {
    /// The changed files, and what they held.
    originals: Vec<(PathBuf, String)>,
    /// The mutants that stand behind a number, and where they are; none for one planted alone.
    placed: Vec<Placed<'a>>,
}

/// A mutant that stands behind a number.
struct Placed<'a> {
    mutant: &'a Mutant,
    place: Place,
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
    pub(crate) fn plant<'a>(&self, mutant: &'a Mutant) -> Result<Planted<'a>> {
        let original = self.read(&mutant.file)?;
        let changed = original.replacen(&mutant.find, &mutant.replace, 1);
        ensure!(
            changed != original,
            "{}: `find` is not in {}",
            mutant.name,
            mutant.file
        );
        let mut planted = Planted {
            originals: Vec::new(),
            placed: Vec::new(),
        };
        self.change(&mutant.file, original, &changed, &mut planted)?;
        Ok(planted)
    }

    /// Whether the mutant can be planted together with others.
    pub(crate) fn fits_behind_a_number(&self, mutant: &Mutant) -> Result<bool> {
        let in_library = LIBRARIES.iter().any(|library| {
            let rest = mutant.file.strip_prefix(library);
            rest.is_some_and(|rest| rest.starts_with("/src/"))
        });
        Ok(in_library && !mutant.alone && switch::fits(&self.read(&mutant.file)?, mutant))
    }

    /// Plants all of `mutants`, each behind its number: its place in the slice, from 1.
    pub(crate) fn plant_together<'a>(&self, mutants: &[&'a Mutant]) -> Result<Planted<'a>> {
        let mut planted = Planted {
            originals: Vec::new(),
            placed: Vec::new(),
        };
        let roots = LIBRARIES.map(|library| format!("{library}/src/lib.rs"));
        let mut by_file: BTreeMap<&str, Vec<(Number, &'a Mutant)>> = BTreeMap::new();
        for (&mutant, number) in mutants.iter().zip(1..) {
            let own = by_file.entry(&mutant.file).or_default();
            own.push((number, mutant));
        }
        for root in &roots {
            by_file.entry(root).or_default();
        }
        for (file, own) in by_file {
            let original = self.read(file)?;
            let (mut changed, places) = switch::plant(&original, &own);
            if roots.iter().any(|root| root == file) {
                changed += &switch::module();
            }
            for place in places {
                let mutant = mutants[usize::from(place.number) - 1];
                planted.placed.push(Placed { mutant, place });
            }
            self.change(file, original, &changed, &mut planted)?;
        }
        ensure!(
            planted.placed.len() == mutants.len(),
            "{} of {} mutants found their place",
            planted.placed.len(),
            mutants.len()
        );
        Ok(planted)
    }

    /// Writes a file anew and remembers what it held.
    fn change(
        &self,
        file: &str,
        original: String,
        changed: &str,
        planted: &mut Planted<'_>,
    ) -> Result<()> {
        let path = self.root.join(file);
        fs::write(&path, changed).with_context(|| format!("cannot write {}", path.display()))?;
        planted.originals.push((path, original));
        Ok(())
    }

    /// What a file of the copy holds.
    fn read(&self, file: &str) -> Result<String> {
        let path = self.root.join(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

impl<'a> Planted<'a> {
    /// The mutants on these lines, each a file and a line from 1.
    pub(crate) fn at(&self, lines: &[(String, usize)]) -> Vec<&'a Mutant> {
        let is_there = |placed: &&Placed<'_>| {
            lines.iter().any(|(file, line)| {
                *file == placed.mutant.file && placed.place.lines.contains(line)
            })
        };
        let there = self.placed.iter().filter(is_there);
        there.map(|placed| placed.mutant).collect()
    }

    /// Puts the original texts back. Left undone, the next `Tree::open` does it.
    pub(crate) fn take_out(self) -> Result<()> {
        for (path, original) in self.originals {
            fs::write(&path, original)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Makes `copy` hold exactly `files` of `root`, and rewrites only those that differ.
pub(crate) fn sync(root: &Path, copy: &Path, files: &[String]) -> Result<()> {
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
