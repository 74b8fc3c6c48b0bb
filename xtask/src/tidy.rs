//! `tidy`: the rules of STYLE.md that a scan of the text can see.

mod code;
mod manifests;
mod paths;
mod rust;
mod wire;

#[cfg(test)]
mod tests;

use xshell::Shell;

use crate::{
    step::{self, Outcome},
    tree::Tree,
};

/// Checks every text file of the repository.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    step::fail_on("tidy", &check(&Tree::load(sh)?))
}

/// Everything that breaks a rule, one line each.
fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        rust::check(file, &mut findings);
    }
    for file in tree.manifests() {
        manifests::check(file, &mut findings);
    }
    for file in &tree.files {
        paths::check(file, &mut findings);
    }
    wire::check(tree, &mut findings);
    findings
}
