//! The table refuses what it must, and the workspace keeps it.

use serde_json::json;

use super::{RULES, check, edges, matches_any, reached};
use crate::workspace::{self, Dependency, Package};

fn depends(name: &str, other: &str, dev: bool) -> Vec<String> {
    let dependency = Dependency {
        name: other.to_owned(),
        dev,
        ..Dependency::default()
    };
    edges(&[Package {
        name: name.to_owned(),
        dependencies: vec![dependency],
        ..Package::default()
    }])
}

fn reaches(krate: &str, tree: &str) -> Vec<String> {
    let rule = RULES.iter().find(|rule| rule.krate == krate).unwrap();
    reached(rule, rule.never, tree)
}

#[test]
fn the_workspace_keeps_the_table() {
    let findings = check(&workspace::shell().unwrap()).unwrap();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn an_edge_outside_the_table_is_refused() {
    assert_eq!(
        depends("o-core", "o-protocol", false),
        ["o-core must not depend on o-protocol"]
    );
    assert_eq!(
        depends("o-pool", "o-node", true),
        ["o-pool must not dev-depend on o-node"]
    );
    assert_eq!(
        depends("o-node", "o-testkit", false),
        ["o-node must not depend on o-testkit"]
    );
    assert_eq!(
        depends("xtask", "o-testkit", true),
        ["xtask must not dev-depend on o-testkit"]
    );
    assert!(depends("o-core", "o-address", false).is_empty());
    assert!(depends("o-pool", "o-testkit", true).is_empty());
    assert!(depends("o-pool", "o-protocol", true).is_empty());
    assert!(depends("o-pool", "tokio", false).is_empty());
}

#[test]
fn an_unknown_crate_is_refused() {
    assert_eq!(depends("o-utils", "bytes", false).len(), 1);
}

#[test]
fn the_program_does_not_name_libp2p() {
    assert_eq!(
        depends("o-cli", "libp2p", false),
        ["o-cli must not name libp2p directly"]
    );
    assert_eq!(depends("o-cli", "libp2p-identity", false).len(), 1);
    assert!(depends("o-node", "libp2p", false).is_empty());
}

#[test]
fn discovery_takes_transport_without_features() {
    assert!(depends("o-discovery", "o-transport", false).is_empty());
    for (default_features, features) in [(true, vec![]), (false, vec!["tcp".to_owned()])] {
        let dependency = Dependency {
            name: "o-transport".to_owned(),
            dev: false,
            features,
            default_features,
        };
        let package = Package {
            name: "o-discovery".to_owned(),
            dependencies: vec![dependency],
            ..Package::default()
        };
        assert_eq!(
            edges(&[package]),
            ["o-discovery takes o-transport without any feature, not even the default ones"]
        );
    }
}

#[test]
fn a_forbidden_name_is_found_however_deep() {
    let tree = "o-pool v0.1.0\nbytes v1.0.0\nlibp2p-core v0.43.0\nserde_json v1.0.0 (*)\nmultiaddr v0.18.0\n";
    assert_eq!(
        reaches("o-pool", tree),
        [
            "o-pool must not reach libp2p-core, not through others either",
            "o-pool must not reach multiaddr, not through others either",
            "o-pool must not reach serde_json, not through others either",
        ]
    );
    assert_eq!(
        reaches("o-core", "o-core v0.1.0\ntokio-util v0.7.0\n").len(),
        1
    );
    assert!(reaches("o-core", "o-core v0.1.0\nbytes v1.0.0\n").is_empty());
}

#[test]
fn an_unreadable_tree_is_not_a_clean_one() {
    assert_eq!(
        reaches("o-pool", ""),
        ["the dependencies of o-pool could not be read"]
    );
}

#[test]
fn every_rule_of_the_wall_is_in_the_table() {
    for krate in [
        "o-address",
        "o-core",
        "o-protocol",
        "o-pool",
        "o-gating",
        "o-testkit",
    ] {
        let rule = RULES.iter().find(|rule| rule.krate == krate).unwrap();
        assert!(
            rule.never
                .iter()
                .any(|group| matches_any("libp2p-swarm", group)),
            "{krate}"
        );
        assert!(
            rule.never
                .iter()
                .any(|group| matches_any("multiaddr", group)),
            "{krate}"
        );
    }
}

#[test]
fn packages_are_read_from_the_metadata() {
    let metadata = json!({ "packages": [{
        "name": "o-a",
        "features": { "default": ["x"], "y": [], "x": [] },
        "targets": [{ "name": "o_a", "kind": ["lib"] }, { "name": "speed", "kind": ["bench"] }],
        "dependencies": [
            { "name": "o-b", "kind": null, "features": [], "uses_default_features": false },
            { "name": "o-c", "kind": "dev", "features": ["z"], "uses_default_features": true },
        ],
    }]});
    let packages = workspace::parse_packages(&metadata).unwrap();
    let [package] = packages.as_slice() else {
        panic!("{packages:?}")
    };
    assert_eq!(package.features, ["x", "y"]);
    assert_eq!(package.library.as_deref(), Some("o_a"));
    assert_eq!(package.benches, ["speed"]);
    let kinds: Vec<_> = package
        .dependencies
        .iter()
        .map(|it| (it.dev, it.default_features, it.features.len()))
        .collect();
    assert_eq!(kinds, [(false, false, 0), (true, true, 1)]);
    assert!(workspace::parse_packages(&json!({})).is_err());
}
