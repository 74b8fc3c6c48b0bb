//! `ci`: what continuous integration runs, cheap steps first.

use std::time::Instant;

use anyhow::{Context as _, bail};
use xshell::Shell;

use crate::{
    clippy, deny, deps, doc, features, fmt,
    step::{Outcome, say},
    test, tidy,
};

/// One step.
pub(crate) struct Step {
    /// The command of the same name.
    pub(crate) name: &'static str,
    run: fn(&Shell) -> anyhow::Result<Outcome>,
    /// What `--fast` runs instead, if it runs the step at all.
    fast: Option<fn(&Shell) -> anyhow::Result<Outcome>>,
}

/// The steps in their order.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: |sh| fmt::run(sh, true),
        fast: Some(|sh| fmt::run(sh, true)),
    },
    Step {
        name: "tidy",
        run: tidy::run,
        fast: Some(tidy::run),
    },
    Step {
        name: "deps",
        run: deps::run,
        fast: Some(deps::run),
    },
    Step {
        name: "clippy",
        run: |sh| clippy::run(sh, clippy::ALL),
        fast: Some(|sh| clippy::run(sh, clippy::ONE)),
    },
    Step {
        name: "test",
        run: test::run,
        fast: Some(test::run),
    },
    Step {
        name: "doc",
        run: doc::run,
        fast: None,
    },
    Step {
        name: "features",
        run: |sh| features::run(sh, 1),
        fast: None,
    },
    Step {
        name: "deny",
        run: deny::run,
        fast: None,
    },
];

/// Runs the steps and stops at the first that fails.
pub(crate) fn run(sh: &Shell, fast: bool, strict: bool) -> anyhow::Result<Outcome> {
    let mut report = Vec::new();
    for step in STEPS {
        let chosen = if fast { step.fast } else { Some(step.run) };
        let Some(run) = chosen else { continue };
        say(&format!("\n=== {}", step.name));
        let started = Instant::now();
        let outcome = run(sh).with_context(|| {
            format!(
                "the step `{0}` failed; `cargo xtask {0}` repeats it",
                step.name
            )
        })?;
        let seconds = started.elapsed().as_secs_f32();
        report.push(match outcome {
            Outcome::Done => format!("ok       {:<10}{seconds:8.1} s", step.name),
            Outcome::Skipped(reason) if strict => {
                bail!(
                    "the step `{}` was skipped, and --strict allows no skipping: {reason}",
                    step.name
                )
            }
            Outcome::Skipped(reason) => format!("skipped  {:<10}{reason}", step.name),
        });
    }
    say(&format!("\n{}", report.join("\n")));
    Ok(Outcome::Done)
}
