//! `public-api`: the public interface of each published library against xtask/public-api, and libp2p's types only where they belong.

use std::collections::BTreeSet;

use xshell::{Shell, cmd};

use crate::{
    release::OURS_ALONE,
    step::{self, Outcome, say},
    workspace,
};

/// Where types of libp2p may show: all of a crate, or one module of it.
const LIBP2P_SHOWS: &[(&str, &str)] = &[
    ("o-transport", "o_transport"),
    ("o-discovery", "o_discovery::swarm"),
    ("o-node", "o_node::raw"),
];

/// Compares each library with what is blessed, or with `bless` writes what was found.
pub(crate) fn run(sh: &Shell, bless: bool) -> anyhow::Result<Outcome> {
    // A directory of its own: the variable below would make cargo rebuild what it built without.
    let target = workspace::target_dir(sh)?.join("public-api");
    let blessed_dir = workspace::root()?.join("xtask/public-api");
    let mut findings = Vec::new();
    for package in workspace::packages(sh)? {
        let (name, Some(library)) = (package.name, package.library) else {
            continue;
        };
        if OURS_ALONE.contains(&name.as_str()) {
            continue;
        }
        // rustdoc's JSON is unstable; the variable lets the stable toolchain write it.
        cmd!(
            sh,
            "cargo rustdoc --locked --package {name} --lib --all-features --target-dir {target}"
        )
        .args([
            "--",
            "-Zunstable-options",
            "--output-format=json",
            "--cap-lints=allow",
        ])
        .env("RUSTC_BOOTSTRAP", "1")
        .run()?;
        let json = target.join("doc").join(format!("{library}.json"));
        let found = public_api::Builder::from_rustdoc_json(json)
            .sorted(true)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .omit_auto_derived_impls(true)
            .build()?;
        let found: Vec<String> = found.items().map(ToString::to_string).collect();
        findings.extend(leaks(&name, &found));
        let file = blessed_dir.join(format!("{name}.txt"));
        if bless {
            sh.write_file(&file, format!("{}\n", found.join("\n")))?;
            say(&format!("{name}: {} public items", found.len()));
        } else if sh.path_exists(&file) {
            findings.extend(difference(&name, &sh.read_file(&file)?, &found));
        } else {
            findings.push(format!(
                "{name}: nothing is blessed; look at the interface and run with --bless"
            ));
        }
    }
    step::fail_on("public-api", &findings)
}

/// Items that name a type of libp2p where none may show.
fn leaks(krate: &str, items: &[String]) -> Vec<String> {
    let allowed = LIBP2P_SHOWS
        .iter()
        .find(|(name, _)| *name == krate)
        .map(|(_, path)| *path);
    let root = format!("{}::", krate.replace('-', "_"));
    items
        .iter()
        .filter(|item| names(item, "libp2p") || names(item, "multiaddr::"))
        .filter(|item| {
            // The first path of ours in a line is the item itself; what follows are its parts.
            let own = item.find(&root).map(|at| &item[at..]);
            !allowed.is_some_and(|path| own.is_some_and(|own| own.starts_with(path)))
        })
        .map(|item| format!("{krate}: libp2p shows in `{item}`"))
        .collect()
}

fn names(item: &str, word: &str) -> bool {
    item.match_indices(word)
        .any(|(at, _)| !item[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn difference(krate: &str, blessed: &str, found: &[String]) -> Vec<String> {
    let blessed: BTreeSet<&str> = blessed.lines().collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let gone = blessed
        .difference(&found)
        .map(|item| format!("{krate}: - {item}"));
    let new = found
        .difference(&blessed)
        .map(|item| format!("{krate}: + {item}"));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn libp2p_shows_only_where_it_may() {
        let free = items(&[
            "pub fn o_core::f(p: libp2p_identity::PeerId)",
            "pub fn o_core::g()",
            "pub fn o_core::no_libp2p()",
        ]);
        assert_eq!(leaks("o-core", &free).len(), 1);
        let node = items(&[
            "pub fn o_node::raw::swarm() -> libp2p_swarm::Swarm",
            "pub fn o_node::dial(a: multiaddr::Multiaddr)",
            "impl core::convert::From<libp2p_swarm::DialError> for o_node::DialError",
        ]);
        let found = leaks("o-node", &node);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            leaks(
                "o-transport",
                &items(&["pub fn o_transport::f() -> libp2p_core::Multiaddr"])
            )
            .is_empty()
        );
    }

    #[test]
    fn added_and_removed_items_are_shown() {
        let found = items(&["pub fn a::kept()", "pub fn a::new()"]);
        assert_eq!(
            difference("a", "pub fn a::gone()\npub fn a::kept()\n", &found),
            ["a: - pub fn a::gone()", "a: + pub fn a::new()"]
        );
        assert!(difference("a", "pub fn a::kept()\npub fn a::new()\n", &found).is_empty());
    }
}
