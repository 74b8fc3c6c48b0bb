//! Tests of the rule as a table, of overriding it and of editing while it is in use.

use o_core::{
    Direction::{Inbound, Outbound},
    Stage::{Established, Pending},
};

use super::*;
use crate::test_peers::{SITUATIONS, attempt, peer};

const LEADER: u8 = 1;
const PARENT: u8 = 2;
const CHILD: u8 = 3;
const STRANGER: u8 = 4;

/// A node in the middle: a leader, a parent and one child.
fn member(rule: HierarchyRule) -> HierarchyGater {
    let gater = HierarchyGater::new(rule);
    gater.set_leader(Some(peer(LEADER)));
    gater.set_parent(Some(peer(PARENT)));
    assert_eq!(gater.add_child(peer(CHILD)), Ok(true));
    gater
}

/// Whether the gater lets the four relations and an unknown peer pass, in this order.
fn decisions(gater: &HierarchyGater, situation: (Stage, Direction)) -> [bool; 5] {
    let keys = [
        Some(LEADER),
        Some(PARENT),
        Some(CHILD),
        Some(STRANGER),
        None,
    ];
    keys.map(|key| {
        let asked = key.map(peer);
        match gater.allow(&attempt(situation, asked.as_ref())) {
            Ok(()) => true,
            Err(reason) => {
                assert_eq!(reason, DenyReason::NotRelated);
                false
            }
        }
    })
}

#[test]
fn the_default_rule() {
    let gater = member(HierarchyRule::default());
    let table = [
        //                       leader parent child stranger unknown
        ((Pending, Inbound), [true, true, true, false, true]),
        ((Established, Inbound), [true, true, true, false, false]),
        ((Pending, Outbound), [true, true, true, true, true]),
        ((Established, Outbound), [true, true, true, true, true]),
    ];
    for (situation, expected) in table {
        assert_eq!(decisions(&gater, situation), expected, "{situation:?}");
    }
}

#[test]
fn the_strict_rule() {
    let gater = member(HierarchyRule::strict());
    let table = [
        ((Pending, Inbound), [true, true, true, false, true]),
        ((Established, Inbound), [true, true, true, false, false]),
        ((Pending, Outbound), [true, true, true, false, true]),
        ((Established, Outbound), [true, true, true, false, false]),
    ];
    for (situation, expected) in table {
        assert_eq!(decisions(&gater, situation), expected, "{situation:?}");
    }
}

#[test]
fn each_relation_can_be_allowed_alone() {
    let cases = [
        (Relation::Leader, [true, false, false, false, false]),
        (Relation::Parent, [false, true, false, false, false]),
        (Relation::Child, [false, false, true, false, false]),
        (Relation::Stranger, [false, false, false, true, true]),
    ];
    for (relation, expected) in cases {
        let gater = member(HierarchyRule {
            inbound: relation.into(),
            outbound: RelationSet::NONE,
            ..HierarchyRule::default()
        });
        let inbound = decisions(&gater, (Established, Inbound));
        assert_eq!(inbound, expected, "{relation:?}");
        assert_eq!(decisions(&gater, (Established, Outbound)), [false; 5]);
    }
}

#[test]
fn strangers_are_accepted_on_request() {
    let open = HierarchyRule::default().accept_strangers(true);
    assert_eq!(open.inbound, RelationSet::ALL);
    for situation in SITUATIONS {
        assert_eq!(decisions(&member(open.clone()), situation), [true; 5]);
    }
    assert_eq!(open.accept_strangers(false), HierarchyRule::default());
}

#[test]
fn a_node_with_neither_parent_nor_leader_is_open() {
    for rule in [HierarchyRule::default(), HierarchyRule::strict()] {
        let root = HierarchyGater::new(rule);
        assert_eq!(root.add_child(peer(CHILD)), Ok(true));
        for situation in SITUATIONS {
            assert_eq!(decisions(&root, situation), [true; 5], "{situation:?}");
        }
    }
}

#[test]
fn either_of_parent_and_leader_closes_it() {
    let with_parent = HierarchyGater::default();
    with_parent.set_parent(Some(peer(PARENT)));
    let inbound = decisions(&with_parent, (Established, Inbound));
    assert_eq!(inbound, [false, true, false, false, false]);

    let with_leader = HierarchyGater::default();
    with_leader.set_leader(Some(peer(LEADER)));
    let inbound = decisions(&with_leader, (Established, Inbound));
    assert_eq!(inbound, [true, false, false, false, false]);
}

#[test]
fn a_node_that_does_not_know_its_parent_yet_can_stay_closed() {
    let gater = HierarchyGater::new(HierarchyRule {
        open_root: false,
        ..HierarchyRule::default()
    });
    assert_eq!(decisions(&gater, (Established, Inbound)), [false; 5]);
    assert_eq!(decisions(&gater, (Established, Outbound)), [true; 5]);
}

#[test]
fn edits_count_at_once_for_every_clone() {
    let gater = HierarchyGater::default();
    let handle = gater.clone();
    let inbound = |gater: &HierarchyGater| decisions(gater, (Established, Inbound));

    assert_eq!(inbound(&gater), [true; 5]);
    assert_eq!(handle.set_parent(Some(peer(PARENT))), None);
    assert_eq!(inbound(&gater), [false, true, false, false, false]);
    assert_eq!(handle.add_child(peer(CHILD)), Ok(true));
    assert_eq!(inbound(&gater), [false, true, true, false, false]);
    assert_eq!(handle.set_leader(Some(peer(LEADER))), None);
    assert_eq!(inbound(&gater), [true, true, true, false, false]);

    assert_eq!(handle.set_parent(Some(peer(STRANGER))), Some(peer(PARENT)));
    assert_eq!(inbound(&gater), [true, false, true, true, false]);
    assert!(handle.remove_child(&peer(CHILD)));
    assert!(!handle.remove_child(&peer(CHILD)));
    assert_eq!(inbound(&gater), [true, false, false, true, false]);

    handle.set_rule(HierarchyRule::default().accept_strangers(true));
    assert_eq!(inbound(&gater), [true; 5]);
}

#[test]
fn children_are_bounded() {
    let gater = HierarchyGater::new(HierarchyRule {
        max_children: 2,
        ..HierarchyRule::default()
    });
    assert_eq!(gater.add_child(peer(12)), Ok(true));
    assert_eq!(gater.add_child(peer(11)), Ok(true));
    assert_eq!(gater.add_child(peer(11)), Ok(false));
    assert_eq!(gater.add_child(peer(13)), Err(ListFull { limit: 2 }));
    assert_eq!(gater.children(), [peer(11), peer(12)]);

    // A lower limit removes nobody and lets nobody in.
    gater.set_rule(HierarchyRule {
        max_children: 1,
        ..gater.rule()
    });
    assert_eq!(gater.children().len(), 2);
    assert!(gater.remove_child(&peer(11)));
    assert_eq!(gater.add_child(peer(13)), Err(ListFull { limit: 1 }));
    assert!(gater.remove_child(&peer(12)));
    assert_eq!(gater.add_child(peer(13)), Ok(true));
}

#[test]
fn a_peer_may_be_several_things() {
    let gater = member(HierarchyRule::default());
    gater.set_leader(Some(peer(PARENT)));
    let both = RelationSet::from(Relation::Parent).with(Relation::Leader);
    assert_eq!(gater.relations(&peer(PARENT)), both);
    assert_eq!(gater.relations(&peer(CHILD)), Relation::Child.into());
    assert_eq!(gater.relations(&peer(LEADER)), Relation::Stranger.into());

    // It stays the leader when it is the parent no more.
    gater.set_parent(None);
    let inbound = decisions(&gater, (Established, Inbound));
    assert_eq!(inbound, [false, true, true, false, false]);
}

#[test]
fn debug_shows_the_number_of_children() {
    let text = format!("{:?}", member(HierarchyRule::default()));
    assert!(text.contains("children: 1"), "{text}");
    assert!(!text.contains(&peer(CHILD).to_string()), "{text}");
}
