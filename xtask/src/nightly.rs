//! Cargo of the nightly toolchain, for the tools that only it has: sanitizers and Miri.
//!
//! Whether the toolchain and what it needs are there is asked first, and said with the command
//! that installs it: a machine with stable Rust alone runs everything else. What a tool leaves out
//! is a table with a reason a line, which is printed at the end of its run, so that a short table
//! is a boast that can be checked.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace::{LIBRARIES, Workspace};

/// The one platform that these tools are set up for: named, or build scripts would be instrumented
/// too.
pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Cargo of the nightly toolchain. Through rustup: what started us is a toolchain's own program,
/// which knows of no other.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(&workspace.root)
        .args(["run", "nightly", "cargo"]);
    for name in [
        "CARGO",
        "RUSTC",
        "RUSTUP_TOOLCHAIN",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    command
}

/// Whether the toolchain is there.
pub(crate) fn is_there(workspace: &Workspace) -> bool {
    answers(cargo(workspace).arg("--version"))
}

/// Whether the toolchain has this component.
pub(crate) fn has(component: &str) -> bool {
    let listed = Command::new("rustup")
        .args(["component", "list", "--toolchain", "nightly", "--installed"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .output();
    listed.is_ok_and(|output| {
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && names.lines().any(|name| name.starts_with(component))
    })
}

/// Whether a command can be started and ends well.
fn answers(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The packages named, or every library crate.
pub(crate) fn packages(named: &[String]) -> Vec<String> {
    match named.is_empty() {
        true => LIBRARIES.map(str::to_owned).to_vec(),
        false => named.to_vec(),
    }
}

/// A test, a test target or a module that a tool does not run.
pub(crate) struct LeftOut {
    /// Of this package; of every one if empty.
    pub(crate) package: &'static str,
    /// A test target's name, or a part of the names of tests.
    pub(crate) what: What,
    /// Why it would say nothing there.
    pub(crate) why: &'static str,
}

/// What is left out.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// A file or folder in `tests`.
    Target(&'static str),
    /// Several of them.
    Targets(&'static [&'static str]),
    /// Every test whose name has this in it.
    Tests(&'static str),
}

/// What a tool leaves out, in all.
pub(crate) struct Table(pub(crate) Vec<&'static LeftOut>);

impl Table {
    /// What of it concerns `package`.
    fn of<'a>(&'a self, package: &'a str) -> impl Iterator<Item = &'a LeftOut> {
        let concerns = move |out: &&LeftOut| out.package.is_empty() || out.package == package;
        self.0.iter().copied().filter(concerns)
    }

    /// The package's test targets, but for those that are left out.
    pub(crate) fn targets(&self, workspace: &Workspace, package: &str) -> Result<Vec<String>> {
        let folder = workspace.root.join(package).join("tests");
        let entries = fs::read_dir(&folder);
        let mut names = Vec::new();
        for entry in entries.with_context(|| format!("no tests in {}", folder.display()))? {
            let path = entry?.path();
            let is_file = path.extension().is_some_and(|end| end == "rs");
            let name = path.file_stem().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            let is_out = |out: &LeftOut| match out.what {
                What::Target(target) => target == name,
                What::Targets(targets) => targets.contains(&name.as_str()),
                What::Tests(_) => false,
            };
            if (is_file || path.join("main.rs").is_file()) && !self.of(package).any(is_out) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The arguments of `cargo test` for the package's unit tests and its test targets, those that
    /// are left out excepted; `filters` are words that a test's name must have.
    pub(crate) fn arguments(
        &self,
        workspace: &Workspace,
        package: &str,
        filters: &[String],
    ) -> Result<Vec<String>> {
        let mut arguments = vec!["-p".to_owned(), package.to_owned(), "--lib".to_owned()];
        for name in self.targets(workspace, package)? {
            arguments.extend(["--test".to_owned(), name]);
        }
        arguments.push("--".to_owned());
        arguments.extend_from_slice(filters);
        for out in self.of(package) {
            if let What::Tests(name) = out.what {
                arguments.extend(["--skip".to_owned(), name.to_owned()]);
            }
        }
        Ok(arguments)
    }

    /// One line for each thing that is left out of the packages' tests.
    pub(crate) fn text(&self, packages: &[String]) -> String {
        let mut text = format!("{:<12} {:<40} {}\n", "left out of", "what", "why");
        let concerns = |out: &&&LeftOut| {
            out.package.is_empty() || packages.iter().any(|name| name == out.package)
        };
        for out in self.0.iter().filter(concerns) {
            let of = if out.package.is_empty() {
                "all"
            } else {
                out.package
            };
            let mut line = |what: String| {
                text += &format!("{of:<12} {what:<40} {}\n", out.why);
            };
            match out.what {
                What::Target(name) => line(format!("tests/{name}")),
                What::Targets(names) => names.iter().for_each(|name| line(format!("tests/{name}"))),
                What::Tests(name) => line(format!("{name}*")),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: [LeftOut; 3] = [
        LeftOut {
            package: "",
            what: What::Targets(&["loom"]),
            why: "models",
        },
        LeftOut {
            package: "gc-mark",
            what: What::Target("ui"),
            why: "a compiler's answers",
        },
        LeftOut {
            package: "gc-mark",
            what: What::Tests("slow"),
            why: "minutes",
        },
    ];

    #[test]
    fn what_is_left_out_is_neither_built_nor_run_and_is_said() {
        let workspace = Workspace::find().unwrap();
        let table = Table(OUT.iter().collect());
        let found = table.targets(&workspace, "alloc-core").unwrap();
        let has = |name: &str| found.iter().any(|target| target == name);
        assert!(has("model") && has("global") && !has("loom"), "{found:?}");
        let given = table.arguments(&workspace, "gc-mark", &["word".to_owned()]);
        let given = given.unwrap().join(" ");
        assert!(!given.contains("--test ui"), "{given}");
        assert!(given.ends_with("-- word --skip slow"), "{given}");
        let of = |name: &str| table.text(&[name.to_owned()]).lines().count();
        assert_eq!((of("gc-mark"), of("scavenger")), (4, 2));
        assert!(table.targets(&workspace, "no-such-package").is_err());
    }
}
