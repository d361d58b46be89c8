//! Charts of a row, as SVG: bars of processor time or of time an object, each with its spread;
//! lines of latency by percentile, and of resident memory after a drop.

use crate::Failure;
use crate::figures::{Figures, Found};
use plotters::prelude::*;

/// A chart's width, in pixels.
const WIDTH: u32 = 900;
/// A bar's height, and what its name takes.
const BAR: u32 = 22;
const NAMES: u32 = 150;
/// The width of the figures behind the bars.
const FIGURES: u32 = 110;
const FONT: (&str, u32) = ("sans-serif", 13);

/// A chart's file name and content.
type Chart = (String, String);

/// The charts of a row.
pub(crate) fn charts(found: &Found) -> Result<Vec<Chart>, Failure> {
    let mut charts = Vec::new();
    let file = found.row.file();
    let bars = [
        ("cpu_ns", 1e9, "processor time, s"),
        ("mark_cpu_ns", 1.0, "processor time an object, ns"),
        (
            "peak_bytes",
            f64::from(1 << 20),
            "peak resident memory, MiB",
        ),
    ];
    for (figure, unit, what) in bars {
        // The collections of a graph are what counts there, not all five together.
        if figure == "cpu_ns" && found.row.workload == "graph" {
            continue;
        }
        if let Some(svg) = draw_bars(found, figure, unit, what)? {
            let name = figure.trim_end_matches("_ns").trim_end_matches("_bytes");
            charts.push((format!("{file}-{name}.svg"), svg));
        }
    }
    let latency = [
        ("p50_ns", "50 %"),
        ("p90_ns", "90 %"),
        ("p99_ns", "99 %"),
        ("p99.9_ns", "99.9 %"),
        ("p99.99_ns", "99.99 %"),
        ("max_ns", "all"),
    ];
    let memory = [
        ("rss_100_bytes", "0.1 s"),
        ("rss_250_bytes", "0.25 s"),
        ("rss_500_bytes", "0.5 s"),
        ("rss_1000_bytes", "1 s"),
        ("rss_2000_bytes", "2 s"),
        ("rss_5000_bytes", "5 s"),
        ("rss_10000_bytes", "10 s"),
    ];
    if let Some(svg) = draw_lines(found, &latency, 1e3, "latency, µs")? {
        charts.push((format!("{file}-latency.svg"), svg));
    }
    let mib = f64::from(1 << 20);
    if let Some(svg) = draw_lines(found, &memory, mib, "resident memory, MiB")? {
        charts.push((format!("{file}-memory.svg"), svg));
    }
    Ok(charts)
}

fn failure(error: impl std::fmt::Display) -> Failure {
    format!("a chart cannot be drawn: {error}").into()
}

/// A bar a system, the quickest first.
fn draw_bars(
    found: &Found,
    figure: &str,
    unit: f64,
    what: &str,
) -> Result<Option<String>, Failure> {
    let mut bars: Vec<(&Figures, f64)> = found
        .systems
        .iter()
        .filter_map(|figures| Some((figures, figures.median(figure)? / unit)))
        .collect();
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    let spread = |figures: &Figures| {
        let all = figures.all(figure).into_iter().map(|figure| figure / unit);
        all.fold((f64::INFINITY, 0.0_f64), |(least, most), x| {
            (least.min(x), most.max(x))
        })
    };
    let most = bars
        .iter()
        .map(|(figures, _)| spread(figures).1)
        .fold(0.0, f64::max);
    if most <= 0.0 {
        return Ok(None);
    }
    let mut svg = String::new();
    {
        let height = BAR * (bars.len() as u32 + 2);
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).map_err(failure)?;
        let title = format!("{}: {what}", found.row.title);
        root.draw(&Text::new(title, (8, 6), FONT))
            .map_err(failure)?;
        let scale = f64::from(WIDTH - NAMES - FIGURES) / most;
        let x = |figure: f64| NAMES as i32 + (figure * scale) as i32;
        for (place, (figures, middle)) in bars.iter().enumerate() {
            let top = (BAR * (place as u32 + 1) + BAR / 2) as i32;
            let is_ours = ["ours", "heapwright"]
                .iter()
                .any(|own| figures.name.starts_with(own));
            let color = if is_ours {
                RGBColor(31, 119, 180)
            } else {
                RGBColor(176, 190, 197)
            };
            let corners = [(NAMES as i32, top), (x(*middle), top + BAR as i32 - 6)];
            let (least, most) = spread(figures);
            let whisker = [(x(least), top + 8), (x(most), top + 8)];
            root.draw(&Text::new(figures.name, (8, top), FONT))
                .map_err(failure)?;
            root.draw(&Rectangle::new(corners, color.filled()))
                .map_err(failure)?;
            root.draw(&PathElement::new(whisker, BLACK))
                .map_err(failure)?;
            let text = Text::new(format!("{middle:.3}"), (x(most) + 6, top), FONT);
            root.draw(&text).map_err(failure)?;
        }
        root.present().map_err(failure)?;
    }
    Ok(Some(svg))
}

/// A system and its points.
type Line = (&'static str, Vec<(f64, f64)>);

/// Each system's medians of these figures, at 0, 1, 2 and so on.
fn lines(found: &Found, points: &[(&str, &str)], unit: f64) -> Vec<Line> {
    let line = |figures: &Figures| {
        let point = |(place, (figure, _)): (usize, &(&str, &str))| {
            // No smaller, for the sake of the logarithm.
            Some((place as f64, (figures.median(figure)? / unit).max(1e-3)))
        };
        let points: Vec<_> = points.iter().enumerate().filter_map(point).collect();
        (figures.name, points)
    };
    let lines = found.systems.iter().map(line);
    lines.filter(|(_, points)| !points.is_empty()).collect()
}

/// A line a system, on a logarithmic axis.
fn draw_lines(
    found: &Found,
    points: &[(&str, &str)],
    unit: f64,
    what: &str,
) -> Result<Option<String>, Failure> {
    let lines = lines(found, points, unit);
    let heights = lines.iter().flat_map(|(_, points)| points);
    let (least, most) = heights.fold((f64::INFINITY, 0.0_f64), |(least, most), (_, y)| {
        (least.min(*y), most.max(*y))
    });
    if lines.is_empty() {
        return Ok(None);
    }
    let label = |place: &f64| {
        let at = place.round() as usize;
        let label = points.get(at).map(|(_, label)| (*label).to_owned());
        label.unwrap_or_default()
    };
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH, 520)).into_drawing_area();
    root.fill(&WHITE).map_err(failure)?;
    // Room for the names beside the last points.
    let width = points.len() as f64 + 0.5;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{}: {what}", found.row.title), FONT)
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..width, (least * 0.8..most * 1.25).log_scale())
        .map_err(failure)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(points.len() + 1).x_label_formatter(&label);
    mesh.draw().map_err(failure)?;
    for (number, (name, points)) in lines.into_iter().enumerate() {
        let is_ours = name.starts_with("ours");
        let style = Palette99::pick(number).stroke_width(if is_ours { 3 } else { 1 });
        let series = LineSeries::new(points, style);
        let drawn = chart.draw_series(series).map_err(failure)?;
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style);
        drawn.label(name).legend(legend);
    }
    let mut names = chart.configure_series_labels();
    names.position(SeriesLabelPosition::UpperRight);
    names
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(failure)?;
    root.present().map_err(failure)?;
    drop(chart);
    drop(root);
    Ok(Some(svg))
}

/// A system's points.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    /// Where, and how much.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A line a system from a cost of zero on, over a logarithmic axis.
pub(crate) fn draw_curves(curves: &[Curve], title: &str, unit: &str) -> Result<String, Failure> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let (from, to) = points().fold((f64::INFINITY, 1.0_f64), |(from, to), (place, _)| {
        (from.min(*place), to.max(*place))
    });
    let most = points().fold(0.0_f64, |most, (_, cost)| most.max(*cost));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, 520)).into_drawing_area();
        root.fill(&WHITE).map_err(failure)?;
        // Room for the names beside the last points.
        let range = (from..to * 3.0).log_scale().base(2.0);
        let mut chart = ChartBuilder::on(&root)
            .caption(title, FONT)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(range, 0.0..most * 1.1)
            .map_err(failure)?;
        let mut mesh = chart.configure_mesh();
        let label = |place: &f64| format!("{place:.0}");
        mesh.x_desc(unit).x_label_formatter(&label);
        mesh.light_line_style(TRANSPARENT);
        mesh.draw().map_err(failure)?;
        for (number, curve) in curves.iter().enumerate() {
            let is_ours = curve.name.starts_with("ours");
            let style = Palette99::pick(number).stroke_width(if is_ours { 3 } else { 1 });
            let series = LineSeries::new(curve.points.iter().copied(), style);
            let drawn = chart.draw_series(series).map_err(failure)?;
            let legend = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style);
            drawn.label(curve.name).legend(legend);
        }
        let mut names = chart.configure_series_labels();
        names.position(SeriesLabelPosition::UpperRight);
        let names = names.background_style(WHITE.mix(0.8));
        names.draw().map_err(failure)?;
        root.present().map_err(failure)?;
    }
    Ok(svg)
}
