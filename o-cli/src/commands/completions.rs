//! `o completions`: what a shell needs to complete the words of this program.

use clap::CommandFactory;
use serde_json::json;

use crate::{
    cli::{Cli, CompletionsArgs},
    exit::Failure,
    output::Output,
};

/// Writes the completions.
pub(super) fn run(args: &CompletionsArgs, output: &Output) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "o", &mut text);
    if output.is_json() {
        let script = String::from_utf8_lossy(&text);
        return output.value(&json!({ "shell": args.shell.to_string(), "script": script }));
    }
    output.bytes(&text)
}
