//! Who may connect to a server.

use std::{fmt::Display, sync::Arc};

use o_address::{PeerId, TransportAddr};
use o_core::{Attempt, ConnectionGater, DenyReason};
use o_node::{AllowList, BlockList, GaterChain, HierarchyGater};

use crate::{
    exit::Failure,
    settings::{Gate, PeerList, Settings},
};

/// What a caller reads whom the hierarchy refuses.
const FAMILY_ONLY: &str = "this node accepts only its parent and peers named with --allow";

/// The peer that a parent's address names.
///
/// # Errors
/// When it names none.
pub(super) fn parent(address: &TransportAddr) -> Result<PeerId, Failure> {
    address.peer_id().ok_or_else(|| {
        let hint =
            "without it nobody knows which node is meant: `o serve` and `o id` show peer ids";
        Failure::usage("--parent must end in /p2p/PEER_ID").hint(hint)
    })
}

/// The policy that the settings ask for; none where everybody may connect.
///
/// # Errors
/// When a list is too long.
pub(super) fn gater(
    settings: &Settings,
    parent: Option<PeerId>,
) -> Result<Option<Arc<dyn ConnectionGater>>, Failure> {
    let full = |error: &dyn Display| Failure::usage(error.to_string());
    let peers = &settings.peers.value;
    let hierarchy = settings.gate.value.unwrap_or(Gate::Hierarchy) == Gate::Hierarchy;
    // Without a parent it is the root, which everybody may join; the lists hold there too.
    let Some(parent) = parent.filter(|_| hierarchy) else {
        return Ok(match peers {
            PeerList::Nobody => None,
            PeerList::Allow(peers) => Some(Arc::new(
                AllowList::from_peers(peers.clone()).map_err(|e| full(&e))?,
            )),
            PeerList::Deny(peers) => Some(Arc::new(
                BlockList::from_peers(peers.clone()).map_err(|e| full(&e))?,
            )),
        });
    };
    let family = HierarchyGater::default();
    family.set_parent(Some(parent));
    let mut chain = GaterChain::new();
    match peers {
        PeerList::Nobody => {}
        PeerList::Allow(peers) => {
            for peer in peers {
                family.add_child(*peer).map_err(|e| full(&e))?;
            }
        }
        PeerList::Deny(peers) => {
            chain = chain.with(BlockList::from_peers(peers.clone()).map_err(|e| full(&e))?);
        }
    }
    Ok(Some(Arc::new(chain.with(Family(family)))))
}

/// The hierarchy, which says to those whom it refuses whom it accepts.
#[derive(Debug)]
struct Family(HierarchyGater);

impl ConnectionGater for Family {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        self.0.allow(attempt).map_err(|reason| match reason {
            DenyReason::NotRelated => DenyReason::Policy {
                reason: FAMILY_ONLY.into(),
            },
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use o_core::{Direction, Stage};

    use super::*;
    use crate::{
        cli::SettingsArgs,
        settings::{Layer, Role},
    };

    fn peer(seed: &str) -> PeerId {
        o_node::Keypair::from_seed(seed).peer_id()
    }

    /// Who of parent, friend and stranger may dial a node with these flags.
    fn accepted(args: SettingsArgs, with_parent: bool) -> [bool; 3] {
        let flags = Layer::try_from(&args).unwrap();
        let settings = Settings::for_test(flags, Role::Server);
        let parent = with_parent.then(|| peer("parent"));
        let gater = gater(&settings, parent).unwrap();
        ["parent", "friend", "stranger"].map(|seed| {
            let peer = peer(seed);
            let attempt = Attempt::new(Stage::Established, Direction::Inbound).peer(&peer);
            gater
                .as_ref()
                .is_none_or(|gater| gater.allow(&attempt).is_ok())
        })
    }

    fn args(gate: Option<&str>, allow: &[&str], deny: &[&str]) -> SettingsArgs {
        let peers = |seeds: &[&str]| seeds.iter().map(|seed| peer(seed)).collect();
        SettingsArgs {
            gate: gate.map(|gate| gate.parse().unwrap()),
            allow: peers(allow),
            deny: peers(deny),
            ..SettingsArgs::default()
        }
    }

    #[test]
    fn a_child_accepts_its_family_and_whom_its_operator_names() {
        let child = |args| accepted(args, true);
        assert_eq!(child(args(None, &[], &[])), [true, false, false]);
        assert_eq!(child(args(None, &["friend"], &[])), [true, true, false]);
        assert_eq!(child(args(None, &[], &["parent"])), [false, false, false]);
        assert_eq!(child(args(Some("open"), &[], &[])), [true, true, true]);
        let open_to_one = args(Some("open"), &["friend"], &[]);
        assert_eq!(child(open_to_one), [false, true, false]);
    }

    #[test]
    fn a_root_is_open_but_for_its_lists() {
        let root = |args| accepted(args, false);
        for gate in [None, Some("hierarchy"), Some("open")] {
            assert_eq!(root(args(gate, &[], &[])), [true, true, true]);
            assert_eq!(root(args(gate, &["friend"], &[])), [false, true, false]);
            assert_eq!(root(args(gate, &[], &["friend"])), [true, false, true]);
        }
    }

    #[test]
    fn the_refused_are_told_who_is_accepted() {
        let family = HierarchyGater::default();
        family.set_parent(Some(peer("parent")));
        let stranger = peer("stranger");
        let attempt = Attempt::new(Stage::Established, Direction::Inbound).peer(&stranger);
        let reason = Family(family).allow(&attempt).unwrap_err();
        assert_eq!(reason.to_string(), FAMILY_ONLY);
    }
}
