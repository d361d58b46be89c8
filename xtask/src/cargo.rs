//! How tasks call cargo: same program, same folder, and none of our own build's variables.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// The cfg under which the crates' `sync` modules are loom.
const LOOM_CFG: &str = "--cfg heapwright_loom";

/// A cargo command at the workspace's root.
///
/// What cargo told *us* about our own package is taken out of the environment: a build script that
/// watches such a variable would otherwise rebuild each time that a task and a plain cargo take
/// turns.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&workspace.root);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(describes_own_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Cargo of another toolchain, through rustup: what started us is a toolchain's own program, which
/// knows of no other. Nothing where rustup or that toolchain is missing.
pub(crate) fn cargo_of(workspace: &Workspace, toolchain: &str) -> Option<Command> {
    let command = || {
        let mut command = Command::new("rustup");
        command
            .current_dir(&workspace.root)
            .args(["run", toolchain, "cargo"]);
        for (name, _) in env::vars_os() {
            let of_toolchain = ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"];
            let is_own = |name: &str| of_toolchain.contains(&name) || describes_own_package(name);
            if name.to_str().is_some_and(is_own) {
                command.env_remove(name);
            }
        }
        command
    };
    let probe = command().arg("--version").output();
    let is_there = probe.is_ok_and(|output| output.status.success());
    is_there.then(command)
}

/// Whether cargo sets this variable for the package it runs.
fn describes_own_package(name: &str) -> bool {
    const PREFIXES: [&str; 4] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ];
    name == "OUT_DIR" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Makes `command` build with loom in place of std's atomics and threads.
///
/// Limits that someone set for a model by hand are taken out: a run that a limit cut short would
/// count as passed.
pub(crate) fn with_loom(command: &mut Command) {
    let flags = match env::var("RUSTFLAGS") {
        Ok(flags) if !flags.trim().is_empty() => format!("{flags} {LOOM_CFG}"),
        _ => LOOM_CFG.to_owned(),
    };
    command
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    without_loom_limits(command);
}

/// Takes loom's own variables out of the environment of `command`.
pub(crate) fn without_loom_limits(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("LOOM_")) {
            command.env_remove(name);
        }
    }
}

/// Runs `command` with everything passed through; fails if it does.
pub(crate) fn pass(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    finished(command, status)
}

/// Runs `command`, prints each line of its standard output as it comes, and shows it to `line`.
pub(crate) fn tee(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let output = child
        .stdout
        .take()
        .context("the child's output is not piped")?;
    for bytes in BufReader::new(output).split(b'\n') {
        let text = String::from_utf8_lossy(&bytes?).into_owned();
        println!("{text}");
        line(&text);
    }
    let status = child.wait()?;
    finished(command, status)
}

/// Runs `command` and returns its standard output; errors go to the terminal.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    finished(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An error unless the command ended well.
fn finished(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or_default();
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_package_is_told_apart_from_settings() {
        assert!(describes_own_package("CARGO_PKG_VERSION"));
        assert!(describes_own_package("CARGO_MANIFEST_DIR"));
        assert!(!describes_own_package("CARGO_HOME"));
        assert!(!describes_own_package("CARGO_TERM_COLOR"));
    }

    #[test]
    fn failure_names_the_command() {
        let workspace = Workspace::find().unwrap();
        let mut command = cargo(&workspace);
        command.arg("no-such-command").stderr(Stdio::null());
        let error = pass(&mut command).unwrap_err().to_string();
        assert!(error.contains("cargo no-such-command"), "{error}");
    }

    #[test]
    fn tee_shows_each_line() {
        let workspace = Workspace::find().unwrap();
        let mut lines = Vec::new();
        tee(cargo(&workspace).arg("--version"), |line| {
            lines.push(line.to_owned())
        })
        .unwrap();
        assert!(
            lines.iter().any(|line| line.starts_with("cargo ")),
            "{lines:?}"
        );
    }
}
