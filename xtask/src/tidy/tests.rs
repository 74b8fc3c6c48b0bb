//! Each rule refuses a bad input and passes a good one; the repository passes all of them.

use super::{check, code};
use crate::{tree::Tree, workspace};

const CODES: &str =
    "//! Codes.\ncodes! {\n    (1, Refused, \"refused\"),\n    (12, Busy, \"busy\"),\n}\n";
const WIRE: &str = "# Wire\n<!-- error-codes:begin -->\n| number | name | meaning |\n|---|---|---|\n\
    | 1 | `refused` | a |\n| 12 | `busy` | b |\n<!-- error-codes:end -->\n";

/// What is found in a tree that is in order except for these files.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![("docs/wire.md", WIRE), ("o-core/src/error/code.rs", CODES)];
    all.retain(|(path, _)| !files.iter().any(|(other, _)| path == other));
    all.extend_from_slice(files);
    all.retain(|(_, text)| *text != "absent");
    check(&Tree::of(&all))
}

#[track_caller]
fn refused(path: &str, text: &str, message: &str) {
    let findings = found(&[(path, text)]);
    assert!(
        findings.len() == 1 && findings[0].contains(message),
        "{findings:?} is not one `{message}`"
    );
}

#[track_caller]
fn passes(path: &str, text: &str) {
    assert_eq!(found(&[(path, text)]), Vec::<String>::new());
}

#[test]
fn the_repository_is_tidy() {
    let sh = workspace::shell().unwrap();
    let findings = check(&Tree::load(&sh).unwrap());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn a_source_begins_with_its_purpose() {
    refused(
        "o-core/src/a.rs",
        "fn a() {}\n",
        "o-core/src/a.rs:1: begin with",
    );
    refused("o-core/src/a.rs", "// no\n//! late\n", "begin with");
    passes("o-core/src/a.rs", "//! Says why.\nfn a() {}\n");
}

#[test]
fn a_long_source_is_refused_and_a_long_test_is_not() {
    let long = format!("//! Long.\n{}", "fn a() {}\n".repeat(600));
    refused("o-core/src/a.rs", &long, "601 lines");
    passes("o-core/src/a/tests.rs", &long);
    passes("o-core/tests/it/a.rs", &long);
    passes("o-core/benches/a.rs", &long);
    passes(
        "o-core/src/a.rs",
        &format!("//! Long.\n{}", "fn a() {}\n".repeat(599)),
    );
}

#[test]
fn mod_rs_is_refused() {
    refused(
        "o-core/src/a/mod.rs",
        "//! A.\n",
        "name it after its module",
    );
}

#[test]
fn ignoring_a_test_needs_a_reason() {
    refused(
        "o-core/src/a.rs",
        "//! A.\n#[test]\n#[ignore]\nfn a() {}\n",
        "a.rs:3: give the reason",
    );
    passes(
        "o-core/src/a.rs",
        "//! A.\n#[test]\n#[ignore = \"needs a namespace\"]\nfn a() {}\n",
    );
}

#[test]
fn a_lint_is_not_switched_off_for_a_crate() {
    refused(
        "o-core/src/lib.rs",
        "//! A.\n#![allow(dead_code)]\n",
        "lib.rs:2: no lint is allowed",
    );
    refused(
        "o-core/src/lib.rs",
        "//! A.\n#![expect(dead_code)]\n",
        "no lint is expected",
    );
    passes(
        "o-core/src/a.rs",
        "//! A.\n#[expect(dead_code, reason = \"…\")]\nfn a() {}\n",
    );
}

#[test]
fn unfinished_code_is_refused_and_talking_about_it_is_not() {
    refused(
        "o-core/src/a.rs",
        "//! A.\nfn a() { todo!() }\n",
        "a.rs:2: `todo!`",
    );
    refused(
        "o-core/src/a.rs",
        "//! A.\nfn a() { unimplemented!(\"x\") }\n",
        "`unimplemented!`",
    );
    passes(
        "o-core/src/a.rs",
        "//! A.\n// todo!() is not used.\nconst A: &str = \"unimplemented!()\";\n",
    );
}

#[test]
fn only_the_tasks_of_the_node_spawn() {
    for call in [
        "tokio::spawn(run())",
        "tokio::task::spawn_blocking(run)",
        "task::spawn_local(run())",
        "spawn(run())",
    ] {
        let text = format!("//! A.\nfn a() {{ {call}; }}\n");
        refused(
            "o-pool/src/a.rs",
            &text,
            "a.rs:2: only o-node/src/tasks.rs spawns",
        );
        refused(
            "o-node/src/swarm.rs",
            &text,
            "only o-node/src/tasks.rs spawns",
        );
        for path in [
            "o-node/src/tasks.rs",
            "o-cli/src/main.rs",
            "o-testkit/src/a.rs",
            "o-pool/src/a/tests.rs",
            "o-node/tests/it/a.rs",
        ] {
            passes(path, &text);
        }
    }
    refused("o-pool/src/a.rs", "//! A.\nuse tokio::spawn;\n", "spawns");
    passes(
        "o-pool/src/a.rs",
        "//! A.\nfn a(t: &T) { t.spawn(run()); std::thread::spawn(run); }\nfn spawn() {}\n",
    );
    passes(
        "o-pool/src/a.rs",
        "//! A, without tokio::spawn.\n\n#[cfg(test)]\nmod tests {\n    fn a() { tokio::spawn(run()); }\n}\n",
    );
    refused(
        "o-pool/src/a.rs",
        "//! A.\n#[cfg(test)]\nmod tests;\nfn a() { tokio::spawn(run()); }\n",
        "a.rs:4: only",
    );
}

#[test]
fn a_manifest_takes_lints_and_versions_from_the_root() {
    const HEAD: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n\n";
    let manifest = |rest: &str| format!("{HEAD}{rest}");
    refused(
        "o-a/Cargo.toml",
        "[package]\nname = \"a\"\n",
        "take the lints",
    );
    refused(
        "o-a/Cargo.toml",
        &manifest("[dependencies]\nbytes = \"1\"\n"),
        "Cargo.toml:8: name the version",
    );
    refused(
        "o-a/Cargo.toml",
        &manifest("[dev-dependencies]\nbytes = { version = \"1\" }\n"),
        "name the version",
    );
    refused(
        "o-a/Cargo.toml",
        &manifest("[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n"),
        "name the version",
    );
    refused(
        "o-a/Cargo.toml",
        &manifest("[dependencies.bytes]\nversion = \"1\"\n"),
        "dependencies.bytes",
    );
    passes(
        "o-a/Cargo.toml",
        &manifest(
            "[dependencies]\nbytes = { workspace = true }\nserde.workspace = true\n# A comment.\n\
             tokio = { workspace = true, features = [\n    \"rt\",\n    \"time\",\n] }\n\n\
             [build-dependencies.cc]\nworkspace = true\n\n[[bin]]\nname = \"x\"\n",
        ),
    );
    passes(
        "Cargo.toml",
        "[workspace]\n\n[workspace.dependencies]\nbytes = \"1\"\n",
    );
}

#[test]
fn paths_of_one_machine_are_refused() {
    let home = concat!("/ho", "me/");
    refused(
        "README.md",
        &format!("Run {home}me/bin/o.\n"),
        "README.md:1: names a path of one machine",
    );
    refused(
        "a.sh",
        &format!("x\ncd \"{}x\"\n", concat!("/wo", "rk/")),
        "a.sh:2:",
    );
    passes(
        "README.md",
        &format!("o://company{home}light and https://example.org{home}\n"),
    );
}

#[test]
fn error_codes_agree_with_their_specification() {
    let wire = "docs/wire.md";
    let source = "o-core/src/error/code.rs";
    assert_eq!(found(&[]), Vec::<String>::new());
    refused(wire, "absent", "docs/wire.md: missing");
    refused(source, "absent", "o-core/src/error/code.rs: missing");
    refused(wire, "# Wire\n", "no line <!-- error-codes:begin -->");
    refused(
        wire,
        "<!-- error-codes:begin -->\n",
        "no line <!-- error-codes:end -->",
    );
    refused(source, "//! None.\n", "no error codes found");
    refused(
        wire,
        &WIRE.replace("`busy`", "`full`"),
        "error code 12 is called `full` here and `busy`",
    );
    refused(
        wire,
        &WIRE.replace("| 12 | `busy` | b |\n", ""),
        "error code 12 `busy` of o-core",
    );
    refused(
        source,
        &CODES.replace("    (12, Busy, \"busy\"),\n", ""),
        "error code 12 `busy` of docs",
    );
    let twice = format!("{CODES}    (1, Again, \"refused\"),\n");
    refused(source, &twice, "code.rs:6: error code 1 is both");
    assert!(
        !found(&[(wire, &WIRE.replace("`busy`", "busy"))]).is_empty(),
        "a name without backticks"
    );
    assert!(
        !found(&[(source, &CODES.replace("\"busy\"", "busy"))]).is_empty(),
        "a name without quotes"
    );
}

#[test]
fn comments_and_literals_are_blanked_and_code_is_not() {
    let source =
        "a // b\n/* c /* d */ e */ f \"g\\\"h\" r#\"i\"j\"# 'k' '\\'' l::<'m>() b\"n\" 'é' o";
    let blanked = code::blank(source);
    let words: Vec<_> = blanked.split_whitespace().collect();
    assert_eq!(words, ["a", "f", "l::<'m>()", "b", "o"]);
    assert_eq!(blanked.lines().count(), source.lines().count());
}
