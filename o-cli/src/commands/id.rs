//! `o id`: whose key a file, a seed or an address has.

use std::path::PathBuf;

use o_node::{KeyError, KeyFile, Keypair};
use serde_json::json;

use crate::{cli::IdArgs, exit::Failure, output::Output, paths};

/// Shows the peer id. A key file that is named and not there is made.
pub(super) fn run(args: &IdArgs, output: &Output) -> Result<(), Failure> {
    let (keys, file) = match (&args.seed, &args.key, &args.address) {
        (Some(seed), _, _) if seed.is_empty() => return Err(KeyError::EmptySeed.into()),
        (Some(seed), _, _) => (Keypair::from_seed(seed), None),
        (_, Some(path), _) => {
            let (keys, created) = open_or_create(path)?;
            (keys, Some((path.clone(), created)))
        }
        (_, _, Some(address)) => {
            let path = paths::key_file(address)?;
            let keys = KeyFile::read(&path).map_err(|error| not_served_yet(error, address))?;
            (keys, Some((path, false)))
        }
        _ => return Err(Failure::usage("give an address, --key or --seed")),
    };
    let peer = keys.peer_id();
    if !output.is_json() {
        if let Some((path, true)) = &file {
            output.note(format_args!("made a new key in {}", path.display()));
        }
        return output.line(peer);
    }
    let (path, created): (Option<PathBuf>, bool) =
        file.map_or((None, false), |(path, created)| (Some(path), created));
    output.value(&json!({
        "peer_id": peer.to_string(),
        "key": path,
        "created": created,
    }))
}

/// The key in a file, and whether it was made just now. One that a node uses is only read.
pub(super) fn open_or_create(path: &std::path::Path) -> Result<(Keypair, bool), Failure> {
    match KeyFile::read(path) {
        Ok(keys) => Ok((keys, false)),
        Err(KeyError::NotFound { .. }) => {
            let file = KeyFile::open_or_create(path)?;
            Ok((file.keypair().clone(), file.created()))
        }
        Err(error) => Err(error.into()),
    }
}

fn not_served_yet(error: KeyError, address: &o_address::Address) -> Failure {
    let missing = matches!(error, KeyError::NotFound { .. });
    let failure = Failure::from(error);
    match missing {
        true => failure.hint(format!(
            "`o key new {address}` makes it, and so does `o serve {address}`"
        )),
        false => failure,
    }
}
