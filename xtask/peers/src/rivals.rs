//! The allocators that are compared, and where they come from.
//!
//! A run is a process of its own, and uses one of them. Those that are crates are called through
//! their `GlobalAlloc`, as a Rust program would that names them in its `#[global_allocator]` line.
//! Those that are libraries of the system are loaded before all others, so that the process's
//! `malloc` is theirs, and called through `System`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where an allocator's code is.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// In this program.
    Linked,
    /// In the system's C library.
    System,
    /// In a shared library of this name, which the Debian package has.
    Library {
        /// The library's file.
        file: &'static str,
        /// The package.
        package: &'static str,
    },
    /// In a crate that this program was built without.
    Missing {
        /// How to get it.
        how: &'static str,
    },
}

/// An allocator, by the name in the tables.
#[derive(Clone, Copy, Debug)]
pub struct Rival {
    /// The name.
    pub name: &'static str,
    /// Where its code is.
    pub origin: Origin,
}

/// Ours first.
pub const RIVALS: [Rival; 6] = [
    Rival {
        name: "heapwright",
        origin: Origin::Linked,
    },
    Rival {
        name: "mimalloc",
        origin: Origin::Linked,
    },
    Rival {
        name: "snmalloc",
        origin: if cfg!(feature = "snmalloc") {
            Origin::Linked
        } else {
            Origin::Missing {
                how: "cargo bench -p peers --features snmalloc (needs a C++20 compiler)",
            }
        },
    },
    Rival {
        name: "jemalloc",
        origin: Origin::Library {
            file: "libjemalloc.so.2",
            package: "libjemalloc2",
        },
    },
    Rival {
        name: "tcmalloc",
        origin: Origin::Library {
            file: "libtcmalloc_minimal.so.4",
            package: "libtcmalloc-minimal4",
        },
    },
    Rival {
        name: "glibc",
        origin: Origin::System,
    },
];

const FOLDERS: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/local/lib",
    "/usr/lib64",
    "/usr/lib",
    "/lib",
];

fn find(file: &str) -> Option<PathBuf> {
    let places = FOLDERS.iter().map(|folder| Path::new(folder).join(file));
    places.into_iter().find(|path| path.exists())
}

impl Rival {
    /// What is missing and how to get it; nothing if the allocator is there.
    pub fn missing(&self) -> Option<String> {
        match self.origin {
            Origin::Linked | Origin::System => None,
            Origin::Missing { how } => Some(format!("{} is left out: {how}", self.name)),
            Origin::Library { file, package } if find(file).is_none() => Some(format!(
                "{} is left out: there is no {file}; apt-get install {package}",
                self.name
            )),
            Origin::Library { .. } => None,
        }
    }

    /// Lets a child process have this allocator, and nothing that changes how it works.
    pub fn prepare(&self, command: &mut Command) {
        for variable in ["LD_PRELOAD", "MALLOC_CONF", "HEAPWRIGHT_MALLOC"] {
            command.env_remove(variable);
        }
        if let Origin::Library { file, .. } = self.origin
            && let Some(path) = find(file)
        {
            command.env("LD_PRELOAD", path);
        }
    }

    /// Whether this process has the library that it should have.
    pub fn is_loaded(&self) -> bool {
        let Origin::Library { file, .. } = self.origin else {
            return true;
        };
        std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| {
            let stem = file.split('.').next().unwrap_or(file);
            maps.contains(stem)
        })
    }
}
