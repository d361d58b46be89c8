//! The short forms of the checks that take minutes, for a run of all checks: seconds of each.
//!
//! Each is the command as one would type it, with few seconds; what it needs beyond cargo may not
//! be there, and then it is skipped, with a line that says what to install. Stress and soak are
//! built like the tests, which are there already; the collector's stress runs among those.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::cargo::{cargo, cargo_of};
use crate::workspace::Workspace;
use crate::{fuzz, sanitize, soak, stress, supply, survivors};

/// How the note of a step begins that was left out.
pub(crate) const SKIPPED: &str = "skipped: ";

/// A task's options, from the words of a command line.
pub(crate) fn options<T: clap::Args>(words: &[&str]) -> Result<T> {
    let command = T::augment_args(clap::Command::new("xtask").no_binary_name(true));
    let matches = command.try_get_matches_from(words)?;
    Ok(T::from_arg_matches(&matches)?)
}

/// What comes from elsewhere, without the registry.
pub(crate) fn supply(workspace: &Workspace) -> Result<String> {
    supply::quick(workspace)
}

/// Whether each survivor of the list is still a mutant, which takes a second.
pub(crate) fn survivors(workspace: &Workspace) -> Result<String> {
    survivors::run(workspace, &options(&["--check"])?)
}

/// A few thousand programs by mutation, on every target.
pub(crate) fn fuzz(workspace: &Workspace) -> Result<String> {
    if !answers(Command::new("c++").arg("--version")) {
        return Ok(format!("{SKIPPED}libFuzzer needs a C++ compiler: g++"));
    }
    let folder = workspace.root.join("fuzz");
    let mut fetch = cargo(workspace);
    if !answers(fetch.current_dir(folder).args(["fetch", "--locked"])) {
        return Ok(format!(
            "{SKIPPED}libFuzzer is not fetched, and no registry answers"
        ));
    }
    fuzz::run(workspace, &options(&["--seconds", "1"])?)
}

/// One round of the allocator's operations, and programs on stacks.
pub(crate) fn stress(workspace: &Workspace) -> Result<String> {
    let words = ["--profile", "test", "--minutes", "0", "--operations"];
    let words = [words.as_slice(), &["1", "--programs", "4000"]].concat();
    stress::run(workspace, &options(&words)?)
}

/// Everything together, for seconds.
pub(crate) fn soak(workspace: &Workspace) -> Result<String> {
    let words = ["--profile", "test", "--minutes", "0.1"];
    soak::run(workspace, &options(&words)?)
}

/// Crates whose tests are built in seconds, under the sanitizer.
pub(crate) fn sanitize(workspace: &Workspace) -> Result<String> {
    if cargo_of(workspace, "nightly").is_none() {
        return Ok(format!("{SKIPPED}rustup toolchain install nightly"));
    }
    sanitize::run(workspace, &options(&["gc-sweep", "scavenger"])?)
}

/// Whether a command is there and ends well; it says nothing.
fn answers(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_typed() {
        options::<fuzz::Options>(&["heap", "--seconds", "3"]).unwrap();
        let error = options::<fuzz::Options>(&["--second", "3"]).err().unwrap();
        assert!(error.to_string().contains("--second"), "{error}");
    }

    #[test]
    fn what_is_not_installed_does_not_answer() {
        assert!(!answers(&mut Command::new("heapwright-no-such-program")));
        assert!(answers(cargo(&Workspace::find().unwrap()).arg("--version")));
    }
}
