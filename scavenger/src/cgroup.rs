//! The memory limit that a control group sets, for those who want to stay below it.
//!
//! A container is killed when its group exceeds the group's limit, so a memory returner that
//! does not know it returns too late. Where the limit stands depends on what is mounted where:
//!
//! | version | group of a process, in `/proc/self/cgroup` | limits, in its folder and those above |
//! |---|---|---|
//! | 1 | `4:memory:/path` | `memory.limit_in_bytes` |
//! | 2 | `0::/path` | `memory.max`, and `memory.high`, above which the group is throttled |
//!
//! A folder is found through `/proc/self/mountinfo`, because a container often sees only a part of
//! the tree: there the mount's root stands for the beginning of the group's path. All limits from
//! the group up to the mount hold, so the lowest counts.
//!
//! A limit is for the whole process, of which a heap is a part: a heap's own limit should be some
//! percent of it. It may be changed later; nobody here watches it.
//!
//! Everything but [`limit_bytes`] is a function of text.

use std::path::{Component, Path, PathBuf};

/// From here on a limit is none: version 1 writes the largest multiple of a page for that.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// What version 2 calls a limit.
const FILES_OF_2: [&str; 2] = ["memory.max", "memory.high"];

/// What version 1 calls a limit.
const FILES_OF_1: [&str; 1] = ["memory.limit_in_bytes"];

/// The lowest memory limit of this process's control group and those above it; `None` without
/// one, or where there are no control groups.
///
/// Reads some files of `/proc` and `/sys`: for when a heap is built.
///
/// ```
/// let budget_bytes = scavenger::cgroup::limit_bytes().map(|bytes| bytes / 100 * 80);
/// println!("the heap may have {budget_bytes:?}");
/// ```
#[must_use]
pub fn limit_bytes() -> Option<usize> {
    limit_by(|path| std::fs::read_to_string(path).ok())
}

/// As [`limit_bytes`], with the files' contents from `read`, which returns `None` for one that is
/// not there.
#[must_use]
pub fn limit_by(mut read: impl FnMut(&Path) -> Option<String>) -> Option<usize> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let files = limit_files(&groups, &mounts).into_iter();
    files.filter_map(|file| parse_limit(&read(&file)?)).min()
}

/// The limit that such a file holds; `None` if it says that there is none, or makes no sense.
#[must_use]
pub fn parse_limit(text: &str) -> Option<usize> {
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < UNLIMITED_BYTES).then(|| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// The files that may hold limits, given the contents of `/proc/self/cgroup` and
/// `/proc/self/mountinfo`. Some of them need not exist.
#[must_use]
pub fn limit_files(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for mount in mounts.lines().filter_map(Mount::parse) {
        let group = groups.lines().find_map(|line| mount.group_of(line));
        let Some(group) = group else { continue };
        for folder in mount.folders(group) {
            files.extend(mount.files().iter().map(|name| folder.join(name)));
        }
    }
    files
}

/// A line of `mountinfo` that is about control groups with memory limits.
struct Mount {
    /// The group that the mount point shows.
    root: PathBuf,
    point: PathBuf,
    is_version_2: bool,
}

impl Mount {
    /// `id parent device root point options... - kind source options`
    fn parse(line: &str) -> Option<Mount> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (unescape(place.next()?), unescape(place.next()?));
        let mut kind = kind.split(' ');
        let is_version_2 = match kind.next()? {
            "cgroup2" => true,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == "memory") => false,
            _ => return None,
        };
        Some(Mount {
            root,
            point,
            is_version_2,
        })
    }

    fn files(&self) -> &'static [&'static str] {
        if self.is_version_2 {
            &FILES_OF_2
        } else {
            &FILES_OF_1
        }
    }

    /// The group in this mount's tree, if the line `id:controllers:path` is about that tree.
    fn group_of<'l>(&self, line: &'l str) -> Option<&'l Path> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_ours = if self.is_version_2 {
            controllers.is_empty()
        } else {
            controllers.split(',').any(|name| name == "memory")
        };
        is_ours.then_some(Path::new(path))
    }

    /// The group's folder and all above it, up to the mount point; the mount point alone if the
    /// group is not to be seen from here.
    fn folders(&self, group: &Path) -> Vec<PathBuf> {
        let inside = group.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let inside = if inside.components().all(is_plain) {
            inside
        } else {
            Path::new("")
        };
        let ancestors = inside.ancestors();
        ancestors.map(|part| self.point.join(part)).collect()
    }
}

/// A path as `mountinfo` writes it: blanks and the like as a backslash and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let digits = after.get(..3).unwrap_or_default();
        match u8::from_str_radix(digits, 8) {
            Ok(byte) => {
                plain.push(char::from(byte));
                rest = &after[3..];
            }
            Err(_) => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    PathBuf::from(plain)
}
