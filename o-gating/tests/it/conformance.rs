//! Every gater passes the suite of `ConnectionGater`.

use o_address::PeerId;
use o_core::{Attempt, Direction, Stage};
use o_gating::{AllowAll, AllowList, BlockList, GaterChain, HierarchyGater, HierarchyRule};
use o_testkit::{
    conformance::{GaterCase, gater},
    test_peer,
};

/// Before a handshake inbound, the peer is not known; every gater here lets that pass.
fn nobody_yet() -> GaterCase<'static> {
    let attempt = Attempt::new(Stage::Pending, Direction::Inbound);
    GaterCase::allowed("pending, from nobody known", attempt)
}

fn nobody_after_all() -> Attempt<'static> {
    Attempt::new(Stage::Established, Direction::Inbound)
}

fn from(peer: &PeerId) -> Attempt<'_> {
    Attempt::new(Stage::Established, Direction::Inbound).peer(peer)
}

fn relayed_from(peer: &PeerId) -> Attempt<'_> {
    let mut attempt = from(peer);
    attempt.relayed = true;
    attempt
}

fn dial(peer: &PeerId) -> Attempt<'_> {
    Attempt::new(Stage::Pending, Direction::Outbound).peer(peer)
}

fn dialed(peer: &PeerId) -> Attempt<'_> {
    Attempt::new(Stage::Established, Direction::Outbound).peer(peer)
}

#[test]
fn allow_list() {
    let (friend, stranger) = (test_peer(1), test_peer(2));
    let list = AllowList::from_peers([friend]).unwrap();
    let cases = [
        nobody_yet(),
        GaterCase::denied("established, still nobody", nobody_after_all()),
        GaterCase::allowed("from a friend", from(&friend)),
        GaterCase::allowed("from a friend behind a relay", relayed_from(&friend)),
        GaterCase::allowed("to a friend", dial(&friend)),
        GaterCase::allowed("to a friend, established", dialed(&friend)),
        GaterCase::denied("from a stranger", from(&stranger)),
        GaterCase::denied("from a stranger behind a relay", relayed_from(&stranger)),
        GaterCase::denied("to a stranger", dial(&stranger)),
        GaterCase::denied("to a stranger, established", dialed(&stranger)),
    ];
    gater(&list, &cases);

    let nobody = [
        nobody_yet(),
        GaterCase::denied("from anybody", from(&friend)),
    ];
    gater(&AllowList::new(), &nobody);
}

#[test]
fn block_list() {
    let (enemy, stranger) = (test_peer(1), test_peer(2));
    let list = BlockList::from_peers([enemy]).unwrap();
    let cases = [
        nobody_yet(),
        GaterCase::allowed("established, still nobody", nobody_after_all()),
        GaterCase::denied("from an enemy", from(&enemy)),
        GaterCase::denied("from an enemy behind a relay", relayed_from(&enemy)),
        GaterCase::denied("to an enemy", dial(&enemy)),
        GaterCase::denied("to an enemy, established", dialed(&enemy)),
        GaterCase::allowed("from a stranger", from(&stranger)),
        GaterCase::allowed("from a stranger behind a relay", relayed_from(&stranger)),
        GaterCase::allowed("to a stranger", dial(&stranger)),
        GaterCase::allowed("to a stranger, established", dialed(&stranger)),
    ];
    gater(&list, &cases);

    let anybody = [GaterCase::allowed("from anybody", from(&enemy))];
    gater(&BlockList::new(), &anybody);
}

#[test]
fn hierarchy_of_a_child() {
    let [leader, parent, child, stranger] = [1, 2, 3, 4].map(test_peer);
    let hierarchy = HierarchyGater::default();
    hierarchy.set_leader(Some(leader));
    hierarchy.set_parent(Some(parent));
    hierarchy.add_child(child).unwrap();
    let cases = [
        nobody_yet(),
        GaterCase::denied("established, still nobody", nobody_after_all()),
        GaterCase::allowed("from the leader", from(&leader)),
        GaterCase::allowed("from the parent", from(&parent)),
        GaterCase::allowed("from a child", from(&child)),
        GaterCase::allowed("from a child behind a relay", relayed_from(&child)),
        GaterCase::denied("from a stranger", from(&stranger)),
        GaterCase::denied("from a stranger behind a relay", relayed_from(&stranger)),
        GaterCase::allowed("to the parent", dial(&parent)),
        GaterCase::allowed("to a stranger", dial(&stranger)),
        GaterCase::allowed("to a stranger, established", dialed(&stranger)),
    ];
    gater(&hierarchy, &cases);
}

#[test]
fn hierarchy_of_the_root() {
    let (child, stranger) = (test_peer(1), test_peer(2));
    let root = HierarchyGater::default();
    root.add_child(child).unwrap();
    let open = [
        nobody_yet(),
        GaterCase::allowed("established, still nobody", nobody_after_all()),
        GaterCase::allowed("from a child", from(&child)),
        GaterCase::allowed("from a stranger", from(&stranger)),
        GaterCase::allowed("to a stranger", dial(&stranger)),
    ];
    gater(&root, &open);

    let mut rule = HierarchyRule::default();
    rule.open_root = false;
    root.set_rule(rule);
    let closed = [
        nobody_yet(),
        GaterCase::denied("established, still nobody", nobody_after_all()),
        GaterCase::allowed("from a child", from(&child)),
        GaterCase::denied("from a stranger", from(&stranger)),
        GaterCase::allowed("to a stranger", dial(&stranger)),
    ];
    gater(&root, &closed);
}

#[test]
fn strict_hierarchy() {
    let [leader, parent, child, stranger] = [1, 2, 3, 4].map(test_peer);
    let hierarchy = HierarchyGater::new(HierarchyRule::strict());
    hierarchy.set_leader(Some(leader));
    hierarchy.set_parent(Some(parent));
    hierarchy.add_child(child).unwrap();
    let cases = [
        nobody_yet(),
        GaterCase::denied("established, still nobody", nobody_after_all()),
        GaterCase::allowed("from the leader", from(&leader)),
        GaterCase::allowed("from the parent", from(&parent)),
        GaterCase::allowed("from a child", from(&child)),
        GaterCase::allowed("to the leader", dial(&leader)),
        GaterCase::allowed("to the parent", dial(&parent)),
        GaterCase::allowed("to a child", dial(&child)),
        GaterCase::denied("from a stranger", from(&stranger)),
        GaterCase::denied("to a stranger", dial(&stranger)),
        GaterCase::denied("to a stranger, established", dialed(&stranger)),
    ];
    gater(&hierarchy, &cases);
}

#[test]
fn chain() {
    let [parent, child, blocked, stranger] = [1, 2, 3, 4].map(test_peer);
    let hierarchy = HierarchyGater::default();
    hierarchy.set_parent(Some(parent));
    hierarchy.add_child(child).unwrap();
    hierarchy.add_child(blocked).unwrap();
    let chain = GaterChain::new()
        .with(BlockList::from_peers([blocked]).unwrap())
        .with(AllowAll)
        .with(hierarchy);
    let cases = [
        nobody_yet(),
        GaterCase::denied("established, still nobody", nobody_after_all()),
        GaterCase::allowed("from the parent", from(&parent)),
        GaterCase::allowed("from a child", from(&child)),
        GaterCase::denied("from a child that the first denies", from(&blocked)),
        GaterCase::denied("to a child that the first denies", dial(&blocked)),
        GaterCase::denied("from somebody that the last denies", from(&stranger)),
        GaterCase::allowed("to somebody that none denies", dial(&stranger)),
    ];
    gater(&chain, &cases);

    let anybody = [
        nobody_yet(),
        GaterCase::allowed("established, still nobody", nobody_after_all()),
        GaterCase::allowed("from anybody", from(&stranger)),
    ];
    gater(&GaterChain::new(), &anybody);
    gater(&AllowAll, &anybody);
}
