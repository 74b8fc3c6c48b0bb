//! The built-in check refuses what deny.toml refuses.

use serde_json::json;

use super::{Policy, REGISTRY, WORKSPACES, check, licence, list, parse, reached, repeated};
use crate::{tree::Tree, workspace};

const POLICY: &str = "[graph]\nall-features = true\n\n[licenses]\n# Known.\nallow = [\n    \"MIT\",\n    \"Apache-2.0\",\n    \"ISC\",\n]\n\n\
    [bans]\nmultiple-versions = \"warn\"\ndeny = [\n    { name = \"openssl\", reason = \"a second TLS\" },\n    \"native-tls\",\n]\n";

fn found(name: &str, licence: Option<&str>, source: Option<&str>) -> Vec<String> {
    let metadata = json!({ "packages": [{ "name": name, "version": "1.0.0", "license": licence, "source": source }]});
    check(&Policy::parse(POLICY).unwrap(), &parse(&metadata).unwrap())
}

#[test]
fn a_common_crate_passes() {
    assert!(found("bytes", Some("MIT"), Some(REGISTRY)).is_empty());
    assert!(found("o-core", Some("MIT OR Apache-2.0"), None).is_empty());
}

#[test]
fn banned_crates_are_found() {
    assert_eq!(
        found("openssl", Some("MIT"), Some(REGISTRY)),
        ["openssl 1.0.0 is banned"]
    );
    assert_eq!(
        found("native-tls", Some("MIT"), Some(REGISTRY)),
        ["native-tls 1.0.0 is banned"]
    );
}

#[test]
fn other_licences_and_missing_ones_are_found() {
    assert_eq!(
        found("a", Some("GPL-3.0"), Some(REGISTRY)),
        ["a 1.0.0 has the licence GPL-3.0, which is not allowed"]
    );
    assert_eq!(
        found("a", None, Some(REGISTRY)),
        ["a 1.0.0 names no licence"]
    );
}

#[test]
fn other_sources_are_found() {
    assert_eq!(
        found("a", Some("MIT"), Some("git+https://example.org/a")),
        ["a 1.0.0 comes from git+https://example.org/a"]
    );
}

#[test]
fn an_empty_graph_is_not_a_clean_one() {
    assert_eq!(check(&Policy::parse(POLICY).unwrap(), &[]).len(), 1);
    assert!(parse(&json!({})).is_err());
}

#[test]
fn expressions_are_understood() {
    let allow: Vec<String> = ["MIT", "ISC", "Apache-2.0"].map(str::to_owned).into();
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "ISC AND (GPL-3.0 OR MIT)",
        "GPL-3.0 AND X OR MIT",
        "Apache-2.0 WITH LLVM-exception OR MIT",
    ] {
        assert!(licence::allowed(good, &allow), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "Apache-2.0 WITH LLVM-exception",
        "(MIT",
        "MIT)",
        "MIT ISC",
        "OR MIT",
    ] {
        assert!(!licence::allowed(bad, &allow), "{bad}");
    }
}

#[test]
fn the_policy_is_read_from_its_file() {
    let policy = Policy::parse(POLICY).unwrap();
    assert_eq!(policy.licences, ["MIT", "Apache-2.0", "ISC"]);
    assert_eq!(policy.banned, ["openssl", "native-tls"]);
    assert_eq!(
        list::quoted("[a]\nb = [\"c\", \"d\"]\n", "a", "b").unwrap(),
        ["c", "d"]
    );
    assert!(Policy::parse("[licenses]\n").is_err());
    let sh = workspace::shell().unwrap();
    let policy = Policy::parse(&sh.read_file("deny.toml").unwrap()).unwrap();
    for name in ["openssl", "openssl-sys", "native-tls"] {
        assert!(policy.banned.iter().any(|banned| banned == name), "{name}");
    }
    assert!(policy.licences.iter().any(|licence| licence == "MIT"));
}

#[test]
fn repeated_crates_are_counted() {
    let package = |version| json!({ "name": "a", "version": version, "license": "MIT" });
    let crates = parse(&json!({ "packages": [package("1.0.0"), package("2.0.0")] })).unwrap();
    assert_eq!(repeated(&crates), ["a"]);
}

#[test]
fn the_tree_names_what_is_reached() {
    let tree = "o-core v0.1.0 (path)\nbytes v1.2.3\n\nbytes v1.2.3 (*)\nserde_derive v1.0.0 (proc-macro)\n";
    let found: Vec<_> = reached(tree).into_iter().collect();
    assert_eq!(
        found,
        [
            ("bytes", "1.2.3"),
            ("o-core", "0.1.0"),
            ("serde_derive", "1.0.0")
        ]
    );
}

#[test]
fn every_lock_file_is_looked_at() {
    let tree = Tree::load(&workspace::shell().unwrap()).unwrap();
    let files = tree.files.iter().map(|file| file.path.as_str());
    let beside = files.filter_map(|file| file.strip_suffix("Cargo.lock"));
    let mut manifests: Vec<_> = beside.map(|at| format!("{at}Cargo.toml")).collect();
    manifests.sort_unstable();
    let mut looked_at = WORKSPACES;
    looked_at.sort_unstable();
    assert_eq!(manifests, looked_at);
}
