//! A name below a leader's is believed only with its chain.

use std::time::Duration;

use o_core::{CallError, Query};
use o_discovery::MemoryDiscovery;
use o_node::{Hosting, Methods, Node, NodeBuilder};
use o_protocol::Call;

use crate::support::{address, found, only_address, quiet, soon, start, stop, until};

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
