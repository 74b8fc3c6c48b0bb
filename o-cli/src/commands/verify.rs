//! `o verify`: who signed that a name is whose, from the root's key down.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::StreamExt as _;
use o_address::{Address, PeerId};
use o_core::{Chain, ErrorCode, Query, SignedRecord};
use o_node::{EnvelopeVerifier, HierarchyConfig, RootOfTrust, verify_record, verify_record_chain};
use serde::Deserialize;
use serde_json::json;

use super::{Context, trust};
use crate::{
    cli::VerifyArgs,
    deadline::Deadline,
    exit::{Exit, Failure},
    network::{Errand, with_client},
    output::Output,
    settings::Settings,
};

/// How long a search takes at most.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest file that is read, in bytes: a record in base64 and what else `--json` writes about it.
const MAX_FILE: u64 = 64 << 10;

/// Checks everybody who has the name, or the record in a file. Done if one of them was given it.
pub(super) async fn run(args: VerifyArgs, context: Context<'_>) -> Result<(), Failure> {
    let settings = context.client_settings(&args.network)?;
    let records = match (&args.record, &args.address) {
        (Some(path), _) => vec![read(path, &settings)?],
        (None, Some(address)) => found(&args, address, &settings, &context).await?,
        (None, None) => return Err(Failure::usage("give an address or --record")),
    };
    let Some(first) = records.first() else {
        let name = args.address.as_ref().map_or("it", |address| address.name());
        return Err(Failure::not_found(format!("nobody found at {name}")));
    };
    let root = root(&args, &first.record().address, &settings)?;
    let mut refusal = None;
    let mut holds = false;
    for record in &records {
        let checked =
            verify_record_chain(record.record(), &root, &EnvelopeVerifier, SystemTime::now());
        let checked = checked.map_err(|error| error.to_string());
        show(context.output, record, &root, checked.as_ref())?;
        match checked {
            Ok(_) => holds = true,
            Err(reason) => refusal = refusal.or(Some((record.record().peer, reason))),
        }
    }
    match refusal.filter(|_| !holds) {
        Some((peer, reason)) => {
            let message = format!("not certified: {reason}");
            let failure = Failure::new(Exit::Refused, ErrorCode::Refused, message);
            Err(failure.about(Some(peer)))
        }
        None => Ok(()),
    }
}

/// The key from which the chain must lead.
fn root(args: &VerifyArgs, address: &Address, settings: &Settings) -> Result<RootOfTrust, Failure> {
    if let Some(key) = args.root_key {
        return Ok(RootOfTrust::new(address.root(), key));
    }
    let remembered = trust::open(settings)?.root_for(address);
    remembered.ok_or_else(|| {
        let root = address.root();
        let failure = Failure::usage(format!("no key is remembered for {root}"));
        failure.hint(format!("give --root-key, or `o trust add {root} PEER`"))
    })
}

/// The records of everybody who confirms that they have the name, whether or not it was given to them.
async fn found(
    args: &VerifyArgs,
    address: &Address,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Vec<SignedRecord>, Failure> {
    let deadline = Deadline::of_command(args.timeout.unwrap_or(TIMEOUT));
    // What holds is judged here.
    let mut settings = settings.clone();
    settings.node.hierarchy = HierarchyConfig::default();
    let errand = Errand {
        interrupt: &context.interrupt,
        deadline,
        target: Some(address),
    };
    let found = async |client: &crate::network::Client| {
        let mut records = Vec::new();
        let mut providers = client.node().find(Query::Name(address.clone()));
        while let Some(provider) = providers.next().await {
            match provider {
                Ok(provider) => records.extend(provider.record),
                Err(error) if records.is_empty() => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(records)
    };
    with_client(&settings, &args.network, errand, found).await
}

/// What `--json` wrote.
#[derive(Deserialize)]
struct Written {
    record: String,
}

/// The record in a file, signed by whom it says.
fn read(path: &Path, settings: &Settings) -> Result<SignedRecord, Failure> {
    let from: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(|error| {
            Failure::usage(error.to_string()).context(format_args!("{}", path.display()))
        })?),
    };
    let bad = |reason: String| {
        let failure = Failure::usage(reason).context(format_args!("{}", path.display()));
        failure.hint("`o verify ADDRESS --json` writes such a file")
    };
    let mut text = String::new();
    from.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|error| bad(error.to_string()))?;
    let mut all = serde_json::Deserializer::from_str(&text).into_iter::<Written>();
    let written = all
        .next()
        .unwrap_or_else(|| Err(serde::de::Error::custom("the file is empty")));
    let written = written.map_err(|error| bad(error.to_string()))?;
    let envelope = STANDARD.decode(written.record.trim());
    let envelope = envelope.map_err(|error| bad(error.to_string()))?;
    let network = &settings.network.value;
    let record = verify_record(
        Bytes::from(envelope),
        &EnvelopeVerifier,
        SystemTime::now(),
        network,
    );
    record.map_err(|error| bad(error.to_string()))
}

fn show(
    output: &Output,
    record: &SignedRecord,
    root: &RootOfTrust,
    checked: Result<&Chain, &String>,
) -> Result<(), Failure> {
    let said = record.record();
    if output.is_json() {
        return output.value(&json!({
            "address": said.address.to_string(),
            "peer_id": said.peer.to_string(),
            "root": root.name.to_string(),
            "root_key": root.key.to_string(),
            "certified": checked.is_ok(),
            "reason": checked.err(),
            "chain": checked.map_or_else(|_| Vec::new(), links),
            "record": STANDARD.encode(record.envelope()),
        }));
    }
    let verdict = match checked {
        Ok(_) => "holds".to_owned(),
        Err(reason) => format!("does not hold: {reason}"),
    };
    output.line(format_args!("{} is {}: {verdict}", said.address, said.peer))?;
    let Ok(chain) = checked else {
        return Ok(());
    };
    output.line(format_args!("  {} is {}", root.name, root.key))?;
    for link in links(chain) {
        output.line(format_args!(
            "  {} says that {} is {}",
            link.by, link.name, link.to
        ))?;
    }
    Ok(())
}

/// One signature of a chain.
#[derive(serde::Serialize)]
struct Link {
    by: PeerId,
    name: String,
    to: PeerId,
}

fn links(chain: &Chain) -> Vec<Link> {
    let successors = chain.successors().iter().map(|next| {
        let next = next.successor();
        Link {
            by: next.old,
            name: next.root.to_string(),
            to: next.new,
        }
    });
    let delegations = chain.delegations().iter().map(|next| {
        let next = next.delegation();
        Link {
            by: next.issuer,
            name: format!("{}/**", next.subtree),
            to: next.subject,
        }
    });
    successors.chain(delegations).collect()
}
