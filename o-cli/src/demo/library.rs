//! The text files under a directory: found within bounds, and never read outside of it.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ignore::{DirEntry, WalkBuilder};

/// What a search of files may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most files that are looked at.
    pub(super) files: usize,
    /// Most directory entries that are looked at.
    pub(super) entries: usize,
    /// Largest file that is read, in bytes.
    pub(super) file_bytes: u64,
    /// Most bytes read in one search.
    pub(super) total_bytes: u64,
    /// Longest walk through the directories, and longest search.
    pub(super) time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 5_000,
            entries: 100_000,
            file_bytes: 256 * 1024,
            total_bytes: 8 * 1024 * 1024,
            time: Duration::from_secs(3),
        }
    }
}

/// Depths that are walked one after the other, so that a directory with a great many files does not
/// hide what lies beside it.
const TIERS: [(usize, usize); 3] = [(0, 1), (2, 3), (4, 12)];

/// Directories of things that nobody wrote, also where no ignore file names them.
const UNWRITTEN: [&str; 4] = ["__pycache__", "node_modules", "target", "venv"];

/// The files under a root. Hidden ones, ignored ones and links are not among them.
#[derive(Debug)]
pub(super) struct Library {
    /// Without links in it.
    root: PathBuf,
    limits: Limits,
    /// What the last walk found: nothing else is read.
    listed: Mutex<Option<Arc<Listing>>>,
}

/// The outcome of a walk.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Paths below the root, with `/` between the parts.
    pub(super) paths: BTreeSet<String>,
    /// Whether a limit was reached.
    pub(super) truncated: bool,
}

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    NotListed,
    TooLarge(u64),
    NotText,
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => f.write_str("it is not one of the files that a search finds"),
            Self::TooLarge(limit) => write!(f, "it is larger than {limit} bytes"),
            Self::NotText => f.write_str("it is not text"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Library {
    /// The files under a directory, or one file.
    ///
    /// # Errors
    /// If there is nothing at `path`.
    pub(super) fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        let root = path.canonicalize()?;
        Ok(Self {
            root,
            limits,
            listed: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Walks through the directories. It blocks.
    pub(super) fn list(&self) -> Arc<Listing> {
        let listing = Arc::new(self.walk());
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing.clone());
        listing
    }

    fn walk(&self) -> Listing {
        let begun = Instant::now();
        let mut listing = Listing::default();
        let mut entries = 0;
        for (least, most) in TIERS {
            let walk = WalkBuilder::new(&self.root)
                .max_depth(Some(most))
                .follow_links(false)
                .same_file_system(true)
                .parents(false)
                .require_git(false)
                .filter_entry(is_written)
                .build();
            // Not `min_depth`: with it ignore 0.4.34 panics.
            for entry in walk.filter_map(Result::ok) {
                let seen = entry.depth() < least;
                entries += usize::from(!seen);
                let full = listing.paths.len() >= self.limits.files;
                if full || entries > self.limits.entries || begun.elapsed() > self.limits.time {
                    listing.truncated = true;
                    return listing;
                }
                if !seen && entry.file_type().is_some_and(|kind| kind.is_file()) {
                    listing.paths.extend(self.name_of(entry.path()));
                }
            }
        }
        listing
    }

    /// The name of a file below the root; none if it is not text.
    fn name_of(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.root).ok()?;
        if below.as_os_str().is_empty() {
            // The root is a file.
            return self.root.file_name()?.to_str().map(str::to_owned);
        }
        let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
        Some(parts?.join("/"))
    }

    /// Reads a file that a walk has found. It blocks.
    ///
    /// # Errors
    /// What is no text of a moderate size under the root is not read.
    pub(super) fn read(&self, name: &str) -> Result<String, ReadError> {
        let listed = self
            .listed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let listed = listed.unwrap_or_else(|| self.list());
        if !listed.paths.contains(name) {
            return Err(ReadError::NotListed);
        }
        let path = self.path_of(name).ok_or(ReadError::NotListed)?;
        let metadata = path.metadata()?;
        if !metadata.is_file() {
            return Err(ReadError::NotListed);
        }
        // Also what /proc has: reading there may wait for ever.
        if metadata.len() == 0 {
            return Err(ReadError::NotText);
        }
        let limit = self.limits.file_bytes;
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLarge(limit));
        }
        if bytes.contains(&0) {
            return Err(ReadError::NotText);
        }
        String::from_utf8(bytes).map_err(|_| ReadError::NotText)
    }

    /// Where a file is, if that is under the root also when every link is followed: since the walk
    /// somebody may have put a link where a file or directory was.
    fn path_of(&self, name: &str) -> Option<PathBuf> {
        let below = Path::new(name);
        let plain = below
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let path = match self.root.is_file() {
            true => self.root.clone(),
            false => self.root.join(below),
        };
        let real = path.canonicalize().ok()?;
        (plain && real.starts_with(&self.root)).then_some(real)
    }
}

fn is_written(entry: &DirEntry) -> bool {
    let directory = entry.file_type().is_some_and(|kind| kind.is_dir());
    let name = entry.file_name().to_str().unwrap_or_default();
    entry.depth() == 0 || !(directory && UNWRITTEN.contains(&name))
}
