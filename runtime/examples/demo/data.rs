//! Reads a package archive: one row a package, six columns separated by tabs.
//!
//! `name  version  section  installed-KiB  depends  recommends`, the last two being lists of
//! names separated by spaces, either of which may be empty. The bytes may be plain or gzip,
//! told apart by their first two bytes and not by the file's name.
//!
//! A row that cannot be read is an error that names file, line and reason: guessing would give
//! a graph nobody asked for. A dependency on a name that no row defines is different: archives
//! are cut from larger ones and are full of them, so such an edge is skipped and counted. So is
//! a name listed twice in one list. A forward reference is fine: names are resolved at the end.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// The packages of Debian 12, so that the demo runs from anywhere.
pub(crate) const EMBEDDED: &[u8] = include_bytes!("data/debian-bookworm-packages.tsv.gz");
const EMBEDDED_NAME: &str = "debian-bookworm-packages.tsv.gz (embedded)";

/// The columns of a row.
const COLUMNS: usize = 6;
/// The longest row that is read. Debian's longest has under 8 KiB; a file without line ends
/// (or a gzip that unpacks to one) shall not fill the memory first.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 20;

/// One package; `depends` and `recommends` are indices into [`Archive::packages`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) section: String,
    pub(crate) installed_kib: u64,
    pub(crate) depends: Vec<u32>,
    pub(crate) recommends: Vec<u32>,
}

/// A whole archive, its names resolved.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) source: String,
    pub(crate) packages: Vec<Record>,
    /// Edges skipped because no row defines their target.
    pub(crate) unknown_edges: usize,
    /// The first of them, as `file:line: name`, to say where to look.
    pub(crate) unknown_first: Option<String>,
    /// Edges skipped because their list names the target twice.
    pub(crate) repeated_edges: usize,
}

impl Archive {
    /// The number of edges of both kinds.
    pub(crate) fn edges(&self) -> usize {
        self.packages
            .iter()
            .map(|p| p.depends.len() + p.recommends.len())
            .sum()
    }
}

/// Why an archive could not be read, and where.
#[derive(Debug)]
pub(crate) struct DataError {
    source: String,
    /// Counted from one; none where the trouble is the file as a whole.
    line: Option<usize>,
    reason: String,
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.source, self.reason),
            None => write!(f, "{}: {}", self.source, self.reason),
        }
    }
}

impl std::error::Error for DataError {}

/// Reads `path`, or the embedded archive when there is none.
pub(crate) fn read(path: Option<&Path>) -> Result<Archive, DataError> {
    let Some(path) = path else {
        return parse(EMBEDDED_NAME, EMBEDDED);
    };
    let source = path.display().to_string();
    let file = File::open(path).map_err(|error| DataError {
        source: source.clone(),
        line: None,
        reason: format!("cannot open the file: {error}"),
    })?;
    parse(&source, file)
}

/// Reads an archive from `bytes`, which errors call `source`.
pub(crate) fn parse(source: &str, bytes: impl Read) -> Result<Archive, DataError> {
    let mut bytes = BufReader::new(bytes);
    let gzip = bytes
        .fill_buf()
        .is_ok_and(|head| head.starts_with(&[0x1f, 0x8b]));
    let mut reader = Reader::new(source);
    if gzip {
        reader.rows(BufReader::new(MultiGzDecoder::new(bytes)))?;
    } else {
        reader.rows(bytes)?;
    }
    reader.resolve()
}

/// Rows read so far, their lists still text.
struct Reader<'s> {
    source: &'s str,
    line: usize,
    packages: Vec<Record>,
    lists: Vec<[String; 2]>,
    index: HashMap<String, u32>,
}

impl<'s> Reader<'s> {
    fn new(source: &'s str) -> Self {
        Reader {
            source,
            line: 0,
            packages: Vec::new(),
            lists: Vec::new(),
            index: HashMap::new(),
        }
    }

    fn error(&self, reason: String) -> DataError {
        DataError {
            source: self.source.to_owned(),
            line: (self.line > 0).then_some(self.line),
            reason,
        }
    }

    fn rows(&mut self, mut input: impl BufRead) -> Result<(), DataError> {
        let mut row = Vec::new();
        loop {
            row.clear();
            self.line += 1;
            let limit = ROW_BYTES_MAX as u64 + 1;
            let read = (&mut input).take(limit).read_until(b'\n', &mut row);
            match read {
                Ok(0) => break,
                Ok(_) if row.len() > ROW_BYTES_MAX => {
                    return Err(self.error(format!("a row of more than {ROW_BYTES_MAX} bytes")));
                }
                Ok(_) => self.row(&row)?,
                Err(error) => return Err(self.error(read_reason(&error))),
            }
        }
        self.line = 0;
        Ok(())
    }

    fn row(&mut self, row: &[u8]) -> Result<(), DataError> {
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        let text = std::str::from_utf8(row).map_err(|error| {
            self.error(format!(
                "not UTF-8 from byte {} on",
                error.valid_up_to() + 1
            ))
        })?;
        let columns: Vec<&str> = text.split('\t').collect();
        let [name, version, section, kib, depends, recommends] = columns[..] else {
            return Err(self.error(format!(
                "{} columns where {COLUMNS} are wanted (name, version, section, installed KiB, \
                 depends, recommends, separated by tabs)",
                if text.is_empty() { 0 } else { columns.len() },
            )));
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(self.error(format!("`{name}` is no package name")));
        }
        if version.is_empty() {
            return Err(self.error(format!("`{name}` has no version")));
        }
        let installed_kib = kib.parse().map_err(|error| {
            self.error(format!(
                "installed size `{kib}` is no number of KiB: {error}"
            ))
        })?;
        let Ok(id) = u32::try_from(self.packages.len()) else {
            return Err(self.error("more packages than a 32-bit index can name".to_owned()));
        };
        if let Some(first) = self.index.insert(name.to_owned(), id) {
            return Err(self.error(format!(
                "`{name}` is already defined on line {}",
                first as usize + 1
            )));
        }
        self.lists.push([depends.to_owned(), recommends.to_owned()]);
        self.packages.push(Record {
            name: name.to_owned(),
            version: version.to_owned(),
            section: section.to_owned(),
            installed_kib,
            depends: Vec::new(),
            recommends: Vec::new(),
        });
        Ok(())
    }

    fn resolve(mut self) -> Result<Archive, DataError> {
        if self.packages.is_empty() {
            return Err(self.error("holds no package".to_owned()));
        }
        let mut archive = Archive {
            source: self.source.to_owned(),
            packages: std::mem::take(&mut self.packages),
            unknown_edges: 0,
            unknown_first: None,
            repeated_edges: 0,
        };
        for (id, [depends, recommends]) in self.lists.iter().enumerate() {
            let depends = self.targets(id, depends, &mut archive);
            let recommends = self.targets(id, recommends, &mut archive);
            archive.packages[id].depends = depends;
            archive.packages[id].recommends = recommends;
        }
        Ok(archive)
    }

    fn targets(&self, id: usize, list: &str, archive: &mut Archive) -> Vec<u32> {
        let mut targets = Vec::new();
        for name in list.split_ascii_whitespace() {
            match self.index.get(name) {
                None => {
                    archive.unknown_edges += 1;
                    archive
                        .unknown_first
                        .get_or_insert_with(|| format!("{}:{}: {name}", self.source, id + 1));
                }
                Some(target) if targets.contains(target) => archive.repeated_edges += 1,
                Some(target) => targets.push(*target),
            }
        }
        targets
    }
}

fn read_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the gzip stream ends too early (truncated)".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("the gzip stream is damaged: {error}")
        }
        _ => format!("cannot read: {error}"),
    }
}
