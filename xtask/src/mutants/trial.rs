//! Builds one test target in the copy and runs it, with a time limit.
//!
//! Building and running are two steps, so that source that does not compile is not mistaken for a
//! test that fails, and so that the limit is on the test alone. The test binary is run directly:
//! a cargo between us and it could not be ended together with it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::{cargo, with_loom, without_loom_limits};
use crate::mutants::list::{Exam, Kind};
use crate::mutants::switch::{self, Number};
use crate::mutants::tree::{self, Tree};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// How often a running test is looked at.
const POLL: Duration = Duration::from_millis(10);

/// How the harness ends the line of a test that has failed.
const FAILED: &str = " ... FAILED\n";

/// How the wait for a test binary ended.
#[derive(Debug)]
enum End {
    /// By itself.
    Exit(ExitStatus),
    /// We ended it: it has shown enough.
    Enough,
    /// We ended it: its time was up.
    Late,
}

/// Where and how exams are run.
pub(crate) struct Trial<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) tree: &'a Tree,
}

/// A test binary, and the folder that its tests expect to run in.
#[derive(Clone)]
pub(crate) struct Binary {
    path: PathBuf,
    folder: PathBuf,
}

/// A line of a file in the copy, from 1.
pub(crate) type At = (String, usize);

/// How a build ended.
pub(crate) enum Build<T = Binary> {
    Done(T),
    /// The compiler refused it, for what stands here.
    Broken(Vec<At>),
}

/// How a run of a test binary ended.
#[derive(Debug)]
pub(crate) enum Run {
    /// All tests that it ran passed: so many.
    Passed(u64),
    /// It failed, this way.
    Failed(String),
    /// It was ended at the time limit.
    TimedOut,
}

impl Trial<'_> {
    /// Has `build` make a binary and runs the exam in it: how that went and how long it took, or
    /// nothing if there is no binary.
    pub(crate) fn sit(
        &self,
        exam: &Exam,
        build: impl FnOnce(&Self, &str) -> Result<Build>,
        log: &str,
        limit: Duration,
    ) -> Result<Option<(Run, Duration)>> {
        let Build::Done(binary) = build(self, log)? else {
            return Ok(None);
        };
        let start = Instant::now();
        let run = self.run(exam, &binary, log, limit)?;
        Ok(Some((run, start.elapsed())))
    }

    /// Builds the exam's test target from the copy as it stands.
    pub(crate) fn build(&self, exam: &Exam, log: &str) -> Result<Build> {
        let mut command = cargo(self.workspace);
        self.set_build(exam, &mut command);
        command
            .current_dir(&self.tree.root)
            .args(["test", "--no-run", "-p", &exam.package])
            .arg("--message-format=json-render-diagnostics");
        if exam.kind == Kind::Loom {
            command.args(["--profile", "loom", "--features", "loom"]);
        }
        match exam.test.as_str() {
            "lib" => command.arg("--lib"),
            test => command.args(["--test", test]),
        };
        let output = command
            .stderr(self.create_log(&format!("{log}-build"))?)
            .output()
            .context("cannot start cargo")?;
        let messages = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Ok(Build::Broken(errors(&messages)));
        }
        let binary = binary(&messages, &exam.test)
            .with_context(|| format!("cargo names no test binary for {exam}"))?;
        Ok(Build::Done(binary))
    }

    /// The binary in which the mutant of this number is on.
    ///
    /// It is a file of its own, as the next one is before the system has let go of the last.
    pub(crate) fn switched(&self, exam: &Exam, binary: &Binary, number: Number) -> Result<Binary> {
        let mut bytes = fs::read(&binary.path)?;
        // A binary that holds none of the changed functions has no switch, and no mutant.
        for at in switch::switches(&bytes) {
            bytes[at..at + 2].copy_from_slice(&number.to_le_bytes());
        }
        let path = tree::folder(self.workspace, exam.kind).join("switched");
        // It may be open still in a process that the last one left behind.
        let _ = fs::remove_file(&path);
        fs::copy(&binary.path, &path)?;
        fs::write(&path, bytes)?;
        let folder = binary.folder.clone();
        Ok(Binary { path, folder })
    }

    /// Runs the exam's tests in a built binary, for `limit` at the most.
    fn run(&self, exam: &Exam, binary: &Binary, log: &str, limit: Duration) -> Result<Run> {
        let name = format!("{log}-run");
        let output = self.create_log(&name)?;
        let mut command = Command::new(&binary.path);
        without_loom_limits(&mut command);
        // A test that itself calls cargo, as one of programs that must not compile does, is to
        // build where we do.
        self.set_build(exam, &mut command);
        command
            .arg(&exam.filter)
            .current_dir(&binary.folder)
            .env("CARGO_MANIFEST_DIR", &binary.folder)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output);
        let path = self.log_path(&name);
        // The harness says at once that a test has failed, and goes on to the next.
        let has_failed = || fs::read_to_string(&path).is_ok_and(|text| text.contains(FAILED));
        match wait(&mut command, limit, has_failed)? {
            End::Late => Ok(Run::TimedOut),
            End::Enough => Ok(Run::Failed("fails".to_owned())),
            End::Exit(status) => {
                let output = fs::read(&path)?;
                Ok(judge(status, &String::from_utf8_lossy(&output)))
            }
        }
    }

    /// Sets what decides how and where cargo builds.
    fn set_build(&self, exam: &Exam, command: &mut Command) {
        if exam.kind == Kind::Loom {
            with_loom(command);
        }
        let target = tree::folder(self.workspace, exam.kind).join("target");
        // Nobody looks at these binaries with a debugger: no time for what it would read.
        command
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", target);
    }

    /// Where to look for what a build and a run said.
    pub(crate) fn log(&self, log: &str) -> String {
        format!("{}-*.log", self.log_path(log).with_extension("").display())
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.workspace
            .target
            .join("mutants/logs")
            .join(format!("{name}.log"))
    }

    fn create_log(&self, name: &str) -> Result<File> {
        let path = self.log_path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The test binary in cargo's build messages, for the test target called `test`.
fn binary(messages: &str, test: &str) -> Option<Binary> {
    let wanted = |message: &Value| {
        let target = &message["target"];
        let matches = match test {
            "lib" => target["kind"][0] != "test",
            name => target["kind"][0] == "test" && target["name"] == name,
        };
        message["profile"]["test"] == true && matches
    };
    let message = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|message| message["executable"].is_string() && wanted(message))?;
    let path = PathBuf::from(message["executable"].as_str()?);
    let folder = Path::new(message["manifest_path"].as_str()?)
        .parent()?
        .to_path_buf();
    Some(Binary { path, folder })
}

/// Where the errors in cargo's build messages are.
fn errors(messages: &str) -> Vec<At> {
    let mut at = Vec::new();
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let message = &message["message"];
        if message["level"] != "error" {
            continue;
        }
        for span in message["spans"].as_array().into_iter().flatten() {
            let file = span["file_name"].as_str();
            let line = span["line_start"]
                .as_u64()
                .and_then(|line| line.try_into().ok());
            if span["is_primary"] == true
                && let (Some(file), Some(line)) = (file, line)
            {
                at.push((file.to_owned(), line));
            }
        }
    }
    at
}

/// Runs `command` to its end, or ends it at the time limit or once there is `enough`.
fn wait(command: &mut Command, timeout: Duration, enough: impl Fn() -> bool) -> Result<End> {
    let start = Instant::now();
    let mut child = spawn(command)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exit(status));
        }
        let end = match (start.elapsed() >= timeout, enough()) {
            (_, true) => End::Enough,
            (true, false) => End::Late,
            (false, false) => {
                std::thread::sleep(POLL);
                continue;
            }
        };
        child.kill()?;
        child.wait()?;
        return Ok(end);
    }
}

/// Starts the test binary, again if another thread's child still holds the file that we wrote.
fn spawn(command: &mut Command) -> Result<Child> {
    for _ in 0..100 {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(POLL);
            }
            started => return started.context("cannot start the test binary"),
        }
    }
    bail!("the test binary stays open for writing")
}

/// What an ended run shows. The exit status decides; the output counts the tests.
fn judge(status: ExitStatus, output: &str) -> Run {
    let tally = Tally::of(output);
    if status.success() {
        Run::Passed(tally.passed)
    } else if tally.failed > 0 {
        Run::Failed("fails".to_owned())
    } else {
        // No closing line: an abort, a stack overflow, a segmentation fault.
        Run::Failed(format!("dies ({status})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    #[test]
    fn a_hang_is_ended_at_the_limit() {
        let run = |script: &str, milliseconds: u64, enough: bool| {
            wait(&mut sh(script), Duration::from_millis(milliseconds), || {
                enough
            })
            .unwrap()
        };
        assert!(matches!(run("exec sleep 60", 50, false), End::Late));
        assert!(matches!(run("exec sleep 60", 30_000, true), End::Enough));
        assert!(matches!(run("exit 0", 30_000, false), End::Exit(status) if status.success()));
    }

    #[test]
    fn failing_is_told_from_dying_and_passing() {
        let failed = "test result: FAILED. 0 passed; 1 failed; 0 ignored";
        let exit = |code: u8| sh(&format!("exit {code}")).status().unwrap();
        assert!(matches!(judge(exit(101), failed), Run::Failed(how) if how == "fails"));
        assert!(
            matches!(judge(exit(101), "running 1 test"), Run::Failed(how) if how.contains("dies"))
        );
        assert!(matches!(
            judge(exit(0), "test result: ok. 0 passed; 0 failed"),
            Run::Passed(0)
        ));
    }

    #[test]
    fn errors_are_where_the_compiler_says() {
        let message = |level: &str, primary: bool| {
            format!(
                r#"{{"reason":"compiler-message","message":{{"level":"{level}","spans":[{{"file_name":"a/b.rs","line_start":7,"is_primary":{primary}}}]}}}}"#
            )
        };
        let messages = [
            message("warning", true),
            message("error", false),
            message("error", true),
        ];
        assert_eq!(errors(&messages.join("\n")), [("a/b.rs".to_owned(), 7)]);
    }

    #[test]
    fn binary_is_the_named_target() {
        let message = |kind: &str, name: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/t/p/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":{test}}},"executable":"/t/{kind}-{name}"}}"#
            )
        };
        let messages = [
            "not json".to_owned(),
            message("bin", "tool", false),
            message("test", "model", true),
            message("test", "loom", true),
            message("lib", "gc_mark", true),
        ]
        .join("\n");
        let path = |test: &str| binary(&messages, test).unwrap().path;
        assert_eq!(path("loom"), Path::new("/t/test-loom"));
        assert_eq!(path("lib"), Path::new("/t/lib-gc_mark"));
        assert_eq!(binary(&messages, "loom").unwrap().folder, Path::new("/t/p"));
        assert!(binary(&messages, "absent").is_none());
    }
}
