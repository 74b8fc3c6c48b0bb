//! Who may connect to a server, and its place in the hierarchy.

use std::{fmt::Display, sync::Arc};

use o_core::{Access, ConnectionGater};
use o_node::{Admit, AllowList, BlockList, HierarchyConfig};

use crate::{
    cli::ServeArgs,
    exit::Failure,
    paths,
    settings::{Gate, PeerList, Settings},
    values::Who,
};

/// The policy of the lists that the settings give; none where there are none. What the hierarchy says
/// is the node's own matter.
///
/// # Errors
/// When a list is too long.
pub(super) fn gater(
    settings: &Settings,
    is_child: bool,
) -> Result<Option<Arc<dyn ConnectionGater>>, Failure> {
    let full = |error: &dyn Display| Failure::usage(error.to_string());
    Ok(match &settings.peers.value {
        PeerList::Nobody => None,
        // Beside its family.
        PeerList::Allow(_) if is_child && in_hierarchy(settings) => None,
        PeerList::Allow(peers) => Some(Arc::new(
            AllowList::from_peers(peers.clone()).map_err(|e| full(&e))?,
        )),
        PeerList::Deny(peers) => Some(Arc::new(
            BlockList::from_peers(peers.clone()).map_err(|e| full(&e))?,
        )),
    })
}

fn in_hierarchy(settings: &Settings) -> bool {
    settings.gate.value.unwrap_or(Gate::Hierarchy) == Gate::Hierarchy
}

/// The node's place: what the configuration says, and over it the flags.
///
/// # Errors
/// There is no home directory for the keys of roots.
pub(super) fn place(args: &ServeArgs, settings: &Settings) -> Result<HierarchyConfig, Failure> {
    let mut place = settings.node.hierarchy.clone();
    place.name = Some(args.address.without_pin());
    if let Some(parent) = &args.parent {
        place.parent = Some(parent.clone());
    }
    place.root_key = args.root_key.or(place.root_key);
    if place.trust_file.is_none() {
        place.trust_file = paths::trust_file();
    }
    if let PeerList::Allow(peers) = &settings.peers.value {
        place.friends.extend(peers);
        place.listed.extend(peers);
    }
    if !in_hierarchy(settings) && place.policy.access.is_none() {
        place.policy.access = Some(Access::Everybody);
    }
    for who in &args.admit {
        match who {
            Who::Everybody => place.admit = Admit::Everybody,
            Who::Nobody => place.admit = Admit::Nobody,
            Who::Peer(peer) => place.listed.push(*peer),
        }
    }
    let named = args.admit.iter().any(|who| matches!(who, Who::Peer(_)));
    let in_general = args.admit.iter().any(|who| !matches!(who, Who::Peer(_)));
    if named && !in_general {
        place.admit = Admit::Listed;
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use o_address::PeerId;
    use o_core::{Attempt, Direction, Stage};

    use super::*;
    use crate::{
        cli::SettingsArgs,
        settings::{Layer, Role},
    };

    fn peer(seed: &str) -> PeerId {
        o_node::Keypair::from_seed(seed).peer_id()
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

    fn settings(args: &SettingsArgs) -> Settings {
        Settings::for_test(Layer::try_from(args).unwrap(), Role::Server)
    }

    fn served(settings: SettingsArgs, admit: &[Who]) -> ServeArgs {
        ServeArgs {
            address: "o://company/sales".parse().unwrap(),
            method: Vec::new(),
            parent: Some("/ip4/127.0.0.1/tcp/1".parse().unwrap()),
            root_key: None,
            admit: admit.to_vec(),
            settings,
        }
    }

    /// Which of friend and stranger the lists let connect.
    fn accepted(args: SettingsArgs, is_child: bool) -> [bool; 2] {
        let gater = gater(&settings(&args), is_child).unwrap();
        ["friend", "stranger"].map(|seed| {
            let peer = peer(seed);
            let attempt = Attempt::new(Stage::Established, Direction::Inbound).peer(&peer);
            gater
                .as_ref()
                .is_none_or(|gater| gater.allow(&attempt).is_ok())
        })
    }

    #[test]
    fn lists_hold_for_everybody_but_whom_a_child_allows_beside_its_family() {
        for (is_child, gate) in [(false, None), (false, Some("open")), (true, Some("open"))] {
            assert_eq!(accepted(args(gate, &[], &[]), is_child), [true, true]);
            assert_eq!(
                accepted(args(gate, &["friend"], &[]), is_child),
                [true, false]
            );
            assert_eq!(
                accepted(args(gate, &[], &["friend"]), is_child),
                [false, true]
            );
        }
        assert_eq!(accepted(args(None, &["friend"], &[]), true), [true, true]);
        assert_eq!(accepted(args(None, &[], &["friend"]), true), [false, true]);
    }

    #[test]
    fn the_place_comes_from_the_flags() {
        let friendly = args(None, &["friend"], &[]);
        let place_of = |args: SettingsArgs, admit: &[Who]| {
            place(&served(args.clone(), admit), &settings(&args)).unwrap()
        };
        let friends = place_of(friendly, &[]);
        assert_eq!(friends.friends, [peer("friend")]);
        assert_eq!(friends.listed, [peer("friend")]);
        assert_eq!(
            (friends.admit, friends.policy.access),
            (Admit::Everybody, None)
        );
        assert_eq!(friends.name.unwrap().as_str(), "o://company/sales");
        assert!(friends.parent.is_some());

        let open = place_of(args(Some("open"), &[], &[]), &[Who::Nobody]);
        assert_eq!(open.policy.access, Some(Access::Everybody));
        assert_eq!(open.admit, Admit::Nobody);
        let named = place_of(args(None, &[], &[]), &[Who::Peer(peer("child"))]);
        assert_eq!(
            (named.admit, named.listed),
            (Admit::Listed, vec![peer("child")])
        );
        let both = [Who::Everybody, Who::Peer(peer("child"))];
        assert_eq!(
            place_of(args(None, &[], &[]), &both).admit,
            Admit::Everybody
        );
    }
}
