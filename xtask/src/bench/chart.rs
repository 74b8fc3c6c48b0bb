//! The bar chart: small calls on a logarithmic scale, bulk on a linear one, both pinned.

use std::fmt::Write as _;

use super::{
    contenders,
    figures::{CALLS_64, ECHO_1M, Figures, Mode, Spread, What},
    report::number,
};

const WIDTH: f64 = 1020.0;
const TOP: f64 = 74.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;
/// Where the names end and the first panel begins.
const NAMES: f64 = 232.0;
const PANEL: f64 = 300.0;
const GAP: f64 = 110.0;

/// One half of the picture.
struct Panel {
    title: &'static str,
    what: What,
    left: f64,
    /// The bar that fills the panel, and the one that would be none.
    most: f64,
    least: f64,
    logarithmic: bool,
}

impl Panel {
    fn new(figures: &Figures, title: &'static str, what: What, left: f64) -> Self {
        let most = contenders::ALL
            .iter()
            .filter_map(|contender| figures.get(Mode::Pinned, contender.kind, what))
            .map(|found| found.most)
            .fold(1.0, f64::max);
        Self {
            title,
            what,
            left,
            most,
            least: 0.0,
            logarithmic: false,
        }
    }

    /// From this value on, with a line for each power of ten.
    fn logarithmic(mut self, least: f64) -> Self {
        self.least = least;
        self.most *= 1.2;
        self.logarithmic = true;
        self
    }

    fn x(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.least) / self.least).log10() / (self.most / self.least).log10()
        } else {
            value / self.most
        };
        self.left + part.clamp(0.0, 1.0) * PANEL
    }

    /// Values with a line and a number above.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let mut ticks = vec![self.least];
            while let Some(next) = ticks.last().map(|last| last * 10.0)
                && next <= self.most
            {
                ticks.push(next);
            }
            return ticks;
        }
        let step = 10_f64.powf(self.most.log10().floor());
        let step = match self.most / step {
            few if few < 3.0 => step / 2.0,
            many if many > 6.0 => step * 2.0,
            _ => step,
        };
        (0..)
            .map(|at| f64::from(at) * step)
            .take_while(|at| *at <= self.most)
            .collect()
    }
}

/// The picture.
pub(super) fn draw(figures: &Figures) -> String {
    let height = TOP + ROW * contenders::ALL.len() as f64 + 16.0;
    let second = NAMES + PANEL + GAP;
    let panels = [
        Panel::new(
            figures,
            "calls/s, 100 B, 64 in flight (log)",
            CALLS_64,
            NAMES,
        )
        .logarithmic(1000.0),
        Panel::new(figures, "echo MB/s, 1 MiB, 8 in flight", ECHO_1M, second),
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">One connection, two processes on one processor: medians, lines are ranges</text>\n"
    );
    for panel in &panels {
        axis(&mut svg, panel, height);
    }
    for (row, contender) in contenders::ALL.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        text(&mut svg, (NAMES - 8.0, y + 14.0), "end", contender.label);
        for panel in &panels {
            if let Some(found) = figures.get(Mode::Pinned, contender.kind, panel.what) {
                bar(&mut svg, panel, (y, color(contender.kind)), found);
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn color(kind: &str) -> &'static str {
    match kind {
        kind if kind == contenders::OURS || kind.starts_with("o-") => "#1f77b4",
        kind if kind.starts_with("raw") => "#b0b0b0",
        _ => "#e0a458",
    }
}

fn axis(svg: &mut String, panel: &Panel, height: f64) {
    text(svg, (panel.left, 46.0), "start", panel.title);
    for tick in panel.ticks() {
        let (x, bottom) = (panel.x(tick), height - 12.0);
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"68\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#dddddd\"/>"
        );
        text(svg, (x, 63.0), "middle", &number(tick));
    }
}

fn bar(svg: &mut String, panel: &Panel, (y, color): (f64, &str), found: Spread) {
    let (left, end) = (panel.left, panel.x(found.median));
    let (least, most) = (panel.x(found.least), panel.x(found.most));
    let (width, middle) = (end - left, y + BAR / 2.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\n\
         <line x1=\"{least:.1}\" y1=\"{middle:.1}\" x2=\"{most:.1}\" y2=\"{middle:.1}\" stroke=\"#333333\" stroke-width=\"2\"/>"
    );
    text(svg, (most + 6.0, y + 14.0), "start", &number(found.median));
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{words}</text>"
    );
}
