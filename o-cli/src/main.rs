//! The program `o`: serve, find and call agents from a shell.

mod cli;
mod commands;
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

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run()
}
