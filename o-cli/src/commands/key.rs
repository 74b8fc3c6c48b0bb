//! `o key`: the key of a name before it is served, and a new one for a root, which the old one names.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use o_address::PeerId;
use o_core::{NetworkId, Record, Successor};
use o_node::{EnvelopeVerifier, KeyFile, read_successors, sign_successor, write_successors};
use serde_json::json;

use super::{Context, id, trust};
use crate::{
    cli::{KeyCommand, NetworkArgs, NewArgs, RotateArgs},
    exit::Failure,
    output::Output,
    paths,
};

/// Where the successions of a root stand, beside its key.
pub(super) fn successors_file(key: &Path) -> PathBuf {
    with_ending(key, "successors")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// Makes the key and says what it is.
pub(super) fn run(command: KeyCommand, context: &Context<'_>) -> Result<(), Failure> {
    match command {
        KeyCommand::New(args) => make(&args, context.output),
        KeyCommand::Rotate(args) => replace(args, context),
    }
}

fn make(args: &NewArgs, output: &Output) -> Result<(), Failure> {
    let path = match &args.key {
        Some(path) => path.clone(),
        None => paths::key_file(&args.address)?,
    };
    let (keys, created) = id::open_or_create(&path)?;
    let peer = keys.peer_id();
    if output.is_json() {
        return output.value(&json!({
            "peer_id": peer.to_string(),
            "key": path,
            "created": created,
        }));
    }
    let what = match created {
        true => "made a new key in",
        false => "the key was there:",
    };
    output.note(format_args!("{what} {}", path.display()));
    output.line(peer)
}

fn replace(args: RotateArgs, context: &Context<'_>) -> Result<(), Failure> {
    let RotateArgs { root, key, network } = args;
    trust::check(&root)?;
    let network = NetworkArgs {
        network,
        ..NetworkArgs::default()
    };
    let settings = context.client_settings(&network)?;
    let path = match key {
        Some(path) => path,
        None => paths::key_file(&root)?,
    };
    let rotated = rotate(&path, &root, &settings.network.value)?;
    let output = context.output;
    if output.is_json() {
        return output.value(&json!({
            "root": root.to_string(),
            "old": rotated.old.to_string(),
            "new": rotated.new.to_string(),
            "key": path,
            "successors": successors_file(&path),
            "old_key": rotated.old_key,
        }));
    }
    output.line(format_args!("{root} is {} from now on", rotated.new))?;
    output.line(format_args!("it was   {}", rotated.old))?;
    output.line(format_args!(
        "old key  {}, which nobody needs any more",
        rotated.old_key.display()
    ))?;
    output.note("start the leader again; children that know its old key follow");
    Ok(())
}

struct Rotated {
    old: PeerId,
    new: PeerId,
    /// Where the old key is now.
    old_key: PathBuf,
}

/// # Errors
/// The key is in use or none, or a file cannot be written. Whatever happens, one of the two keys is at
/// `path`, and where that is the new one, the successions lead to it.
fn rotate(path: &Path, root: &o_address::Address, network: &NetworkId) -> Result<Rotated, Failure> {
    let old = KeyFile::open(path)?;
    let successors = successors_file(path);
    let usage = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    let mut all =
        read_successors(&successors, &EnvelopeVerifier, network).map_err(|error| usage(&error))?;
    // A rotation that was cut short has made a successor that never came to power.
    let here = old.keypair().peer_id();
    if all.last().is_some_and(|last| last.successor().new != here) {
        let kept = all.iter().position(|next| next.successor().old == here);
        let Some(kept) = kept else {
            return Err(Failure::usage(format!(
                "{} does not lead to the key in {}",
                successors.display(),
                path.display()
            )));
        };
        all.truncate(kept);
    }
    // Every name below needs room for its delegations in a chain.
    if all.len() >= Record::MAX_CHAIN / 2 {
        return Err(Failure::usage(format!(
            "{root} has had {} keys already: give everybody the key with `o trust add` and remove {}",
            all.len() + 1,
            successors.display()
        )));
    }
    let fresh = with_ending(path, "new");
    if fresh.exists() {
        fs::remove_file(&fresh)?;
    }
    let new = KeyFile::open_or_create(&fresh)?;
    let succession = Successor {
        root: root.clone(),
        old: here,
        new: new.keypair().peer_id(),
        created: SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
        network: network.clone(),
    };
    let signed = sign_successor(&succession, old.keypair());
    all.push(signed.map_err(|error| usage(&error))?);
    write_successors(&successors, &all).map_err(|error| usage(&error))?;
    let old_key = with_ending(path, &format!("{here}.old"));
    // The name of the key is never without a key.
    fs::hard_link(path, &old_key)?;
    fs::rename(&fresh, path)?;
    Ok(Rotated {
        old: here,
        new: succession.new,
        old_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_succeed_each_other_and_a_rotation_that_was_cut_short_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("company.key");
        let root = "o://company".parse().unwrap();
        let network = NetworkId::default();
        let first = KeyFile::open_or_create(&path).unwrap();
        assert!(rotate(&path, &root, &network).is_err(), "it is in use");
        let a = first.keypair().peer_id();
        drop(first);
        let rotated = rotate(&path, &root, &network).unwrap();
        let (b, old_key) = (rotated.new, rotated.old_key);
        assert_eq!(rotated.old, a);
        assert_eq!(KeyFile::read(&path).unwrap().peer_id(), b);
        assert_eq!(KeyFile::read(&old_key).unwrap().peer_id(), a);
        let read = || {
            let path = successors_file(&path);
            let all = read_successors(&path, &EnvelopeVerifier, &network).unwrap();
            let ends = all.iter().map(|next| next.successor());
            ends.map(|next| (next.old, next.new)).collect::<Vec<_>>()
        };
        assert_eq!(read(), [(a, b)]);
        let c = rotate(&path, &root, &network).unwrap().new;
        assert_eq!(read(), [(a, b), (b, c)]);
        // As if it had been cut short before the new key came to its place.
        let of_b = with_ending(&path, &format!("{b}.old"));
        fs::rename(&of_b, &path).unwrap();
        let d = rotate(&path, &root, &network).unwrap().new;
        assert_eq!(read(), [(a, b), (b, d)]);
        // Another key altogether.
        fs::remove_file(&path).unwrap();
        drop(KeyFile::open_or_create(&path).unwrap());
        assert!(rotate(&path, &root, &network).is_err());
    }
}
