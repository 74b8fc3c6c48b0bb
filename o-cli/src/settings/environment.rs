//! Settings from `O_*` variables.

use std::{fmt::Display, str::FromStr};

use o_node::Preset;

use super::{
    Gate, Layer,
    file::{GateName, PresetName},
    layer::{key, peers},
};
use crate::exit::Failure;

/// Reads the variables; one that is empty says nothing.
///
/// # Errors
/// Names the variable that cannot be understood.
pub(super) fn layer(variable: impl Fn(&str) -> Option<String>) -> Result<Layer, Failure> {
    let text = |name: &str| variable(name).filter(|value| !value.is_empty());
    Ok(Layer {
        preset: one::<PresetName>("O_PRESET", text("O_PRESET"))?.map(Preset::from),
        network: one("O_NETWORK", text("O_NETWORK"))?,
        listen: many("O_LISTEN", text("O_LISTEN"))?,
        bootstrap: many("O_BOOTSTRAP", text("O_BOOTSTRAP"))?,
        unix_plaintext: one("O_UNIX_PLAINTEXT", text("O_UNIX_PLAINTEXT"))?,
        key: key(text("O_KEY").map(Into::into), text("O_SEED"))?,
        gate: one::<GateName>("O_GATE", text("O_GATE"))?.map(Gate::from),
        peers: peers(
            many("O_ALLOW", text("O_ALLOW"))?,
            many("O_DENY", text("O_DENY"))?,
        )?,
        capabilities: many("O_CAPABILITIES", text("O_CAPABILITIES"))?,
        max_connections: one("O_MAX_CONNECTIONS", text("O_MAX_CONNECTIONS"))?,
        call_timeout: text("O_TIMEOUT")
            .map(|value| humantime::parse_duration(&value).map_err(|e| wrong("O_TIMEOUT", e)))
            .transpose()?,
        ..Layer::default()
    })
}

fn wrong(name: &str, error: impl Display) -> Failure {
    Failure::usage(format!("{name}: {error}"))
}

fn one<T: FromStr<Err: Display>>(name: &str, text: Option<String>) -> Result<Option<T>, Failure> {
    text.map(|text| text.trim().parse().map_err(|error| wrong(name, error)))
        .transpose()
}

/// Values separated by commas or white space.
fn many<T: FromStr<Err: Display>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<Vec<T>>, Failure> {
    let parse = |text: String| {
        text.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().map_err(|error| wrong(name, error)))
            .collect()
    };
    text.map(parse).transpose()
}
