//! Key files that are missing, shared, exposed or broken.
#![cfg(unix)]

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::KeyDecodeError;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn key_is_made_once_and_read_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys/deeper/node.key");
    assert!(matches!(
        KeyFile::open(&path),
        Err(KeyError::NotFound { .. })
    ));

    let first = KeyFile::open_or_create(&path).unwrap();
    assert!(first.created());
    let peer = first.keypair().peer_id();
    drop(first);

    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&directory.path().join("keys")), 0o700);
    assert_eq!(names(path.parent().unwrap()), ["node.key"]);
    assert_eq!(fs::read(&path).unwrap().len(), 68);

    let second = KeyFile::open_or_create(&path).unwrap();
    assert!(!second.created());
    assert_eq!(second.keypair().peer_id(), peer);
    assert_eq!(second.path(), path);
}

#[test]
fn key_in_use_is_refused_until_it_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    let first = KeyFile::open_or_create(&path).unwrap();

    let error = KeyFile::open_or_create(&path).unwrap_err();
    assert!(matches!(&error, KeyError::InUse { path: found } if *found == path));
    assert!(error.to_string().contains("in use"), "{error}");
    let read = KeyFile::read(&path).unwrap();
    assert_eq!(read.peer_id(), first.keypair().peer_id());

    drop(first);
    KeyFile::open(&path).unwrap();
}

#[test]
fn racing_starts_make_one_key_and_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    let results: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| KeyFile::open_or_create(&path)))
            .collect();
        starts.into_iter().map(|s| s.join().unwrap()).collect()
    });
    let owners: Vec<_> = results.iter().filter_map(|r| r.as_ref().ok()).collect();
    assert_eq!(owners.len(), 1);
    let in_use = |r: &&Result<_, _>| matches!(r, Err(KeyError::InUse { .. }));
    assert_eq!(results.iter().filter(in_use).count(), 7);
    assert_eq!(
        owners[0].keypair().peer_id(),
        KeyFile::read(&path).unwrap().peer_id()
    );
    assert_eq!(names(directory.path()), ["node.key"]);
}

#[test]
fn existing_file_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    let first = KeyFile::open_or_create(&path).unwrap();
    assert!(!create(&path).unwrap());
    let kept = KeyFile::read(&path).unwrap();
    assert_eq!(kept.peer_id(), first.keypair().peer_id());
    assert_eq!(names(directory.path()), ["node.key"]);
}

#[test]
fn file_open_to_others_is_refused_with_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    drop(KeyFile::open_or_create(&path).unwrap());
    for bits in [0o640, 0o604, 0o620, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        let error = KeyFile::open(&path).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode, .. } if mode == bits));
        assert!(error.to_string().contains("chmod 600 "), "{error}");
        assert!(KeyFile::read(&path).is_err());
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    KeyFile::open(&path).unwrap();
}

#[test]
fn file_without_a_key_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    let long = vec![0x30; 100_000];
    for (content, expected) in [(&b""[..], 0), (b"CAESQ base64 text\n", 18), (&long, 4096)] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = KeyFile::open_or_create(&path).unwrap_err();
        let KeyError::Invalid { source, .. } = error else {
            panic!("{error:?}");
        };
        assert!(matches!(
            source,
            KeyDecodeError::WrongLength { found, .. } if found == expected
        ));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn only_regular_files_are_opened() {
    let directory = tempfile::tempdir().unwrap();
    let error = KeyFile::open_or_create(directory.path()).unwrap_err();
    assert!(matches!(error, KeyError::NotAFile { .. }));
    let error = KeyFile::open_or_create(Path::new("/dev/null")).unwrap_err();
    assert!(matches!(error, KeyError::NotAFile { .. }));

    let path = directory.path().join("node.key");
    let first = KeyFile::open_or_create(&path).unwrap();
    let link = directory.path().join("link.key");
    symlink(&path, &link).unwrap();
    assert!(matches!(KeyFile::open(&link), Err(KeyError::InUse { .. })));
    drop(first);
}

#[test]
fn directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let blocker = directory.path().join("file");
    fs::write(&blocker, "").unwrap();
    let error = KeyFile::open_or_create(&blocker.join("node.key")).unwrap_err();
    assert!(matches!(error, KeyError::Io { .. }), "{error:?}");
}
