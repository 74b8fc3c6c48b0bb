//! A name in the `o://` address space, with an optional pin to one instance.

mod error;
mod grammar;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

pub use error::AddressError;

use crate::PeerId;

const SCHEME: &str = "o://";
const PROTOCOL_PREFIX: &str = "/o/";
const NODE_SEGMENT: &str = "~";

/// A checked `o://` name, optionally pinned to the one instance that holds a certain key: `o://a/b#<peer id>`.
///
/// A name has 1 to 16 segments of 1 to 63 bytes each; the grammar is in the [crate's documentation](crate). Letters
/// keep their case and nothing is normalized. A clone shares the text. Addresses compare, order and hash as their
/// texts, pin included.
///
/// ```
/// use o_address::Address;
///
/// let address: Address = "o://company/sales".parse()?;
/// assert_eq!(address.segments().collect::<Vec<_>>(), ["company", "sales"]);
/// assert_eq!(address.parent(), Some(Address::parse("o://company")?));
/// # Ok::<(), o_address::AddressError>(())
/// ```
#[derive(Clone)]
pub struct Address {
    inner: Arc<Inner>,
}

struct Inner {
    text: Box<str>,
    /// How many bytes of `text` are the name; the rest is `#` and the pin.
    name_len: usize,
    pin: Option<PeerId>,
}

impl Address {
    /// The most segments of a name.
    pub const MAX_SEGMENTS: usize = grammar::MAX_SEGMENTS;
    /// The most bytes of a segment.
    pub const MAX_SEGMENT_LEN: usize = grammar::MAX_SEGMENT_LEN;
    /// The most bytes of a name without a pin: 1027.
    pub const MAX_NAME_LEN: usize = SCHEME.len() + grammar::MAX_SEGMENTS_LEN;
    /// The most bytes of an address, pin included: 1088.
    pub const MAX_LEN: usize = Self::MAX_NAME_LEN + 1 + PeerId::MAX_TEXT_LEN;

    /// Checks `text` and makes it an address.
    ///
    /// # Errors
    ///
    /// The first place at which `text` leaves the grammar. A text longer than [`MAX_LEN`](Self::MAX_LEN) is refused
    /// without being looked at.
    ///
    /// ```
    /// use o_address::{Address, AddressError};
    ///
    /// assert!(Address::parse("o://leader/echo").is_ok());
    /// assert_eq!(
    ///     Address::parse("o://leader/an echo"),
    ///     Err(AddressError::BadCharacter { offset: 13, found: ' ' }),
    /// );
    /// ```
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        check_length(text, Self::MAX_LEN)?;
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or(AddressError::MissingScheme)?;
        let (segments, pin) = match rest.split_once('#') {
            Some((segments, pin)) => (segments, Some(pin)),
            None => (rest, None),
        };
        grammar::check_segments(segments, SCHEME.len())?;
        let name_len = SCHEME.len() + segments.len();
        let pin = pin
            .map(PeerId::from_str)
            .transpose()
            .map_err(|source| AddressError::BadPin {
                offset: name_len + 1,
                source,
            })?;
        Ok(Self::new(text.into(), name_len, pin))
    }

    /// Checks a protocol id, as [`to_protocol`](Self::to_protocol) makes it, and makes it an address.
    ///
    /// # Errors
    ///
    /// The first place at which `protocol` leaves the grammar; a pin is not part of it.
    ///
    /// ```
    /// use o_address::Address;
    ///
    /// assert_eq!(Address::from_protocol("/o/leader/echo")?, Address::parse("o://leader/echo")?);
    /// # Ok::<(), o_address::AddressError>(())
    /// ```
    pub fn from_protocol(protocol: &str) -> Result<Self, AddressError> {
        check_length(protocol, PROTOCOL_PREFIX.len() + grammar::MAX_SEGMENTS_LEN)?;
        let segments = protocol
            .strip_prefix(PROTOCOL_PREFIX)
            .ok_or(AddressError::MissingProtocolPrefix)?;
        grammar::check_segments(segments, PROTOCOL_PREFIX.len())?;
        Ok(Self::from_name(format!("{SCHEME}{segments}")))
    }

    /// The reserved address `o://~`: the node at the other end of a connection itself, whatever it is called.
    ///
    /// It answers only to whoever is already connected. The grammar allows more names that begin with `o://~/`, but
    /// nothing may be announced under this root, neither itself nor a name below it; whoever announces or accepts an
    /// announcement checks that `address.root().is_node()` does not hold.
    ///
    /// ```
    /// use o_address::Address;
    ///
    /// assert_eq!(Address::node().as_str(), "o://~");
    /// assert!(Address::parse("o://~/ping")?.root().is_node());
    /// # Ok::<(), o_address::AddressError>(())
    /// ```
    #[must_use]
    pub fn node() -> Self {
        Self::from_name(format!("{SCHEME}{NODE_SEGMENT}"))
    }

    /// Whether this is [`Address::node`], pinned or not; a name below it is not.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.segments_text() == NODE_SEGMENT
    }

    /// The whole text, pin included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.inner.text
    }

    /// The text without the pin: `o://a/b`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.text[..self.inner.name_len]
    }

    /// The segments of the name, from the root to the leaf.
    ///
    /// ```
    /// use o_address::Address;
    ///
    /// let address = Address::parse("o://a/b/c")?;
    /// assert_eq!(address.segments().rev().collect::<Vec<_>>(), ["c", "b", "a"]);
    /// # Ok::<(), o_address::AddressError>(())
    /// ```
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + Clone + fmt::Debug {
        self.segments_text().split('/')
    }

    /// How many segments the name has, at least one.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.segments().count()
    }

    /// The address of the first segment alone, without a pin.
    #[must_use]
    pub fn root(&self) -> Self {
        let segments = self.segments_text();
        let root = segments.split_once('/').map_or(segments, |(root, _)| root);
        Self::from_name(format!("{SCHEME}{root}"))
    }

    /// The last segment.
    #[must_use]
    pub fn leaf(&self) -> &str {
        let segments = self.segments_text();
        segments.rsplit_once('/').map_or(segments, |(_, leaf)| leaf)
    }

    /// The address without its last segment and without a pin, or nothing for a root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.segments_text().rsplit_once('/')?;
        Some(Self::from_name(format!("{SCHEME}{parent}")))
    }

    /// The address with `segment` appended to the name, without a pin.
    ///
    /// # Errors
    ///
    /// What is wrong with `segment`, with offsets that count from its beginning, or
    /// [`TooManySegments`](AddressError::TooManySegments) if the name is already as deep as a name may be.
    ///
    /// ```
    /// use o_address::{Address, AddressError};
    ///
    /// let parent = Address::parse("o://leader")?;
    /// assert_eq!(parent.child("echo")?.as_str(), "o://leader/echo");
    /// assert_eq!(parent.child("a/b"), Err(AddressError::BadCharacter { offset: 1, found: '/' }));
    /// # Ok::<(), AddressError>(())
    /// ```
    pub fn child(&self, segment: &str) -> Result<Self, AddressError> {
        grammar::check_segment(segment, 0)?;
        if self.depth() >= Self::MAX_SEGMENTS {
            return Err(AddressError::TooManySegments {
                offset: 0,
                limit: Self::MAX_SEGMENTS,
            });
        }
        Ok(Self::from_name(format!("{}/{segment}", self.name())))
    }

    /// Whether `other` lies below this address in the tree of names. No address is its own ancestor; pins are ignored.
    ///
    /// ```
    /// use o_address::Address;
    ///
    /// let leader = Address::parse("o://leader")?;
    /// assert!(leader.is_ancestor_of(&Address::parse("o://leader/echo")?));
    /// assert!(!leader.is_ancestor_of(&Address::parse("o://leaderboard")?));
    /// assert!(!leader.is_ancestor_of(&leader));
    /// # Ok::<(), o_address::AddressError>(())
    /// ```
    #[must_use]
    pub fn is_ancestor_of(&self, other: &Self) -> bool {
        other
            .name()
            .strip_prefix(self.name())
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The peer that this address is pinned to.
    #[must_use]
    pub fn pin(&self) -> Option<PeerId> {
        self.inner.pin
    }

    /// The same name, pinned to `peer`; an earlier pin is replaced.
    ///
    /// ```
    /// use o_address::{Address, PeerId};
    ///
    /// let peer: PeerId = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo".parse()?;
    /// let pinned = Address::parse("o://leader")?.pinned(peer);
    /// assert_eq!(pinned.as_str(), "o://leader#12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo");
    /// assert_eq!(pinned.pin(), Some(peer));
    /// assert_eq!(pinned.name(), "o://leader");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn pinned(&self, peer: PeerId) -> Self {
        let text = format!("{}#{peer}", self.name());
        Self::new(text.into(), self.inner.name_len, Some(peer))
    }

    /// The same name without a pin.
    #[must_use]
    pub fn without_pin(&self) -> Self {
        match self.inner.pin {
            Some(_) => Self::from_name(self.name().to_owned()),
            None => self.clone(),
        }
    }

    /// The protocol id of this name, without the pin: `/o/a/b`.
    ///
    /// ```
    /// use o_address::Address;
    ///
    /// assert_eq!(Address::parse("o://leader/echo")?.to_protocol(), "/o/leader/echo");
    /// # Ok::<(), o_address::AddressError>(())
    /// ```
    #[must_use]
    pub fn to_protocol(&self) -> String {
        format!("{PROTOCOL_PREFIX}{}", self.segments_text())
    }

    fn segments_text(&self) -> &str {
        &self.inner.text[SCHEME.len()..self.inner.name_len]
    }

    /// Makes an address of a name that is known to be within the grammar.
    fn from_name(name: String) -> Self {
        let name_len = name.len();
        Self::new(name.into(), name_len, None)
    }

    fn new(text: Box<str>, name_len: usize, pin: Option<PeerId>) -> Self {
        Self {
            inner: Arc::new(Inner {
                text,
                name_len,
                pin,
            }),
        }
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) || self.as_str() == other.as_str()
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address")
            .field(&format_args!("{}", self.as_str()))
            .finish()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

fn check_length(text: &str, limit: usize) -> Result<(), AddressError> {
    if text.len() > limit {
        return Err(AddressError::TooLong {
            length: text.len(),
            limit,
        });
    }
    Ok(())
}
