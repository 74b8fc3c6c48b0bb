//! Line plots as SVG, written by hand: two axes, a grid, a legend.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
const COLORS: [&str; 6] = [
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf",
];

/// Points of a line that are drawn as dots, too.
const MAX_DOTS: usize = 64;

/// Points that belong together, in the order in which they are joined.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// x and y of each point.
    pub points: Vec<(f64, f64)>,
}

/// A plot with lines.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What is to the right, with the unit.
    pub x: String,
    /// What is up, with the unit.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// Maps values to positions.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    fn at(self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        self.start + part * (self.end - self.start)
    }
}

/// Round numbers from 0 (or the next below `low`) up to `high` and one beyond, about five of them.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = (high - low).max(1e-9);
    let rough = span / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power);
    let first = (low / step).floor();
    let last = (high / step).ceil().max(first + 1.0);
    let mut ticks = Vec::new();
    let mut at = first;
    while at <= last && ticks.len() < 50 {
        ticks.push(at * step);
        at += 1.0;
    }
    ticks
}

/// The text of a tick without needless digits.
fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn text(svg: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    let text = escape(text);
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{text}</text>"#
    );
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        r##"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="#ddd"/>"##
    );
}

impl Plot {
    /// The whole image.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let bounds = |pick: fn(&(f64, f64)) -> f64| {
            let low = points().map(pick).fold(0.0, f64::min);
            let high = points().map(pick).fold(f64::MIN_POSITIVE, f64::max);
            ticks(low, high)
        };
        let (across, up) = (bounds(|point| point.0), bounds(|point| point.1));
        let scale = |ticks: &[f64], start, end| Scale {
            low: ticks.first().copied().unwrap_or(0.0),
            high: ticks.last().copied().unwrap_or(1.0),
            start,
            end,
        };
        let x = scale(&across, LEFT, WIDTH - RIGHT);
        let y = scale(&up, HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        for tick in across {
            let at = x.at(tick);
            line(&mut svg, (at, y.start), (at, y.end));
            let middle = r#"text-anchor="middle""#;
            text(&mut svg, at, y.start + 18.0, middle, &label(tick));
        }
        for tick in up {
            let at = y.at(tick);
            line(&mut svg, (x.start, at), (x.end, at));
            let end = r#"text-anchor="end""#;
            text(&mut svg, x.start - 8.0, at + 4.0, end, &label(tick));
        }
        let middle = (x.start + x.end) / 2.0;
        let centered = r#"text-anchor="middle""#;
        text(&mut svg, middle, HEIGHT - 18.0, centered, &self.x);
        let title = r#"text-anchor="middle" font-size="15""#;
        text(&mut svg, middle, 26.0, title, &self.title);
        text(&mut svg, 12.0, TOP - 12.0, "", &self.y);
        for (index, series) in self.series.iter().enumerate() {
            let color = COLORS[index % COLORS.len()];
            series.draw(&mut svg, x, y, color);
            let row = TOP + 20.0 * index as f64;
            let fill = format!(r#"fill="{color}""#);
            text(&mut svg, x.end + 16.0, row, &fill, &series.name);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Series {
    fn draw(&self, svg: &mut String, x: Scale, y: Scale, color: &str) {
        let joined: Vec<_> = self
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x.at(point.0), y.at(point.1)))
            .collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2"/>"#,
            joined.join(" ")
        );
        // So many dots would only be a thicker line.
        let dots = match self.points.len() {
            0..=MAX_DOTS => &self.points[..],
            _ => &[],
        };
        for point in dots {
            let (cx, cy) = (x.at(point.0), y.at(point.1));
            let _ = writeln!(
                svg,
                r#"<circle cx="{cx:.1}" cy="{cy:.1}" r="3" fill="{color}"/>"#
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        assert_eq!(ticks(0.0, 64.0), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(ticks(0.0, 5.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let small = ticks(0.0, 0.0);
        assert!(small.len() >= 2, "{small:?}");
        assert_eq!(
            [label(0.0), label(2.5), label(100.0), label(0.25)],
            ["0", "2.5", "100", "0.25"]
        );
    }

    #[test]
    fn a_scale_maps_its_ends_to_its_ends() {
        let scale = Scale {
            low: 0.0,
            high: 10.0,
            start: 400.0,
            end: 0.0,
        };
        assert_eq!(
            [scale.at(0.0), scale.at(5.0), scale.at(10.0)],
            [400.0, 200.0, 0.0]
        );
    }

    #[test]
    fn every_point_is_drawn_and_text_is_escaped() {
        let plot = Plot {
            title: "a < b & c".into(),
            series: vec![Series {
                name: "p50".into(),
                points: vec![(4.0, 1.0), (8.0, 3.0)],
            }],
            ..Plot::default()
        };
        let svg = plot.svg();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a &lt; b &amp; c") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN"), "{svg}");
        assert!(!Plot::default().svg().contains("NaN"));
    }
}
