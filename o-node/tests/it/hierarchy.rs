//! Parents and children: joining, the way through the tree, and what happens when somebody is gone.

use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use o_address::{Address, TransportAddr};
use o_core::{
    Access, Attempt, Attributes, CallContext, CallError, ConnectionGater, DenyReason, Direction,
    Event, NetworkId, Node as _, Query, Text,
};
use o_node::{Admit, AgentDescription, Hosting, Keypair, Methods, Node, NodeBuilder, Preset};
use o_protocol::{Call, RootOfTrust, verify_chain, verify_record};
use o_transport::EnvelopeVerifier;

use crate::support::{address, quiet, soon, start, stop, until};

/// A node that says who called it, with a heartbeat that suits a test.
pub(crate) fn node(name: &str) -> NodeBuilder {
    with_key(Keypair::generate(), name)
}

fn with_key(key: Keypair, name: &str) -> NodeBuilder {
    let methods = Methods::new().unary("who", async |context: CallContext, ()| {
        let origin = context.terms.origin.map(|origin| origin.to_string());
        Ok::<_, CallError>((context.peer.map(|peer| peer.to_string()), origin))
    });
    Node::builder(key, Preset::Local)
        .configure(|config| {
            config.dht.enabled = false;
            config.hierarchy.heartbeat = Duration::from_millis(100);
            config.hierarchy.return_interval = Duration::from_millis(200);
        })
        .host(Hosting::new(address(name), methods))
}

pub(crate) fn at(node: &Node) -> TransportAddr {
    node.listen_addresses()[0].clone()
}

pub(crate) fn below(builder: NodeBuilder, parent: &TransportAddr) -> NodeBuilder {
    let parent = parent.clone();
    builder.configure(|config| config.hierarchy.parent = Some(parent))
}

async fn child(name: &str, parent: &Node) -> Node {
    let node = start(below(node(name), &at(parent))).await;
    until("it has joined", || node.parent() == Some(parent.peer_id())).await;
    node
}

/// Company, sales below it, and an agent below that.
async fn company() -> [Node; 3] {
    let company = start(node("o://company")).await;
    let sales = child("o://company/sales", &company).await;
    let ai = child("o://company/sales/ai", &sales).await;
    [company, sales, ai]
}

pub(crate) type Who = (Option<String>, Option<String>);

pub(crate) async fn who(caller: &Node, target: &str) -> Result<Who, CallError> {
    let call = Call::to(address(target), "who").timeout(Duration::from_secs(5));
    soon(call.send(caller)).await
}

#[tokio::test]
async fn a_child_gets_a_chain_that_anybody_can_check() {
    let [company, sales, ai] = company().await;
    let chain = ai.chain().unwrap();
    assert_eq!(chain.holder(), ai.peer_id());
    assert_eq!(chain.root(), company.peer_id());
    let root = RootOfTrust::new(address("o://company"), company.peer_id());
    let network = NetworkId::default();
    let check = |root: &RootOfTrust| {
        let (envelopes, now) = (chain.envelopes(), SystemTime::now());
        verify_chain(&envelopes, root, &EnvelopeVerifier, now, &network)
    };
    assert_eq!(check(&root).unwrap(), chain);
    let other = RootOfTrust::new(address("o://company"), sales.peer_id());
    assert!(check(&other).is_err());
    // Its record carries the chain, as soon as it has been signed anew.
    let carried = async {
        loop {
            let call = Call::to(address("o://company/sales/ai"), "describe");
            let described: AgentDescription = soon(call.send(&ai)).await.unwrap();
            let (envelope, now) = (described.record.unwrap().0, SystemTime::now());
            let record = verify_record(envelope, &EnvelopeVerifier, now, &network).unwrap();
            if !record.record().chain.is_empty() {
                return record.record().chain.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(soon(carried).await, chain.envelopes());
    stop([ai, sales, company]).await;
}

#[tokio::test]
async fn each_node_lists_those_below_it() {
    let [company, sales, ai] = company().await;
    let eu = child("o://company/eu", &company).await;
    let stranger = start(quiet()).await;
    soon(stranger.connect(&at(&company))).await.unwrap();
    let names = |depth| {
        let stranger = stranger.clone();
        async move {
            let tree = soon(stranger.tree_below(&address("o://company"), depth))
                .await
                .unwrap();
            tree.iter()
                .map(|node| node.name.to_string())
                .collect::<Vec<_>>()
        }
    };
    let mut all = names(15).await;
    // Children come in the order of their keys.
    let sales_at = all
        .iter()
        .position(|name| name == "o://company/sales")
        .unwrap();
    assert_eq!(all[sales_at + 1], "o://company/sales/ai");
    all.sort();
    assert_eq!(
        all,
        [
            "o://company",
            "o://company/eu",
            "o://company/sales",
            "o://company/sales/ai"
        ]
    );
    assert_eq!(names(0).await, ["o://company"]);
    assert_eq!(names(1).await.len(), 3);
    let place = soon(stranger.place_of(&address("o://company")))
        .await
        .unwrap();
    assert_eq!((place.children, place.above.len()), (2, 0));
    stop([stranger, eu, ai, sales, company]).await;
}

#[tokio::test]
async fn a_call_goes_through_the_tree_where_it_may_not_go_directly() {
    let [company, sales, ai] = company().await;
    let eu = child("o://company/eu", &company).await;
    // A sibling's child is no relative: by way of the parents.
    let (peer, origin) = who(&eu, "o://company/sales/ai").await.unwrap();
    assert_eq!(peer, Some(sales.peer_id().to_string()));
    assert_eq!(origin, Some(format!("o://~#{}", eu.peer_id())));
    // Up, and down on the other side.
    let (peer, _) = who(&ai, "o://company/eu").await.unwrap();
    assert_eq!(peer, Some(company.peer_id().to_string()));
    // Somebody who knows the company only.
    let stranger = start(quiet()).await;
    soon(stranger.connect(&at(&company))).await.unwrap();
    let (peer, origin) = who(&stranger, "o://company/sales/ai").await.unwrap();
    assert_eq!(peer, Some(sales.peer_id().to_string()));
    assert_eq!(origin, Some(format!("o://~#{}", stranger.peer_id())));
    // A stream takes the same way.
    soon(stranger.connect(&at(&ai))).await.unwrap();
    let call = Call::to(address("o://company/sales/ai"), "who").timeout(Duration::from_secs(5));
    let mut items = soon(call.stream::<Who>(&stranger)).await.unwrap();
    let (peer, _) = soon(items.next()).await.unwrap().unwrap();
    assert_eq!(peer, Some(sales.peer_id().to_string()));
    // What is not there is not found, however long the way.
    let missing = who(&stranger, "o://company/sales/nobody")
        .await
        .unwrap_err();
    assert!(matches!(missing, CallError::NotFound { .. }), "{missing:?}");
    stop([stranger, eu, ai, sales, company]).await;
}

#[tokio::test]
async fn a_call_passes_only_so_many_nodes() {
    let few = |builder: NodeBuilder| builder.configure(|config| config.hierarchy.max_hops = 1);
    let company = start(few(node("o://company"))).await;
    let sales = child("o://company/sales", &company).await;
    let ai = child("o://company/sales/ai", &sales).await;
    let stranger = start(few(quiet())).await;
    soon(stranger.connect(&at(&company))).await.unwrap();
    let error = who(&stranger, "o://company/sales/ai").await.unwrap_err();
    assert!(matches!(error, CallError::NotFound { .. }), "{error:?}");
    assert!(who(&stranger, "o://company/sales").await.is_ok());
    stop([stranger, ai, sales, company]).await;
}

#[tokio::test]
async fn children_of_a_parent_that_is_gone_go_to_the_next_one_and_come_back() {
    let company = start(node("o://company")).await;
    let key = Keypair::generate();
    let sales = below(with_key(key.clone(), "o://company/sales"), &at(&company));
    let sales = start(sales).await;
    until("sales has joined", || sales.parent().is_some()).await;
    let ai = child("o://company/sales/ai", &sales).await;
    let place = at(&sales);
    let mut events = company.events();
    stop([sales]).await;
    until("the leader has taken it", || {
        ai.parent() == Some(company.peer_id())
    })
    .await;
    // It left, so nobody has to miss it first.
    let left = loop {
        if let Some(Ok(Event::ChildLost { name, reason, .. })) = soon(events.next()).await {
            break (name, reason);
        }
    };
    assert_eq!(left, (address("o://company/sales"), "it left".into()));
    let stranger = start(quiet()).await;
    soon(stranger.connect(&at(&company))).await.unwrap();
    assert!(who(&stranger, "o://company/sales/ai").await.is_ok());

    let again = with_key(key, "o://company/sales").configure(|config| {
        config.listen = vec![place.without_peer().unwrap()];
    });
    let sales = start(below(again, &at(&company))).await;
    until("it is back with its parent", || {
        ai.parent() == Some(sales.peer_id())
    })
    .await;
    until("the leader has let it go", || {
        company.children() == [(address("o://company/sales"), sales.peer_id())]
    })
    .await;
    let (peer, _) = who(&stranger, "o://company/sales/ai").await.unwrap();
    assert_eq!(peer, Some(sales.peer_id().to_string()));
    stop([stranger, ai, sales, company]).await;
}

#[tokio::test]
async fn a_name_stays_with_its_first_key_unless_the_operator_says_otherwise() {
    let friend = Keypair::generate();
    let company = node("o://company").configure(|config| {
        config.hierarchy.listed = vec![friend.peer_id()];
    });
    let company = start(company).await;
    let sales = child("o://company/sales", &company).await;
    // Neither the name nor what is below it.
    for name in [
        "o://company/sales",
        "o://company/sales/x",
        "o://elsewhere/sales",
    ] {
        let thief = start(below(node(name), &at(&company))).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(thief.parent(), None, "{name}");
        assert_eq!(company.children().len(), 1);
        stop([thief]).await;
    }
    let second = with_key(friend, "o://company/sales");
    let second = start(below(second, &at(&company))).await;
    until("the friend has joined", || second.parent().is_some()).await;
    stop([second, sales, company]).await;
}

#[tokio::test]
async fn who_is_not_admitted_may_ask_and_nothing_else() {
    let closed = node("o://company").configure(|config| {
        config.hierarchy.admit = Admit::Listed;
        config.hierarchy.policy.access = Some(Access::Family);
    });
    let company = start(closed).await;
    let sales = start(below(node("o://company/sales"), &at(&company))).await;
    until("it is connected", || {
        company.pool_stats().unwrap().connections > 0
    })
    .await;
    let stranger = start(quiet()).await;
    soon(stranger.connect(&at(&company))).await.unwrap();
    let refused = who(&stranger, "o://company").await.unwrap_err();
    assert!(
        matches!(refused, CallError::Refused { certain: true, .. }),
        "{refused:?}"
    );
    assert!(
        soon(stranger.place_of(&address("o://~").pinned(company.peer_id())))
            .await
            .is_ok()
    );
    assert_eq!((sales.parent(), company.children().len()), (None, 0));
    stop([stranger, sales, company]).await;
}

#[tokio::test]
async fn a_child_may_narrow_and_never_widen() {
    let company = node("o://company").configure(|config| {
        config.hierarchy.policy.capabilities = Some(vec!["text/*".into()]);
        config.hierarchy.policy.depth = Some(2);
    });
    let company = start(company).await;
    let sales = node("o://company/sales").configure(|config| {
        config.hierarchy.policy.capabilities = Some(vec!["text/sum*".into(), "image/*".into()]);
    });
    let sales = start(below(sales, &at(&company))).await;
    until("it has joined", || sales.parent().is_some()).await;
    let ai = child("o://company/sales/ai", &sales).await;
    let policy = ai.chain().unwrap().policy();
    let allowed: Vec<_> = policy
        .capabilities
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!((allowed, policy.depth), (vec!["text/sum*".to_owned()], 0));
    // Below that nobody may be.
    let deep = start(below(node("o://company/sales/ai/deep"), &at(&ai))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((deep.parent(), ai.children().len()), (None, 0));
    stop([deep, ai, sales, company]).await;
}

#[tokio::test]
async fn a_root_whose_key_has_changed_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let trust = directory.path().join("trust.json");
    let remembering = |parent: &Node| {
        let (trust, parent) = (trust.clone(), at(parent).without_peer().unwrap());
        below(node("o://company/sales"), &parent)
            .configure(|config| config.hierarchy.trust_file = Some(trust))
    };
    let company = start(node("o://company")).await;
    let sales = start(remembering(&company)).await;
    until("the first key is trusted", || sales.parent().is_some()).await;
    stop([sales, company]).await;

    let impostor = start(node("o://company")).await;
    let sales = remembering(&impostor).build().unwrap();
    let mut events = sales.events();
    soon(sales.start()).await.unwrap();
    let presented = loop {
        if let Some(Ok(Event::RootChanged { presented, .. })) = soon(events.next()).await {
            break presented;
        }
    };
    assert_eq!(presented, impostor.peer_id());
    assert_eq!((sales.parent(), sales.chain()), (None, None));
    // Its address says who it must be: that is the operator's word.
    let trusting = below(node("o://company/eu"), &at(&impostor));
    let trusting = trusting.configure(|config| config.hierarchy.trust_file = Some(trust.clone()));
    let eu = start(trusting).await;
    until("the given key is trusted", || eu.parent().is_some()).await;
    stop([eu, sales, impostor]).await;
}

#[tokio::test]
async fn a_new_root_that_the_parent_was_told_to_trust_is_no_reason_for_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let trust = directory.path().join("trust.json");
    let company = start(node("o://company")).await;
    let there = at(&company).without_peer().unwrap();
    let sales = below(node("o://company/sales"), &there);
    let remembering = trust.clone();
    let sales = sales.configure(|config| config.hierarchy.trust_file = Some(remembering));
    let sales = start(sales).await;
    let ai = child("o://company/sales/ai", &sales).await;
    let mut events = ai.events();
    stop([company]).await;

    // Not a successor. The operator of the department says that it is right all the same.
    let trust = o_node::Trust::open(o_core::NetworkId::default(), Some(trust)).unwrap();
    assert!(trust.forget(&address("o://company")).unwrap());
    let listen = there.clone();
    let other = node("o://company").configure(|config| config.listen = vec![listen]);
    let other = start(other).await;
    until("the department is below the new one", || {
        sales.parent() == Some(other.peer_id())
    })
    .await;
    // Nobody has said so to those below it.
    let presented = loop {
        if let Some(Ok(Event::RootChanged { presented, .. })) = soon(events.next()).await {
            break presented;
        }
    };
    assert_eq!(presented, other.peer_id());
    until("it is below nobody", || ai.parent().is_none()).await;
    stop([ai, sales, other]).await;
}

#[test]
fn a_place_that_makes_no_sense_is_refused() {
    let refused = |change: fn(&mut o_node::HierarchyConfig)| {
        let mut config = o_node::NodeConfig::default();
        change(&mut config.hierarchy);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(|h| h.heartbeat = Duration::ZERO).contains("hierarchy.heartbeat"));
    assert!(refused(|h| h.max_hops = 0).contains("hierarchy.max_hops"));
    assert!(refused(|h| h.name = Some(Address::node())).contains("hierarchy.name"));
    assert!(
        refused(|h| h.policy.capabilities = Some(vec!["a*b".into()])).contains("hierarchy.policy")
    );
}

pub(crate) async fn found(node: &Node, query: Query) -> Vec<(String, bool)> {
    let named = |provider: o_core::Provider| {
        let record = provider.record.unwrap();
        (record.record().address.to_string(), provider.confirmed)
    };
    let found = node
        .find(query)
        .filter_map(async |found| found.ok().map(named));
    soon(found.collect()).await
}

#[tokio::test]
async fn what_is_announced_below_is_found_from_the_top_until_it_is_gone() {
    let company = start(node("o://company")).await;
    let sales = child("o://company/sales", &company).await;
    let methods = Methods::new().unary("sum", async |_, ()| Ok::<_, CallError>(()));
    let agent = Hosting::new(address("o://company/sales/ai"), methods)
        .capability("text/summarize".parse().unwrap())
        .label("lang=de".parse().unwrap())
        .description("Summarizes contracts.");
    let ai = quiet().host(agent).configure(|config| {
        config.hierarchy.heartbeat = Duration::from_millis(100);
    });
    let ai = start(below(ai, &at(&sales))).await;
    let stranger = quiet().configure(|config| config.bootstrap = vec![at(&company)]);
    let stranger = start(stranger).await;

    let by_words = || Query::Text(Text::new("summarize contract"));
    let arrived = async {
        while found(&stranger, by_words()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(arrived).await;
    let only = [("o://company/sales/ai".to_owned(), false)];
    let label = "label:lang=de".parse().unwrap();
    let by_label = Query::Attributes(Attributes::any([label]));
    assert_eq!(found(&stranger, by_label).await, only);
    // It takes no calls of strangers, and so confirms nothing to them.
    let by_capability = Query::Capability("text/summarize".parse().unwrap());
    assert_eq!(found(&stranger, by_capability.clone()).await, only);
    let own = found(&ai, by_words()).await;
    assert_eq!(own, [("o://company/sales/ai".to_owned(), true)]);

    stop([ai]).await;
    let gone = async {
        while !found(&stranger, by_words()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(gone).await;
    assert!(found(&stranger, by_capability).await.is_empty());
    stop([stranger, sales, company]).await;
}

#[tokio::test]
async fn who_takes_calls_from_its_family_only_is_found_and_called_by_capability_all_the_same() {
    let company = start(node("o://company")).await;
    let (capability, mut children) = (
        "text/summarize".parse::<o_core::Capability>().unwrap(),
        Vec::new(),
    );
    for name in ["o://company/a", "o://company/b"] {
        let methods = Methods::new().unary("tell", async |_, ()| Ok::<_, CallError>(7));
        let agent = Hosting::new(address(name), methods).capability(capability.clone());
        let builder = quiet().host(agent).configure(|config| {
            config.hierarchy.heartbeat = Duration::from_millis(100);
        });
        let child = start(below(builder, &at(&company))).await;
        until("it has joined", || child.parent().is_some()).await;
        children.push(child);
    }
    let client = start(crate::support::knowing(quiet().client(), &company)).await;
    let query = || Query::Capability(capability.clone());
    soon(async {
        while crate::support::found(&client, query()).await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for child in &children {
        let direct = Call::to(address("o://~").pinned(child.peer_id()), "describe");
        let refused = soon(direct.send::<o_protocol::NodeDescription>(&client)).await;
        assert!(
            matches!(refused, Err(CallError::Refused { .. })),
            "{refused:?}"
        );
    }
    for _ in 0..4 {
        let told = soon(
            client
                .any(capability.clone())
                .method("tell")
                .call_typed::<u64>(&()),
        );
        assert_eq!(told.await, Ok(7));
    }
    stop(children).await;
    stop([client, company]).await;
}

#[tokio::test]
async fn a_registry_is_called_by_its_name() {
    let company = start(node("o://company")).await;
    let status = |at: String, caller: Node| async move {
        let call = Call::to(address(&at), "status").timeout(Duration::from_secs(5));
        soon(call.send::<serde_json::Value>(&caller)).await
    };
    let pinned = format!("o://network/registry#{}", company.peer_id());
    let client = start(crate::support::knowing(quiet().client(), &company)).await;
    soon(async {
        while status(pinned.clone(), company.clone()).await.unwrap()["entries"] != 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for at in [pinned.clone(), "o://network/registry".into()] {
        for caller in [&company, &client] {
            let status = status(at.clone(), caller.clone()).await.unwrap();
            assert_eq!(status["entries"], 1, "{at}");
        }
    }
    let nobody = start(quiet().client()).await;
    let lost = status("o://network/registry".into(), nobody.clone()).await;
    assert!(matches!(lost, Err(CallError::NoNetwork { .. })), "{lost:?}");
    let lost = status(pinned, nobody.clone()).await;
    assert!(
        matches!(lost, Err(CallError::Unreachable { .. })),
        "{lost:?}"
    );
    stop([nobody, client, company]).await;
}

/// Calls others, and takes no calls.
#[derive(Debug)]
struct Mute;

impl ConnectionGater for Mute {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        match attempt.direction {
            Direction::Outbound => Ok(()),
            Direction::Inbound => Err(DenyReason::NotAllowed),
        }
    }
}

#[tokio::test]
async fn who_does_not_answer_over_its_own_connection_is_no_child() {
    let company = start(node("o://company")).await;
    let join = async |caller: &Node, name: &str| {
        soon(caller.connect(&at(&company))).await.unwrap();
        let there = Address::node().pinned(company.peer_id());
        let wanted = Call::to(there, "hierarchy.join").params(serde_json::json!({ "name": name }));
        soon(wanted.send::<serde::de::IgnoredAny>(caller)).await
    };
    let mute = start(quiet().gater(Mute)).await;
    let error = join(&mute, "o://company/mute").await.unwrap_err();
    assert!(error.to_string().contains("did not answer"), "{error}");
    assert_eq!(company.children(), []);
    // The same question of somebody who does.
    let open = start(quiet()).await;
    join(&open, "o://company/open").await.unwrap();
    let children = company.children();
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].1, open.peer_id());
    stop([mute, open, company]).await;
}
