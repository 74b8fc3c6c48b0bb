//! The company of the README, as it stands there.
#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::net::TcpListener;

use tokio::time::Instant;

use crate::support::{DEADLINE, Outcome, User};

/// The commands of the section, block by block.
fn blocks() -> Vec<String> {
    let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
    let section = readme
        .split("\n## A company in ten minutes\n")
        .nth(1)
        .unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// Two ports of 127.0.0.1 that were free just now.
fn ports() -> [u16; 2] {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

/// Runs a script in one shell, in which `o` is the program. What it leaves in the background ends with it.
async fn shell(user: &User, script: &str) -> Outcome {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_o"))
        .parent()
        .unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n{script}");
    let mut command = user.command(&[]);
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", &script])
        .env_clear()
        .envs(
            command
                .as_std_mut()
                .get_envs()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))),
        )
        .env("PATH", format!("{}:{path}", bin.display()))
        .current_dir(user.path(""))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    user.finish(bash).await
}

/// A shell function that waits until a command has put out so many lines with this in them.
const WAIT: &str = r#"
until_lines() { # COUNT PATTERN COMMAND…
    local count=$1 pattern=$2; shift 2
    for _ in $(seq 1 200); do
        [ "$("$@" 2>/dev/null | grep -cE "$pattern")" -eq "$count" ] && return 0
        sleep 0.2
    done
    echo "never $count lines with $pattern: $*" >&2
    "$@" >&2
    return 1
}
say() { echo "== $*"; }
"#;

/// The blocks, with what makes a script of them.
fn script() -> String {
    let [start, look, trust, again] = <[String; 4]>::try_from(blocks()).unwrap();
    let [leader, sales] = ports();
    let start = start
        .replace("4100", &leader.to_string())
        .replace("4101", &sales.to_string());
    let again = again.replace("4100", &leader.to_string());
    // It runs until somebody ends it.
    assert!(look.contains("o ls --watch "));
    let look = look.replace("o ls --watch ", "timeout -s INT 3 o ls --watch ");
    // Each by itself, with how it ended.
    let look: String = look
        .lines()
        .zip(1..)
        .map(|(line, n)| format!("say look {n}\n{line}\nsay ended $?\n"))
        .collect();
    format!(
        "{WAIT}set -e
{start}
until_lines 4 o://firm o ls --json
until_lines 2 o://firm o find text/summarize
set +e
{look}
set -e
say trust
{trust}
say department
o ls --watch --interval 300ms --json > watched &
watcher=$!
sleep 1
kill -9 %2
until_lines 3 o://firm o ls --json
sleep 1
kill $watcher
wait $watcher || true
say watched
head -n 4 watched
say at last
tail -n 3 watched
say called
o call o://firm/sales/anna echo '\"still\"'
say leader
kill -9 %1
set +e
{again}
set -e
until_lines 3 o://firm o ls --json
o call o://firm/press echo '\"again\"'
say end
"
    )
}

#[tokio::test]
async fn the_company_of_the_readme_works_as_it_is_written() {
    let user = User::new();
    let script = script();
    let begun = Instant::now();
    let outcome = shell(&user, &script).await;
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    let text = format!("{outcome:?}").replace("\\n", "\n");
    assert_eq!(outcome.code(), 0, "{text}");
    let part = |from: &str, to: &str| -> &str {
        let rest = outcome
            .stdout
            .split(&format!("== {from}\n"))
            .nth(1)
            .unwrap();
        rest.split(&format!("== {to}\n")).next().unwrap()
    };
    let looks: [&[&str]; 7] = [
        &["o://firm ", "/sales", "/anna", "/press"],
        &["o://firm/sales/anna", "o://firm/press", "text/summarize"],
        &["o://firm/sales/anna", "offers"],
        &["o://firm/sales/anna", "o://firm/press", "lang=de"],
        &["\"hello\""],
        &["\"hello\""],
        &["PEER", "from /ip4/127.0.0.1"],
    ];
    for (n, seen) in (1..).zip(looks) {
        let next = match n {
            7 => "trust".to_owned(),
            _ => format!("look {}", n + 1),
        };
        let looked = part(&format!("look {n}"), &next);
        for seen in seen {
            assert!(looked.contains(seen), "{n}: no {seen} in {looked}\n{text}");
        }
        assert!(
            n == 1 || looked.contains("== ended 0"),
            "{n}: {looked}\n{text}"
        );
    }
    assert!(outcome.stderr.contains(", cost "), "why that one: {text}");
    let words = part("look 3", "look 4");
    assert!(!words.contains("o://firm/press"), "{words}");
    let better = part("look 4", "look 5");
    assert!(better.find("anna") < better.find("press"), "{better}");
    let trusted = part("trust", "department");
    assert!(trusted.contains("o://firm/sales/anna"), "{trusted}");
    let department = "\"o://firm/sales\"";
    assert!(part("watched", "at last").contains(department), "{text}");
    let last = part("at last", "called");
    assert!(
        !last.contains(department) && last.contains("o://firm/sales/anna"),
        "{last}"
    );
    assert!(part("called", "leader").contains("\"still\""), "{text}");
    let back = part("leader", "end");
    assert!(back.contains("from now on"), "{back}");
    assert!(back.contains("\"again\""), "{back}");
}
