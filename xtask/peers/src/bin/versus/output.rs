//! What is left in `target/peers`: Markdown, JSON, charts.

use crate::figures::{Figures, Found};
use crate::rows::WORKLOADS;
use crate::{Failure, chart, growth};
use peers::report;
use serde_json::{Value, json};
use std::process::Command;

/// The processors, and the commit that was measured.
fn machine() -> (String, String) {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = name
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let commit = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let commit = commit.ok().filter(|commit| !commit.is_empty());
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    (format!("{processors} × {name}"), commit)
}

fn of_system(figures: &Figures) -> Value {
    let outcomes = figures
        .outcomes
        .iter()
        .map(|outcome| json!(outcome.figures));
    json!({
        "name": figures.name,
        "failure": figures.failure,
        "rounds": outcomes.collect::<Vec<_>>(),
    })
}

fn of_row(found: &Found) -> Value {
    let outcomes = found.systems.iter().flat_map(|figures| &figures.outcomes);
    let answer = outcomes.into_iter().find_map(|outcome| outcome.answer);
    let systems: Vec<_> = found.systems.iter().map(of_system).collect();
    json!({
        "workload": found.row.workload,
        "arguments": found.row.args,
        "answer": answer,
        "systems": systems,
    })
}

/// The rows of one workload as Markdown.
fn markdown(rows: &[&Found]) -> String {
    let (machine, commit) = machine();
    let rounds = rows.iter().map(|found| found.rounds).max().unwrap_or(0);
    let mut text = format!(
        "{machine}, commit {commit}, median of {rounds} rounds (least..most); `× ours` is the \
         median of the rounds' ratios to `ours`.\n"
    );
    for found in rows {
        text += &format!("\n### {}\n\n{}\n", found.row.title, found.table());
    }
    text
}

/// Writes all that was found so far, a file a workload, and what the last runs of all workloads
/// have left as one file; under `name` in `target/peers`.
pub(crate) fn write(name: &str, all: &[Found]) -> Result<(), Failure> {
    let folder = report::folder();
    let own = folder.join(name);
    std::fs::create_dir_all(&own)?;
    let mut text = String::new();
    for workload in WORKLOADS {
        let rows: Vec<&Found> = all
            .iter()
            .filter(|found| found.row.workload == workload)
            .collect();
        let file = own.join(format!("{workload}.md"));
        if !rows.is_empty() {
            let (machine, commit) = machine();
            let values: Vec<_> = rows.iter().copied().map(of_row).collect();
            let value = json!({ "machine": machine, "commit": commit, "rows": values });
            let pretty = serde_json::to_string_pretty(&value)?;
            std::fs::write(own.join(format!("{workload}.json")), pretty)?;
            let mut text = markdown(&rows);
            if workload == "growth" {
                let (charts, tables) = growth::all(all)?;
                text += &tables;
                for (name, svg) in charts {
                    std::fs::write(own.join(name), svg)?;
                }
            }
            std::fs::write(&file, text)?;
        }
        if let Ok(rows) = std::fs::read_to_string(file) {
            text += &format!("## {workload}\n\n{rows}\n");
        }
    }
    std::fs::write(folder.join(format!("{name}.md")), text)?;
    if let Some(last) = all.last() {
        for (name, svg) in chart::charts(last)? {
            std::fs::write(own.join(name), svg)?;
        }
    }
    Ok(())
}
