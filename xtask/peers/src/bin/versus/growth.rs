//! `growth` over all of its rows: what a byte costs by what lives, and by threads.
//!
//! A row is a point; the curves are charts of their own, and the table says how flat each is: the
//! dearest of its points over the cheapest.

use crate::Failure;
use crate::chart::{self, Curve};
use crate::figures::Found;
use crate::rows::Row;

/// What a process may need of the machine's memory, times what lives: a heap doubles, and the
/// virtual machine's objects are larger.
const ROOM: u64 = 3;

/// A curve's points are the rows that differ by this argument alone.
struct Sweep {
    key: &'static str,
    file: &'static str,
    what: &'static str,
    unit: &'static str,
}

const SWEEPS: [Sweep; 2] = [
    Sweep {
        key: "live",
        file: "growth-live.svg",
        what: "growth, one thread: processor time a byte allocated, ns, by MiB that live",
        unit: "MiB",
    },
    Sweep {
        key: "threads",
        file: "growth-threads.svg",
        what: "growth: processor time a byte allocated, ns, by threads",
        unit: "threads",
    },
];

/// Leaves out the rows that do not fit into the machine's free memory, with a line for each.
pub(crate) fn that_fit(mut rows: Vec<Row>) -> Vec<Row> {
    let Some(free_mib) = available_mib() else {
        return rows;
    };
    rows.retain(|row| {
        let live = row.number("live").filter(|_| row.workload == "growth");
        let fits = live.is_none_or(|live| ROOM * live <= free_mib);
        if !fits {
            println!("{} is left out: {free_mib} MiB are free", row.title);
        }
        fits
    });
    rows
}

fn available_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib >> 10)
}

/// The rows of a sweep: by threads those of the size that occurs with several, by what lives those
/// of one thread.
fn rows_of<'f>(sweep: &Sweep, all: &'f [Found]) -> Vec<&'f Found> {
    let rows = all.iter().filter(|found| found.row.workload == "growth");
    let threads = |found: &Found| found.row.number("threads").unwrap_or(1);
    let several = rows.clone().find(|found| threads(found) > 1);
    let live = several.and_then(|found| found.row.number("live"));
    let mut rows: Vec<&Found> = rows
        .filter(|found| match sweep.key {
            "threads" => found.row.number("live") == live,
            _ => threads(found) == 1,
        })
        .collect();
    rows.sort_by_key(|found| found.row.number(sweep.key));
    rows
}

/// A curve a system: the argument, and nanoseconds a byte. What each byte of a tree costs is told
/// by `cpu_ns` and `allocated_bytes`, which every program prints.
fn curves(sweep: &Sweep, rows: &[&Found]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for found in rows {
        for figures in &found.systems {
            let place = found.row.number(sweep.key);
            let (cpu, bytes) = (figures.median("cpu_ns"), figures.median("allocated_bytes"));
            let (Some(place), Some(cpu), Some(bytes)) = (place, cpu, bytes) else {
                continue;
            };
            let point = (place as f64, cpu / bytes);
            match curves.iter_mut().find(|curve| curve.name == figures.name) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve {
                    name: figures.name,
                    points: vec![point],
                }),
            }
        }
    }
    curves
}

/// The dearest point over the cheapest.
fn flatness(curve: &Curve) -> f64 {
    let costs = curve.points.iter().map(|(_, cost)| *cost);
    let (least, most) = costs.fold((f64::INFINITY, 0.0_f64), |(least, most), cost| {
        (least.min(cost), most.max(cost))
    });
    most / least
}

/// A Markdown table of the curves; none if there is no curve.
fn table(sweep: &Sweep, curves: &[Curve]) -> Option<String> {
    let longest = curves.iter().max_by_key(|curve| curve.points.len())?;
    let places: Vec<f64> = longest.points.iter().map(|(place, _)| *place).collect();
    if places.len() < 2 {
        return None;
    }
    let heads = places
        .iter()
        .map(|place| format!(" {place} {} |", sweep.unit));
    let heads: String = heads.collect();
    let lines = "--:|".repeat(places.len() + 1);
    let mut text = format!("| ns a byte |{heads} dearest / cheapest |\n|---|{lines}\n");
    for curve in curves {
        let cell = |place: &f64| {
            let point = curve.points.iter().find(|(at, _)| at == place);
            point.map_or(" – |".to_owned(), |(_, cost)| format!(" {cost:.3} |"))
        };
        let cells: String = places.iter().map(cell).collect();
        text += &format!("| {} |{cells} {:.2} |\n", curve.name, flatness(curve));
    }
    Some(text)
}

/// The charts' file names and contents, and the tables that belong to them.
pub(crate) fn all(found: &[Found]) -> Result<(Vec<(String, String)>, String), Failure> {
    let (mut charts, mut text) = (Vec::new(), String::new());
    for sweep in &SWEEPS {
        let curves = curves(sweep, &rows_of(sweep, found));
        if let Some(table) = table(sweep, &curves) {
            text += &format!("\n### {}\n\n{table}", sweep.what);
            let svg = chart::draw_curves(&curves, sweep.what, sweep.unit)?;
            charts.push((sweep.file.to_owned(), svg));
        }
    }
    Ok((charts, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows;
    use crate::running::Outcome;
    use crate::systems::SYSTEMS;

    #[test]
    fn a_point_is_time_over_bytes_and_a_curve_says_how_flat_it_is() {
        let rows = rows(true);
        let rows = rows.iter().filter(|row| row.workload == "growth");
        let mut all_found = Vec::new();
        for (row, cpu_ns) in rows.zip([20.0, 30.0, 40.0, 50.0, 60.0, 70.0]) {
            let mut found = Found::new(row, 1);
            let figures = [
                ("cpu_ns", cpu_ns),
                ("wall_ns", 1.0),
                ("allocated_bytes", 10.0),
            ];
            let outcome = Outcome {
                figures: figures.map(|(name, ns)| (name.to_owned(), ns)).into(),
                ..Outcome::default()
            };
            found.add(&SYSTEMS[0], outcome).unwrap();
            all_found.push(found);
        }
        let curves = curves(&SWEEPS[0], &rows_of(&SWEEPS[0], &all_found));
        assert_eq!(curves[0].points, [(8.0, 2.0), (16.0, 3.0)]);
        let (charts, text) = all(&all_found).unwrap();
        assert!(text.contains("| ours | 2.000 | 3.000 | 1.50 |"), "{text}");
        assert_eq!(charts.len(), 2);
        assert!(charts[0].1.contains("<svg"));
    }

    #[test]
    fn rows_that_do_not_fit_are_left_out() {
        let mut row = rows(true).pop().unwrap();
        row.args = vec![format!("live={}", 1_u64 << 40)];
        assert_eq!(that_fit(vec![row]).is_empty(), available_mib().is_some());
    }
}
