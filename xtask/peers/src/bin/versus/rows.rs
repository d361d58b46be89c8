//! What is run: a workload with parameters is a row, and a table of its own.

/// The workloads.
pub(crate) const WORKLOADS: [&str; 8] = [
    "trees", "alloc", "ring", "graph", "spike", "limit", "packages", "growth",
];

/// A workload with its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The workload.
    pub(crate) workload: String,
    /// What the row is called.
    pub(crate) title: String,
    /// `key=value`, for the programs.
    pub(crate) args: Vec<String>,
    /// Operations of the measured part, if time an operation is of interest.
    pub(crate) operations: Option<f64>,
}

impl Row {
    fn new(workload: &str, args: &str, operations: Option<f64>) -> Self {
        Self {
            workload: workload.to_owned(),
            title: format!("{workload} {args}"),
            args: args.split_whitespace().map(str::to_owned).collect(),
            operations,
        }
    }

    /// The number of an argument.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        let of = |arg: &String| arg.strip_prefix(key)?.strip_prefix('=')?.parse().ok();
        self.args.iter().find_map(of)
    }

    /// The row's name in file names.
    pub(crate) fn file(&self) -> String {
        let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
        self.title.chars().map(plain).collect()
    }
}

/// Nodes that `trees` allocates with this depth.
fn nodes(depth: u32) -> f64 {
    let of = |depth: u32| f64::from((2_u32 << depth) - 1);
    let short: f64 = (4..=depth)
        .step_by(2)
        .map(|short| f64::from(1_u32 << (depth - short + 4)) * of(short))
        .sum();
    of(depth + 1) + of(depth) + short
}

fn trees(quick: bool) -> Vec<Row> {
    let depth = if quick { 10 } else { 18 };
    let row = |threads| {
        let args = format!("depth={depth} threads={threads}");
        Row::new("trees", &args, Some(nodes(depth)))
    };
    [1, 2].map(row).into()
}

fn alloc(quick: bool) -> Vec<Row> {
    let row = |(size, count, threads): (u64, u64, u64)| {
        let count = if quick { 10_000 } else { count };
        let args = format!("size={size} count={count} threads={threads}");
        Row::new("alloc", &args, Some((count * threads) as f64))
    };
    // About a second each for who is slow.
    let rows = [
        (16, 50_000_000, 1),
        (32, 50_000_000, 1),
        (64, 30_000_000, 1),
        (128, 20_000_000, 1),
        (512, 8_000_000, 1),
        (4096, 1_000_000, 1),
        (32, 30_000_000, 2),
        (512, 5_000_000, 2),
    ];
    let some = if quick { &rows[2..3] } else { &rows[..] };
    some.iter().copied().map(row).collect()
}

fn ring(quick: bool) -> Vec<Row> {
    let live = if quick { 2_000 } else { 200_000 };
    let row = |(count, threads, rate): (u64, u64, u64)| {
        let count = if quick { 20_000 } else { count };
        let args = format!("live={live} count={count} threads={threads} rate={rate}");
        Row::new("ring", &args, Some(count as f64))
    };
    let rows = [(2_000_000, 1, 0), (800_000, 1, 200_000), (2_000_000, 2, 0)];
    rows.map(row).into()
}

fn graph(quick: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for (millions, kinds) in [
        (2, &["random", "tree", "shuffled", "lists", "mixed"][..]),
        (10, &["random", "lists", "mixed"][..]),
    ] {
        let nodes = if quick { 20_000 } else { millions * 1_000_000 };
        for kind in kinds {
            for threads in [1, 2] {
                let args = format!("kind={kind} nodes={nodes} threads={threads}");
                rows.push(Row::new("graph", &args, None));
            }
        }
        if quick {
            break;
        }
    }
    rows
}

fn spike(quick: bool) -> Vec<Row> {
    let args = if quick {
        "live=4 drop=32 seconds=1"
    } else {
        "live=64 drop=2048 seconds=10"
    };
    vec![Row::new("spike", args, None)]
}

fn limit(quick: bool) -> Vec<Row> {
    let (args, count) = if quick {
        ("live=40 limit=256 count=20000", 20_000.0)
    } else {
        ("live=400 limit=512 count=3000000", 3_000_000.0)
    };
    vec![Row::new("limit", args, Some(count))]
}

fn packages(quick: bool) -> Vec<Row> {
    let count = if quick { 200 } else { 20_000 };
    let row = |threads| {
        let args = format!("count={count} threads={threads}");
        Row::new("packages", &args, Some(f64::from(count)))
    };
    [1, 2].map(row).into()
}

/// Live MiB with one thread, and threads with so many MiB.
const GROWTH_MIB: [u64; 8] = [64, 128, 256, 512, 1024, 2048, 4096, 8192];
const GROWTH_THREADS: [u64; 4] = [4, 16, 64, 2];
const GROWTH_THREADS_MIB: u64 = 512;

/// Bytes of a tree of `growth`.
const TREE_BYTES: u64 = 992;

/// Trees are replaced until so much has been allocated, and each four times at least: enough for
/// four cycles of a heap that doubles.
const GROWTH_ALLOCATED_MIB: u64 = 2048;

fn growth(quick: bool) -> Vec<Row> {
    let row = |(live, threads): (u64, u64)| {
        let live = if quick { live.div_ceil(512) } else { live };
        let allocated = if quick { 0 } else { GROWTH_ALLOCATED_MIB };
        let count = (allocated.max(4 * live) << 20) / TREE_BYTES;
        let args = format!("live={live} count={count} threads={threads}");
        Row::new("growth", &args, Some(count as f64))
    };
    let some = if quick { 6.. } else { 0.. };
    let lives = GROWTH_MIB[some].iter().map(|live| (*live, 1));
    let threads = GROWTH_THREADS.map(|threads| (GROWTH_THREADS_MIB, threads));
    lives.chain(threads).map(row).collect()
}

/// Every row; tiny ones if `quick`.
pub(crate) fn rows(quick: bool) -> Vec<Row> {
    [trees, alloc, ring, graph, spike, limit, packages, growth]
        .into_iter()
        .flat_map(|rows| rows(quick))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_depth_four_have_so_many_nodes() {
        // 63 of the stretch tree, 31 held, 16 of 31 each.
        assert_eq!(nodes(4), 63.0 + 31.0 + 16.0 * 31.0);
    }

    #[test]
    fn no_two_rows_have_a_name_in_common() {
        for quick in [false, true] {
            let mut files: Vec<_> = rows(quick).iter().map(Row::file).collect();
            let all = files.len();
            files.sort();
            files.dedup();
            assert_eq!(files.len(), all);
        }
    }
}
