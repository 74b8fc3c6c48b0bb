//! The file in which the keys of a root succeed each other: one signed succession a line, in base64, the
//! oldest first.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use o_core::{NetworkId, Record, SignedSuccessor, Verifier};
use o_protocol::{DelegationError, verify_successor};

/// Longest file that is read, in bytes: as many successions as a chain may have.
const MAX_FILE: u64 = 64 << 10;

/// Why a file of successions cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessorsError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not a succession that is signed.
    #[error("{}: line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds more than a chain may have.
    #[error("{}: over {MAX_FILE} bytes or {} successions, the most that a chain may have", path.display(), Record::MAX_CHAIN)]
    TooMany {
        /// The file.
        path: PathBuf,
    },
}

/// How the keys of a root succeeded each other, each signed by the one before it; nothing where there is
/// no file.
///
/// # Errors
/// A file that cannot be read or holds something else.
pub fn read_successors(
    path: &Path,
    verifier: &dyn Verifier,
    network: &NetworkId,
) -> Result<Vec<SignedSuccessor>, SuccessorsError> {
    let io = |source| SuccessorsError::Io {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file
            .take(MAX_FILE + 1)
            .read_to_string(&mut text)
            .map_err(io)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    if text.len() as u64 > MAX_FILE || text.lines().count() > Record::MAX_CHAIN {
        let path = path.to_owned();
        return Err(SuccessorsError::TooMany { path });
    }
    let mut successors: Vec<SignedSuccessor> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let malformed = |reason: String| SuccessorsError::Malformed {
            path: path.to_owned(),
            line: at + 1,
            reason,
        };
        let envelope = STANDARD.decode(line.trim());
        let envelope = envelope.map_err(|error| malformed(error.to_string()))?;
        let next = verify_successor(Bytes::from(envelope), verifier, network);
        let next = next.map_err(|error: DelegationError| malformed(error.to_string()))?;
        if let Some(last) = successors.last()
            && (last.successor().new, &last.successor().root)
                != (next.successor().old, &next.successor().root)
        {
            return Err(malformed("it does not follow the line before it".into()));
        }
        successors.push(next);
    }
    Ok(successors)
}

/// Writes the successions of a root, in the place of those that were there.
///
/// # Errors
/// It cannot be written; what was there is there then.
pub fn write_successors(
    path: &Path,
    successors: &[SignedSuccessor],
) -> Result<(), SuccessorsError> {
    let written = (|| {
        let fresh = path.with_extension("successors.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&fresh)?;
        for successor in successors {
            writeln!(file, "{}", STANDARD.encode(successor.envelope()))?;
        }
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    written.map_err(|source| SuccessorsError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use o_core::Successor;
    use o_protocol::sign_successor;
    use o_transport::{EnvelopeVerifier, Keypair};

    use super::*;

    fn succession(old: &Keypair, new: &Keypair) -> SignedSuccessor {
        let successor = Successor {
            root: "o://company".parse().unwrap(),
            old: old.peer_id(),
            new: new.peer_id(),
            created: 7,
            network: NetworkId::default(),
        };
        sign_successor(&successor, old).unwrap()
    }

    #[test]
    fn what_was_written_is_read_and_everything_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("company.successors");
        let read = || read_successors(&path, &EnvelopeVerifier, &NetworkId::default());
        assert_eq!(read().unwrap(), []);
        let [a, b, c] = ["a", "b", "c"].map(Keypair::from_seed);
        let both = [succession(&a, &b), succession(&b, &c)];
        write_successors(&path, &both).unwrap();
        assert_eq!(read().unwrap(), both);

        write_successors(&path, &[both[1].clone(), both[0].clone()]).unwrap();
        assert!(matches!(
            read(),
            Err(SuccessorsError::Malformed { line: 2, .. })
        ));
        let other = read_successors(&path, &EnvelopeVerifier, &"other".parse().unwrap());
        assert!(matches!(
            other,
            Err(SuccessorsError::Malformed { line: 1, .. })
        ));
        for text in ["x\n".repeat(Record::MAX_CHAIN + 1), "x".repeat(70_000)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(read(), Err(SuccessorsError::TooMany { .. })));
        }
        fs::write(&path, "?\n").unwrap();
        assert!(matches!(
            read(),
            Err(SuccessorsError::Malformed { line: 1, .. })
        ));
    }
}
