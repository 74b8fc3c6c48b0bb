//! One key file and two processes.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use std::{env, fs, path::Path, process::Command};

use o_transport::{KeyError, KeyFile};

const CHILD: &str = "O_TRANSPORT_TEST_KEY_DIRECTORY";

/// Does nothing in a normal run; the test below runs it as a process of its own.
#[test]
fn child_process_opens_the_key() {
    let Some(directory) = env::var_os(CHILD) else {
        return;
    };
    let directory = Path::new(&directory);
    let outcome = match KeyFile::open(&directory.join("node.key")) {
        Ok(file) => file.keypair().peer_id().to_string(),
        Err(KeyError::InUse { .. }) => "in use".to_owned(),
        Err(error) => error.to_string(),
    };
    fs::write(directory.join("outcome"), outcome).unwrap();
}

fn child(directory: &Path) -> String {
    let outcome = directory.join("outcome");
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "key_file::child_process_opens_the_key"])
        .env(CHILD, directory)
        .status();
    assert!(status.unwrap().success());
    let said = fs::read_to_string(&outcome).unwrap();
    fs::remove_file(&outcome).unwrap();
    said
}

#[test]
fn second_process_is_told_that_the_key_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    let file = KeyFile::open_or_create(&path).unwrap();
    let peer = file.keypair().peer_id();
    assert_eq!(child(directory.path()), "in use");
    drop(file);
    assert_eq!(child(directory.path()), peer.to_string());
}
