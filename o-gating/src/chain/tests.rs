//! Tests of the order of a chain and of what it allows.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::{
    AllowList, BlockList,
    test_peers::{SITUATIONS, attempt, peer},
};

/// Always says the same and counts how often it is asked.
#[derive(Debug)]
struct Fixed {
    decision: Result<(), DenyReason>,
    asked: AtomicUsize,
}

impl Fixed {
    fn new(decision: Result<(), DenyReason>) -> Arc<Self> {
        let asked = AtomicUsize::new(0);
        Arc::new(Self { decision, asked })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl ConnectionGater for Fixed {
    fn allow(&self, _attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.decision.clone()
    }
}

/// A denial that can be told from the others.
fn denial(index: usize) -> DenyReason {
    DenyReason::Policy {
        reason: format!("denied by {index}").into(),
    }
}

#[test]
fn an_empty_chain_and_allow_all_allow_everybody() {
    assert!(GaterChain::new().is_empty());
    for situation in SITUATIONS {
        for asked in [None, Some(peer(1))] {
            let attempt = attempt(situation, asked.as_ref());
            assert_eq!(GaterChain::new().allow(&attempt), Ok(()));
            assert_eq!(AllowAll.allow(&attempt), Ok(()));
        }
    }
}

#[test]
fn the_first_denial_wins_and_the_later_gaters_are_not_asked() {
    let gaters = [
        Fixed::new(Ok(())),
        Fixed::new(Err(denial(1))),
        Fixed::new(Err(denial(2))),
        Fixed::new(Ok(())),
    ];
    let mut chain = GaterChain::new();
    for gater in &gaters {
        chain.push(Arc::<Fixed>::clone(gater));
    }
    let decision = chain.allow(&attempt(SITUATIONS[0], None));
    assert_eq!(decision, Err(denial(1)));
    assert_eq!(gaters.each_ref().map(|gater| gater.asked()), [1, 1, 0, 0]);
}

#[test]
fn a_member_is_edited_while_the_chain_is_in_use() -> Result<(), crate::ListFull> {
    let (allowed, blocked) = (AllowList::new(), BlockList::new());
    let chain = GaterChain::new()
        .with(blocked.clone())
        .with(allowed.clone());
    let in_use: Arc<dyn ConnectionGater> = Arc::new(chain.clone());
    let asked = peer(1);
    let attempt = attempt(SITUATIONS[2], Some(&asked));
    assert_eq!(in_use.allow(&attempt), Err(DenyReason::NotAllowed));
    allowed.insert(asked)?;
    assert_eq!(in_use.allow(&attempt), Ok(()));
    blocked.insert(asked)?;
    assert_eq!(in_use.allow(&attempt), Err(DenyReason::Blocked));
    assert_eq!(chain.allow(&attempt), Err(DenyReason::Blocked));
    Ok(())
}

#[test]
fn debug_shows_the_members() {
    let chain = GaterChain::new().with(AllowAll).with(BlockList::new());
    assert_eq!(
        format!("{chain:?}"),
        "GaterChain { gaters: [AllowAll, BlockList { peers: 0, limit: 65536 }] }",
    );
}

proptest! {
    #[test]
    fn a_chain_allows_if_and_only_if_all_members_do(
        members in prop::collection::vec(any::<bool>(), 0..12),
        nest_at in 0..12usize,
        situation in prop::sample::select(SITUATIONS.to_vec()),
        key in prop::option::of(any::<u8>()),
    ) {
        let gaters: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(index, &allows)| Fixed::new(if allows { Ok(()) } else { Err(denial(index)) }))
            .collect();
        // The end of the chain is a chain of its own, which must make no difference.
        let (head, tail) = gaters.split_at(nest_at.min(gaters.len()));
        let mut nested = GaterChain::new();
        tail.iter().for_each(|gater| nested.push(Arc::<Fixed>::clone(gater)));
        let mut chain = GaterChain::new();
        head.iter().for_each(|gater| chain.push(Arc::<Fixed>::clone(gater)));
        let chain = chain.with(nested);

        let asked = key.map(peer);
        let decision = chain.allow(&attempt(situation, asked.as_ref()));

        let first_denial = members.iter().position(|allows| !allows);
        prop_assert_eq!(decision, first_denial.map_or(Ok(()), |index| Err(denial(index))));
        let expected = first_denial.map_or(members.len(), |index| index + 1);
        prop_assert_eq!(gaters.iter().map(|gater| gater.asked()).sum::<usize>(), expected);
    }

    #[test]
    fn a_chain_of_lists_allows_who_is_allowed_and_not_blocked(
        allowed in prop::collection::hash_set(0..8u8, 0..8),
        blocked in prop::collection::hash_set(0..8u8, 0..8),
        asked in 0..8u8,
        situation in prop::sample::select(SITUATIONS.to_vec()),
    ) {
        let chain = GaterChain::new()
            .with(BlockList::from_peers(blocked.iter().copied().map(peer))?)
            .with(AllowList::from_peers(allowed.iter().copied().map(peer))?);
        let expected = match (blocked.contains(&asked), allowed.contains(&asked)) {
            (true, _) => Err(DenyReason::Blocked),
            (false, true) => Ok(()),
            (false, false) => Err(DenyReason::NotAllowed),
        };
        prop_assert_eq!(chain.allow(&attempt(situation, Some(&peer(asked)))), expected);
    }
}
