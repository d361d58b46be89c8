//! The run as one self-contained HTML page: tables, and charts as inline SVG.
//!
//! Nothing is fetched and nothing is run: the page is text that a browser lays out, so it can be
//! mailed or kept beside a build. All charts share the time axis; the dashed line is the moment
//! when half of the packages are dropped.

use std::fmt::Write as _;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::measure::{Outcome, Sample, count, duration, nanos};
use crate::report;

const WIDTH: u32 = 960;
const MIB: f64 = (1 << 20) as f64;

const BLUE: RGBColor = RGBColor(0x2b, 0x6c, 0xb0);
const GREEN: RGBColor = RGBColor(0x2f, 0x85, 0x5a);
const ORANGE: RGBColor = RGBColor(0xc0, 0x56, 0x21);
const GREY: RGBColor = RGBColor(0x71, 0x80, 0x96);
const INK: RGBColor = RGBColor(0x2d, 0x37, 0x48);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A value at a sample, which is also given by its index; none where there is nothing to show.
type Value<'f> = dyn Fn(usize, &Sample) -> Option<f64> + 'f;

/// A line of a chart: its name, color and value at a sample.
struct Line<'f> {
    name: &'static str,
    color: RGBColor,
    filled: bool,
    value: Box<Value<'f>>,
}

impl<'f> Line<'f> {
    fn new(
        name: &'static str,
        color: RGBColor,
        value: impl Fn(usize, &Sample) -> Option<f64> + 'f,
    ) -> Self {
        Line {
            name,
            color,
            filled: false,
            value: Box::new(value),
        }
    }

    fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    fn points(&self, samples: &[Sample]) -> Vec<(f64, f64)> {
        let at = |s: &Sample| s.at.as_secs_f64();
        let points = samples.iter().enumerate();
        points
            .filter_map(|(i, s)| Some((at(s), (self.value)(i, s)?)))
            .collect()
    }
}

/// The page's text.
///
/// # Errors
///
/// Where a chart cannot be drawn.
pub(crate) fn html(outcome: &Outcome) -> Result<String, Box<dyn std::error::Error>> {
    let mut body = String::new();
    let blocks = report::blocks(outcome);
    let title = blocks.first().map_or("", |b| b.title);
    write!(body, "<h1>{}</h1>", escape(title))?;
    let class = if outcome.good() { "good" } else { "bad" };
    write!(
        body,
        "<p class=\"{class}\">{}.</p>",
        escape(&report::verdict(outcome))
    )?;
    for text in report::mismatches(outcome) {
        write!(body, "<p class=bad>{}</p>", escape(text))?;
    }
    body += &tiles(outcome);
    if outcome.samples.len() > 1 {
        let charts = [
            ("Memory over time", memory_chart(outcome)?),
            (
                "Latency of queries, waits for the collector included",
                latency_chart(outcome)?,
            ),
            ("Cycles and answers a second", rate_chart(outcome)?),
        ];
        for (title, svg) in charts {
            write!(body, "<h2>{title}</h2><figure>{svg}</figure>")?;
        }
        body += "<p class=note>A tick on the time axis: a cycle ended. The dashed line: half of \
                 the packages were dropped.</p>";
    }
    for (i, block) in blocks.iter().enumerate() {
        let heading = if i == 0 { "The run" } else { block.title };
        write!(body, "<h2>{}</h2>{}", escape(heading), table(&block.rows))?;
    }
    Ok(format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8>\n<meta name=viewport \
         content=\"width=device-width\">\n<title>Heapwright demo</title>\n<style>{STYLE}</style>\n\
         <main>{body}</main>\n</html>\n"
    ))
}

const STYLE: &str = "
body{margin:0;background:#f7fafc;color:#2d3748;font:15px/1.5 system-ui,sans-serif}
main{max-width:1000px;margin:0 auto;padding:24px}
h1{font-size:26px;margin:8px 0}h2{font-size:17px;margin:28px 0 8px}
figure{margin:0;padding:8px;background:#fff;border:1px solid #e2e8f0;border-radius:8px}
figcaption{font-size:13px;padding:2px 8px}
figcaption i{display:inline-block;width:18px;height:3px;margin:0 6px 3px 10px}
.note{color:#718096;font-size:13px;margin:6px 0}
svg{display:block;width:100%;height:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(205px,1fr));gap:10px}
.tiles div{background:#fff;border:1px solid #e2e8f0;border-radius:8px;padding:8px 12px}
.tiles b{display:block;font-size:20px;font-weight:600}.tiles span{color:#718096;font-size:13px}
.good{color:#276749}.bad{color:#c53030;font-weight:600}
.scroll{overflow-x:auto;background:#fff;border:1px solid #e2e8f0;border-radius:8px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid #edf2f7}
th:first-child,td:first-child{text-align:left;white-space:nowrap}th{font-weight:600}
tr:last-child td{border-bottom:0}";

fn tiles(outcome: &Outcome) -> String {
    let all = outcome.latencies.merged();
    let (heap_peak, rss_peak) = outcome.peaks();
    let mib = |n: u64| format!("{:.0} MiB", n as f64 / MIB);
    let last = outcome.last();
    let tiles = [
        (count(all.len()), "queries answered"),
        (
            nanos(all.value_at_quantile(0.99)),
            "99th percentile latency",
        ),
        (count(outcome.written.replaced), "packages replaced"),
        (count(last.cycles), "collection cycles"),
        (
            duration(outcome.longest_wait),
            "longest wait for the collector",
        ),
        (mib(last.allocated_bytes), "allocated in all"),
        (mib(heap_peak), "most heap in use"),
        (
            match (rss_peak, last.rss_bytes) {
                (Some(peak), Some(end)) => format!("{} → {}", mib(peak), mib(end)),
                _ => "unknown".to_owned(),
            },
            "RSS, peak → end",
        ),
    ];
    let tiles =
        tiles.map(|(n, what)| format!("<div><b>{}</b><span>{what}</span></div>", escape(&n)));
    format!("<div class=tiles>{}</div>", tiles.concat())
}

fn table(rows: &[Vec<String>]) -> String {
    let mut out = String::from("<div class=scroll><table>");
    for (i, row) in rows.iter().enumerate() {
        let tag = if i == 0 { "th" } else { "td" };
        out += "<tr>";
        for cell in row {
            out += &format!("<{tag}>{}</{tag}>", escape(cell));
        }
        out += "</tr>";
    }
    out + "</table></div>"
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

fn memory_chart(outcome: &Outcome) -> Result<String, Box<dyn std::error::Error>> {
    let lines = [
        Line::new("heap in use", BLUE, |_, s| {
            Some(s.memory.heap_bytes as f64 / MIB)
        })
        .filled(),
        Line::new("with the free pages it keeps", GREY, |_, s| {
            Some((s.memory.heap_bytes + s.memory.retained_bytes) as f64 / MIB)
        }),
        Line::new("live at last mark", GREEN, |_, s| {
            Some(s.memory.live_bytes as f64 / MIB)
        }),
        Line::new("RSS", ORANGE, |_, s| {
            s.memory.rss_bytes.map(|b| b as f64 / MIB)
        }),
    ];
    let top = top(&lines, &outcome.samples);
    draw(300, &lines, |area| {
        chart(
            area,
            outcome,
            0.0..top * 1.1,
            "MiB",
            &|v| format!("{v:.0}"),
            &lines,
        )
    })
}

fn latency_chart(outcome: &Outcome) -> Result<String, Box<dyn std::error::Error>> {
    let answered = |s: &Sample, ns: u64| (s.interval.answers > 0).then_some(ns as f64);
    let lines = [
        Line::new("longest", ORANGE, move |_, s| {
            answered(s, s.interval.max_ns)
        }),
        Line::new("99th percentile", BLUE, move |_, s| {
            answered(s, s.interval.p99_ns)
        }),
        Line::new("median", GREEN, move |_, s| answered(s, s.interval.p50_ns)),
    ];
    let values = || {
        let points = lines.iter().flat_map(|l| l.points(&outcome.samples));
        points.map(|(_, value)| value)
    };
    let low = values().fold(1e6, f64::min).max(10.0);
    let low = 10_f64.powf(low.log10().floor());
    let high = values().fold(low * 10.0, f64::max) * 2.0;
    draw(280, &lines, |area| {
        let range = (low..high).log_scale();
        chart(
            area,
            outcome,
            range,
            "",
            &|v| nanos(*v as u64).replace(".00 ", " ").replace(".0 ", " "),
            &lines,
        )
    })
}

fn rate_chart(outcome: &Outcome) -> Result<String, Box<dyn std::error::Error>> {
    let samples = &outcome.samples;
    let a_second = |i: usize, of: &dyn Fn(&Sample) -> f64| {
        let (before, now) = (samples.get(i.checked_sub(1)?)?, samples.get(i)?);
        let seconds = now.at.as_secs_f64() - before.at.as_secs_f64();
        (seconds > 0.0).then(|| (of(now), of(before), seconds))
    };
    let lines = [
        Line::new("cycles a second", BLUE, |i, _| {
            let (now, before, seconds) = a_second(i, &|s| s.memory.cycles as f64)?;
            Some((now - before) / seconds)
        })
        .filled(),
        Line::new("thousand answers a second", GREEN, |i, _| {
            let (now, _, seconds) = a_second(i, &|s| s.interval.answers as f64)?;
            Some(now / seconds / 1e3)
        }),
        Line::new("thousand packages replaced a second", GREY, |i, _| {
            let (now, before, seconds) = a_second(i, &|s| s.replaced as f64)?;
            Some((now - before) / seconds / 1e3)
        }),
    ];
    let top = top(&lines, samples);
    draw(240, &lines, |area| {
        chart(
            area,
            outcome,
            0.0..top * 1.1,
            "",
            &|v| format!("{v:.0}"),
            &lines,
        )
    })
}

fn top(lines: &[Line<'_>], samples: &[Sample]) -> f64 {
    let points = lines.iter().flat_map(|l| l.points(samples));
    points.map(|(_, value)| value).fold(1.0, f64::max)
}

/// A chart's legend and drawing.
fn draw(
    height: u32,
    lines: &[Line<'_>],
    content: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        content(&area)?;
        area.present()?;
    }
    let mut out = String::from("<figcaption>");
    for Line { name, color, .. } in lines {
        let RGBColor(r, g, b) = color;
        write!(out, "<i style=\"background:rgb({r},{g},{b})\"></i>{name} ")?;
    }
    out += "</figcaption>";
    // The page scales the drawing to its width.
    out += &svg.replacen(&format!("width=\"{WIDTH}\" height=\"{height}\" "), "", 1);
    Ok(out)
}

/// Axes, the lines, the cycles as marks, the moment of the drop.
fn chart<Y>(
    area: &Area<'_>,
    outcome: &Outcome,
    y: Y,
    unit: &str,
    label: &dyn Fn(&f64) -> String,
    lines: &[Line<'_>],
) -> Drawn
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let samples = &outcome.samples;
    let end = samples.last().map_or(1.0, |s| s.at.as_secs_f64());
    let mut context = ChartBuilder::on(area)
        .margin(8)
        .margin_right(18)
        .x_label_area_size(26)
        .y_label_area_size(62)
        .build_cartesian_2d(0.0..end, y)?;
    context
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK.mix(0.4))
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .x_label_formatter(&|v| format!("{v:.0} s"))
        .y_label_formatter(&|v| format!("{} {unit}", label(v)))
        .y_labels(6)
        .draw()?;
    let range: Range<f64> = context.plotting_area().get_y_range();
    for line in lines {
        let points = line.points(samples);
        if line.filled {
            let area = AreaSeries::new(points.clone(), range.start, line.color.mix(0.14));
            context.draw_series(area)?;
        }
        context.draw_series(LineSeries::new(points, line.color.stroke_width(2)))?;
    }
    if let Some(drop) = samples.iter().find(|s| s.dropped) {
        let at = drop.at.as_secs_f64();
        let ends = [(at, range.start), (at, range.end)];
        context.draw_series(DashedLineSeries::new(
            ends,
            6,
            4,
            INK.mix(0.6).stroke_width(1),
        ))?;
    }
    marks(&context, samples, range.start)
}

/// A tick above the time axis for every sample in whose interval a cycle ended.
fn marks<Y: Ranged<ValueType = f64>>(
    context: &ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, Y>>,
    samples: &[Sample],
    bottom: f64,
) -> Drawn {
    let area = context.plotting_area();
    let pairs = samples
        .windows(2)
        .filter(|p| p[1].memory.cycles > p[0].memory.cycles);
    for pair in pairs {
        let at = (pair[1].at.as_secs_f64(), bottom);
        let tick = EmptyElement::at(at) + PathElement::new([(0, 0), (0, -7)], GREY.stroke_width(1));
        area.draw(&tick)?;
    }
    Ok(())
}
