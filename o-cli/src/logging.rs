//! Logs, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::{cli::LogFormat, exit::Failure, settings::Role};

/// What a server logs unless `O_LOG` says otherwise: what its operator can act on. What ends a
/// short command is its error, which is not told twice.
const SERVER: &str = "error,o=warn,o_node=warn,o_discovery=warn,o_transport=warn";
const CLIENT: &str = "error";

/// Turns logs on.
///
/// # Errors
/// When `O_LOG` or `O_LOG_FORMAT` cannot be understood.
pub(crate) fn start(format: Option<LogFormat>, role: Role) -> Result<(), Failure> {
    let directives = std::env::var("O_LOG").unwrap_or_default();
    let directives = match directives.trim() {
        "" if role == Role::Server => SERVER,
        "" => CLIENT,
        given => given,
    };
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| Failure::usage(format!("O_LOG: {error}")))?;
    let format = match format {
        Some(format) => format,
        None => format_from_environment()?,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let done = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    done.map_err(|error| Failure::internal(format!("logs: {error}")))
}

fn format_from_environment() -> Result<LogFormat, Failure> {
    match std::env::var("O_LOG_FORMAT").unwrap_or_default().as_str() {
        "" | "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(Failure::usage(format!(
            "O_LOG_FORMAT: {other:?} is neither text nor json"
        ))),
    }
}
