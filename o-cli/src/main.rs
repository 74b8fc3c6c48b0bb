//! The program `o`: serve, find and call agents from a shell.

mod cli;
mod commands;
mod control;
mod deadline;
mod demo;
mod echo;
mod exec;
mod exit;
mod json_text;
mod logging;
mod network;
mod output;
mod paths;
mod runtime_dir;
mod settings;
mod signals;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Not a command for people: a server starts it for itself.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == exec::WARDEN)
    {
        return exec::be_warden();
    }
    commands::run()
}
