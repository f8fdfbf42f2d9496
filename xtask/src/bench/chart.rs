//! The chart of the latency curve: an SVG that this module writes.
//!
//! Invariant: both axes are logarithmic, all points are inside, and the chart is readable on light and on dark.

use std::fmt::Write as _;

use super::{
    curve::{Line, Point},
    target::{Kind, Work},
};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 90.0;
const BOTTOM: f64 = 400.0;

/// Colours that are visible on white and on black; the text follows the reader's colour scheme.
const STYLE: &str = "<style>\n\
    text { font: 13px sans-serif; fill: #24292f }\n\
    .grid { stroke: #8888; stroke-width: 0.5 }\n\
    .line { fill: none; stroke-width: 2 }\n\
    .get { stroke-dasharray: 6 4 }\n\
    .small { font-size: 10px }\n\
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }\n\
    </style>\n";

pub(super) fn svg(lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let x = Axis::around(points().map(|point| point.rate), LEFT, RIGHT);
    let y = Axis::around(points().map(|point| point.p99_ms), BOTTOM, TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>p99 by calls a second, from 1 to 128 connections</title>\n{STYLE}"
    );
    svg += &grid(&x, &y);
    for line in lines {
        svg += &polyline(line, &x, &y);
    }
    svg += &legend(lines);
    svg + "</svg>\n"
}

/// A logarithmic axis from one place of the picture to another.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Returns an axis that begins and ends at a mark, with all values inside.
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let marks = marks();
        let low = marks.iter().rev().find(|mark| **mark <= low).copied().unwrap_or(marks[0]);
        let high = marks.iter().find(|mark| **mark >= high && **mark > low).copied();
        Self { low, high: high.unwrap_or(low * 10.0), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn marks(&self) -> Vec<f64> {
        marks().into_iter().filter(|mark| (self.low..=self.high).contains(mark)).collect()
    }
}

/// Returns 1, 2 and 5 of every power of ten that a rate or a time may have.
fn marks() -> Vec<f64> {
    let powers = (-3..7).map(|power| 10_f64.powi(power));
    powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * power)).collect()
}

fn grid(x: &Axis, y: &Axis) -> String {
    let mut svg = String::new();
    for mark in x.marks() {
        let place = x.place(mark);
        put(&mut svg, format_args!("<path class=\"grid\" d=\"M{place:.1} {TOP}V{BOTTOM}\"/>"));
        let below = BOTTOM + 18.0;
        let at = format_args!("x=\"{place:.1}\" y=\"{below}\" text-anchor=\"middle\"");
        put(&mut svg, format_args!("<text {at}>{}</text>", label(mark)));
    }
    for mark in y.marks() {
        let place = y.place(mark);
        put(&mut svg, format_args!("<path class=\"grid\" d=\"M{LEFT} {place:.1}H{RIGHT}\"/>"));
        let (beside, middle) = (LEFT - 8.0, place + 4.0);
        let at = format_args!("x=\"{beside}\" y=\"{middle:.1}\" text-anchor=\"end\"");
        put(&mut svg, format_args!("<text {at}>{}</text>", label(mark)));
    }
    let (middle, bottom) = ((LEFT + RIGHT) / 2.0, HEIGHT - 18.0);
    let at = format_args!("x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\"");
    put(&mut svg, format_args!("<text {at}>calls a second</text>"));
    let middle = (TOP + BOTTOM) / 2.0;
    let at =
        format_args!("transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\"");
    put(&mut svg, format_args!("<text {at}>p99, milliseconds</text>"));
    svg
}

/// Draws a line, with the number of connections at both of its ends.
fn polyline(line: &Line, x: &Axis, y: &Axis) -> String {
    let (colour, class) = (colour(line.kind), line.work.name());
    let place = |point: &Point| (x.place(point.rate), y.place(point.p99_ms));
    let places: Vec<(f64, f64)> = line.points.iter().map(place).collect();
    let joined: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let mut svg = String::new();
    let points = joined.join(" ");
    put(
        &mut svg,
        format_args!("<polyline class=\"line {class}\" stroke=\"{colour}\" points=\"{points}\"/>"),
    );
    for (index, ((x, y), point)) in places.iter().zip(&line.points).enumerate() {
        put(
            &mut svg,
            format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"),
        );
        if index == 0 || index + 1 == places.len() {
            let at = format_args!("x=\"{:.1}\" y=\"{:.1}\"", x + 5.0, y - 5.0);
            put(&mut svg, format_args!("<text class=\"small\" {at}>{}</text>", point.connections));
        }
    }
    svg
}

/// Draws a row for each kind of call, and a column for each target.
fn legend(lines: &[Line]) -> String {
    let mut svg = String::new();
    let mut kinds: Vec<Kind> = lines.iter().map(|line| line.kind).collect();
    kinds.dedup();
    for (column, kind) in kinds.into_iter().enumerate() {
        for (row, work) in [Work::Save, Work::Get].into_iter().enumerate() {
            let (left, top) = (LEFT + column as f64 * 225.0, 24.0 + row as f64 * 20.0);
            let (class, colour) = (work.name(), colour(kind));
            let path = format_args!("M{left} {top}h34");
            put(
                &mut svg,
                format_args!("<path class=\"line {class}\" stroke=\"{colour}\" d=\"{path}\"/>"),
            );
            let at = format_args!("x=\"{}\" y=\"{}\"", left + 42.0, top + 4.0);
            put(&mut svg, format_args!("<text {at}>{}: {}</text>", kind.name(), work.name()));
        }
    }
    let at = format_args!("class=\"small\" x=\"{LEFT}\" y=\"{}\"", TOP - 18.0);
    put(&mut svg, format_args!("<text {at}>The numbers at the points are connections.</text>"));
    svg
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "#2f81f7",
        Kind::Postgres => "#db6d28",
        Kind::Transactions | Kind::Bare | Kind::Pgbench => "#3fa34d",
    }
}

fn label(mark: f64) -> String {
    if mark >= 1000.0 { format!("{}k", mark / 1000.0) } else { format!("{mark}") }
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ratios_are_equal_distances_and_all_is_inside() {
        let axis = Axis::around([130.0, 90.0, 7000.0].into_iter(), LEFT, RIGHT);
        assert_eq!((axis.low, axis.high), (50.0, 10_000.0));
        let step = |value: f64| axis.place(value * 10.0) - axis.place(value);
        assert!((step(100.0) - step(500.0)).abs() < 1e-6);
        assert!((axis.place(50.0) - LEFT).abs() < 1e-6);
        assert!((axis.place(10_000.0) - RIGHT).abs() < 1e-6);
    }

    #[test]
    fn each_target_has_a_line_for_each_call() {
        let points = vec![
            Point { connections: 1, rate: 500.0, p99_ms: 2.5 },
            Point { connections: 128, rate: 9000.0, p99_ms: 31.0 },
        ];
        let line = |work| Line { kind: Kind::Sqlite, work, points: points.clone() };
        let svg = svg(&[line(Work::Save), line(Work::Get)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches("Latchkey, SQLite").count(), 2, "one legend for each call");
        assert_eq!(svg.matches(">128</text>").count(), 2);
    }
}
