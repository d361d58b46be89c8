//! Servers, databases and an interpreter's own tests on the library: they answer as they do without
//! it. What is not installed is not run, and says what to install.
#![cfg(target_os = "linux")]

mod common;

use common::{library, run, same_with_and_without};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

const MODES: [&str; 2] = ["plain", "hardened"];

/// Whether a program can be started; says how to get it if not.
fn is_installed(program: &str, package: &str) -> bool {
    let found = run(program, &["--version"], b"", None).is_some();
    if !found {
        println!("{program} is not installed, so not tested: apt-get install {package}");
    }
    found
}

/// A folder of this test's own, which is removed with its value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("heapwright-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_database_answers() {
    if !is_installed("sqlite3", "sqlite3") {
        return;
    }
    let script = "
        create table word(id integer primary key, text text, hash int);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
          insert into word select i, hex(i * 7919) || printf('%.*c', i % 97, 'x'),
            i * 2654435761 % 4294967296 from n;
        create index by_text on word(text);
        create index by_hash on word(hash);
        update word set text = text || text where hash % 3 = 0;
        delete from word where hash % 7 = 1;
        select count(*), sum(length(text)), max(text) from word;
        select substr(a.text, 1, 2) as head, count(*), sum(b.hash) from word a
          join word b on b.id = a.id + 1 group by head order by 2 desc, head limit 20;
        select length(group_concat(text)), length(json_group_array(hash)) from word;
        vacuum;
        pragma integrity_check;
    ";
    same_with_and_without("sqlite3", &[":memory:"], script.as_bytes());
}

/// A Redis server on a socket of its own, which ends with its value.
struct Redis {
    server: Child,
    socket: PathBuf,
}

impl Redis {
    fn start(folder: &Path, preload: Option<&str>) -> Self {
        // Each its own, or it would load what another has saved.
        let folder = folder.join(preload.unwrap_or("without"));
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        let socket = folder.join("socket");
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "local", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null());
        if let Some(mode) = preload {
            command
                .env("LD_PRELOAD", library())
                .env("HEAPWRIGHT_MALLOC", mode);
        }
        let server = command.spawn().expect("it is installed");
        let mut redis = Self { server, socket };
        for _ in 0..400 {
            if redis.socket.exists() {
                return redis;
            }
            let ended = redis.server.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "{preload:?}: {ended:?}");
            sleep(Duration::from_millis(25));
        }
        panic!("{preload:?}: the server does not answer");
    }

    /// Runs one of its clients.
    fn client(&self, program: &str, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(program)
            .arg("-s")
            .arg(&self.socket)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it comes with the server");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("a child of ours");
        assert!(output.status.success(), "{program}: {output:?}");
        output
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

/// Commands that grow, shrink and drop values of every kind.
fn commands() -> String {
    let mut text = String::new();
    for n in 0..2000_usize {
        let value = "v".repeat(n * 37 % 3000);
        text += &format!("SET key:{} {n}{value}\n", n % 700);
        text += &format!("APPEND key:{} {n}\n", n * 3 % 700);
        text += &format!("HSET hash:{} field:{n} {n}{value}\n", n % 9);
        text += &format!("RPUSH list:{} {n} {value}{n}\n", n % 5);
        text += &format!("ZADD sorted {n} member:{}\n", n * 7919 % 1500);
        text += &format!("SADD set:{} {} {n}\n", n % 3, n * 31);
        match n % 4 {
            0 => text += &format!("DEL key:{}\n", n * 5 % 700),
            1 => text += &format!("LTRIM list:{} 10 -20\n", n % 5),
            2 => text += &format!("HDEL hash:{} field:{}\n", n % 9, n / 2),
            _ => text += &format!("ZREMRANGEBYRANK sorted 0 {}\n", n % 3),
        }
    }
    text + "DEBUG DIGEST\nDBSIZE\nDEBUG RELOAD\nDEBUG DIGEST\n"
}

#[test]
fn a_server_answers_and_stands_its_own_benchmark() {
    let has_server = is_installed("redis-server", "redis-server redis-tools");
    if !has_server || !is_installed("redis-benchmark", "redis-server redis-tools") {
        return;
    }
    let folder = Folder::new("redis");
    let commands = commands();
    let answers = |preload| {
        let redis = Redis::start(&folder.0, preload);
        let answers = redis.client("redis-cli", &[], &commands).stdout;
        let answers = String::from_utf8_lossy(&answers).into_owned();
        let load = ["-n", "3000", "-c", "20", "-q", "-d", "300", "-r", "500"];
        let tests = [
            "-t",
            "set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset",
        ];
        let said = redis.client("redis-benchmark", &[load.as_slice(), &tests].concat(), "");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let rows = said.matches("requests per second").count();
        let alive = redis.client("redis-cli", &["ping"], "").stdout;
        assert_eq!(alive, b"PONG\n", "{preload:?}");
        (answers, rows)
    };
    let (without, rows) = answers(None);
    assert!(
        without.len() > 10_000 && rows >= 10,
        "{rows} rows say little"
    );
    for mode in MODES {
        let (with, with_rows) = answers(Some(mode));
        let differs = |(with, without): &(&str, &str)| with != without;
        let difference = with.lines().zip(without.lines()).find(differs);
        assert_eq!(difference, None, "{mode}: the server answers otherwise");
        assert_eq!(with.lines().count(), without.lines().count(), "{mode}");
        assert_eq!(with_rows, rows, "{mode}: the benchmark stopped");
    }
}

/// An interpreter that comes with its own tests.
fn tested_python() -> Option<&'static str> {
    let has_tests = |python: &&str| {
        let output = run(python, &["-c", "import test.test_list"], b"", None);
        output.is_some_and(|output| output.status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(has_tests);
    if found.is_none() {
        println!("python3 has no tests of its own: apt-get install libpython3-testsuite");
    }
    found
}

/// Python's own tests of these names pass on the library as they do without.
fn pythons_tests(python: &str, mode: &str, tests: &[&str]) {
    let folder = Folder::new(&format!("python-{mode}"));
    let temporary = format!("TMPDIR={}", folder.0.display());
    // Its own allocator would keep most requests from ours.
    let args = [
        &temporary,
        "PYTHONMALLOC=malloc",
        python,
        "-m",
        "test",
        "-q",
    ];
    let args = [&args, tests].concat();
    let output = run("env", &args, b"", Some(mode)).expect("it was started before");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{mode}: {said}\n{errors}");
    assert!(said.contains("SUCCESS"), "{mode}: {said}");
}

const TESTS: [&str; 6] = [
    "test_list",
    "test_dict",
    "test_array",
    "test_deque",
    "test_heapq",
    "test_memoryview",
];

#[test]
fn pythons_own_tests_pass() {
    let Some(python) = tested_python() else {
        return;
    };
    pythons_tests(python, "plain", &TESTS);
    pythons_tests(python, "plain", &["test_set", "test_tuple", "test_gc"]);
}

#[test]
fn pythons_own_tests_pass_while_hardened() {
    if let Some(python) = tested_python() {
        pythons_tests(python, "hardened", &TESTS);
    }
}

#[test]
#[ignore = "takes minutes"]
fn more_of_pythons_own_tests_pass() {
    let Some(python) = tested_python() else {
        return;
    };
    let more = [
        "test_set",
        "test_unicode",
        "test_bytes",
        "test_json",
        "test_re",
        "test_struct",
        "test_weakref",
        "test_pickle",
        "test_io",
        "test_threading",
    ];
    MODES
        .iter()
        .for_each(|mode| pythons_tests(python, mode, &more));
}
