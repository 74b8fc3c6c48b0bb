//! Every file of `corpus/TARGET` and thousands of mutations of them, the same ones each time, through their target.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, and so are the functions beside them"
)]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use o_fuzz::{TARGETS, Target};

/// The longest input that a mutation makes, in bytes.
const MAX_INPUT: usize = 2_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// The files of a target's corpus, by their names.
fn inputs(target: Target) -> Vec<(String, Vec<u8>)> {
    let directory = corpus().join(target.name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| {
        panic!("{}: {error}", directory.display());
    });
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", directory.display());
    inputs
}

/// Runs the target, and says with which bytes if it panics.
fn run(target: Target, origin: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{} fails on {origin}, as said above: {hex}", target.name);
    }
}

fn replay(name: &str) {
    let target = target(name);
    let inputs = inputs(target);
    for (name, bytes) in &inputs {
        run(target, name, bytes);
    }
    for (name, bytes) in (target.seeds)() {
        let found = inputs.iter().find(|(found, _)| *found == name);
        let current = found.is_some_and(|(_, found)| *found == bytes);
        assert!(
            current,
            "the seed `{name}` is not in the corpus as it is made now: cargo run -p o-fuzz --example seeds"
        );
    }
}

fn mutate(name: &str) {
    let target = target(name);
    let inputs = inputs(target);
    let mut mutator = Mutator(0x6f2d_6675_7a7a);
    for round in 0..target.mutations {
        let input = mutator.next(&inputs);
        run(target, &format!("mutation {round}"), &input);
    }
}

/// Numbers that look random and are the same every time (xorshift), and what is done with them.
struct Mutator(u64);

impl Mutator {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 12] = [
            0, 1, 0x17, 0x18, 0x20, 0x5f, 0x7f, 0x80, 0x9f, 0xa1, 0xbf, 0xff,
        ];
        match self.below(2) {
            0 => TELLING[self.below(TELLING.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }

    fn next(&mut self, inputs: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].1.clone();
        for _ in 0..=self.below(6) {
            let at = self.below(input.len() + 1);
            let end = at + self.below(input.len() - at + 1);
            match self.below(8) {
                0 => input.insert(at, self.byte()),
                1 => drop(input.drain(at..end)),
                2 => {
                    let again = input[at..end].to_vec();
                    input.splice(at..at, again);
                }
                3 => {
                    let other = &inputs[self.below(inputs.len())].1;
                    let from = self.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
                4 => input.truncate(at),
                _ => {
                    let byte = self.byte();
                    let flip = 1 << self.below(8);
                    let flips = self.below(2) == 0;
                    if let Some(found) = input.get_mut(at) {
                        *found = if flips { *found ^ flip } else { byte };
                    }
                }
            }
            input.truncate(MAX_INPUT);
        }
        input
    }
}

macro_rules! targets {
    ($($name:ident)+) => {
        const TESTED: &[&str] = &[$(stringify!($name)),+];

        $(mod $name {
            #[test]
            fn the_corpus_is_replayed() {
                super::replay(stringify!($name));
            }

            #[test]
            fn mutations_of_the_corpus_hold() {
                super::mutate(stringify!($name));
            }
        })+
    };
}

targets!(address frame header cbor record delegation describe gossip session);

#[test]
fn every_target_is_tested_has_a_corpus_and_a_program() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, TESTED);
    let mut directories: Vec<_> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    directories.sort();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(directories, sorted);
    let manifest = fs::read_to_string(corpus().join("../targets/Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "no program for {name}"
        );
    }
}

#[test]
fn the_corpus_stays_small() {
    let files = TARGETS.iter().flat_map(|target| inputs(*target));
    let (count, bytes) = files.fold((0, 0), |(count, bytes), (_, file)| {
        (count + 1, bytes + file.len())
    });
    assert!(
        count < 300 && bytes < 300 * 1024,
        "{count} files, {bytes} bytes"
    );
}
