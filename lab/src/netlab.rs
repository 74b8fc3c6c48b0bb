//! The program `o` between network namespaces: distance and loss, NAT before the caller, NAT before
//! the callee.

mod hub;
mod namespaces;
mod people;
mod topologies;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

pub use self::hub::run as run_hub;
use crate::{say, warn};

/// What one check of the lab found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was tried.
    pub name: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// As it must not.
    Failed,
    /// It could not be tried here.
    Skipped,
    /// It does not work, and nobody claims that it does.
    Limit,
}

impl Verdict {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Limit => "limit",
        }
    }
}

/// Why the lab cannot run here at all, if so, and what would help.
pub fn missing() -> Option<String> {
    let works = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        output.is_ok_and(|output| output.status.success())
    };
    let tools: Vec<_> = [("ip", "-V"), ("nft", "-v"), ("tc", "-V")]
        .into_iter()
        .filter(|(tool, version)| !works(tool, &[version]))
        .map(|(tool, _)| tool)
        .collect();
    if !tools.is_empty() {
        let tools = tools.join(", ");
        return Some(format!(
            "{tools}: not installed, `apt-get install iproute2 nftables`"
        ));
    }
    let name = format!("{}probe", namespaces::prefix());
    let made = works("ip", &["netns", "add", &name]);
    let removed = works("ip", &["netns", "del", &name]);
    (!(made && removed)).then(|| {
        "network namespaces cannot be made: run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"
            .to_owned()
    })
}

/// Runs every topology with the program `o` and writes `lab.json` into `directory`.
///
/// # Errors
/// A namespace cannot be made, or the figures cannot be written.
///
/// # Cancel safety
/// Dropping the future ends every process and removes every namespace.
pub async fn run(o: &Path, directory: &Path) -> anyhow::Result<Vec<Finding>> {
    namespaces::remove_stale();
    let mut findings = topologies::distance(o).await?;
    findings.extend(topologies::nat_before_caller(o).await?);
    findings.extend(topologies::nat_before_callee(o).await?);
    let rows: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "name": finding.name, "verdict": finding.verdict.word(), "seen": finding.seen }))
        .collect();
    std::fs::create_dir_all(directory)?;
    let file: PathBuf = directory.join("lab.json");
    std::fs::write(&file, format!("{:#}\n", Value::from(rows)))?;
    say(format_args!("written: {}", file.display()));
    Ok(findings)
}

/// Notes a finding where it is seen.
fn found(name: &'static str, verdict: Verdict, seen: impl Into<String>) -> Finding {
    let seen = seen.into();
    warn(format_args!("{:<8}{name}: {seen}", verdict.word()));
    Finding {
        name,
        verdict,
        seen,
    }
}
