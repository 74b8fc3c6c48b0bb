//! Whose keys are trusted as the roots of which names, and where they are remembered.

mod file;
mod successors;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use o_address::{Address, PeerId};
use o_core::{Chain, NetworkId, Record};
use o_protocol::RootOfTrust;

use self::file::Root;
pub use self::{
    file::TrustFileError,
    successors::{SuccessorsError, read_successors, write_successors},
};

/// Most roots that are remembered.
const MAX_ROOTS: usize = 1024;

/// The roots that are trusted: given by the operator, or the first that was seen for a name and then
/// remembered, in a file where there is one.
#[derive(Debug)]
pub struct Trust {
    network: NetworkId,
    path: Option<PathBuf>,
    roots: Mutex<BTreeMap<String, Root>>,
}

/// Why a root is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Another key is remembered, and it has signed no successor.
    #[error(
        "the root {name} is {presented} now, and was {remembered}; if that is right: o trust forget {name}"
    )]
    Changed {
        /// The root's name.
        name: Address,
        /// The key that is remembered.
        remembered: PeerId,
        /// The key that was presented.
        presented: PeerId,
    },
    /// The operator named another key.
    #[error("the root {name} is {presented}, and {given} was given")]
    NotGiven {
        /// The root's name.
        name: Address,
        /// The key that the operator gave.
        given: PeerId,
        /// The key that was presented.
        presented: PeerId,
    },
    /// Too many are remembered.
    #[error("{MAX_ROOTS} roots are remembered already")]
    Full,
    /// It could not be remembered.
    #[error(transparent)]
    File(#[from] TrustFileError),
}

impl Trust {
    /// What is remembered in a file for this network; without a file, nothing yet.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else. One that is not there is empty.
    pub fn open(network: NetworkId, path: Option<PathBuf>) -> Result<Self, TrustFileError> {
        let roots = match &path {
            Some(path) => file::read(path)?
                .remove(network.as_str())
                .unwrap_or_default(),
            None => BTreeMap::new(),
        };
        Ok(Self {
            network,
            path,
            roots: Mutex::new(roots),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Root>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root that is trusted for a name.
    pub fn root_for(&self, address: &Address) -> Option<RootOfTrust> {
        let roots = self.lock();
        if roots.is_empty() {
            return None;
        }
        let root = address.root();
        let key = roots.get(root.name())?.key;
        Some(RootOfTrust::new(root, key))
    }

    /// All of them: name and key.
    pub fn roots(&self) -> Vec<(String, PeerId)> {
        let roots = self.lock();
        roots
            .iter()
            .map(|(name, root)| (name.clone(), root.key))
            .collect()
    }

    /// Trusts the root of a chain because the operator gave its key: that with which the chain begins,
    /// or the one that succeeded it. A given key of which a successor is remembered only stands for that
    /// one: whoever stole the old key gains nothing by it.
    ///
    /// # Errors
    /// It is another key, or it cannot be remembered.
    pub fn given(
        &self,
        root: &RootOfTrust,
        chain: &Chain,
        given: PeerId,
    ) -> Result<(), TrustError> {
        let keys = keys(chain);
        if !keys.contains(&given) {
            return Err(TrustError::NotGiven {
                name: root.name.clone(),
                given,
                presented: chain.root(),
            });
        }
        let held = self.lock().get(root.name.name()).cloned();
        match held {
            Some(held) if held.former.contains(&given) && !keys.contains(&held.key) => {
                Err(TrustError::Changed {
                    name: root.name.clone(),
                    remembered: held.key,
                    presented: chain.root(),
                })
            }
            _ => self.follow(&root.name, chain),
        }
    }

    /// Trusts the root of a chain if it is the one that is remembered, if that one has named it as its
    /// successor, or if none is remembered.
    ///
    /// # Errors
    /// Another key is remembered, or it cannot be remembered.
    pub fn first_use(&self, root: &RootOfTrust, chain: &Chain) -> Result<(), TrustError> {
        let remembered = self.lock().get(root.name.name()).map(|root| root.key);
        match remembered {
            Some(remembered) if !keys(chain).contains(&remembered) => Err(TrustError::Changed {
                name: root.name.clone(),
                remembered,
                presented: chain.root(),
            }),
            _ => self.follow(&root.name, chain),
        }
    }

    /// Trusts the last key of a chain, and remembers which ones it succeeded.
    fn follow(&self, root: &Address, chain: &Chain) -> Result<(), TrustError> {
        let key = chain.root();
        let mut former = keys(chain);
        let held = self.lock().get(root.root().name()).cloned();
        if let Some(held) = held
            && (held.key == key || former.contains(&held.key))
        {
            former.splice(0..0, held.former);
        }
        let mut seen = HashSet::from([key]);
        former.retain(|key| seen.insert(*key));
        let over = former.len().saturating_sub(Record::MAX_CHAIN);
        former.drain(..over);
        self.set(root, Root { key, former })
    }

    /// Trusts a key from now on.
    ///
    /// # Errors
    /// There are too many, or it cannot be written.
    pub fn remember(&self, root: &Address, key: PeerId) -> Result<(), TrustError> {
        self.set(root, Root::new(key))
    }

    fn set(&self, root: &Address, trusted: Root) -> Result<(), TrustError> {
        let name = root.root().name().to_owned();
        {
            let mut roots = self.lock();
            if roots.get(&name) == Some(&trusted) {
                return Ok(());
            }
            if !roots.contains_key(&name) && roots.len() >= MAX_ROOTS {
                return Err(TrustError::Full);
            }
            roots.insert(name.clone(), trusted.clone());
        }
        self.write(|roots| {
            roots.insert(name, trusted);
        })
    }

    /// Trusts no key for a name any more; `false` where none was.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn forget(&self, root: &Address) -> Result<bool, TrustError> {
        let name = root.root().name().to_owned();
        let held = self.lock().remove(&name).is_some();
        self.write(|roots| {
            roots.remove(&name);
        })?;
        Ok(held)
    }

    /// Changes the file as it is now: another process may have written it meanwhile.
    fn write(&self, change: impl FnOnce(&mut BTreeMap<String, Root>)) -> Result<(), TrustError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        file::update(path, |networks| {
            change(
                networks
                    .entry(self.network.as_str().to_owned())
                    .or_default(),
            );
        })?;
        Ok(())
    }
}

/// The keys that a root had, the last one that it has now.
pub(crate) fn keys(chain: &Chain) -> Vec<PeerId> {
    let successors = chain.successors().iter().map(|next| next.successor().new);
    [chain.trusted()].into_iter().chain(successors).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use o_core::{SignedSuccessor, Successor};

    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes(&[0, 2, 7, byte]).unwrap()
    }

    fn name() -> Address {
        "o://company".parse().unwrap()
    }

    fn root(key: u8) -> RootOfTrust {
        RootOfTrust::new(name(), peer(key))
    }

    fn rotated(old: u8, new: u8) -> Chain {
        let successor = Successor {
            root: name(),
            old: peer(old),
            new: peer(new),
            created: 0,
            network: NetworkId::default(),
        };
        let successor = SignedSuccessor::new_verified(successor, Bytes::new());
        Chain::new_verified(peer(old), vec![successor], Vec::new())
    }

    #[test]
    fn the_first_key_is_remembered_and_another_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/trust.json");
        let open = || Trust::open(NetworkId::default(), Some(path.clone())).unwrap();
        let trust = open();
        assert_eq!(trust.root_for(&name()), None);
        trust.first_use(&root(1), &Chain::of_root(peer(1))).unwrap();
        let trust = open();
        assert_eq!(
            trust.root_for(&"o://company/a/b".parse().unwrap()),
            Some(root(1))
        );
        trust.first_use(&root(1), &Chain::of_root(peer(1))).unwrap();
        let changed = trust.first_use(&root(2), &Chain::of_root(peer(2)));
        assert!(
            matches!(changed, Err(TrustError::Changed { .. })),
            "{changed:?}"
        );
        assert_eq!(open().root_for(&name()), Some(root(1)));
        // Of another network nothing is known.
        let other = Trust::open("other".parse().unwrap(), Some(path.clone())).unwrap();
        assert_eq!(other.root_for(&name()), None);
        assert!(trust.forget(&name()).unwrap());
        assert!(!open().forget(&name()).unwrap());
    }

    #[test]
    fn a_successor_that_the_old_key_signed_is_trusted() {
        let trust = Trust::open(NetworkId::default(), None).unwrap();
        trust.first_use(&root(1), &Chain::of_root(peer(1))).unwrap();
        trust.first_use(&root(1), &rotated(1, 2)).unwrap();
        assert_eq!(trust.root_for(&name()), Some(root(2)));
        // The old key is not the root any more.
        let back = trust.first_use(&root(1), &Chain::of_root(peer(1)));
        assert!(matches!(back, Err(TrustError::Changed { .. })));
    }

    #[test]
    fn a_given_key_that_was_succeeded_stands_for_its_successor_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trust.json");
        let open = || Trust::open(NetworkId::default(), Some(path.clone())).unwrap();
        open().given(&root(1), &rotated(1, 2), peer(1)).unwrap();
        // Whoever stole the first key presents it alone, or a successor of their own.
        for chain in [Chain::of_root(peer(1)), rotated(1, 9)] {
            let stolen = open().given(&root(1), &chain, peer(1));
            assert!(
                matches!(stolen, Err(TrustError::Changed { remembered, .. }) if remembered == peer(2)),
                "{stolen:?}"
            );
        }
        open().given(&root(2), &rotated(2, 3), peer(2)).unwrap();
        assert!(open().given(&root(1), &rotated(1, 2), peer(1)).is_err());
        assert_eq!(open().root_for(&name()), Some(root(3)));
        // The operator has the last word.
        open().remember(&name(), peer(1)).unwrap();
        open()
            .given(&root(1), &Chain::of_root(peer(1)), peer(1))
            .unwrap();
        assert_eq!(open().root_for(&name()), Some(root(1)));
    }

    #[test]
    fn what_the_operator_gave_holds() {
        let trust = Trust::open(NetworkId::default(), None).unwrap();
        trust.first_use(&root(1), &Chain::of_root(peer(1))).unwrap();
        let wrong = trust.given(&root(2), &Chain::of_root(peer(2)), peer(3));
        assert!(matches!(wrong, Err(TrustError::NotGiven { .. })));
        trust
            .given(&root(2), &Chain::of_root(peer(2)), peer(2))
            .unwrap();
        assert_eq!(trust.root_for(&name()), Some(root(2)));
        trust.given(&root(1), &rotated(1, 5), peer(1)).unwrap();
        assert_eq!(trust.root_for(&name()), Some(root(5)));
    }
}
