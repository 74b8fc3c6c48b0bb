//! Tests of what is found and read, and what is not.

use std::{fs, os::unix::fs::symlink};

use super::*;

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("in/README.md", b"Read me.");
    write("in/src/deep/er/still/deeper/notes.txt", b"Deep notes.");
    write("in/.hidden", b"hidden");
    write("in/.gitignore", b"ignored.txt\n");
    write("in/ignored.txt", b"ignored");
    write("in/node_modules/x/README.md", b"not ours");
    write("in/image.png", b"\x89PNG\0\0");
    write("in/latin1.txt", b"caf\xe9");
    write("in/large.txt", &[b'x'; 2000]);
    write("out/secret.txt", b"secret");
    symlink(dir.path().join("out"), dir.path().join("in/link")).unwrap();
    symlink(
        dir.path().join("out/secret.txt"),
        dir.path().join("in/link.txt"),
    )
    .unwrap();
    dir
}

fn limits() -> Limits {
    Limits {
        file_bytes: 1000,
        ..Limits::default()
    }
}

fn open(dir: &tempfile::TempDir, below: &str) -> Library {
    Library::open(&dir.path().join(below), limits()).unwrap()
}

#[test]
fn hidden_ignored_and_linked_files_are_not_found() {
    let dir = tree();
    let listing = open(&dir, "in").list();
    let paths: Vec<_> = listing.paths.iter().map(String::as_str).collect();
    let deep = "src/deep/er/still/deeper/notes.txt";
    assert_eq!(
        paths,
        ["README.md", "image.png", "large.txt", "latin1.txt", deep]
    );
    assert!(!listing.truncated);
}

#[test]
fn only_what_was_found_is_read() {
    let dir = tree();
    let library = open(&dir, "in");
    assert_eq!(library.read("README.md").unwrap(), "Read me.");
    let outside = dir.path().join("out/secret.txt");
    let names = [
        "../out/secret.txt",
        "link/secret.txt",
        "link.txt",
        ".hidden",
        "ignored.txt",
        "",
        ".",
        "src/../README.md",
        "/etc/passwd",
        "node_modules/x/README.md",
        outside.to_str().unwrap(),
    ];
    for name in names {
        assert!(
            matches!(library.read(name), Err(ReadError::NotListed)),
            "{name}"
        );
    }
    assert!(matches!(library.read("image.png"), Err(ReadError::NotText)));
    assert!(matches!(
        library.read("latin1.txt"),
        Err(ReadError::NotText)
    ));
    assert!(matches!(
        library.read("large.txt"),
        Err(ReadError::TooLarge(1000))
    ));
}

#[test]
fn a_link_put_there_after_the_walk_leads_nowhere() {
    let dir = tree();
    let library = open(&dir, "in");
    library.list();
    fs::remove_file(dir.path().join("in/README.md")).unwrap();
    symlink(
        dir.path().join("out/secret.txt"),
        dir.path().join("in/README.md"),
    )
    .unwrap();
    assert!(matches!(
        library.read("README.md"),
        Err(ReadError::NotListed)
    ));
}

#[test]
fn a_directory_with_many_files_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    for index in 0..100 {
        fs::write(dir.path().join(format!("a/{index}.txt")), "x").unwrap();
    }
    fs::write(dir.path().join("z.md"), "x").unwrap();
    let limits = Limits {
        files: 10,
        ..Limits::default()
    };
    let listing = Library::open(dir.path(), limits).unwrap().list();
    assert!(listing.truncated && listing.paths.contains("z.md"));
    assert_eq!(listing.paths.len(), 10);

    let limits = Limits {
        entries: 5,
        ..Limits::default()
    };
    assert!(Library::open(dir.path(), limits).unwrap().list().truncated);
}

#[test]
fn the_root_may_be_a_file_and_must_exist() {
    let dir = tree();
    let library = open(&dir, "in/README.md");
    assert_eq!(
        library.list().paths,
        BTreeSet::from(["README.md".to_owned()])
    );
    assert_eq!(library.read("README.md").unwrap(), "Read me.");
    assert!(Library::open(&dir.path().join("nothing"), limits()).is_err());
}
