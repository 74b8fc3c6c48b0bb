//! Thousands of connections held by one node: made, kept, and called over.

use anyhow::Context as _;
use serde_json::Value;
use xshell::Shell;

use super::{
    DOCUMENT, document,
    figures::Mode,
    machine::{self, Machine},
    report::number,
    run::{drive_served, program},
};
use crate::step::{Outcome, say};

/// For docs/performance.md; about a minute and a half.
pub(super) const FULL: u32 = 10_000;
/// To see that it runs; a few seconds.
pub(super) const QUICK: u32 = 200;

/// Measures and writes the section of the document.
pub(super) fn run(sh: &Shell, count: u32) -> anyhow::Result<Outcome> {
    let section = measure(sh, count)?;
    say(&section);
    document::replace(sh, "connections", &section)?;
    say(&format!("written: {DOCUMENT}"));
    Ok(Outcome::Done)
}

/// Measures so many connections; the section of the document.
pub(super) fn measure(sh: &Shell, count: u32) -> anyhow::Result<String> {
    say(&format!("{count} connections"));
    let connections = count.to_string();
    // A few connections are done with at once: then seconds say no more than one.
    let (seconds, every) = if count < 1000 {
        ("1", "1")
    } else {
        ("10", "5")
    };
    let watch = machine::Watch::start()?;
    let hold = |address: &str| {
        let mut command = program(Mode::Unpinned)?;
        command.arg("hold").args(address.split_whitespace());
        command.args(["--connections", &connections]);
        command.args(["--seconds", seconds, "--every", every]);
        Ok(command)
    };
    let printed = drive_served(Mode::Unpinned, &["serve-many", &connections], hold)?;
    let found: Value = serde_json::from_str(printed.trim())
        .with_context(|| format!("the program printed something else: {printed}"))?;
    section(&found, &Machine::read(sh, watch.stop()?)?)
}

fn value(found: &Value, name: &str) -> anyhow::Result<f64> {
    let value = found.get(name).and_then(Value::as_f64);
    value.with_context(|| format!("the program printed no {name}"))
}

/// What was measured, in words, and the figures.
fn rows(found: &Value) -> anyhow::Result<Vec<(String, String)>> {
    let value = |name: &str| value(found, name);
    let figure = |name: &str| Ok::<_, anyhow::Error>(number(value(name)?));
    Ok(vec![
        (
            "made, with a first call each, 64 at a time".to_owned(),
            format!(
                "{:.1} s, {} a second; each p50 {} ms, p99 {} ms",
                value("made_in_s")?,
                figure("made_per_second")?,
                figure("made_p50_ms")?,
                figure("made_p99_ms")?
            ),
        ),
        (
            "server memory of each".to_owned(),
            format!("{} KiB", figure("memory_kib")?),
        ),
        (
            "server while nobody calls".to_owned(),
            format!("{:.1} % of one processor", value("idle_cpu")? * 100.0),
        ),
        (
            format!("each calls once in {} s", value("every_s")?),
            format!(
                "{} calls/s; p50 {} µs, p99 {} µs; the server takes {:.1} % of one processor",
                figure("sparse_per_second")?,
                figure("sparse_p50_us")?,
                figure("sparse_p99_us")?,
                value("sparse_cpu")? * 100.0
            ),
        ),
        (
            format!("{} callers, over one after the other", value("callers")?),
            format!(
                "{} calls/s; p50 {} µs, p99 {} µs",
                figure("busy_per_second")?,
                figure("busy_p50_us")?,
                figure("busy_p99_us")?
            ),
        ),
        (
            "all clients stopped and the server knows it".to_owned(),
            format!("{:.1} s", value("closed_in_s")?),
        ),
        (
            "server memory of a tenth as many, made afterwards".to_owned(),
            format!("{} KiB each", figure("again_kib")?),
        ),
    ])
}

/// Everything between the marks.
pub(super) fn section(found: &Value, machine: &Machine) -> anyhow::Result<String> {
    let value = |name: &str| value(found, name);
    let rows = rows(found)?;
    let mut lines = vec![
        format!(
            "Measured {}, commit {}, in {:.0} s, two worker threads in each process; meanwhile other processes kept {:.2} processors busy. \
             {} calls, of which none failed.",
            machine.line,
            machine.commit,
            machine.busy.elapsed.as_secs_f64(),
            machine.busy.others,
            value("calls")?
        ),
        String::new(),
        format!("| {} connections | |", value("connections")?),
        "| --- | --- |".to_owned(),
    ];
    lines.extend(
        rows.into_iter()
            .map(|(what, found)| format!("| {what} | {found} |")),
    );
    Ok(lines.join("\n"))
}
