//! `o completions`: what a shell needs to complete the words of this program.

use clap::CommandFactory;

use crate::{
    cli::{Cli, CompletionsArgs},
    exit::Failure,
    output::Output,
};

/// Writes the completions.
pub(super) fn run(args: &CompletionsArgs, output: &Output) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "o", &mut text);
    output.bytes(&text)
}
