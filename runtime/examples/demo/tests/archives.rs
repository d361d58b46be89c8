//! Archives, good and bad: what is wrong is named with its line.

use std::io::Write;
use std::path::Path;

use crate::data::{EMBEDDED, ROW_BYTES_MAX, parse, read};

const GOOD: &str =
    "a\t1\tmain\t10\tb c\td\nb\t2\tmain\t20\ta\t\nc\t3\tmain\t0\t\t\nd\t4\tx\t7\t\ta\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

fn error(bytes: &[u8]) -> String {
    parse("f.tsv", bytes).expect_err("bad data").to_string()
}

#[test]
fn reads_plain_and_gzip_alike() {
    let plain = parse("f", GOOD.as_bytes()).expect("good");
    let packed = parse("f", &gzip(GOOD.as_bytes())[..]).expect("good");
    let crlf = parse("f", GOOD.replace('\n', "\r\n").as_bytes()).expect("good");
    let unfinished = parse("f", GOOD.trim_end_matches('\n').as_bytes()).expect("good");
    assert_eq!(plain.edges(), 5);
    assert_eq!(plain.packages[0].depends, [1, 2]);
    assert_eq!(plain.packages[3].recommends, [0]);
    assert_eq!(plain.packages[3].installed_kib, 7);
    assert_eq!(plain.packages, packed.packages);
    assert_eq!(plain.packages, crlf.packages);
    assert_eq!(plain.packages, unfinished.packages);
}

#[test]
fn the_embedded_archive_is_debian_12() {
    let archive = read(None).expect("embedded data is good");
    assert_eq!(archive.packages.len(), 63_666);
    assert_eq!(archive.edges(), 277_267);
    assert_eq!((archive.unknown_edges, archive.repeated_edges), (0, 0));
}

#[test]
fn unknown_and_repeated_targets_are_skipped_and_counted() {
    let text = "a\t1\tmain\t1\tb ghost b\t\nb\t1\tmain\t1\t\tspectre\n";
    let archive = parse("f.tsv", text.as_bytes()).expect("good");
    assert_eq!(archive.packages[0].depends, [1]);
    assert_eq!(archive.unknown_edges, 2);
    assert_eq!(archive.unknown_first.as_deref(), Some("f.tsv:1: ghost"));
    assert_eq!(archive.repeated_edges, 1);
}

#[test]
fn a_missing_file_and_a_directory_are_named() {
    let missing = read(Some(Path::new("/no/such/file"))).expect_err("missing");
    assert!(
        missing
            .to_string()
            .starts_with("/no/such/file: cannot open the file")
    );
    let directory = read(Some(Path::new(env!("CARGO_MANIFEST_DIR")))).expect_err("directory");
    assert!(
        directory
            .to_string()
            .starts_with(env!("CARGO_MANIFEST_DIR")),
        "{directory}"
    );
}

#[test]
fn malformed_rows_name_file_line_and_reason() {
    let cases: [(&[u8], &str); 8] = [
        (
            b"a\t1\tmain\t1\t\t\nb\t1\tmain\n",
            "f.tsv:2: 3 columns where 6",
        ),
        (
            b"a\t1\tmain\t1\t\t\n\nb\t1\tm\t1\t\t\n",
            "f.tsv:2: 0 columns where 6",
        ),
        (b"a\t1\tmain\t1\t\t\tmore\n", "f.tsv:1: 7 columns where 6"),
        (b"a\t1\tmain\tbig\t\t\n", "f.tsv:1: installed size `big`"),
        (b"a\t1\tmain\t-1\t\t\n", "f.tsv:1: installed size `-1`"),
        (b"\t1\tmain\t1\t\t\n", "f.tsv:1: `` is no package name"),
        (b"a\t\tmain\t1\t\t\n", "f.tsv:1: `a` has no version"),
        (
            b"a\t\xff\tmain\t1\t\t\n",
            "f.tsv:1: not UTF-8 from byte 3 on",
        ),
    ];
    for (bytes, want) in cases {
        let got = error(bytes);
        assert!(
            got.starts_with(want),
            "{got:?} does not start with {want:?}"
        );
    }
}

#[test]
fn a_name_defined_twice_names_both_lines() {
    let got = error(b"a\t1\tm\t1\t\t\nb\t1\tm\t1\t\t\na\t2\tm\t1\t\t\n");
    assert_eq!(got, "f.tsv:3: `a` is already defined on line 1");
}

#[test]
fn an_empty_file_is_refused() {
    assert_eq!(error(b""), "f.tsv: holds no package");
    assert_eq!(error(&gzip(b"")), "f.tsv: holds no package");
}

#[test]
fn a_row_without_end_is_refused() {
    let got = error(&vec![b'x'; ROW_BYTES_MAX + 2]);
    assert_eq!(got, "f.tsv:1: a row of more than 1048576 bytes");
}

#[test]
fn every_truncation_of_a_gzip_is_an_error() {
    let whole = gzip(GOOD.as_bytes());
    for length in 2..whole.len() {
        let got = error(&whole[..length]);
        assert!(got.contains("too early"), "{length} bytes: {got}");
    }
    let got = error(&EMBEDDED[..EMBEDDED.len() / 2]);
    assert!(got.contains("too early") && got.contains(":3"), "{got}");
}

#[test]
fn a_damaged_gzip_is_an_error_with_its_line() {
    let mut damaged = EMBEDDED.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xa5);
    // Wherever the damage shows first: in the stream, in a row or in the checksum.
    let got = error(&damaged);
    assert!(got.starts_with("f.tsv:"), "{got}");
}
