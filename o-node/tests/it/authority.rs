//! A name below a leader's is believed only with its chain.

use std::time::Duration;

use o_core::{CallError, ErrorCode, NetworkId, Query, Successor};
use o_discovery::MemoryDiscovery;
use o_node::{
    EnvelopeVerifier, Hosting, Keypair, Methods, Node, NodeBuilder, Preset, Trust, read_successors,
    sign_successor, write_successors,
};
use o_protocol::Call;

use crate::support::{
    address, found, only_address, quiet, soon, start, stop, until, without_table,
};

fn telling(name: &str, word: &'static str) -> Hosting {
    let methods = Methods::new().unary("tell", async move |_, ()| {
        Ok::<_, CallError>(word.to_owned())
    });
    Hosting::new(address(name), methods).capability("text/tell".parse().unwrap())
}

fn node(directory: &MemoryDiscovery, hosting: Hosting) -> NodeBuilder {
    let builder = quiet().discovery(directory.clone()).host(hosting);
    builder.configure(|config| {
        config.hierarchy.heartbeat = Duration::from_millis(100);
        config.hierarchy.policy.access = Some(o_core::Access::Everybody);
    })
}

async fn child(builder: NodeBuilder, parent: &Node) -> Node {
    let at = only_address(parent);
    let child = start(builder.configure(|config| config.hierarchy.parent = Some(at))).await;
    until("it has joined", || child.parent().is_some()).await;
    child
}

#[tokio::test]
async fn an_impostor_below_the_root_is_not_found_and_not_called() {
    let directory = MemoryDiscovery::default();
    let name = "o://company/sales";
    // It leads nobody, and says that it has the name.
    let impostor = start(node(&directory, telling(name, "impostor"))).await;
    let company = start(node(&directory, telling("o://company", "company"))).await;
    let sales = child(node(&directory, telling(name, "sales")), &company).await;
    let asker = child(
        node(&directory, telling("o://company/asker", "asker")),
        &company,
    )
    .await;
    // With a connection its HELLO claims the name, too.
    soon(asker.connect(&only_address(&impostor))).await.unwrap();
    let by_name = || Query::Name(address(name));
    soon(async {
        // Its record carries the chain a moment after it has joined.
        while found(&asker, by_name()).await != [sales.peer_id()] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for _ in 0..3 {
        let told = soon(Call::to(address(name), "tell").send::<String>(&asker)).await;
        assert_eq!(told.as_deref(), Ok("sales"));
    }
    let able = found(&asker, Query::Capability("text/tell".parse().unwrap())).await;
    assert!(!able.contains(&impostor.peer_id()), "{able:?}");

    // Somebody in no tree sees both, and pins whom it means.
    let stranger = start(node(&directory, telling("o://stranger", "stranger"))).await;
    let mut both = [impostor.peer_id(), sales.peer_id()];
    both.sort_unstable();
    assert_eq!(found(&stranger, by_name()).await, both);

    stop([sales]).await;
    let nobody = soon(Call::to(address(name), "tell").send::<String>(&asker)).await;
    assert!(nobody.is_err(), "{nobody:?}");
    stop([stranger, asker, company, impostor]).await;
}

/// Waits until somebody finds exactly these at a name.
async fn until_found(asker: &Node, name: &str, peers: &[o_address::PeerId]) {
    soon(async {
        while found(asker, Query::Name(address(name))).await != peers {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_remembers_a_root_believes_names_below_it_with_its_chain_only() {
    let directory = MemoryDiscovery::default();
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("trust.json");
    let name = "o://company/sales";
    let company = start(node(&directory, telling("o://company", "company"))).await;
    let impostor = start(node(&directory, telling(name, "impostor"))).await;
    Trust::open(NetworkId::default(), Some(path.clone()))
        .unwrap()
        .remember(&address("o://company"), company.peer_id())
        .unwrap();
    // In no tree, and no server either.
    let client = quiet().client().discovery(directory.clone());
    let trusting =
        |config: &mut o_node::NodeConfig| config.hierarchy.trust_file = Some(path.clone());
    let client = start(client.configure(trusting)).await;
    assert_eq!(found(&client, Query::Name(address(name))).await, []);
    // With a connection its HELLO claims the name, too.
    soon(client.connect(&only_address(&impostor)))
        .await
        .unwrap();
    let refused = soon(Call::to(address(name), "tell").send::<String>(&client)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Refused);

    let sales = child(node(&directory, telling(name, "sales")), &company).await;
    until_found(&client, name, &[sales.peer_id()]).await;
    let told = soon(Call::to(address(name), "tell").send::<String>(&client)).await;
    assert_eq!(told.as_deref(), Ok("sales"));
    // Whom it means it says with a pin, and even then the name must be theirs.
    let pinned = address(name).pinned(impostor.peer_id());
    assert_eq!(found(&client, Query::Name(pinned)).await, []);
    // Of other roots it remembers nothing.
    let able = found(&client, Query::Name(address("o://company"))).await;
    assert_eq!(able, [company.peer_id()]);
    stop([client, sales, company, impostor]).await;
}

#[tokio::test]
async fn a_root_with_a_new_key_is_believed_by_those_who_trust_the_old_one_or_the_new_one() {
    let directory = MemoryDiscovery::default();
    let files = tempfile::tempdir().unwrap();
    let [old, new] = [(); 2].map(|()| Keypair::generate());
    let successors = files.path().join("company.key.successors");
    let succession = Successor {
        root: address("o://company"),
        old: old.peer_id(),
        new: new.peer_id(),
        created: 0,
        network: NetworkId::default(),
    };
    write_successors(&successors, &[sign_successor(&succession, &old).unwrap()]).unwrap();
    let leader = |key: &Keypair| {
        let successors = successors.clone();
        let builder = Node::builder(key.clone(), Preset::Local).configure(without_table);
        builder
            .discovery(directory.clone())
            .host(telling("o://company", "company"))
            .configure(move |config| config.hierarchy.successors = Some(successors))
    };
    // The old key is not where the successions lead to.
    let wrong = leader(&old).start().await.unwrap_err();
    assert!(wrong.to_string().contains("makes"), "{wrong}");

    let company = start(leader(&new)).await;
    let name = "o://company/sales";
    let trust_file = files.path().join("child.json");
    let remembered = || {
        let trust = Trust::open(NetworkId::default(), Some(trust_file.clone())).unwrap();
        trust.root_for(&address(name)).map(|root| root.key)
    };
    Trust::open(NetworkId::default(), Some(trust_file.clone()))
        .unwrap()
        .remember(&address("o://company"), old.peer_id())
        .unwrap();
    let sales = node(&directory, telling(name, "sales"));
    // It names the key that the leader had.
    let at = only_address(&company).without_peer().unwrap();
    let at = at.with_peer(&old.peer_id());
    let remembering = trust_file.clone();
    let sales = sales.configure(move |config| {
        config.hierarchy.trust_file = Some(remembering);
        config.hierarchy.parent = Some(at);
    });
    let sales = start(sales).await;
    until("it has joined", || sales.parent().is_some()).await;
    assert_eq!(remembered(), Some(new.peer_id()));
    for (n, key) in [&old, &new].into_iter().enumerate() {
        let path = files.path().join(format!("{n}.json"));
        let trust = Trust::open(NetworkId::default(), Some(path.clone())).unwrap();
        trust
            .remember(&address("o://company"), key.peer_id())
            .unwrap();
        let client = quiet().client().discovery(directory.clone());
        let trusting = |config: &mut o_node::NodeConfig| config.hierarchy.trust_file = Some(path);
        let client = start(client.configure(trusting)).await;
        until_found(&client, name, &[sales.peer_id()]).await;
        until_found(&client, "o://company", &[company.peer_id()]).await;
        stop([client]).await;
    }
    let all = read_successors(&successors, &EnvelopeVerifier, &NetworkId::default());
    assert_eq!(all.unwrap().len(), 1);
    stop([sales, company]).await;
}
