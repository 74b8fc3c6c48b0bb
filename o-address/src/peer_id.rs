//! The id of a peer, which stands for its public key.

mod error;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

pub use error::PeerIdError;

const CODE_IDENTITY: u8 = 0x00;
const CODE_SHA2_256: u8 = 0x12;
/// A public key of up to this many bytes is inlined; libp2p hashes a longer one.
const MAX_IDENTITY_LEN: u8 = 42;
const SHA2_256_LEN: u8 = 32;
/// Room for whatever [`PeerId::MAX_TEXT_LEN`] characters can decode to: one byte each, if all are zeros.
const DECODE_BUFFER_LEN: usize = PeerId::MAX_TEXT_LEN;
const SHORT_LEN: usize = 8;

/// The id of a libp2p peer: a multihash of its public key, checked for shape only.
///
/// It is either the key itself (`0x00`, length up to 42, key) or its SHA-256 (`0x12`, `0x20`, 32 bytes). Its text is
/// base58 with Bitcoin's alphabet; the form as a CID is not read. It is stored inline, copied without allocation, and
/// ordered and hashed by its bytes.
///
/// ```
/// use o_address::PeerId;
///
/// let peer: PeerId = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo".parse()?;
/// assert_eq!(peer.as_bytes().len(), 38);
/// assert_eq!(peer.short().to_string(), "S2C1Duoo");
/// # Ok::<(), o_address::PeerIdError>(())
/// ```
#[derive(Clone, Copy)]
pub struct PeerId {
    len: u8,
    bytes: [u8; PeerId::MAX_LEN],
}

impl PeerId {
    /// The most bytes of a peer id.
    pub const MAX_LEN: usize = 2 + MAX_IDENTITY_LEN as usize;
    /// The most characters of a peer id in base58: one for the leading zero and 59 for the 43 bytes after it.
    pub const MAX_TEXT_LEN: usize = 60;

    /// Checks the bytes of a multihash and makes them a peer id.
    ///
    /// # Errors
    ///
    /// If the code is neither of the two, or the length is not what code and length byte say.
    ///
    /// ```
    /// use o_address::{PeerId, PeerIdError};
    ///
    /// let hashed = [&[0x12, 0x20][..], &[7; 32]].concat();
    /// assert_eq!(PeerId::from_bytes(&hashed)?.as_bytes(), hashed);
    /// assert_eq!(PeerId::from_bytes(&[0x13, 0x20]), Err(PeerIdError::UnknownCode { code: 0x13 }));
    /// # Ok::<(), PeerIdError>(())
    /// ```
    pub fn from_bytes(multihash: &[u8]) -> Result<Self, PeerIdError> {
        let (&code, rest) = multihash.split_first().ok_or(PeerIdError::Empty)?;
        if !matches!(code, CODE_IDENTITY | CODE_SHA2_256) {
            return Err(PeerIdError::UnknownCode { code });
        }
        let Some((&length, digest)) = rest.split_first() else {
            return Err(PeerIdError::WrongSize {
                expected: 2,
                found: 1,
            });
        };
        let allowed = match code {
            CODE_IDENTITY => length <= MAX_IDENTITY_LEN,
            _ => length == SHA2_256_LEN,
        };
        if !allowed {
            return Err(PeerIdError::BadLength { code, length });
        }
        if digest.len() != usize::from(length) {
            return Err(PeerIdError::WrongSize {
                expected: 2 + usize::from(length),
                found: multihash.len(),
            });
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..multihash.len()].copy_from_slice(multihash);
        Ok(Self {
            len: length + 2,
            bytes,
        })
    }

    /// The bytes of the multihash, at most [`MAX_LEN`](Self::MAX_LEN).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The last 8 characters of the text, for tables and logs. They identify nothing: anybody can make a key for them.
    #[must_use]
    pub fn short(&self) -> impl fmt::Display + fmt::Debug + Copy + use<> {
        Short(*self)
    }

    /// Calls `f` with the text, which is made on the stack.
    fn with_text<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        let mut buffer = [0; Self::MAX_TEXT_LEN];
        // Neither can fail: the buffer holds the longest text, and base58 is ASCII.
        let len = bs58::encode(self.as_bytes())
            .onto(&mut buffer[..])
            .unwrap_or_default();
        f(std::str::from_utf8(&buffer[..len]).unwrap_or_default())
    }
}

impl PartialEq for PeerId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PeerId {}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for PeerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| {
            f.debug_tuple("PeerId")
                .field(&format_args!("{text}"))
                .finish()
        })
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        if text.len() > Self::MAX_TEXT_LEN {
            return Err(PeerIdError::TextTooLong {
                length: text.len(),
                limit: Self::MAX_TEXT_LEN,
            });
        }
        let mut buffer = [0; DECODE_BUFFER_LEN];
        let len = bs58::decode(text)
            .onto(&mut buffer[..])
            .map_err(|error| decode_error(text, &error))?;
        Self::from_bytes(&buffer[..len])
    }
}

/// See [`PeerId::short`].
#[derive(Clone, Copy)]
struct Short(PeerId);

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .with_text(|text| f.pad(&text[text.len().saturating_sub(SHORT_LEN)..]))
    }
}

fn decode_error(text: &str, error: &bs58::decode::Error) -> PeerIdError {
    use bs58::decode::Error;

    match error {
        Error::InvalidCharacter { index: offset, .. }
        | Error::NonAsciiCharacter { index: offset } => {
            let found = text.get(*offset..).and_then(|rest| rest.chars().next());
            PeerIdError::BadCharacter {
                offset: *offset,
                found: found.unwrap_or(char::REPLACEMENT_CHARACTER),
            }
        }
        // The only other error of a plain decoding is a buffer that is too small, which this one never is.
        _ => PeerIdError::TextTooLong {
            length: text.len(),
            limit: PeerId::MAX_TEXT_LEN,
        },
    }
}
