//! The suite of `Resolver`.

use futures::{FutureExt, future::join_all};
use o_address::{Address, PeerId};
use o_core::{ResolveError, Resolver};

use super::check::Suite;
use crate::test_peer;

const SUITE: Suite = Suite("Resolver");

/// Checks that `known` leads to `peer`, that a pin leaves only its own peer, and that nobody is
/// found at `unknown`.
///
/// # Panics
/// When the resolver does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite.
pub async fn resolver(resolver: &dyn Resolver, known: &Address, peer: PeerId, unknown: &Address) {
    let known = known.without_pin();
    let step = "a known name";
    let routes = SUITE.ok_within(step, resolver.resolve(&known)).await;
    SUITE.check(
        step,
        routes.iter().any(|route| route.peer == peer),
        "its peer is not among the routes",
    );
    let mut peers: Vec<_> = routes.iter().map(|route| route.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    SUITE.equal("every peer once", &peers.len(), &routes.len());

    let step = "a name that is pinned to its peer";
    let pinned = SUITE
        .ok_within(step, resolver.resolve(&known.pinned(peer)))
        .await;
    SUITE.check(
        step,
        !pinned.is_empty(),
        "no route, which should be `NotFound`",
    );
    SUITE.check(
        step,
        pinned.iter().all(|route| route.peer == peer),
        "another peer, too",
    );

    not_found(
        resolver,
        "a name that is pinned to somebody else",
        &known.pinned(test_peer(u64::MAX)),
    )
    .await;
    not_found(resolver, "an unknown name", &unknown.without_pin()).await;

    // Dropped before it was asked, and after.
    drop(resolver.resolve(&known));
    let _ = resolver.resolve(&known).now_or_never();
    let step = "many at once, after some were dropped";
    for routes in SUITE
        .within(step, join_all((0..8).map(|_| resolver.resolve(&known))))
        .await
    {
        let routes = SUITE.ok(step, routes);
        SUITE.check(
            step,
            routes.iter().any(|route| route.peer == peer),
            "the peer is gone",
        );
    }
}

async fn not_found(resolver: &dyn Resolver, step: &str, address: &Address) {
    match SUITE.within(step, resolver.resolve(address)).await {
        Err(ResolveError::NotFound { address: named }) => {
            SUITE.equal(&format!("{step}: the error names it"), &named, address);
        }
        other => SUITE.fail(step, &format!("expected `NotFound`, found {other:?}")),
    }
}
