//! Settings from `O_*` variables.

use std::{fmt::Display, str::FromStr};

use o_node::Preset;

use super::{
    Gate, Layer,
    excerpt::{brief, quoted},
    file::{GateName, PresetName},
    layer::{key, peers},
};
use crate::{exit::Failure, values};

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
        unix_plaintext: parsed("O_UNIX_PLAINTEXT", text("O_UNIX_PLAINTEXT"), |text| {
            text.parse().map_err(|_| "write true or false")
        })?,
        key: key(text("O_KEY").map(Into::into), text("O_SEED"))?,
        gate: one::<GateName>("O_GATE", text("O_GATE"))?.map(Gate::from),
        peers: peers(
            many("O_ALLOW", text("O_ALLOW"))?,
            many("O_DENY", text("O_DENY"))?,
        )?,
        capabilities: many("O_CAPABILITIES", text("O_CAPABILITIES"))?,
        specialisations: many("O_SPECIALISATIONS", text("O_SPECIALISATIONS"))?,
        labels: many("O_LABELS", text("O_LABELS"))?,
        description: text("O_DESCRIPTION"),
        max_connections: parsed(
            "O_MAX_CONNECTIONS",
            text("O_MAX_CONNECTIONS"),
            values::number::<usize>(1.., 512),
        )?,
        call_timeout: parsed("O_TIMEOUT", text("O_TIMEOUT"), values::time)?,
        ..Layer::default()
    })
}

fn wrong(name: &str, value: &str, error: impl Display) -> Failure {
    let (value, error) = (quoted(value), brief(&error.to_string()));
    Failure::usage(format!("{name}: {value}: {error}"))
}

fn one<T: FromStr<Err: Display>>(name: &str, text: Option<String>) -> Result<Option<T>, Failure> {
    parsed(name, text, str::parse)
}

fn parsed<T, E: Display>(
    name: &str,
    text: Option<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    let value = |text: String| {
        let text = text.trim();
        parse(text).map_err(|error| wrong(name, text, error))
    };
    text.map(value).transpose()
}

/// Values separated by commas or white space.
fn many<T: FromStr<Err: Display>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<Vec<T>>, Failure> {
    let parse = |text: String| {
        text.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().map_err(|error| wrong(name, part, error)))
            .collect()
    };
    text.map(parse).transpose()
}
