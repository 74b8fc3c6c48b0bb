//! Made-up workspaces: what can be released, and what can not.

use serde_json::json;

use super::*;

fn dependency(name: &str, kind: Option<&str>, req: &str) -> Value {
    json!({ "name": name, "kind": kind, "req": req, "path": format!("/w/{name}") })
}

fn package(name: &str, dependencies: &[Value]) -> Value {
    json!({ "name": name, "version": "0.2.0", "publish": null, "dependencies": dependencies })
}

fn workspace(packages: &[Value]) -> Vec<Crate> {
    crates(&json!({ "packages": packages })).unwrap()
}

#[test]
fn crates_come_after_what_they_need() {
    let crates = workspace(&[
        package(
            "top",
            &[
                dependency("middle", None, "^0.2.0"),
                json!({ "name": "serde", "req": "^1" }),
            ],
        ),
        package("middle", &[dependency("base", Some("build"), "^0.2.0")]),
        package("base", &[dependency("middle", Some("dev"), "*")]),
        package("xtask", &[]),
    ]);
    let (order, stuck) = order(&crates);
    assert_eq!(order, ["base", "middle", "top"]);
    assert!(stuck.is_empty(), "{stuck:?}");
    assert!(unpublishable(&crates).is_empty());
    assert_eq!(
        plan(&crates, &order)[0],
        "publish in this order: base, middle, top"
    );
}

#[test]
fn a_crate_that_its_tests_make_wait_for_itself_is_found() {
    let crates = workspace(&[
        package(
            "top",
            &[
                dependency("kit", Some("dev"), "^0.2.0"),
                dependency("base", None, "^0.2.0"),
            ],
        ),
        package("base", &[dependency("kit", Some("dev"), "^0.2.0")]),
        package("kit", &[dependency("base", None, "^0.2.0")]),
    ]);
    let (order, stuck) = order(&crates);
    assert_eq!(order, ["base", "kit", "top"]);
    assert_eq!(stuck.len(), 1);
    assert!(
        stuck[0].starts_with("kit needs base, whose tests need kit"),
        "{stuck:?}"
    );
}

#[test]
fn crates_that_need_each_other_are_found() {
    let crates = workspace(&[
        package("a", &[dependency("b", None, "^0.2.0")]),
        package("b", &[dependency("a", None, "^0.2.0")]),
        package("free", &[]),
    ]);
    let (order, stuck) = order(&crates);
    assert_eq!(order, ["free"]);
    assert_eq!(stuck, ["they need each other: a, b"]);
}

#[test]
fn our_own_crates_are_needed_by_path_and_version() {
    let crates = workspace(&[
        package(
            "top",
            &[
                dependency("base", None, "*"),
                json!({ "name": "middle", "req": "^0.2.0" }),
                dependency("xtask", None, "^0.2.0"),
            ],
        ),
        package("middle", &[]),
        package("base", &[]),
        package("xtask", &[]),
    ]);
    assert_eq!(
        unpublishable(&crates),
        [
            "top needs base by path and version",
            "top needs middle by path and version",
            "top needs xtask, which is not published",
        ]
    );
}

#[test]
fn the_head_of_the_change_log_is_the_version() {
    let crates = workspace(&[package("base", &[])]);
    let log = "# Changelog\n\n## 0.2.0 – unreleased\n\n## 0.1.0 – 2026-01-01\n";
    assert_eq!(head(log).unwrap(), ("0.2.0", "unreleased"));
    assert!(versions(&crates, "0.2.0").is_empty());
    let old = versions(&crates, "0.1.0");
    assert_eq!(old, ["base is 0.2.0, the head of CHANGELOG.md 0.1.0"]);
    for bad in ["# Changelog\n", "## 0.2.0\n"] {
        assert!(head(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_a_manifest_holds_back_is_named() {
    let mut held = package("base", &[]);
    held["publish"] = json!([]);
    let lines = plan(&workspace(&[held]), &["base".to_owned()]);
    assert_eq!(
        lines[2],
        "held back by `publish = false` in the manifests: base"
    );
}

#[test]
fn the_crates_of_this_workspace_are_read() {
    let sh = workspace::shell().unwrap();
    let crates = crates(&workspace::metadata(&sh).unwrap()).unwrap();
    for name in OURS_ALONE {
        assert!(crates.iter().any(|c| c.name == *name), "there is no {name}");
    }
    let core = crates.iter().find(|c| c.name == "o-core").unwrap();
    assert!(core.waits_for().any(|on| on == "o-address"));
    let log = sh.read_file("CHANGELOG.md").unwrap();
    assert!(versions(&crates, head(&log).unwrap().0).is_empty());
}
