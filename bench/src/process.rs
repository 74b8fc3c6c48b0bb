//! What a process has used so far, from /proc.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Processor time of a process, all threads, user and system. The kernel counts it exactly and shows it in hundredths of a second.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let ticks = ticks(&stat).context("/proc/…/stat has another shape")?;
    let nanoseconds = 1_000_000_000 / rustix::param::clock_ticks_per_second();
    Ok(Duration::from_nanos(ticks * nanoseconds))
}

fn ticks(stat: &str) -> Option<u64> {
    // The name before may contain spaces and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Processor time of this process and of others, in seconds.
pub(crate) fn cpu_of_all(others: &[u32]) -> anyhow::Result<f64> {
    let mut all = cpu(std::process::id())?;
    for process in others {
        all += cpu(*process)?;
    }
    Ok(all.as_secs_f64())
}

/// Resident memory of these processes together, in KiB.
pub(crate) fn resident_kib(processes: &[u32]) -> anyhow::Result<f64> {
    let mut pages = 0_u64;
    for process in processes {
        let statm = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
        let resident = statm.split_whitespace().nth(1);
        pages += resident
            .context("/proc/…/statm is too short")?
            .parse::<u64>()?;
    }
    Ok(pages as f64 * rustix::param::page_size() as f64 / 1024.0)
}

/// Open files beside those of the connections: listeners, pipes, what the runtime has.
const OTHER_FILES: u64 = 64;

/// Makes sure that this process may have so many connections open.
pub(crate) fn allow_connections(connections: usize) -> anyhow::Result<()> {
    let wanted = u64::try_from(connections)? + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "{connections} connections need {wanted} open files, and {} are allowed (`ulimit -Hn`)",
        limit.maximum.unwrap_or_default()
    );
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "42 (a (strange) name) S 1 42 42 0 -1 4194304 1 2 3 4 70 30 5 6 20 0 1 0 99";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("42 (short) S 1"), None);
    }

    #[test]
    fn a_few_connections_are_allowed_and_too_many_are_named() {
        allow_connections(10).unwrap();
        if let Some(maximum) = getrlimit(Resource::Nofile).maximum {
            let error = allow_connections(usize::try_from(maximum).unwrap()).unwrap_err();
            assert!(error.to_string().contains("ulimit"), "{error}");
        }
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(resident_kib(&[std::process::id()]).unwrap() > 100.0);
        cpu_of_all(&[std::process::id()]).unwrap();
    }
}
