//! Tables, picture and marks, from made-up figures.

use super::{
    chart, connections, document,
    figures::{CALLS_64, Figures, Mode, RTT, Spread},
    instructions, machine, report,
    run::Measured,
    targets,
};

fn line(kind: &str, measure: &str, field: &str, value: f64) -> String {
    let in_flight = if measure == "rtt" { 1 } else { 64 };
    format!(
        r#"{{"kind":"{kind}","measure":"{measure}","bytes":100,"in_flight":{in_flight},"{field}":{value}}}"#
    )
}

fn figures() -> Figures {
    let mut figures = Figures::default();
    // The second round is half as fast for everybody.
    for slow in [1.0, 2.0, 1.0] {
        for (kind, calls) in [("o", 120_000.0), ("tonic", 40_000.0), ("raw-tls", 1e6)] {
            let line = line(kind, "calls", "per_second", calls / slow);
            figures.add(Mode::Pinned, &line).unwrap();
        }
    }
    for (kind, time) in [("o", 20.0), ("tonic", 40.0)] {
        let line = line(kind, "rtt", "p50_us", time);
        figures.add(Mode::Pinned, &line).unwrap();
    }
    figures
}

#[test]
fn a_spread_has_the_middle_and_the_ends() {
    let found = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
    assert_eq!((found.least, found.median, found.most), (1.0, 2.0, 3.0));
    assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().median, 1.5);
    assert_eq!(Spread::of(&[]), None);
}

#[test]
fn ratios_are_taken_round_by_round() {
    let figures = figures();
    let found = figures.ratio(Mode::Pinned, ("o", CALLS_64), ("tonic", CALLS_64));
    let found = found.unwrap();
    assert_eq!((found.least, found.median, found.most), (3.0, 3.0, 3.0));
    assert_eq!(
        figures.get(Mode::Pinned, "o", CALLS_64).unwrap().least,
        60_000.0
    );
    assert_eq!(figures.get(Mode::Unpinned, "o", CALLS_64), None);
    assert_eq!(figures.ratio(Mode::Pinned, ("o", RTT), ("nats", RTT)), None);
}

#[test]
fn reached_missed_and_unmeasured_targets_say_so() {
    let table = targets::table(&figures());
    let row = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
    let missed = row("| calls/s, 64 in flight | pinned | ≥ 6 × tonic");
    assert!(missed.ends_with("3.00 (3.00–3.00) | **no** |"), "{missed}");
    let reached = row("| round trip, p50");
    assert!(
        reached.ends_with("0.500 (0.500–0.500) | yes |"),
        "{reached}"
    );
    let open = row("| calls/s, 512");
    assert!(open.ends_with("not measured | – |"), "{open}");
}

#[test]
fn a_failure_is_noted_once_and_other_output_is_an_error() {
    let mut figures = Figures::default();
    let failed = r#"{"kind":"o","measure":"calls","bytes":100,"in_flight":64,"error":"busy"}"#;
    figures.add(Mode::Pinned, failed).unwrap();
    figures.add(Mode::Pinned, failed).unwrap();
    assert_eq!(figures.failures.len(), 1);
    assert!(figures.failures[0].contains("busy"));
    assert_eq!(figures.get(Mode::Pinned, "o", CALLS_64), None);
    assert!(figures.add(Mode::Pinned, "warning").is_err());
}

#[test]
fn the_section_names_every_contender_and_every_failure() {
    let mut figures = figures();
    figures.fail("nats was skipped".to_owned());
    let section = report::section(&Measured {
        figures,
        machine: machine::Machine::default(),
        rounds: 3,
        seconds: "0.7",
    });
    assert!(section.contains("- nats was skipped"));
    assert!(
        section.contains("| **o, TCP and Noise** | – | 20.0 | 120k (60k–120k) |"),
        "{section}"
    );
    assert!(section.contains("| bare libp2p substream, Noise | – |"));
}

#[test]
fn the_chart_has_a_bar_for_each_figure_and_longer_ones_for_more() {
    let svg = chart::draw(&figures());
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    let widths: Vec<f64> = svg
        .lines()
        .filter(|line| line.starts_with("<rect x="))
        .map(|line| line.split('"').nth(5).unwrap().parse().unwrap())
        .collect();
    // Raw TLS, tonic, ours: the order of the table.
    assert_eq!(widths.len(), 3);
    assert!(widths[0] > widths[2] && widths[2] > widths[1], "{widths:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn only_the_section_between_its_marks_is_replaced() {
    let begin = "<!-- begin a: written by `cargo xtask bench`, not by hand -->";
    let text = format!("before\n{begin}\nold\n<!-- end a -->\nafter\n");
    let new = document::replaced(&text, "a", "new").unwrap();
    assert_eq!(
        new,
        format!("before\n{begin}\n\nnew\n\n<!-- end a -->\nafter\n")
    );
    assert_eq!(document::replaced(&new, "a", "new").unwrap(), new);
    assert_eq!(document::replaced(&text, "b", "new"), None);
}

#[test]
fn many_connections_are_told_in_one_table_and_a_missing_figure_is_named() {
    let mut found = serde_json::json!({
        "connections": 10_000, "made_in_s": 18.33, "made_per_second": 545.5, "made_p50_ms": 116.4, "made_p99_ms": 194.9,
        "memory_kib": 56.9, "idle_cpu": 0.113, "every_s": 5.0, "sparse_per_second": 1999.9, "sparse_p50_us": 430.5,
        "sparse_p99_us": 5703.0, "sparse_cpu": 0.407, "callers": 64, "busy_per_second": 10030.8, "busy_p50_us": 5805.5,
        "busy_p99_us": 17975.0, "closed_in_s": 4.87, "again_kib": 0.7, "calls": 130_423
    });
    let machine = machine::Machine::default();
    let section = connections::section(&found, &machine).unwrap();
    for row in [
        "| 10000 connections | |",
        "18.3 s, 546 a second; each p50 116 ms, p99 195 ms |",
        "| server while nobody calls | 11.3 % of one processor |",
        "| each calls once in 5 s | 2000 calls/s; p50 430 µs, p99 5703 µs; the server takes 40.7 % of one processor |",
        "| 64 callers, over one after the other | 10k calls/s; p50 5806 µs, p99 18k µs |",
    ] {
        assert!(section.contains(row), "{row}\n{section}");
    }
    found["memory_kib"] = serde_json::Value::Null;
    let error = connections::section(&found, &machine).unwrap_err();
    assert!(error.to_string().contains("memory_kib"), "{error}");
}

#[test]
fn the_document_has_every_section() {
    let sh = crate::workspace::shell().unwrap();
    let text = sh.read_file(super::DOCUMENT).unwrap();
    for name in ["measured", "connections", "instructions"] {
        assert!(document::replaced(&text, name, "").is_some(), "{name}");
    }
}

#[test]
fn the_contenders_are_those_of_the_program() {
    let sh = crate::workspace::shell().unwrap();
    let source = sh.read_file("bench/src/contender.rs").unwrap();
    let kinds = source.split("pub(crate) enum Kind {").nth(1).unwrap();
    let kinds = kinds.split('}').next().unwrap();
    let variants = kinds.lines().filter(|line| line.trim_end().ends_with(','));
    assert_eq!(variants.count(), super::contenders::ALL.len());
}

#[test]
fn machine_and_versions_are_read() {
    let cpu = "processor\t: 0\nmodel name\t: Fast\nprocessor\t: 1\nmodel name\t: Fast\n";
    let memory = "MemTotal:       25165824 kB\n";
    assert_eq!(machine::hardware(cpu, memory), "Fast, 2 processors, 24 GiB");
    let lock = "[[package]]\nname = \"tonic\"\nversion = \"0.14.9\"\n";
    assert_eq!(machine::locked(lock), ["tonic 0.14.9"]);
}

#[test]
fn the_count_of_callgrind_is_found() {
    let text = "==7== Events    : Ir\n==7== Collected : 1234\n==7==\n";
    assert_eq!(instructions::collected(text), Some(1234));
    assert_eq!(instructions::collected("nothing"), None);
}

#[test]
fn numbers_have_about_three_digits() {
    let texts = [0.0, 0.123, 12.34, 123.4, 1234.0, 123_456.0, 1_234_567.0].map(report::number);
    assert_eq!(texts, ["0", "0.12", "12.3", "123", "1234", "123k", "1.23M"]);
}
