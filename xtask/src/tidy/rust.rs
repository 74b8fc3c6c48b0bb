//! Rules about Rust sources.

use super::code;
use crate::tree::TextFile;

/// The most lines of a source file that is not only tests.
const MAX_LINES: usize = 600;

/// The one file of a library that may spawn tasks.
const SPAWNER: &str = "o-node/src/tasks.rs";

/// Programs and test support, which may spawn where they like.
const MAY_SPAWN: &[&str] = &["bench/", "o-cli/", "o-testkit/", "xtask/"];

/// Adds what is wrong with one source file.
pub(super) fn check(file: &TextFile, findings: &mut Vec<String>) {
    let TextFile { path, text } = file;
    let code = code::blank(text);
    if !text.starts_with("//!") {
        findings.push(format!(
            "{path}:1: begin with a `//!` line that says what the file is for"
        ));
    }
    if path.ends_with("/mod.rs") {
        findings.push(format!(
            "{path}:1: name it after its module, `name.rs` beside `name/`"
        ));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !is_test(path) {
        findings.push(format!(
            "{path}:1: {lines} lines, split it below {MAX_LINES}"
        ));
    }
    attributes(path, &code, findings);
    unfinished(path, &code, findings);
    spawns(path, &code, findings);
}

fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "examples"))
}

fn attributes(path: &str, code: &str, findings: &mut Vec<String>) {
    let mut say =
        |at, what: &str| findings.push(format!("{path}:{}: {what}", code::line_of(code, at)));
    for (at, found) in code.match_indices("#[ignore") {
        if code[at + found.len()..].trim_start().starts_with(']') {
            say(at, "give the reason, `#[ignore = \"…\"]`");
        }
    }
    for (at, _) in code.match_indices("#![allow(") {
        say(
            at,
            "no lint is allowed for a whole file or crate; use `#[expect(…, reason = \"…\")]` at the item",
        );
    }
    if path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") {
        for (at, _) in code.match_indices("#![expect(") {
            say(
                at,
                "no lint is expected for a whole crate; use `#[expect(…, reason = \"…\")]` at the item",
            );
        }
    }
}

fn unfinished(path: &str, code: &str, findings: &mut Vec<String>) {
    for name in ["todo!", "unimplemented!"] {
        for (at, _) in code.match_indices(name) {
            let line = code::line_of(code, at);
            findings.push(format!(
                "{path}:{line}: `{name}` is no code; finish it or leave it out"
            ));
        }
    }
}

fn spawns(path: &str, code: &str, findings: &mut Vec<String>) {
    let exempt =
        path == SPAWNER || is_test(path) || MAY_SPAWN.iter().any(|prefix| path.starts_with(prefix));
    if exempt {
        return;
    }
    let code = code::before_tests(code);
    for (at, _) in code.match_indices("spawn") {
        if spawns_on_tokio(code, at) {
            let line = code::line_of(code, at);
            findings.push(format!(
                "{path}:{line}: only {SPAWNER} spawns; return a `run()` future instead"
            ));
        }
    }
}

/// Whether the word at `at` is a call or an import of one of tokio's free functions `spawn…`.
fn spawns_on_tokio(code: &str, at: usize) -> bool {
    let before = &code[..at];
    let word_end = code[at..]
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(code.len(), |end| at + end);
    if !matches!(
        &code[at..word_end],
        "spawn" | "spawn_blocking" | "spawn_local"
    ) {
        return false;
    }
    if ["tokio::", "task::"]
        .iter()
        .any(|path| before.ends_with(path))
    {
        return true;
    }
    // A bare call is an imported function; a method, another path, a definition or a longer word is something else.
    let bare = !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':'));
    let called = code[word_end..].starts_with('(');
    bare && called && !before.trim_end().ends_with("fn")
}
