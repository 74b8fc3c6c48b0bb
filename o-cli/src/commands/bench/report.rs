//! What was measured: a table and a picture for people, lines of JSON for programs.

use std::time::Duration;

use o_node::Samples;
use serde::Serialize;

use super::{picture, plan::Step};
use crate::{
    cli::Measure,
    exit::Failure,
    output::{Output, Style, Table},
};

/// Bars of the histogram, at most.
const BARS: usize = 12;

/// One figure, as a line of JSON. What has no meaning for a measure is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    measure: &'static str,
    /// Of a body; of an upload, in all.
    bytes: u64,
    in_flight: usize,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    per_second: Option<f64>,
    mb_per_second: Option<f64>,
    /// Whether the connection was not encrypted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    plaintext: bool,
}

impl Row {
    pub(super) fn new(step: Step, samples: &Samples) -> Self {
        let upload = step.measure == Measure::Upload;
        let setup = step.measure == Measure::Setup;
        let quantile = |part| {
            let micros = samples.quantile(part).as_secs_f64() * 1e6;
            (!upload).then(|| rounded(micros))
        };
        Self {
            measure: step.measure.name(),
            bytes: if upload { samples.bytes() } else { step.bytes },
            in_flight: step.in_flight,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            per_second: (!upload).then(|| rounded(samples.per_second())),
            plaintext: false,
            mb_per_second: (!setup).then(|| rounded(samples.bytes_per_second() / 1e6)),
        }
    }

    fn cells(&self) -> [String; 7] {
        let micros = |us: Option<f64>| {
            let time_of = |us: f64| time(Duration::from_secs_f64(us / 1e6));
            us.map_or("-".to_owned(), time_of)
        };
        let amount = |amount: Option<f64>| amount.map_or("-".to_owned(), figure);
        [
            self.measure.to_owned(),
            size(self.bytes),
            self.in_flight.to_string(),
            micros(self.p50_us),
            micros(self.p99_us),
            amount(self.per_second),
            amount(self.mb_per_second),
        ]
    }
}

/// Everything that was measured so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    output: &'a Output,
    rows: Vec<Row>,
    round_trips: Option<Samples>,
    plaintext: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            rows: Vec::new(),
            round_trips: None,
            plaintext: false,
        }
    }

    /// Says whether the connection that is measured from now on is not encrypted.
    pub(super) fn is_plaintext(&mut self, plaintext: bool) {
        self.plaintext = plaintext;
    }

    /// Takes a figure; programs get it at once. One without any call is none.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(super) fn add(&mut self, step: Step, samples: Samples) -> Result<(), Failure> {
        if samples.count() == 0 {
            return Ok(());
        }
        let row = Row {
            plaintext: self.plaintext,
            ..Row::new(step, &samples)
        };
        if self.output.is_json() {
            return self.output.value(&row);
        }
        if step.measure == Measure::Rtt {
            self.round_trips = Some(samples);
        }
        self.rows.push(row);
        Ok(())
    }

    /// Writes the table and the picture, if there is anything to show.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.output.table(&table(&self.rows))?;
        if self.rows.iter().any(|row| row.plaintext) {
            let line = "in plaintext: a Unix socket between two processes of this user";
            self.output.line(line)?;
        }
        let Some(samples) = self.round_trips else {
            return Ok(());
        };
        self.output.line("")?;
        let head = format!("Round trips: {}", samples.count());
        self.output.line(self.output.paint(Style::Bold, head))?;
        let lines = picture::draw(&samples.bars(BARS), self.output.columns());
        lines.iter().try_for_each(|line| self.output.line(line))
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "MEASURE",
        "SIZE",
        "IN FLIGHT",
        "P50",
        "P99",
        "PER SECOND",
        "MB/S",
    ]);
    rows.iter().for_each(|row| table.row(row.cells()));
    table
}

/// Three digits after the point: more are noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A time for people.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * 1024;
    match bytes {
        MIB.. => format!("{} MiB", bytes / MIB),
        KIB.. => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} B"),
    }
}

/// A number for people: with spaces between its thousands, or two digits after the point if small.
fn figure(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn samples() -> Samples {
        let mut samples = Samples::new();
        (0..4).for_each(|_| samples.add(Duration::from_millis(250), 1_000_000));
        samples
    }

    fn step(measure: Measure) -> Step {
        Step {
            measure,
            bytes: 1_000_000,
            in_flight: 8,
        }
    }

    #[test]
    fn a_line_of_json_has_exactly_the_documented_keys() {
        let json = serde_json::to_string(&Row::new(step(Measure::Echo), &samples())).unwrap();
        let keys: Vec<_> = json.split('"').skip(1).step_by(2).collect();
        let expected = [
            "measure",
            "echo",
            "bytes",
            "in_flight",
            "p50_us",
            "p99_us",
            "per_second",
            "mb_per_second",
        ];
        assert_eq!(keys, expected, "{json}");
        let upload = serde_json::to_value(Row::new(step(Measure::Upload), &samples())).unwrap();
        assert_eq!(
            upload,
            json!({"measure": "upload", "bytes": 4_000_000, "in_flight": 8, "p50_us": null,
                "p99_us": null, "per_second": null, "mb_per_second": 4.0})
        );
        let setup = serde_json::to_value(Row::new(step(Measure::Setup), &samples())).unwrap();
        assert_eq!(
            (&setup["per_second"], &setup["mb_per_second"]),
            (&json!(4.0), &json!(null))
        );
    }

    #[test]
    fn the_table_is_for_people() {
        let rows = [
            Row::new(step(Measure::Echo), &samples()),
            Row::new(step(Measure::Upload), &samples()),
        ];
        let lines = table(&rows).lines();
        assert_eq!(
            lines,
            [
                "MEASURE  SIZE     IN FLIGHT  P50        P99        PER SECOND  MB/S",
                "echo     976 KiB  8          250.09 ms  250.09 ms  4.00        4.00",
                "upload   3 MiB    8          -          -          -           4.00",
            ]
        );
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(figure(99.994), "99.99");
        assert_eq!(figure(100.0), "100");
        assert_eq!(figure(1_234_567.2), "1 234 567");
        assert_eq!(time(Duration::from_nanos(21_540)), "21.5 µs");
        assert_eq!(time(Duration::from_micros(1_500)), "1.50 ms");
        assert_eq!(time(Duration::from_millis(2_500)), "2.50 s");
        assert_eq!(
            [size(100), size(65536), size(1 << 24)],
            ["100 B", "64 KiB", "16 MiB"]
        );
    }
}
