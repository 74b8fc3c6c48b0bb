//! What a newcomer reads.

use crate::support::User;

#[tokio::test]
async fn every_command_explains_itself_with_examples() {
    let user = User::new();
    for command in [
        &[][..],
        &["serve"],
        &["call"],
        &["find"],
        &["describe"],
        &["ping"],
        &["bench"],
        &["peers"],
        &["status"],
        &["id"],
        &["demo"],
        &["completions"],
        &["config", "show"],
        &["config", "schema"],
        &["config", "path"],
    ] {
        let help = user.run(&[command, &["--help"]].concat()).await.ok();
        assert!(help.contains("Usage: o"), "{command:?}: {help}");
        assert!(help.contains("Example"), "{command:?}: {help}");
        assert!(help.contains("--json"), "{command:?}: {help}");
        assert!(
            !help.contains("\u{1b}["),
            "{command:?}: color without a terminal"
        );
    }
    let help = user.run(&["--help"]).await.ok();
    for name in [
        "serve",
        "call",
        "find",
        "describe",
        "ping",
        "bench",
        "peers",
        "status",
        "id",
        "config",
        "demo",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {name}")), "{name}: {help}");
    }
    assert!(help.contains("130 interrupted"), "{help}");
}

#[tokio::test]
async fn the_network_flags_are_the_same_everywhere() {
    let user = User::new();
    for command in ["call", "find", "describe", "ping", "bench"] {
        let help = user.run(&[command, "--help"]).await.ok();
        for flag in [
            "--peer",
            "--bootstrap",
            "--network",
            "--lan",
            "--public",
            "--key",
            "--seed",
        ] {
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "{command} {flag}"
            );
        }
    }
}

#[tokio::test]
async fn shells_can_complete() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = user.run(&["completions", shell]).await.ok();
        assert!(
            text.contains("describe") && text.contains("bootstrap"),
            "{shell}"
        );
    }
    assert_eq!(user.run(&["completions", "no-such-shell"]).await.code(), 2);
    let json = user.run(&["completions", "bash", "--json"]).await.json();
    assert_eq!(json["shell"], "bash");
    assert!(json["script"].as_str().unwrap().contains("describe"));
}

#[tokio::test]
async fn the_version_is_told() {
    let version = User::new().run(&["--version"]).await.ok();
    assert_eq!(version, format!("o {}\n", env!("CARGO_PKG_VERSION")));
    for args in [["--version", "--json"], ["--json", "-V"]] {
        let json = User::new().run(&args).await.json();
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[tokio::test]
async fn a_group_of_commands_has_examples_too() {
    let help = User::new().run(&["config", "--help"]).await.ok();
    assert!(
        help.contains("Examples:") && help.contains("o config path"),
        "{help}"
    );
}

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_error() {
    let user = User::new();
    let o = env!("CARGO_BIN_EXE_o");
    let script = user.script(
        "pipe.sh",
        &format!("#!/bin/sh\n{o} config show | head -n 1\n"),
    );
    let mut command = user.command(&[]);
    command = {
        let mut shell = tokio::process::Command::new(script);
        shell.envs(
            command
                .as_std()
                .get_envs()
                .filter_map(|(k, v)| Some((k, v?))),
        );
        shell
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        shell
    };
    let outcome = user.finish(command).await;
    assert_eq!(outcome.stderr, "");
    assert!(outcome.ok().starts_with("SETTING"));
}
