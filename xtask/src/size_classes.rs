//! The table of size classes: computed here from the heap's layout, written into alloc-core as
//! constants and into `docs/size-classes.md` for readers; `--check` compares both with what is
//! computed now.
//!
//! Which sizes there are is bounded by what an object may waste of its slot, how long a class's
//! spans are by what a span may waste at its end. The metadata have no say in the second: they
//! cost the same for every page, whatever lies on it. They fix the unit: a slot is a whole number
//! of granules, since a granule has one mark bit and one allocation bit. The layout is read from
//! alloc-core's own sources, so that a change there makes the check fail rather than the table lie.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// Where the constants go.
const SOURCE: &str = "alloc-core/src/size_table.rs";
/// Where the table for readers goes.
const PAGE: &str = "docs/size-classes.md";
/// Steps to a doubling above the fine classes; the fine classes are as many granules.
const STEPS: usize = 8;
/// Slots that a span has at least.
const SLOTS_MIN: usize = 4;
/// One part in so many may be wasted: by an object of its slot, by a span at its end.
const WASTE_PART: usize = 8;

/// Whether to compare or to write.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail if a file is not what would be written; write nothing
    #[arg(long)]
    pub(crate) check: bool,
}

/// What the heap's layout fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    page_bytes: usize,
    granule_bytes: usize,
    small_bytes_max: usize,
    /// Of a span's line, one a page.
    line_bytes: usize,
}

/// One size that slots come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    bytes: usize,
    /// The class below, or nothing.
    below_bytes: usize,
    pages: usize,
    slots: usize,
    /// Of a span's bytes, those behind its last slot.
    tail_bytes: usize,
    granule_bytes: usize,
}

/// Computes the table and writes or checks both files.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    let layout = Layout::read(workspace)?;
    let classes = classes(layout)?;
    for (path, text) in [
        (SOURCE, constants(&classes)),
        (PAGE, page(layout, &classes)),
    ] {
        let full = workspace.root.join(path);
        if options.check {
            let found = fs::read_to_string(&full).with_context(|| format!("cannot read {path}"))?;
            ensure!(
                found == text,
                "{path} is not what the layout gives: run `cargo xtask size-classes`"
            );
        } else {
            fs::write(&full, text).with_context(|| format!("cannot write {path}"))?;
        }
    }
    let worst = worst_percent(&classes[STEPS..]);
    Ok(format!(
        "{} classes, worst waste {worst:.1} % above {} B",
        classes.len(),
        classes[STEPS - 1].bytes
    ))
}

impl Layout {
    /// Reads the constants out of alloc-core's sources.
    fn read(workspace: &Workspace) -> Result<Self> {
        let constant = |path: &str, name: &str| {
            let text = fs::read_to_string(workspace.root.join(path))
                .with_context(|| format!("cannot read {path}"))?;
            value_of(&text, name).with_context(|| format!("{path} defines no number {name}"))
        };
        let span = fs::read_to_string(workspace.root.join("alloc-core/src/span.rs"))?;
        let aligned = span.split_once("#[repr(C, align(");
        let line_bytes = aligned.and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
        Ok(Self {
            page_bytes: 1 << constant("alloc-core/src/pages.rs", "PAGE_SHIFT")?,
            granule_bytes: constant("alloc-core/src/size_class.rs", "GRANULE_BYTES")?,
            small_bytes_max: constant("alloc-core/src/size_class.rs", "SMALL_BYTES_MAX")?,
            line_bytes: line_bytes.context("alloc-core/src/span.rs aligns no line")?,
        })
    }

    /// Bytes beside the heap for a page: two bits a granule, a line, a bit each of heads and glue.
    fn metadata_bytes(self) -> f64 {
        let bits = 2 * self.page_bytes / self.granule_bytes + 2;
        bits as f64 / 8.0 + self.line_bytes as f64
    }
}

/// The number that `const NAME: … = NUMBER;` or `NUMBER * NUMBER` gives.
fn value_of(text: &str, name: &str) -> Option<usize> {
    let (_, rest) = text.split_once(&format!("const {name}: "))?;
    let (_, value) = rest.split_once("= ")?;
    let (value, _) = value.split_once(';')?;
    value
        .split('*')
        .map(|factor| factor.trim().parse::<usize>().ok())
        .product()
}

/// The classes, smallest first; an error if one wastes more than it may.
fn classes(layout: Layout) -> Result<Vec<Class>> {
    let fine_bytes = STEPS * layout.granule_bytes;
    let mut sizes: Vec<usize> = (1..=STEPS).map(|n| n * layout.granule_bytes).collect();
    let mut doubling = fine_bytes;
    while doubling < layout.small_bytes_max {
        sizes.extend((1..=STEPS).map(|step| doubling + step * doubling / STEPS));
        doubling *= 2;
    }
    let mut classes = Vec::new();
    let mut below_bytes = 0;
    for bytes in sizes {
        ensure!(
            bytes.is_multiple_of(layout.granule_bytes),
            "{bytes} B are no whole granules"
        );
        let class = Class::shaped(layout, bytes, below_bytes);
        // Of a fine class the bound holds for a granule: no size between two of them can be had.
        ensure!(
            bytes <= fine_bytes || class.waste_bytes() * WASTE_PART <= bytes,
            "an object may waste {} of {bytes} B",
            class.waste_bytes()
        );
        classes.push(class);
        below_bytes = bytes;
    }
    ensure!(
        below_bytes == layout.small_bytes_max,
        "the largest class is {below_bytes} B"
    );
    Ok(classes)
}

impl Class {
    /// The class with the shortest span that holds enough slots and leaves little at its end.
    fn shaped(layout: Layout, bytes: usize, below_bytes: usize) -> Self {
        let fits = |pages: &usize| {
            let span_bytes = pages * layout.page_bytes;
            let tail_bytes = span_bytes % bytes;
            span_bytes / bytes >= SLOTS_MIN && tail_bytes * WASTE_PART <= span_bytes
        };
        // Ends: as many pages as a slot has bytes leave nothing.
        let pages = (1..).find(fits).unwrap_or(bytes);
        let span_bytes = pages * layout.page_bytes;
        Self {
            bytes,
            below_bytes,
            pages,
            slots: span_bytes / bytes,
            tail_bytes: span_bytes % bytes,
            granule_bytes: layout.granule_bytes,
        }
    }

    /// What the smallest object of the class leaves of its slot.
    fn waste_bytes(&self) -> usize {
        self.bytes - self.below_bytes - 1
    }

    fn waste_percent(&self) -> f64 {
        100.0 * self.waste_bytes() as f64 / self.bytes as f64
    }

    fn tail_percent(&self, layout: Layout) -> f64 {
        100.0 * self.tail_bytes as f64 / (self.pages * layout.page_bytes) as f64
    }
}

/// What an object wastes of its slot at the most, among these classes.
fn worst_percent(classes: &[Class]) -> f64 {
    let percents = classes.iter().map(Class::waste_percent);
    percents.fold(0.0, f64::max)
}

/// The constants, as rustfmt leaves them.
fn constants(classes: &[Class]) -> String {
    let mut text = format!(
        "//! The size classes as constants: granules of a slot, pages of a span, slots of a span.\n\
         //!\n\
         //! Written by `cargo xtask size-classes`, which says how they come about; the table for\n\
         //! readers is `docs/size-classes.md`. A change by hand fails the check in CI.\n\n\
         use crate::size_class::Shape;\n\n\
         /// One a class, smallest first.\n\
         pub(crate) const SHAPES: [Shape; {}] = [\n",
        classes.len()
    );
    for class in classes {
        let Class { pages, slots, .. } = class;
        let granules = class.bytes / class.granule_bytes;
        _ = writeln!(text, "    Shape::new({granules}, {pages}, {slots}),");
    }
    text + "];\n"
}

/// The page for readers.
fn page(layout: Layout, classes: &[Class]) -> String {
    let fine = &classes[..STEPS];
    let metadata = layout.metadata_bytes();
    let mut text = format!(
        "# Size classes\n\n\
         Written by `cargo xtask size-classes` from the layout in alloc-core; `cargo xtask ci`\n\
         checks that it is up to date.\n\n\
         * Worst waste of an object in its slot: {:.1} % above {} B (the bound is {:.1} %).\n\
         * Up to {} B it is at most {} B, and no size can do better: a slot is whole granules of\n  \
         {} B, of which each has one mark bit and one allocation bit. As a share that is up to\n  \
         {:.0} % (one byte in {} B); from {} B on it is under {:.1} %.\n\
         * A span has at least {SLOTS_MIN} slots and leaves at most {:.1} % unused at its end.\n\
         * Metadata cost {metadata:.0} B a page of {} B, {:.1} %, whatever lies on it.\n\
         * Above {} B an object has whole pages of its own.\n\n\
         *worst waste* is that of the smallest object of the class, in its slot; *tail* is what a\n\
         span leaves behind its last slot.\n\n",
        worst_percent(&classes[STEPS..]),
        fine[STEPS - 1].bytes,
        100.0 / WASTE_PART as f64,
        fine[STEPS - 1].bytes,
        layout.granule_bytes - 1,
        layout.granule_bytes,
        worst_percent(fine),
        fine[0].bytes,
        fine[STEPS - 1].bytes,
        fine[STEPS - 1].waste_percent() + 0.05,
        100.0 / WASTE_PART as f64,
        layout.page_bytes,
        100.0 * metadata / layout.page_bytes as f64,
        layout.small_bytes_max,
    );
    text +=
        "| class | slot, B | pages a span | slots a span | tail, B | tail, % | worst waste, % |\n";
    text += "|--:|--:|--:|--:|--:|--:|--:|\n";
    for (index, class) in classes.iter().enumerate() {
        let (tail, waste) = (class.tail_percent(layout), class.waste_percent());
        let Class {
            bytes,
            pages,
            slots,
            tail_bytes,
            ..
        } = class;
        _ = writeln!(
            text,
            "| {index} | {bytes} | {pages} | {slots} | {tail_bytes} | {tail:.1} | {waste:.1} |"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        page_bytes: 8192,
        granule_bytes: 16,
        small_bytes_max: 32768,
        line_bytes: 64,
    };

    #[test]
    fn constants_are_read() {
        let text = "/// A.\npub const A: usize = 32 * 1024;\nconst B: u32 = 13;\nconst C: X = Y;";
        assert_eq!(value_of(text, "A"), Some(32768));
        assert_eq!(value_of(text, "B"), Some(13));
        assert_eq!(value_of(text, "C"), None);
        assert_eq!(value_of(text, "D"), None);
    }

    #[test]
    fn this_layout_gives_seventy_two_classes() {
        let classes = classes(LAYOUT).unwrap();
        assert_eq!(classes.len(), 72);
        assert!(classes.is_sorted_by_key(|class| class.bytes));
        let of = |bytes| classes.iter().find(|class| class.bytes == bytes).unwrap();
        assert_eq!(
            (of(48).pages, of(48).slots, of(48).tail_bytes),
            (1, 170, 32)
        );
        assert_eq!((of(32768).pages, of(32768).slots), (16, 4));
        assert_eq!(of(144).waste_bytes(), 15);
    }

    #[test]
    fn a_layout_that_cannot_keep_the_bound_is_refused() {
        let odd = Layout {
            small_bytes_max: 20_000,
            ..LAYOUT
        };
        let error = classes(odd).unwrap_err().to_string();
        assert!(error.contains("the largest class is 32768 B"), "{error}");
    }

    #[test]
    fn a_changed_file_is_found() {
        let workspace = Workspace::find().unwrap();
        let options = Options { check: true };
        run(&workspace, &options).unwrap();
        let classes = classes(LAYOUT).unwrap();
        let elsewhere = Layout {
            page_bytes: 4096,
            ..LAYOUT
        };
        let shorter = super::classes(elsewhere).unwrap();
        assert_ne!(constants(&classes), constants(&shorter));
    }
}
