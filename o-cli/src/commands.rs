//! From the words on the command line to the command, and from its end to the exit status.

mod answer;
mod bench;
mod call;
mod completions;
mod config;
mod describe;
mod find;
mod id;
mod key;
mod ls;
mod peers;
mod ping;
mod serve;
mod trust;
mod verify;

use std::{env, path::PathBuf, process::ExitCode};

use clap::{Parser, error::ErrorKind};
use serde_json::json;

pub(crate) use self::ls::drawn;
use crate::{
    cli::{Cli, Command, GlobalArgs, NetworkArgs},
    demo,
    exit::{Exit, Failure},
    logging,
    output::Output,
    paths,
    settings::{Layer, Role, Settings},
    signals::Interrupt,
};

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let output = Output::new(cli.global.json);
    match dispatch(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Help and version are results; everything else is an error, for programs too.
fn not_understood(error: &clap::Error) -> ExitCode {
    let json = env::args_os().any(|argument| argument == "--json");
    let asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if json && !asked_for {
        let text = error.render().to_string();
        let message = text.trim().trim_start_matches("error: ");
        Output::new(true).failure(&Failure::usage(message));
        return Exit::Usage.into();
    }
    if json && error.kind() == ErrorKind::DisplayVersion {
        let version = json!({ "name": "o", "version": env!("CARGO_PKG_VERSION") });
        return match Output::new(true).value(&version) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.exit.into(),
        };
    }
    // It goes where it belongs; if nobody reads there, nobody has to be told.
    let _ = error.print();
    match asked_for {
        true => ExitCode::SUCCESS,
        false => Exit::Usage.into(),
    }
}

fn dispatch(cli: Cli, output: &Output) -> Result<(), Failure> {
    let role = match cli.command {
        Command::Serve(_) => Role::Server,
        _ => Role::Client,
    };
    logging::start(cli.global.log_format, role)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(execute(cli, output));
    // A thread may still wait for standard input.
    runtime.shutdown_background();
    done
}

async fn execute(cli: Cli, output: &Output) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let context = |interrupt| Context {
        output,
        config: global.config.clone(),
        interrupt,
    };
    match command {
        Command::Id(args) => id::run(&args, output),
        Command::Config(args) => config::run(&args, &global, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Demo(args) => demo::run(args, output).await,
        Command::Trust(args) => trust::run(args, &context(Interrupt::watch()?)),
        Command::Key(args) => key::run(args, &context(Interrupt::watch()?)),
        Command::Verify(args) => verify::run(args, context(Interrupt::watch()?)).await,
        Command::Serve(args) => serve::run(args, context(Interrupt::watch()?)).await,
        Command::Call(args) => call::run(args, context(Interrupt::watch()?)).await,
        Command::Find(args) => find::run(args, context(Interrupt::watch()?)).await,
        Command::Ls(args) => ls::run(args, context(Interrupt::watch()?)).await,
        Command::Describe(args) => describe::run(args, context(Interrupt::watch()?)).await,
        Command::Bench(args) => bench::run(args, context(Interrupt::watch()?)).await,
        Command::Peers(args) => peers::peers(args, context(Interrupt::watch()?)).await,
        Command::Status(args) => peers::status(args, context(Interrupt::watch()?)).await,
        Command::Ping(args) => ping::run(args, context(Interrupt::watch()?)).await,
    }
}

/// What every command on the network has.
struct Context<'a> {
    output: &'a Output,
    /// What `--config` says.
    config: Option<PathBuf>,
    interrupt: Interrupt,
}

impl Context<'_> {
    fn client_settings(&self, args: &NetworkArgs) -> Result<Settings, Failure> {
        let layer = Layer::try_from(args)?;
        let mut settings = Settings::load(self.config.as_deref(), layer, Role::Client)?;
        // Names below the roots that this user trusts are believed only with their chains.
        let place = &mut settings.node.hierarchy;
        place.trust_file = place.trust_file.take().or_else(paths::trust_file);
        Ok(settings)
    }
}

/// The flags that name the configuration file.
fn config_flag(global: &GlobalArgs) -> Option<&std::path::Path> {
    global.config.as_deref()
}
