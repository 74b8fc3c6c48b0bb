//! The tables of docs/performance.md.

use super::{
    contenders::{self, OURS, RAW_TLS, TONIC},
    figures::{
        CALLS_64, CALLS_512, CPU, ECHO_1M, ECHO_16M, ECHO_64K, Figures, IDLE, MIXED_P50, MIXED_P99,
        Mode, RTT, SETUP, STALLED_BEFORE, STALLED_MEMORY, STALLED_P99, Spread, UPLOAD, What,
    },
    run::Measured,
    targets,
};

const SPEED: &[(&str, What)] = &[
    ("set-up µs", SETUP),
    ("RTT µs", RTT),
    ("calls/s, 64", CALLS_64),
    ("calls/s, 512", CALLS_512),
    ("CPU s per 100k", CPU),
];

const BULK: &[(&str, What)] = &[
    ("echo 64 KiB × 8, MB/s", ECHO_64K),
    ("1 MiB × 8", ECHO_1M),
    ("16 MiB × 4", ECHO_16M),
    ("upload MB/s", UPLOAD),
    ("beside bulk, p50 µs", MIXED_P50),
    ("p99 µs", MIXED_P99),
    ("idle KiB", IDLE),
];

/// Everything between the marks.
pub(super) fn section(measured: &Measured) -> String {
    let Measured {
        figures,
        machine,
        rounds,
        seconds,
    } = measured;
    let busy = machine.busy;
    let mut parts = vec![format!(
        "Measured {}, commit {}, in {:.0} s: {rounds} rounds, each load {seconds} s. The load was {:.1} when it began; meanwhile other \
         processes kept {:.2} processors busy.",
        machine.line,
        machine.commit,
        busy.elapsed.as_secs_f64(),
        busy.load_before,
        busy.others,
    )];
    parts.push(format!("Versions: {}.", machine.versions));
    if !figures.failures.is_empty() {
        parts.push(format!(
            "Failed or skipped:\n\n- {}",
            figures.failures.join("\n- ")
        ));
    }
    parts.push("### Targets".to_owned());
    parts.push(targets::table(figures));
    for mode in Mode::ALL {
        parts.push(format!("### {}", title(mode)));
        parts.push(table(figures, mode, SPEED));
        parts.push(table(figures, mode, BULK));
    }
    parts.push("### Beside raw TLS and tonic of the same rounds, pinned".to_owned());
    parts.push(ratios(figures));
    parts.extend(stalled(figures));
    parts.join("\n\n")
}

fn title(mode: Mode) -> &'static str {
    match mode {
        Mode::Pinned => "Pinned: both processes on one processor, each on one thread",
        Mode::Unpinned => "Unpinned: two worker threads in each process",
    }
}

fn header<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<_> = names.collect();
    vec![
        format!("| | {} |", names.join(" | ")),
        format!("| --- |{}", " --- |".repeat(names.len())),
    ]
}

fn table(figures: &Figures, mode: Mode, columns: &[(&str, What)]) -> String {
    let mut lines = header(columns.iter().map(|(name, _)| *name));
    for contender in contenders::ALL {
        let cells: Vec<_> = columns
            .iter()
            .map(|(_, what)| cell(figures.get(mode, contender.kind, *what)))
            .collect();
        lines.push(row(contender.kind, &cells));
    }
    lines.join("\n")
}

fn row(kind: &str, cells: &[String]) -> String {
    let label = contenders::label(kind);
    let label = if kind == OURS {
        format!("**{label}**")
    } else {
        label.to_owned()
    };
    format!("| {label} | {} |", cells.join(" | "))
}

/// The median, and the range behind it where there is one.
fn cell(found: Option<Spread>) -> String {
    let Some(found) = found else {
        return "–".to_owned();
    };
    let range = [found.least, found.most].map(number);
    let [least, most] = &range;
    if least == most {
        number(found.median)
    } else {
        format!("{} ({least}–{most})", number(found.median))
    }
}

/// Three digits or so, thousands as k, millions as M.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e6 => format!("{:.2}M", value / 1e6),
        size if size >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn ratios(figures: &Figures) -> String {
    let columns = [
        ("calls/s, 64: × raw TLS", CALLS_64, RAW_TLS),
        ("× tonic", CALLS_64, TONIC),
        ("calls/s, 512: × tonic", CALLS_512, TONIC),
        ("RTT: × tonic", RTT, TONIC),
        ("CPU: × tonic", CPU, TONIC),
        ("echo 1 MiB: × raw TLS", ECHO_1M, RAW_TLS),
        ("upload: × raw TLS", UPLOAD, RAW_TLS),
    ];
    let mut lines = header(columns.iter().map(|(name, ..)| *name));
    for contender in contenders::ALL {
        let kind = contender.kind;
        let cells: Vec<_> = columns
            .iter()
            .map(|(_, what, other)| {
                cell(figures.ratio(Mode::Pinned, (kind, *what), (other, *what)))
            })
            .collect();
        lines.push(row(kind, &cells));
    }
    lines.join("\n")
}

/// What a stream that nobody reads does to the calls beside it.
fn stalled(figures: &Figures) -> Option<String> {
    let get = |what| {
        figures
            .get(Mode::Pinned, OURS, what)
            .map(|found| found.median)
    };
    let (before, after) = (get(STALLED_BEFORE)?, get(STALLED_P99)?);
    Some(format!(
        "A stream that nobody reads, beside 64 callers on the same connection, pinned: their p99 is {} µs without it and {} µs with it; the \
         server grows by {} KiB.",
        number(before),
        number(after),
        number(get(STALLED_MEMORY)?)
    ))
}
