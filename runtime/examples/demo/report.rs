//! The run in words and figures: tables for people, one JSON document for programs.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::measure::{
    About, Checked, Memory, Outcome, Sample, Written, bytes, count, duration, nanos,
};
use crate::query::Kind;

/// Rows of the table over time, while serving and after the drop.
const SERVING_ROWS: usize = 10;
const DROPPED_ROWS: usize = 5;
/// The quantiles of a latency that are shown.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A table as text cells, its head first: what both the terminal and the page show.
pub(crate) struct Block {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Vec<String>>,
}

/// All tables of a run, in reading order.
pub(crate) fn blocks(outcome: &Outcome) -> Vec<Block> {
    vec![
        run_block(outcome),
        query_block(outcome),
        memory_block(outcome),
        time_block(outcome),
    ]
}

/// The tables for a terminal.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    for block in blocks(outcome) {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Disabled);
        let mut rows = block.rows.into_iter();
        table.set_header(rows.next().unwrap_or_default());
        table.add_rows(rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        out += &format!("\n{}\n{table}\n", block.title);
    }
    out += &format!("\n{}\n", verdict(outcome));
    for text in mismatches(outcome) {
        out += &format!("  mismatch: {text}\n");
    }
    out
}

/// One sentence: whether all checks held.
pub(crate) fn verdict(outcome: &Outcome) -> String {
    let checked = outcome.checked.answers + outcome.checked_after.answers;
    let wrong = outcome.checked.mismatches + outcome.checked_after.mismatches;
    let mut text = format!(
        "{} answers of {} objects checked against the computation without Gc, {} of them after \
         having lived through a cycle: {}",
        count(checked),
        count(outcome.checked.members + outcome.checked_after.members),
        count(outcome.checked.outlived),
        if wrong == 0 {
            "all agree".to_owned()
        } else {
            format!("{} DIFFER", count(wrong))
        },
    );
    if outcome.reclaims && outcome.watched_alive > 0 {
        text += &format!(
            "; {} of {} replaced packages that were watched were NOT RECLAIMED",
            count(outcome.watched_alive),
            count(outcome.watched)
        );
    }
    text
}

/// The mismatches that were kept, in words.
pub(crate) fn mismatches(outcome: &Outcome) -> impl Iterator<Item = &String> {
    let after = &outcome.checked_after.mismatch_texts;
    outcome.checked.mismatch_texts.iter().chain(after)
}

fn strings<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A row of two cells.
type Row = (&'static str, String);

fn run_block(outcome: &Outcome) -> Block {
    let mut rows = vec![strings(["what", "how much"])];
    let cells = archive_rows(&outcome.about)
        .into_iter()
        .chain(run_rows(outcome));
    rows.extend(cells.map(|(what, how_much)| vec![what.to_owned(), how_much]));
    let title = "Package graph on a garbage-collected heap";
    Block { title, rows }
}

fn archive_rows(about: &About) -> Vec<Row> {
    let (packages, edges) = (count(about.packages as u64), count(about.edges as u64));
    let (knots, in_knots) = about.cyclic;
    let mut rows = vec![
        ("archive", about.source.clone()),
        ("graph", format!("{packages} packages, {edges} edges")),
        (
            "cycles in the graph",
            format!("{knots} knots of {in_knots} packages"),
        ),
    ];
    if let Some(first) = &about.unknown_first {
        let skipped = count(about.unknown_edges as u64);
        rows.push((
            "unknown dependencies",
            format!("{skipped} skipped, the first {first}"),
        ));
    }
    if about.repeated_edges > 0 {
        let skipped = count(about.repeated_edges as u64);
        rows.push(("repeated dependencies", format!("{skipped} skipped")));
    }
    rows
}

/// What the collector took from mutators.
fn taken(outcome: &Outcome) -> String {
    let waits = |quantile| duration(outcome.waits.quantile(quantile));
    format!(
        "{} times: p99 {}, p99.9 {}, p99.99 {}, longest {}; longest pause {}",
        count(outcome.waits.total()),
        waits(0.99),
        waits(0.999),
        waits(0.9999),
        duration(outcome.longest_wait),
        duration(outcome.longest_pause)
    )
}

fn run_rows(outcome: &Outcome) -> Vec<Row> {
    let last = outcome.last();
    let seconds = outcome.served.as_secs_f64().max(1e-9);
    let a_second = |n: u64| (n as f64 / seconds) as u64;
    let allocated = |name| outcome.moment(name).map_or(0, |m| m.allocated_bytes);
    let serving = a_second(allocated("end of serving").saturating_sub(allocated("loaded")));
    let Written {
        replaced,
        replaced_in_cycles,
        serial_max,
        ..
    } = outcome.written;
    let mut rows = vec![(
        "served",
        format!(
            "{seconds:.1} s by {} reader threads and a writer, after {} to load",
            outcome.threads,
            duration(outcome.load)
        ),
    )];
    if let Some(reason) = &outcome.stopped {
        rows.push(("stopped early", reason.clone()));
    }
    rows.extend([
        (
            "collector",
            format!("{}, {} cycles", outcome.collector, count(last.cycles)),
        ),
        ("taken from a mutator at once", taken(outcome)),
        (
            "allocated",
            format!(
                "{}, {}/s while serving",
                bytes(last.allocated_bytes),
                bytes(serving)
            ),
        ),
        (
            "packages replaced",
            format!(
                "{} ({}/s), {} of them garbage in cycles, up to serial {serial_max}",
                count(replaced),
                count(a_second(replaced)),
                count(replaced_in_cycles),
            ),
        ),
        (
            "watched through weak references",
            format!(
                "{} replaced packages, {} still there",
                count(outcome.watched),
                count(outcome.watched_alive)
            ),
        ),
    ]);
    rows
}

fn query_block(outcome: &Outcome) -> Block {
    let mut head = strings(["query", "answers", "a second", "checked"]);
    head.extend(QUANTILES.map(|(name, _)| name.to_owned()));
    head.push("max".to_owned());
    let mut rows = vec![head];
    let seconds = outcome.served.as_secs_f64().max(1e-9);
    let mut row = |name: &str, h: &hdrhistogram::Histogram<u64>, checked: u64| {
        let mut row = vec![
            name.to_owned(),
            count(h.len()),
            count((h.len() as f64 / seconds) as u64),
            count(checked),
        ];
        row.extend(QUANTILES.map(|(_, q)| nanos(h.value_at_quantile(q))));
        row.push(nanos(h.max()));
        rows.push(row);
    };
    for kind in Kind::ALL {
        row(
            kind.name(),
            outcome.latencies.of(kind),
            outcome.checked.by_kind[kind as usize],
        );
    }
    row("all", &outcome.latencies.merged(), outcome.checked.answers);
    Block {
        title: "Queries and their latency, waits for the collector included",
        rows,
    }
}

fn memory_cells(memory: &Memory) -> Vec<String> {
    vec![
        bytes(memory.heap_bytes),
        bytes(memory.live_bytes),
        bytes(memory.retained_bytes),
        memory.rss_bytes.map_or("?".to_owned(), bytes),
        bytes(memory.released_bytes),
        count(memory.cycles),
    ]
}

const MEMORY_HEAD: [&str; 7] = [
    "",
    "heap in use",
    "live at last mark",
    "free, kept",
    "RSS",
    "given back",
    "cycles",
];

fn memory_block(outcome: &Outcome) -> Block {
    let mut rows = vec![strings(MEMORY_HEAD)];
    for moment in &outcome.moments {
        let mut row = vec![moment.name.to_owned()];
        row.extend(memory_cells(&moment.memory));
        rows.push(row);
    }
    Block {
        title: "Memory",
        rows,
    }
}

fn time_block(outcome: &Outcome) -> Block {
    let mut head = strings(MEMORY_HEAD);
    head[0] = "at".to_owned();
    head.extend(strings(["answers", "p50", "p99", "max"]));
    let mut rows = vec![head];
    let dropped = outcome.samples.partition_point(|s| !s.dropped);
    let (serving, after) = outcome.samples.split_at(dropped);
    for (samples, most) in [(serving, SERVING_ROWS), (after, DROPPED_ROWS)] {
        let step = samples.len().div_ceil(most).max(1);
        rows.extend(samples.chunks(step).filter_map(time_row));
    }
    Block {
        title: "Over time",
        rows,
    }
}

/// What was held at the end of a few samples, and what was answered during them.
fn time_row(samples: &[Sample]) -> Option<Vec<String>> {
    let last = samples.last()?;
    let phase = if last.dropped { " dropped" } else { "" };
    let mut row = vec![format!("{:.1} s{phase}", last.at.as_secs_f64())];
    row.extend(memory_cells(&last.memory));
    let intervals = samples.iter().map(|s| s.interval);
    row.push(count(intervals.clone().map(|i| i.answers).sum()));
    // The last interval's percentiles: those of several cannot be added.
    match intervals.clone().rfind(|i| i.answers > 0) {
        None => row.extend(strings(["", "", ""])),
        Some(interval) => {
            row.push(nanos(interval.p50_ns));
            row.push(nanos(interval.p99_ns));
            row.push(nanos(intervals.map(|i| i.max_ns).max().unwrap_or(0)));
        }
    }
    Some(row)
}

/// The whole run as one JSON document.
pub(crate) fn json(outcome: &Outcome) -> Value {
    let kinds = Kind::ALL.map(|kind| {
        let h = outcome.latencies.of(kind);
        let mut value = json!({
            "kind": kind.name(),
            "answers": h.len(),
            "checked": outcome.checked.by_kind[kind as usize],
            "max_ns": h.max(),
        });
        for (name, quantile) in QUANTILES {
            value[format!("{name}_ns")] = json!(h.value_at_quantile(quantile));
        }
        value
    });
    json!({
        "good": outcome.good(),
        "collector": outcome.collector,
        "threads": outcome.threads,
        "seed": outcome.seed,
        "data": {
            "source": outcome.about.source,
            "packages": outcome.about.packages,
            "edges": outcome.about.edges,
            "unknown_edges_skipped": outcome.about.unknown_edges,
            "repeated_edges_skipped": outcome.about.repeated_edges,
            "cyclic_components": outcome.about.cyclic.0,
            "packages_on_cycles": outcome.about.cyclic.1,
        },
        "load_seconds": outcome.load.as_secs_f64(),
        "served_seconds": outcome.served.as_secs_f64(),
        "stopped_early": outcome.stopped,
        "queries": kinds,
        "checked": checked_json(&outcome.checked),
        "checked_after_drop": checked_json(&outcome.checked_after),
        "writer": {
            "uploads": outcome.written.uploads,
            "replaced": outcome.written.replaced,
            "replaced_in_cycles": outcome.written.replaced_in_cycles,
            "serial_max": outcome.written.serial_max,
            "watched": outcome.watched,
            "watched_alive": outcome.watched_alive,
        },
        "waits": outcome.waits.total(),
        "waits_p99_seconds": outcome.waits.quantile(0.99).as_secs_f64(),
        "waits_p99.9_seconds": outcome.waits.quantile(0.999).as_secs_f64(),
        "waits_p99.99_seconds": outcome.waits.quantile(0.9999).as_secs_f64(),
        "longest_wait_seconds": outcome.longest_wait.as_secs_f64(),
        "longest_pause_seconds": outcome.longest_pause.as_secs_f64(),
        "released_at_end_bytes": outcome.released_at_end_bytes,
        "moments": outcome.moments.iter().map(|m| {
            let mut value = memory_json(&m.memory);
            value["name"] = json!(m.name);
            value
        }).collect::<Vec<_>>(),
        "timeline": outcome.samples.iter().map(|s| {
            let mut value = memory_json(&s.memory);
            value["at_seconds"] = json!(s.at.as_secs_f64());
            value["dropped"] = json!(s.dropped);
            value["answers"] = json!(s.interval.answers);
            value["p50_ns"] = json!(s.interval.p50_ns);
            value["p99_ns"] = json!(s.interval.p99_ns);
            value["max_ns"] = json!(s.interval.max_ns);
            value["replaced"] = json!(s.replaced);
            value
        }).collect::<Vec<_>>(),
    })
}

fn checked_json(checked: &Checked) -> Value {
    json!({
        "answers": checked.answers,
        "members": checked.members,
        "outlived_a_cycle": checked.outlived,
        "mismatches": checked.mismatches,
        "first_mismatches": checked.mismatch_texts,
    })
}

fn memory_json(memory: &Memory) -> Value {
    json!({
        "heap_bytes": memory.heap_bytes,
        "retained_bytes": memory.retained_bytes,
        "live_bytes": memory.live_bytes,
        "allocated_bytes": memory.allocated_bytes,
        "released_bytes": memory.released_bytes,
        "rss_bytes": memory.rss_bytes,
        "cycles": memory.cycles,
    })
}
