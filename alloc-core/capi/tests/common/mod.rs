//! A program that is run with the library in the place of the system's allocator, and without.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The library that cargo has built for this test.
pub(crate) fn library() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().unwrap();
    let name = "libheapwright_malloc.so";
    let found = [folder.join(name), folder.parent().unwrap().join(name)];
    let newest = found.into_iter().filter(|path| path.exists());
    let age = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    newest
        .max_by_key(age)
        .expect("cargo builds the library before its tests")
}

/// A program that is fed `input`, with the library or without; `None` if it is not installed.
pub(crate) fn run(
    program: &str,
    args: &[&str],
    input: &[u8],
    preload: Option<&str>,
) -> Option<Output> {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("PYTHONHASHSEED", "1")
        .env("LC_ALL", "C");
    if let Some(mode) = preload {
        command
            .env("LD_PRELOAD", library())
            .env("HEAPWRIGHT_MALLOC", mode);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that ends before it has read everything closes the pipe.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Some(output)
}

pub(crate) fn same_with_and_without(program: &str, args: &[&str], input: &[u8]) {
    let Some(without) = run(program, args, input, None) else {
        println!("{program} is not installed: not tested");
        return;
    };
    assert!(
        without.status.success(),
        "{program} fails by itself: {without:?}"
    );
    assert!(
        !without.stdout.is_empty(),
        "{program} says nothing, which is no test"
    );
    for mode in ["plain", "hardened"] {
        let with = run(program, args, input, Some(mode)).unwrap();
        let said = String::from_utf8_lossy(&with.stderr);
        assert_eq!(with.status, without.status, "{program}, {mode}: {said}");
        assert!(
            with.stdout == without.stdout,
            "{program}, {mode}, says something else"
        );
    }
}
