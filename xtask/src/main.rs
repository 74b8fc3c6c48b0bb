//! The checks of this workspace: `cargo xtask help` lists them, continuous integration runs `cargo xtask ci`.

mod audit;
mod bench;
mod check;
mod ci;
mod clippy;
mod coverage;
mod deny;
mod deps;
mod doc;
mod features;
mod flags;
mod fmt;
mod fuzz_smoke;
mod help;
mod interop;
mod lab;
mod msrv;
mod public_api;
mod release;
mod scenario;
mod soak;
mod step;
mod test;
mod tidy;
mod tree;
mod unused;
mod workspace;

use std::process::ExitCode;

use anyhow::bail;
use flags::XtaskCmd;
use step::Outcome;

fn main() -> ExitCode {
    match run(flags::Xtask::from_env_or_exit()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            step::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(flags: flags::Xtask) -> anyhow::Result<()> {
    let strict = flags.strict;
    let sh = workspace::shell()?;
    let outcome = match flags.subcommand {
        XtaskCmd::Overview(_) | XtaskCmd::Help(_) => help::run(),
        XtaskCmd::Fmt(flags) => fmt::run(&sh, flags.check),
        XtaskCmd::Tidy(_) => tidy::run(&sh),
        XtaskCmd::Deps(_) => deps::run(&sh),
        XtaskCmd::Check(_) => check::run(&sh),
        XtaskCmd::Clippy(_) => clippy::run(&sh, clippy::ALL),
        XtaskCmd::Test(_) => test::run(&sh),
        XtaskCmd::Doc(_) => doc::run(&sh),
        XtaskCmd::Features(flags) => features::run(&sh, flags.depth.unwrap_or(1)),
        XtaskCmd::PublicApi(flags) => public_api::run(&sh, flags.bless),
        XtaskCmd::Deny(_) => deny::run(&sh),
        XtaskCmd::Audit(_) => audit::run(&sh),
        XtaskCmd::Unused(_) => unused::run(&sh),
        XtaskCmd::Msrv(_) => msrv::run(&sh),
        XtaskCmd::Coverage(_) => coverage::run(&sh),
        XtaskCmd::Bench(flags) => bench::run(&sh, &flags),
        XtaskCmd::FuzzSmoke(flags) => fuzz_smoke::run(&sh, flags.seconds),
        XtaskCmd::Ci(flags) => ci::run(&sh, flags.fast, strict),
        XtaskCmd::Interop(_) => interop::run(&sh),
        XtaskCmd::Soak(flags) => soak::run(&sh, flags.minutes, flags.seed),
        XtaskCmd::Scenario(flags) => scenario::run(&sh, flags.name.as_deref()),
        XtaskCmd::Lab(_) => lab::run(&sh),
        XtaskCmd::Release(flags) => release::run(&sh, flags.dry_run),
    }?;
    if let Outcome::Skipped(reason) = outcome {
        if strict {
            bail!("skipped, and --strict allows no skipping: {reason}");
        }
        step::say(&format!("skipped: {reason}"));
    }
    Ok(())
}
