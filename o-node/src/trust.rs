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
        self.settle(&root.name, chain, Some(given))
    }

    /// Trusts the root of a chain if it is the one that is remembered, if that one has named it as its
    /// successor, or if none is remembered.
    ///
    /// # Errors
    /// Another key is remembered, or it cannot be remembered.
    pub fn first_use(&self, root: &RootOfTrust, chain: &Chain) -> Result<(), TrustError> {
        self.settle(&root.name, chain, None)
    }

    /// Decides by what is remembered and, where that is not enough, by what the file says by now: another process
    /// may have learned, or forgotten, something. What cannot be written is not remembered.
    fn settle(
        &self,
        name: &Address,
        chain: &Chain,
        given: Option<PeerId>,
    ) -> Result<(), TrustError> {
        let held = self.lock().get(name.name()).cloned();
        if held.is_some() && decide(held.as_ref(), name, chain, given).ok() == held {
            return Ok(());
        }
        match self.change(name, |held| decide(held, name, chain, given)) {
            // Whom the operator names again at each start need not be remembered.
            Err(TrustError::File(error)) if given.is_some() => {
                tracing::warn!(%error, "the key of {name} is trusted for this run only");
                let trusted = decide(held.as_ref(), name, chain, given)?;
                self.lock().insert(name.name().to_owned(), trusted);
                Ok(())
            }
            changed => changed,
        }
    }

    /// Trusts a key from now on.
    ///
    /// # Errors
    /// There are too many, or it cannot be written.
    pub fn remember(&self, root: &Address, key: PeerId) -> Result<(), TrustError> {
        self.change(&root.root(), |held| match held {
            Some(held) if held.key == key => Ok(held.clone()),
            _ => Ok(Root::new(key)),
        })
    }

    /// Trusts no key for a name any more; `false` where none was.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn forget(&self, root: &Address) -> Result<bool, TrustError> {
        let name = root.root().name().to_owned();
        if let Some(path) = &self.path {
            let network = self.network.as_str();
            file::update(path, |networks| {
                networks.get_mut(network).map(|roots| roots.remove(&name));
                Ok::<_, TrustError>(())
            })??;
        }
        Ok(self.lock().remove(&name).is_some())
    }

    /// Replaces what is remembered of a root: in the file first, as it is now and alone, where there is one.
    fn change(
        &self,
        name: &Address,
        change: impl FnOnce(Option<&Root>) -> Result<Root, TrustError>,
    ) -> Result<(), TrustError> {
        let change = |roots: &mut BTreeMap<String, Root>| {
            let trusted = change(roots.get(name.name()))?;
            if !roots.contains_key(name.name()) && roots.len() >= MAX_ROOTS {
                return Err(TrustError::Full);
            }
            roots.insert(name.name().to_owned(), trusted.clone());
            Ok(trusted)
        };
        let Some(path) = &self.path else {
            return change(&mut self.lock()).map(drop);
        };
        let network = self.network.as_str().to_owned();
        let trusted = file::update(path, |networks| {
            change(networks.entry(network).or_default())
        })??;
        self.lock().insert(name.name().to_owned(), trusted);
        Ok(())
    }
}

/// What is to be remembered of a root whose chain was shown, by what is remembered and which key the operator gave:
/// the last key, and those that it succeeded, from the one that is known on. Others may be made up.
fn decide(
    held: Option<&Root>,
    name: &Address,
    chain: &Chain,
    given: Option<PeerId>,
) -> Result<Root, TrustError> {
    let (keys, key) = (keys(chain), chain.root());
    if let Some(given) = given.filter(|given| !keys.contains(given)) {
        return Err(TrustError::NotGiven {
            name: name.clone(),
            given,
            presented: key,
        });
    }
    let known = match held {
        Some(held) if keys.contains(&held.key) => Some(held),
        // Another root, that the operator named; a key that was succeeded stands for its successor only.
        Some(held) if given.is_some_and(|given| !held.former.contains(&given)) => None,
        Some(held) => {
            return Err(TrustError::Changed {
                name: name.clone(),
                remembered: held.key,
                presented: key,
            });
        }
        None => None,
    };
    let from = known.map(|held| held.key).or(given);
    let from = keys.iter().position(|key| Some(*key) == from).unwrap_or(0);
    let former = known.into_iter().flat_map(|held| held.former.iter());
    let former = former.chain(keys.iter().skip(from));
    let mut seen = HashSet::from([key]);
    let mut former: Vec<_> = former.copied().filter(|key| seen.insert(*key)).collect();
    let over = former.len().saturating_sub(Record::MAX_CHAIN);
    former.drain(..over);
    Ok(Root { key, former })
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

    #[test]
    fn what_another_process_learned_or_forgot_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trust.json");
        let open = || Trust::open(NetworkId::default(), Some(path.clone())).unwrap();
        let (running, operator) = (open(), open());
        operator.remember(&name(), peer(1)).unwrap();
        let impostor = running.first_use(&root(2), &Chain::of_root(peer(2)));
        assert!(
            matches!(impostor, Err(TrustError::Changed { remembered, .. }) if remembered == peer(1)),
            "{impostor:?}"
        );
        running
            .first_use(&root(1), &Chain::of_root(peer(1)))
            .unwrap();
        assert!(operator.forget(&name()).unwrap());
        running
            .first_use(&root(2), &Chain::of_root(peer(2)))
            .unwrap();
        assert_eq!(open().root_for(&name()), Some(root(2)));
    }

    #[test]
    fn keys_that_were_made_up_push_out_none_that_were_succeeded() {
        let trust = Trust::open(NetworkId::default(), None).unwrap();
        trust.first_use(&root(1), &rotated(1, 2)).unwrap();
        for made_up in 10..40 {
            trust
                .first_use(&root(made_up), &rotated(made_up, 2))
                .unwrap();
        }
        let stolen = trust.given(&root(1), &Chain::of_root(peer(1)), peer(1));
        assert!(
            matches!(stolen, Err(TrustError::Changed { .. })),
            "{stolen:?}"
        );
    }

    #[test]
    fn what_cannot_be_written_is_trusted_only_where_it_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let trust = Trust::open(NetworkId::default(), None).unwrap();
        // A directory that is a file.
        let trust = Trust {
            path: Some(file.join("trust.json")),
            ..trust
        };
        let chain = Chain::of_root(peer(1));
        for _ in 0..2 {
            let first = trust.first_use(&root(1), &chain);
            assert!(matches!(first, Err(TrustError::File(_))), "{first:?}");
        }
        trust.given(&root(1), &chain, peer(1)).unwrap();
        assert_eq!(trust.root_for(&name()), Some(root(1)));
    }
}
