//! `o trust`: whose keys are remembered as the roots of which names.

use o_address::{Address, PeerId};
use o_node::Trust;
use serde_json::json;

use super::Context;
use crate::{
    cli::{NetworkArgs, TrustArgs, TrustCommand},
    exit::Failure,
    output::{Output, Table},
    paths,
    settings::Settings,
};

/// The file of roots of this user, or the one that the configuration names.
///
/// # Errors
/// There is no home directory, or it cannot be read.
pub(super) fn open(settings: &Settings) -> Result<Trust, Failure> {
    let path = settings.node.hierarchy.trust_file.clone();
    let path = path.or_else(paths::trust_file).ok_or_else(|| {
        Failure::usage("there is no home directory in which the keys of roots are remembered")
    })?;
    let trust = Trust::open(settings.network.value.clone(), Some(path));
    trust.map_err(|error| Failure::usage(error.to_string()))
}

/// Shows or changes what is remembered.
pub(super) fn run(args: TrustArgs, context: &Context<'_>) -> Result<(), Failure> {
    let network = NetworkArgs {
        network: args.network,
        ..NetworkArgs::default()
    };
    let trust = open(&context.client_settings(&network)?)?;
    let output = context.output;
    match args.command.unwrap_or(TrustCommand::List) {
        TrustCommand::List => list(&trust, output),
        TrustCommand::Add { root, key } => {
            check(&root)?;
            let before = trust.root_for(&root).map(|root| root.key);
            trust
                .remember(&root, key)
                .map_err(|error| Failure::usage(error.to_string()))?;
            show(output, &root, Some(key), before)
        }
        TrustCommand::Forget { root } => {
            check(&root)?;
            let before = trust.root_for(&root).map(|root| root.key);
            if before.is_none() {
                let message = format!("no key is remembered for {root}");
                return Err(Failure::not_found(message).hint("`o trust` shows those that are"));
            }
            trust
                .forget(&root)
                .map_err(|error| Failure::usage(error.to_string()))?;
            show(output, &root, None, before)
        }
    }
}

/// # Errors
/// The address is no root.
pub(super) fn check(root: &Address) -> Result<(), Failure> {
    if root.is_node() || root.pin().is_some() || root.name() != root.root().name() {
        let name = root.root();
        let failure = Failure::usage(format!("{root} is no root"));
        return Err(match root.is_node() {
            true => failure,
            false => failure.hint(format!("its root is {name}")),
        });
    }
    Ok(())
}

fn list(trust: &Trust, output: &Output) -> Result<(), Failure> {
    let roots = trust.roots();
    if output.is_json() {
        return roots.iter().try_for_each(|(root, key)| {
            output.value(&json!({ "root": root, "key": key.to_string() }))
        });
    }
    if roots.is_empty() {
        return output.line("no root is remembered");
    }
    let mut table = Table::new(&["ROOT", "KEY"]);
    for (root, key) in roots {
        table.row([root, key.to_string()]);
    }
    output.table(&table)
}

fn show(
    output: &Output,
    root: &Address,
    key: Option<PeerId>,
    before: Option<PeerId>,
) -> Result<(), Failure> {
    if output.is_json() {
        let text = |key: Option<PeerId>| key.map(|key| key.to_string());
        return output.value(&json!({
            "root": root.to_string(),
            "key": text(key),
            "before": text(before),
        }));
    }
    match (key, before) {
        (Some(key), Some(before)) if key != before => {
            output.line(format_args!("{root} is {key} now, and was {before}"))
        }
        (Some(key), _) => output.line(format_args!("{root} is {key}")),
        (None, _) => output.line(format_args!(
            "{root} is forgotten: the next key that is seen is trusted"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roots_have_keys_that_are_remembered() {
        assert!(check(&"o://company".parse().unwrap()).is_ok());
        for name in ["o://company/sales", "o://~"] {
            assert!(check(&name.parse().unwrap()).is_err(), "{name}");
        }
    }
}
