//! Peers that would like the names, or the places, of others.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use o_address::PeerId;
use o_core::{Chain, Delegation, NetworkId, Policy, RecordTimes, SignedDelegation, Successor};
use o_node::{
    CallerExt as _, EnvelopeVerifier, Hosting, Keypair, Methods, Node, NodeBuilder, NodeConfig,
    Preset, sign_successor, write_successors,
};
use o_protocol::{Blob, RootOfTrust, sign_delegation, verify_chain};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::{
    hierarchy::{at, below, node},
    support::{address, quiet, soon, start, stop, until, without_table},
};

async fn child(builder: NodeBuilder, parent: &Node) -> Node {
    let node = start(below(builder, &at(parent))).await;
    until("it has joined", || node.parent() == Some(parent.peer_id())).await;
    node
}

async fn names_below(node: &Node) -> Vec<String> {
    let tree = soon(node.tree_below(&address("o://company"), 1)).await;
    let tree = tree.unwrap_or_default();
    tree.iter().map(|node| node.name.to_string()).collect()
}

#[tokio::test]
async fn nobody_joins_or_leaves_in_the_name_of_whoever_passes_it_on() {
    let company = start(node("o://company")).await;
    let sales = child(node("o://company/sales"), &company).await;
    let ai = child(node("o://company/sales/ai"), &sales).await;
    let stranger = start(quiet()).await;
    soon(stranger.connect(&at(&sales))).await.unwrap();
    let leader = address("o://~").pinned(company.peer_id());
    for caller in [&ai, &stranger] {
        let by = caller.peer(sales.peer_id());
        for target in [leader.clone(), address("o://company")] {
            let left = by
                .call_typed::<IgnoredAny>(&target, "hierarchy.leave", &())
                .await;
            assert!(left.is_err(), "{left:?}");
            let renamed = json!({ "name": "o://company/zzz", "chain": [], "addresses": [] });
            let joined = by
                .call_typed::<IgnoredAny>(&target, "hierarchy.join", &renamed)
                .await;
            assert!(joined.is_err(), "{joined:?}");
        }
    }
    assert_eq!(
        names_below(&company).await,
        ["o://company", "o://company/sales"]
    );
    assert_eq!(
        company.children(),
        [(address("o://company/sales"), sales.peer_id())]
    );
    stop([stranger, ai, sales, company]).await;
}

/// A delegation of `by` to `to`, as nobody but whoever has the key of `by` can make it.
fn given(by: &Keypair, to: PeerId, name: &str) -> SignedDelegation {
    let mut policy = Policy::default();
    policy.depth -= 1;
    let delegation = Delegation {
        issuer: by.peer_id(),
        subject: to,
        subtree: address(name),
        policy,
        sequence: 1,
        times: RecordTimes::starting(SystemTime::now(), Duration::from_secs(3600)),
        network: NetworkId::default(),
    };
    sign_delegation(&delegation, by).unwrap()
}

/// Asks to join as whoever the caller is, with a chain of its own.
async fn ask_to_join(
    caller: &Node,
    parent: &Node,
    name: &str,
    chain: &Chain,
) -> Result<(), String> {
    let given = given_to(caller, parent, name, chain).await;
    given.map(drop)
}

/// The same, and the envelopes of what the parent gives.
async fn given_to(
    caller: &Node,
    parent: &Node,
    name: &str,
    chain: &Chain,
) -> Result<Vec<Bytes>, String> {
    let _ = soon(caller.connect(&at(parent))).await;
    let chain: Vec<_> = chain.envelopes().into_iter().map(Blob).collect();
    #[derive(serde::Serialize)]
    struct Request {
        name: o_address::Address,
        chain: Vec<Blob>,
        addresses: Vec<o_address::TransportAddr>,
    }
    let request = Request {
        name: address(name),
        chain,
        addresses: Vec::new(),
    };
    let there = caller.peer(parent.peer_id());
    let target = address("o://~").pinned(parent.peer_id());
    #[derive(serde::Deserialize)]
    struct Joined {
        chain: Vec<Blob>,
    }
    let joined = soon(there.call_typed::<Joined>(&target, "hierarchy.join", &request)).await;
    let joined = joined.map_err(|error| error.to_string())?;
    Ok(joined.chain.into_iter().map(|blob| blob.0).collect())
}

/// The leader, after its old key was succeeded by its new one.
fn succeeded(old: &Keypair, new: &Keypair, file: &std::path::Path) -> NodeBuilder {
    let succession = Successor {
        root: address("o://company"),
        old: old.peer_id(),
        new: new.peer_id(),
        created: 0,
        network: NetworkId::default(),
    };
    write_successors(file, &[sign_successor(&succession, old).unwrap()]).unwrap();
    let file = file.to_owned();
    let hosting = Hosting::new(address("o://company"), Methods::new());
    let builder = Node::builder(new.clone(), Preset::Local).configure(without_table);
    builder.host(hosting).configure(move |config| {
        config.hierarchy.heartbeat = Duration::from_millis(100);
        config.hierarchy.successors = Some(file);
    })
}

#[tokio::test]
async fn a_stolen_key_that_was_succeeded_gives_no_names() {
    let files = tempfile::tempdir().unwrap();
    let [old, new] = [(); 2].map(|()| Keypair::generate());
    let listed = |config: &mut NodeConfig| config.hierarchy.admit = o_node::Admit::Listed;
    let leader = succeeded(&old, &new, &files.path().join("successors"));
    let company = start(leader.configure(listed)).await;
    let thief = start(quiet()).await;
    let stolen = given(&old, thief.peer_id(), "o://company/sales");
    let stolen = Chain::new_verified(old.peer_id(), Vec::new(), vec![stolen]);
    let refused = ask_to_join(&thief, &company, "o://company/sales", &stolen).await;
    assert!(
        refused.as_ref().is_err_and(|why| why.contains("--admit")),
        "{refused:?}"
    );
    // What the new key has given is enough.
    let own = given(&new, thief.peer_id(), "o://company/sales");
    let own = Chain::new_verified(new.peer_id(), Vec::new(), vec![own]);
    assert_eq!(
        ask_to_join(&thief, &company, "o://company/sales", &own).await,
        Ok(())
    );
    stop([thief, company]).await;
}

#[tokio::test]
async fn a_new_key_of_the_root_is_known_at_the_bottom_within_heartbeats() {
    let files = tempfile::tempdir().unwrap();
    let [old, new] = [(); 2].map(|()| Keypair::generate());
    let here = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let listen = move |config: &mut NodeConfig| {
        config.listen = vec![
            format!("/ip4/127.0.0.1/tcp/{}", here.port())
                .parse()
                .unwrap(),
        ];
    };
    let hosting = Hosting::new(address("o://company"), Methods::new());
    let before = Node::builder(old.clone(), Preset::Local).configure(without_table);
    let before = before.host(hosting).configure(listen);
    let before = start(before.configure(|config| {
        config.hierarchy.heartbeat = Duration::from_millis(100);
    }))
    .await;
    let sales = child(node("o://company/sales"), &before).await;
    let ai = child(node("o://company/sales/ai"), &sales).await;
    let root = |node: &Node| node.chain().map(|chain| chain.root());
    assert_eq!(root(&ai), Some(old.peer_id()));
    stop([before]).await;
    let leader = succeeded(&old, &new, &files.path().join("successors"));
    let after = start(leader.configure(listen)).await;
    for node in [&sales, &ai] {
        until("it knows the new key", || root(node) == Some(new.peer_id())).await;
    }
    assert_eq!(ai.parent(), Some(sales.peer_id()));
    stop([ai, sales, after]).await;
}

#[tokio::test]
async fn what_a_parent_forbids_nobody_above_it_gives_instead() {
    let company = start(node("o://company")).await;
    let strict = node("o://company/sales").configure(|config| {
        config.hierarchy.policy.capabilities = Some(vec!["text/*".into()]);
        config.hierarchy.delegation_lifetime = Duration::from_secs(3600);
    });
    let sales = child(strict, &company).await;
    let ai = child(node("o://company/sales/ai"), &sales).await;
    let bounded = ai.chain().unwrap().policy().capabilities;
    assert!(bounded.is_some(), "{bounded:?}");
    let until_now = ai.chain().unwrap().delegations()[1].delegation().times;
    // Its parent goes, and it comes to the leader with what it has.
    stop([sales]).await;
    until("it is below the leader", || {
        ai.parent() == Some(company.peer_id())
    })
    .await;
    let chain = ai.chain().unwrap();
    assert_eq!(chain.delegations().len(), 1);
    assert_eq!(chain.policy().capabilities, bounded);
    let given = chain.delegations()[0].delegation().times;
    assert!(
        given.created + u64::from(given.lifetime)
            <= until_now.created + u64::from(until_now.lifetime)
    );
    // And the name of the parent, which left, is not anybody's.
    let stranger = start(quiet()).await;
    let none = Chain::of_root(company.peer_id());
    let refused = ask_to_join(&stranger, &company, "o://company/sales", &none).await;
    assert!(
        refused
            .as_ref()
            .is_err_and(|why| why.contains("belongs to")),
        "{refused:?}"
    );
    // Whoever shows no chain gets no more than with one, for its own name and for one below that.
    for name in ["o://company/sales/ai", "o://company/sales/ai/x"] {
        let chain = given_to(&ai, &company, name, &none).await.unwrap();
        let chain = verified(&chain, &company);
        assert_eq!(chain.policy().capabilities, bounded, "{name}");
        let given = chain.delegations()[0].delegation().times;
        assert!(given.lifetime <= until_now.lifetime, "{name}: {given:?}");
    }
    stop([stranger, ai, company]).await;
}

/// A chain that the leader of the company has begun.
fn verified(chain: &[Bytes], company: &Node) -> Chain {
    let root = RootOfTrust::new(address("o://company"), company.peer_id());
    let (now, network) = (SystemTime::now(), NetworkId::default());
    verify_chain(chain, &root, &EnvelopeVerifier, now, &network).unwrap()
}

#[tokio::test]
async fn what_a_parent_forbids_two_above_it_do_not_give_together() {
    let company = start(node("o://company")).await;
    let sales = child(node("o://company/sales"), &company).await;
    let strict = node("o://company/sales/eu").configure(|config| {
        config.hierarchy.policy.capabilities = Some(vec!["text/*".into()]);
        config.hierarchy.delegation_lifetime = Duration::from_secs(3600);
    });
    let eu = child(strict, &sales).await;
    let ai = child(node("o://company/sales/eu/ai"), &eu).await;
    let held = ai.chain().unwrap();
    let name = "o://company/sales/eu/ai";
    // The leader lends the name; to the one in between that looks as if it had come from above.
    let lent = given_to(&ai, &company, name, &held).await.unwrap();
    let lent = verified(&lent, &company);
    assert_eq!(lent.delegations().len(), 1);
    let again = given_to(&ai, &sales, name, &lent).await.unwrap();
    let again = verified(&again, &company);
    assert_eq!(again.delegations().len(), 2);
    for chain in [&lent, &again] {
        assert_eq!(chain.policy().capabilities, held.policy().capabilities);
        let given = chain.delegations().last().unwrap().delegation().times;
        assert!(given.lifetime <= 3600, "{given:?}");
    }
    // Its own parent gives it what it always gave.
    let home = given_to(&ai, &eu, name, &lent).await.unwrap();
    let home = verified(&home, &company);
    let given = home.delegations().last().unwrap().delegation().times;
    assert_eq!((home.delegations().len(), given.lifetime), (3, 3600));
    stop([ai, eu, sales, company]).await;
}

#[tokio::test]
async fn who_was_lent_a_name_has_it_no_longer_than_its_own_parent_gave_it() {
    let company = start(node("o://company")).await;
    let sales = node("o://company/sales");
    let sales = sales.configure(|config| {
        config.hierarchy.delegation_lifetime = Duration::from_secs(10);
    });
    let sales = child(sales, &company).await;
    let ai = child(node("o://company/sales/ai"), &sales).await;
    stop([sales]).await;
    until("it is below the leader", || {
        ai.parent() == Some(company.peer_id())
    })
    .await;
    until("it is no longer", || company.children().is_empty()).await;
    // It asks again and again, and the name is the department's.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((company.children(), ai.parent()), (Vec::new(), None));
    stop([ai, company]).await;
}

#[tokio::test]
async fn the_name_of_an_agent_of_the_parent_itself_is_taken() {
    let press = Hosting::new(address("o://company/press"), Methods::new());
    let company = start(node("o://company").host(press)).await;
    let stranger = start(quiet()).await;
    let none = Chain::of_root(company.peer_id());
    let asked = async |name: &str| ask_to_join(&stranger, &company, name, &none).await;
    let mut refused = Ok(());
    // It is in the registry a moment after the start.
    for _ in 0..100 {
        refused = asked("o://company/press").await;
        if refused.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        refused
            .as_ref()
            .is_err_and(|why| why.contains("belongs to")),
        "{refused:?}"
    );
    // Each child has one name: the one before is free again.
    assert_eq!(asked("o://company/one").await, Ok(()));
    assert_eq!(asked("o://company/two").await, Ok(()));
    let other = start(quiet()).await;
    assert_eq!(
        ask_to_join(&other, &company, "o://company/one", &none).await,
        Ok(())
    );
    let taken: BTreeSet<_> = company
        .children()
        .into_iter()
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(
        taken,
        ["o://company/one", "o://company/two"]
            .map(String::from)
            .into()
    );
    stop([other, stranger, company]).await;
}
