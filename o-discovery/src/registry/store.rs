//! A registry on the disk: what it held is there again after the process was killed.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use o_address::{Address, PeerId};
use o_core::{SignedRecord, SignedTombstone};
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError,
    TableDefinition, TableError,
};

use super::Registry;

/// Envelopes of records and tombstones, by kind, peer and name.
const ENVELOPES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("envelopes/1");
/// Memory for what was read or written lately, in bytes.
const CACHE: usize = 4 << 20;
const RECORD: u8 = 0;
const TOMBSTONE: u8 = 1;

/// Why there is no store, or nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the file open.
    #[error("another process has {path} open")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file or its directory cannot be used.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database says no.
    #[error("the database of the registry")]
    Database(#[source] Box<redb::Error>),
}

/// What is on the disk, and a copy of which in memory so that only changes are written.
pub struct Store {
    database: Database,
    /// By key, a few bytes that tell one envelope from another.
    stored: HashMap<Vec<u8>, u64>,
}

/// What was stored, not verified.
#[derive(Debug, Default)]
pub struct Stored {
    /// Envelopes of records.
    pub records: Vec<Bytes>,
    /// Envelopes of tombstones.
    pub tombstones: Vec<Bytes>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("entries", &self.stored.len())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file, made with its directory if it is not there, and reads all of it. It waits for the
    /// disk. A file that is damaged is moved aside, to the same name with `.bad`.
    ///
    /// # Errors
    /// `InUse`, `Io`, `Database`.
    pub fn open(path: &Path) -> Result<(Self, Stored), StoreError> {
        let failed = |source| StoreError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let database = match create(path) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
                let path = path.to_owned();
                return Err(StoreError::InUse { path });
            }
            Err(error) if is_damage(&error) => {
                let mut bad = path.as_os_str().to_owned();
                bad.push(".bad");
                tracing::warn!(path = %path.display(), %error, "the registry's file is damaged: moved aside");
                fs::rename(path, &bad).map_err(failed)?;
                create(path).map_err(of)?
            }
            Err(error) => return Err(of(error)),
        };
        let (stored, read) = read(&database)?;
        Ok((Self { database, stored }, read))
    }

    /// Writes what has changed, and waits until it is on the disk. Whether anything had.
    ///
    /// # Errors
    /// `Database`: nothing was written then.
    pub fn save(
        &mut self,
        records: &[SignedRecord],
        tombstones: &[SignedTombstone],
    ) -> Result<bool, StoreError> {
        let records = records.iter().map(|held| {
            let record = held.record();
            (key(RECORD, &record.peer, &record.address), held.envelope())
        });
        let tombstones = tombstones.iter().map(|held| {
            let gone = held.tombstone();
            (key(TOMBSTONE, &gone.peer, &gone.address), held.envelope())
        });
        let now: HashMap<Vec<u8>, &Bytes> = records.chain(tombstones).collect();
        let new = now.iter().filter(|(key, envelope)| {
            let stored = self.stored.get(*key);
            stored != Some(&print(envelope))
        });
        let new: Vec<_> = new.collect();
        let gone = self.stored.keys().filter(|key| !now.contains_key(*key));
        let gone: Vec<_> = gone.cloned().collect();
        if new.is_empty() && gone.is_empty() {
            return Ok(false);
        }
        let write = self.database.begin_write().map_err(of)?;
        {
            let mut table = write.open_table(ENVELOPES).map_err(of)?;
            for (key, envelope) in new {
                table.insert(&key[..], &envelope[..]).map_err(of)?;
            }
            for key in &gone {
                table.remove(&key[..]).map_err(of)?;
            }
        }
        write.commit().map_err(of)?;
        let prints = now.into_iter().map(|(key, held)| (key, print(held)));
        self.stored = prints.collect();
        Ok(true)
    }
}

impl Registry {
    /// Takes in what was stored: verifies each, and leaves out what has expired. Whoever of those does not
    /// announce anew is forgotten by [`forget_unrenewed`](Self::forget_unrenewed). How many it took.
    pub fn restore(&self, stored: Stored) -> usize {
        let mut taken = 0;
        for envelope in stored.tombstones {
            taken += usize::from(self.restore_tombstone(envelope));
        }
        for envelope in stored.records {
            taken += usize::from(self.restore_record(envelope));
        }
        taken
    }
}

fn create(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE).create(path)
}

fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) | DatabaseError::UpgradeRequired(_) => {
            true
        }
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        }
        _ => false,
    }
}

fn of(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(error.into()))
}

fn read(database: &Database) -> Result<(HashMap<Vec<u8>, u64>, Stored), StoreError> {
    let (mut stored, mut read) = (HashMap::new(), Stored::default());
    let transaction = database.begin_read().map_err(of)?;
    let table = match transaction.open_table(ENVELOPES) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok((stored, read)),
        Err(error) => return Err(of(error)),
    };
    for entry in table.iter().map_err(of)? {
        let (key, value) = entry.map_err(of)?;
        let envelope = Bytes::copy_from_slice(value.value());
        let key = key.value().to_vec();
        stored.insert(key.clone(), print(&envelope));
        match key.first() {
            Some(&RECORD) => read.records.push(envelope),
            Some(&TOMBSTONE) => read.tombstones.push(envelope),
            // Of a later version: it is removed with the next change.
            _ => {}
        }
    }
    Ok((stored, read))
}

fn key(kind: u8, peer: &PeerId, name: &Address) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(peer.as_bytes());
    key.extend_from_slice(name.name().as_bytes());
    key
}

/// The end of an envelope is its signature.
fn print(envelope: &Bytes) -> u64 {
    let end = envelope.len().saturating_sub(8);
    let last = &envelope[end..];
    last.iter().fold(envelope.len() as u64, |print, byte| {
        print << 8 | u64::from(*byte)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::testing::{peer, record, tombstone};

    fn records(numbers: &[u8]) -> Vec<SignedRecord> {
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let record = |n: &u8| record(&format!("o://n{n}"), peer(*n), 1, made);
        let with_bytes = |n: &u8| SignedRecord::new_verified(record(n), vec![*n; 100].into());
        numbers.iter().map(with_bytes).collect()
    }

    #[test]
    fn what_was_saved_is_there_again_and_what_went_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/registry.redb");
        let gone = tombstone(records(&[9])[0].record());
        {
            let (mut store, stored) = Store::open(&path).unwrap();
            assert!(stored.records.is_empty() && stored.tombstones.is_empty());
            assert!(store.save(&records(&[1, 2, 3]), &[gone]).unwrap());
            assert!(store.save(&records(&[2, 3, 4]), &[]).unwrap());
            assert!(
                !store.save(&records(&[2, 3, 4]), &[]).unwrap(),
                "nothing is new"
            );
            assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
        }
        let (_store, mut stored) = Store::open(&path).unwrap();
        stored.records.sort_unstable();
        let envelopes: Vec<Bytes> = [2, 3, 4].map(|n| vec![n; 100].into()).to_vec();
        assert_eq!(stored.records, envelopes);
        assert!(stored.tombstones.is_empty());
    }

    #[test]
    fn a_damaged_file_is_moved_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.redb");
        fs::write(&path, [7; 10_000]).unwrap();
        let (mut store, stored) = Store::open(&path).unwrap();
        assert!(stored.records.is_empty());
        assert!(store.save(&records(&[1]), &[]).unwrap());
        let bad = fs::read(directory.path().join("registry.redb.bad")).unwrap();
        assert_eq!(bad, [7; 10_000]);
    }
}
