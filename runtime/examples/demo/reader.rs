//! Byte strings as archives, read by the demo's reader and by a plain one beside it.
//!
//! The plain reader sees the whole file at once, knows no gzip, and asks of each row in turn what
//! `data` says at its head. Both must agree on every archive and on the line of every mistake;
//! packed or in small pieces, the same bytes must read the same; and a damaged gzip is an error,
//! not a panic.

use crate::data::{self, Archive};
use std::io::{Read, Write};

/// Runs an input: bytes as they are, bytes behind the head of a gzip, a gzip with a byte changed,
/// or rows of words that mean something to the reader. Whether it was an archive.
pub(crate) fn run_input(input: &[u8]) -> bool {
    let (form, rest) = input.split_first().unwrap_or((&0, &[]));
    match form % 8 {
        0 | 1 => check(rest),
        2 => read(&[b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", rest].concat()).is_ok(),
        3 => damage(rest),
        _ => check(&rows(rest)),
    }
}

/// Rows of six columns, more or less.
fn rows(bytes: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 16] = [
        b"\t",
        b"\t",
        b"\t",
        b"\n",
        b"\n",
        b" ",
        b"a",
        b"b",
        b"1",
        b"\r",
        b"18446744073709551616",
        b"\xc3\xa9",
        b"\xff",
        b"-1",
        b"+0",
        b"a\t1\tm\t1\t",
    ];
    let (mut rows, mut whole) = (Vec::new(), 0);
    for byte in bytes {
        match byte {
            0..16 => rows.extend(WORDS[usize::from(*byte)]),
            // A whole row, whose package depends on one that may be there, and twice on another.
            _ => {
                let (of, to) = (byte % 8, byte / 16);
                rows.extend(format!("p{whole}\t1\tm\t{byte}\tp{of} p{to}\tp{to} p{to}\n").bytes());
                // Seldom the next is called the same.
                whole += i32::from(*byte != 255);
            }
        }
    }
    rows
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

/// What became of an archive: its packages with what was skipped, or what is wrong.
type Outcome = Result<Archive, String>;

fn read(bytes: &[u8]) -> Outcome {
    data::parse("f", bytes).map_err(|error| error.to_string())
}

/// A reader that gives a byte at a time.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let one = into.len().min(1);
        self.0.read(&mut into[..one])
    }
}

/// Reads the same bytes in three ways and once more plainly; whether they are an archive.
fn check(bytes: &[u8]) -> bool {
    let outcome = read(bytes);
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return outcome.is_ok();
    }
    let slow = data::parse("f", Slowly(bytes)).map_err(|error| error.to_string());
    assert_same(&outcome, &slow, bytes);
    assert_same(&outcome, &read(&gzip(bytes)), bytes);
    match (&outcome, plainly(bytes)) {
        (Ok(archive), Ok(plain)) => {
            assert_eq!(edges(archive), plain.edges, "{}", bytes.escape_ascii());
            assert_eq!(
                (archive.unknown_edges, archive.repeated_edges),
                (plain.unknown, plain.repeated),
                "{}",
                bytes.escape_ascii()
            );
            let named = archive.unknown_first.as_deref();
            assert_eq!(named.is_some(), plain.unknown > 0);
        }
        (Err(error), Err(line)) => assert!(
            error.starts_with(&format!("f{line}: ")),
            "{error}, but line{line} is wrong: {}",
            bytes.escape_ascii()
        ),
        (outcome, plain) => panic!(
            "{outcome:?}\nwhere {:?} is wrong: {}",
            plain.err(),
            bytes.escape_ascii()
        ),
    }
    outcome.is_ok()
}

fn assert_same(one: &Outcome, other: &Outcome, bytes: &[u8]) {
    let is_same = match (one, other) {
        (Ok(one), Ok(other)) => one.packages == other.packages,
        (Err(one), Err(other)) => one == other,
        _ => false,
    };
    assert!(is_same, "{one:?}\n{other:?}\n{}", bytes.escape_ascii());
}

/// Packs rows, changes a byte, and reads what has become of them: an error, or the same rows, as
/// some bytes of a gzip's head mean nothing.
fn damage(bytes: &[u8]) -> bool {
    let [at, change, rest @ ..] = bytes else {
        return false;
    };
    let rows = rows(rest);
    let mut packed = gzip(&rows);
    let at = usize::from(*at) * packed.len() / 256;
    packed[at] ^= change;
    // Without its first two bytes it is no gzip at all.
    let (2.., Ok(damaged)) = (at, read(&packed)) else {
        return false;
    };
    assert_same(&Ok(damaged), &read(&rows), &rows);
    true
}

/// For each package, what it depends on and what it recommends.
type Edges<'t> = Vec<(&'t str, [Vec<&'t str>; 2])>;

fn edges(archive: &Archive) -> Edges<'_> {
    let name = |id: &u32| archive.packages[*id as usize].name.as_str();
    let all = archive.packages.iter();
    all.map(|package| {
        let lists = [&package.depends, &package.recommends];
        let lists = lists.map(|list| list.iter().map(name).collect());
        (package.name.as_str(), lists)
    })
    .collect()
}

/// What the plain reader knows of an archive.
struct Plain<'t> {
    edges: Edges<'t>,
    unknown: usize,
    repeated: usize,
}

/// Reads plainly; the line of the first mistake, as `:3`, or nothing for the file as a whole.
fn plainly(bytes: &[u8]) -> Result<Plain<'_>, String> {
    let mut rows: Vec<(&str, [&str; 2])> = Vec::new();
    let ended = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    for (line, row) in ended.split(|byte| *byte == b'\n').enumerate() {
        if bytes.is_empty() {
            break;
        }
        let wrong = || format!(":{}", line + 1);
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        let text = std::str::from_utf8(row).map_err(|_| wrong())?;
        let columns: Vec<&str> = text.split('\t').collect();
        let is_right = columns.len() == 6
            && !columns[0].is_empty()
            && !columns[0].contains(char::is_whitespace)
            && !columns[1].is_empty()
            && columns[3].parse::<u64>().is_ok()
            && rows.iter().all(|(name, _)| *name != columns[0]);
        if !is_right {
            return Err(wrong());
        }
        rows.push((columns[0], [columns[4], columns[5]]));
    }
    if rows.is_empty() {
        return Err(String::new());
    }
    let mut plain = Plain {
        edges: Vec::new(),
        unknown: 0,
        repeated: 0,
    };
    for (name, lists) in &rows {
        let lists = lists.map(|list| {
            let mut targets = Vec::new();
            for target in list.split_ascii_whitespace() {
                if rows.iter().all(|(name, _)| *name != target) {
                    plain.unknown += 1;
                } else if targets.contains(&target) {
                    plain.repeated += 1;
                } else {
                    targets.push(target);
                }
            }
            targets
        });
        plain.edges.push((name, lists));
    }
    Ok(plain)
}
