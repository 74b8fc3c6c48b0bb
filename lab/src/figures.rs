//! Small measures, and how the programs speak.

use std::time::Duration;

/// The value that `percent` of the values do not exceed (nearest rank); `None` without values.
pub fn percentile(values: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent.min(100)).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Memory of this process that is in RAM, in bytes; 0 where the system does not tell.
pub fn resident_bytes() -> u64 {
    resident("/proc/self/statm")
}

fn resident(statm: &str) -> u64 {
    // Pages of 4 KiB: the programs of this package run on Linux, x86-64 and AArch64 with 4 KiB pages.
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string(statm).unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .map_or(0, |pages| pages * PAGE)
}

/// The same of another process.
pub(crate) fn resident_bytes_of(pid: u32) -> u64 {
    resident(&format!("/proc/{pid}/statm"))
}

/// Time of the processors that this process has taken, in user and kernel mode; zero where the system
/// does not tell.
pub(crate) fn processor_time() -> Duration {
    // Linux counts it in hundredths of a second for every program.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program may have spaces in it; it ends with the last bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Duration::from_secs_f64(ticks / TICKS)
}

/// Prints a result.
#[expect(clippy::print_stdout, reason = "the output of the programs")]
pub fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

/// Prints progress or a warning.
#[expect(clippy::print_stderr, reason = "the progress of the programs")]
pub fn warn(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// Milliseconds with their fraction.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        let values: Vec<_> = (1..=10).rev().map(Duration::from_secs).collect();
        let seconds = |percent| percentile(&values, percent).map(|time| time.as_secs());
        assert_eq!(seconds(50), Some(5));
        assert_eq!(seconds(99), Some(10));
        assert_eq!(seconds(100), Some(10));
        assert_eq!(seconds(0), Some(1));
        assert_eq!(percentile(&[], 50), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_memory() {
        assert!(resident_bytes() > 100_000);
        let before = processor_time();
        while processor_time() == before {}
    }
}
