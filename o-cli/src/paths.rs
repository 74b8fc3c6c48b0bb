//! Where files are, by the XDG base directories.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use o_address::{Address, PeerId};

use crate::exit::Failure;

/// `$XDG_CONFIG_HOME/o/config.toml`.
pub(crate) fn config_file() -> Option<PathBuf> {
    home_directory("XDG_CONFIG_HOME", ".config").map(|directory| directory.join("o/config.toml"))
}

/// Where the keys of roots are remembered: `$XDG_DATA_HOME/o/trust.json`.
pub(crate) fn trust_file() -> Option<PathBuf> {
    home_directory("XDG_DATA_HOME", ".local/share").map(|data| data.join("o/trust.json"))
}

/// The key file of an address that is served without `--key` and `--seed`:
/// `$XDG_DATA_HOME/o/keys/<address>.key`, with a directory for each segment but the last.
pub(crate) fn key_file(address: &Address) -> Result<PathBuf, Failure> {
    let data = home_directory("XDG_DATA_HOME", ".local/share");
    let data = data.ok_or_else(|| {
        Failure::usage("there is no home directory for the key: give --key or --seed")
    })?;
    Ok(key_file_in(&data, address))
}

/// Where a node with a key file keeps what it observed of its peers:
/// `$XDG_DATA_HOME/o/reputation/<peer>.cbor`, if there is a home directory.
pub(crate) fn reputation_file(peer: &PeerId) -> Option<PathBuf> {
    let data = home_directory("XDG_DATA_HOME", ".local/share");
    data.map(|data| data.join(format!("o/reputation/{peer}.cbor")))
}

/// Where a node that is served keeps its registry: `$XDG_DATA_HOME/o/registry/<peer>.redb`, if there is a
/// home directory.
#[cfg(feature = "store")]
pub(crate) fn registry_file(peer: &PeerId) -> Option<PathBuf> {
    let data = home_directory("XDG_DATA_HOME", ".local/share");
    data.map(|data| data.join(format!("o/registry/{peer}.redb")))
}

fn key_file_in(data: &Path, address: &Address) -> PathBuf {
    let mut path = data.join("o/keys");
    let mut segments = address.segments();
    let leaf = segments.next_back().unwrap_or_default();
    path.extend(segments);
    path.join(format!("{leaf}.key"))
}

/// A directory from the environment, absolute as the XDG specification wants it, or else below the
/// home directory.
fn home_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    absolute(env::var_os(variable))
        .or_else(|| absolute(env::var_os("HOME")).map(|home| home.join(below_home)))
}

/// What a variable says if that is an absolute path.
pub(crate) fn absolute(value: Option<OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_key_file_of_its_own() {
        let path = |address: &str| key_file_in(Path::new("/d"), &address.parse().unwrap());
        assert_eq!(path("o://a"), Path::new("/d/o/keys/a.key"));
        assert_eq!(path("o://a/b.c/d"), Path::new("/d/o/keys/a/b.c/d.key"));
    }
}
