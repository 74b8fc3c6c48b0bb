//! What the headers of frames say. Keys and their meaning are specified in docs/wire.md, "Headers".

mod goodbye;
mod map;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use o_address::Address;
use o_core::{CallError, CallTerms, Encoding, ErrorCode, NetworkId, Priority, SchemaHash, Shape};

pub use self::goodbye::Goodbye;
use self::map::{MapError, MapReader, MapWriter, Value, texts};

/// Longest header, in bytes. The field in the prefix could hold more.
pub const MAX_HEADER: usize = 16 * 1024;
/// Most hosted addresses in a HELLO; the rest is asked for with `describe`. Fixed by the wire, as
/// every length here is: a peer that sent more would be cut off by every other implementation.
pub const MAX_HOSTED: usize = 64;
/// Longest details of an error, in bytes; longer ones are left out, by either side.
pub(crate) const MAX_ERROR_DATA: usize = 16 * 1024;
/// Most bytes of hosted addresses in a HELLO, so that it keeps to [`MAX_HEADER`].
const MAX_HOSTED_BYTES: usize = 8 * 1024;
const MAX_KEY: usize = 64;
const MAX_TRACE: usize = 128;
const MAX_METHOD: usize = 128;
const MAX_AGENT: usize = 128;
const MAX_MESSAGE: usize = 4096;

/// Why a header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The bytes are not a map as specified: the stream cannot be trusted any more.
    #[error("malformed header: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A critical key (negative) that this version does not know: the call is answered
    /// `unsupported`.
    #[error("header key {key} is critical and not known here")]
    Unsupported {
        /// The key.
        key: i64,
    },
    /// A value is out of its range: the call is answered `invalid_params`.
    #[error("header value {key} is not valid: {reason}")]
    BadValue {
        /// The key.
        key: i64,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<MapError> for HeaderError {
    fn from(error: MapError) -> Self {
        Self::Malformed {
            reason: error.to_string(),
        }
    }
}

impl From<HeaderError> for CallError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Unsupported { key } => Self::Unsupported {
                what: format!("header key {key}"),
            },
            other => Self::InvalidParams {
                message: other.to_string(),
            },
        }
    }
}

fn bad(key: i64, reason: impl Into<String>) -> HeaderError {
    HeaderError::BadValue {
        key,
        reason: reason.into(),
    }
}

fn unknown(key: i64) -> Result<(), HeaderError> {
    if key < 0 {
        Err(HeaderError::Unsupported { key })
    } else {
        Ok(())
    }
}

fn short(key: i64, text: &str, limit: usize) -> Result<Arc<str>, HeaderError> {
    if text.len() > limit {
        return Err(bad(key, format!("longer than {limit} bytes")));
    }
    Ok(text.into())
}

fn small<T: TryFrom<u64>>(key: i64, value: u64) -> Result<T, HeaderError> {
    T::try_from(value).map_err(|_| bad(key, "too large a number"))
}

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello {
    /// Minor version of `/o-call/1` that the sender speaks.
    pub minor: u16,
    /// Optional features, a set of bits; none is defined yet.
    pub features: u64,
    /// Largest frame that the sender takes, in bytes.
    pub max_frame: u32,
    /// Most calls at once that the sender takes.
    pub max_calls: u32,
    /// Bytes of bodies that each call may send before credit is given.
    pub initial_credit: u32,
    /// The sender's network.
    pub network: NetworkId,
    /// Addresses hosted there: a claim, at most [`MAX_HOSTED`] of them.
    pub hosted: Vec<Address>,
    /// Name and version of the sender's program.
    pub agent: Arc<str>,
}

impl Hello {
    /// The HELLO of version 1.0 with the limits that hold before a HELLO has arrived.
    pub fn new(network: NetworkId) -> Self {
        Self {
            minor: 0,
            features: 0,
            max_frame: crate::session::ASSUMED_MAX_FRAME,
            max_calls: crate::session::ASSUMED_MAX_CALLS,
            initial_credit: crate::session::ASSUMED_CREDIT,
            network,
            hosted: Vec::new(),
            agent: concat!("o/", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        map.uint(1, self.minor.into());
        map.uint(2, self.features);
        map.uint(3, self.max_frame.into());
        map.uint(4, self.max_calls.into());
        map.uint(5, self.initial_credit.into());
        map.text(6, self.network.as_str());
        let mut room = MAX_HOSTED_BYTES;
        let hosted = self.hosted.iter().map(Address::as_str).take(MAX_HOSTED);
        let hosted: Vec<&str> = hosted
            .take_while(|name| {
                let fits = name.len() <= room;
                room = room.saturating_sub(name.len());
                fits
            })
            .collect();
        map.texts(7, hosted.into_iter());
        map.text(8, cut(&self.agent, MAX_AGENT));
        map.finish()
    }

    pub(crate) fn decode(input: &[u8]) -> Result<Self, HeaderError> {
        let mut hello = Self::new(NetworkId::default());
        hello.agent = "".into();
        let mut named_network = false;
        let mut map = MapReader::new(input)?;
        while let Some((key, value)) = map.next()? {
            match (key, value) {
                (1, Value::Uint(value)) => hello.minor = small(key, value)?,
                (2, Value::Uint(value)) => hello.features = value,
                (3, Value::Uint(value)) => hello.max_frame = small(key, value)?,
                (4, Value::Uint(value)) => hello.max_calls = small(key, value)?,
                (5, Value::Uint(value)) => hello.initial_credit = small(key, value)?,
                (6, Value::Text(text)) => {
                    hello.network = text.parse().map_err(|_| bad(key, "no network id"))?;
                    named_network = true;
                }
                (7, Value::Array(bytes, length)) => {
                    // A name that does not parse is somebody else's mistake: leave it out.
                    let names = texts(bytes, length)?;
                    let names = names.into_iter().take(MAX_HOSTED);
                    hello.hosted = names.filter_map(|name| name.parse().ok()).collect();
                }
                (8, Value::Text(text)) => hello.agent = short(key, text, MAX_AGENT)?,
                (1..=8, _) => return Err(MapError::WrongType(key).into()),
                (key, _) => unknown(key)?,
            }
        }
        if !named_network {
            return Err(bad(6, "a HELLO names its network"));
        }
        Ok(hello)
    }
}

/// What opens a call.
#[derive(Clone, Debug)]
pub struct CallHeader {
    /// Whom it is for.
    pub target: Address,
    /// The method.
    pub method: Arc<str>,
    /// How many values go each way.
    pub shape: Shape,
    /// How its bodies are encoded.
    pub encoding: Encoding,
    /// Deadline and the rest; the deadline is this machine's.
    pub terms: CallTerms,
}

impl CallHeader {
    /// The wire form; the deadline becomes what remains of it at `now`, rounded up to milliseconds.
    #[cfg(test)]
    pub(crate) fn encode(&self, now: Instant) -> Vec<u8> {
        self.encode_announcing(now, None)
    }

    /// The wire form, with the length of parameters that go in parts.
    pub(crate) fn encode_announcing(&self, now: Instant, length: Option<usize>) -> Vec<u8> {
        let mut map = MapWriter::new();
        let terms = &self.terms;
        map.text(1, self.target.as_str());
        map.text(2, &self.method);
        if self.shape != Shape::default() {
            map.uint(3, self.shape.number().into());
        }
        if self.encoding != Encoding::default() {
            map.uint(4, self.encoding.number().into());
        }
        if let Some(remaining) = terms.remaining(now) {
            let millis = remaining.as_nanos().div_ceil(1_000_000);
            map.uint(5, u64::try_from(millis).unwrap_or(u64::MAX));
        }
        if terms.priority != Priority::default() {
            map.uint(6, terms.priority.number().into());
        }
        if let Some(key) = &terms.idempotency_key {
            map.text(7, key);
        }
        if let Some(hash) = &terms.schema {
            map.bytes(8, &hash.0);
        }
        if let Some(trace) = &terms.trace_parent {
            map.text(9, trace);
        }
        if let Some(hops) = terms.hops_left {
            map.uint(10, hops.into());
        }
        if let Some(origin) = &terms.origin {
            map.text(11, origin.as_str());
        }
        if let Some(context) = &terms.signed_context {
            map.bytes(12, context);
        }
        if let Some(tokens) = &terms.tokens {
            map.bytes(13, tokens);
        }
        if let Some(length) = length {
            map.uint(15, length as u64);
        }
        map.finish()
    }

    /// Reads the wire form.
    #[cfg(test)]
    pub(crate) fn decode(input: &[u8], now: Instant) -> Result<Self, HeaderError> {
        Self::decode_after(input, now, None)
    }

    /// Reads the wire form. A target and a method that are `recent` are not made anew.
    pub(crate) fn decode_after(
        input: &[u8],
        now: Instant,
        recent: Option<&Self>,
    ) -> Result<Self, HeaderError> {
        let mut target = None;
        let mut method = None;
        let mut shape = Shape::default();
        let mut encoding = Encoding::default();
        let mut terms = CallTerms::default();
        let mut map = MapReader::new(input)?;
        while let Some((key, value)) = map.next()? {
            match (key, value) {
                (1, Value::Text(text)) => {
                    target = Some(match recent {
                        Some(recent) if recent.target.as_str() == text => recent.target.clone(),
                        _ => address(key, text)?,
                    });
                }
                (2, Value::Text(text)) => {
                    method = Some(match recent {
                        Some(recent) if *recent.method == *text => recent.method.clone(),
                        _ => short(key, text, MAX_METHOD)?,
                    });
                }
                (3, Value::Uint(value)) => {
                    let known = small(key, value).ok().and_then(Shape::from_number);
                    shape = known.ok_or_else(|| bad(key, "unknown shape"))?;
                }
                (4, Value::Uint(value)) => encoding = decode_encoding(key, value)?,
                (key, value) => Self::decode_term(&mut terms, key, value, now)?,
            }
        }
        Ok(Self {
            target: target.ok_or_else(|| bad(1, "a call names its target"))?,
            method: method.ok_or_else(|| bad(2, "a call names its method"))?,
            shape,
            encoding,
            terms,
        })
    }

    fn decode_term(
        terms: &mut CallTerms,
        key: i64,
        value: Value<'_>,
        now: Instant,
    ) -> Result<(), HeaderError> {
        match (key, value) {
            (5, Value::Uint(millis)) => {
                // A deadline beyond what this clock can hold is no deadline.
                terms.deadline = now.checked_add(Duration::from_millis(millis));
            }
            (6, Value::Uint(value)) => {
                // A priority that a newer version knows is the default here.
                let known = small(key, value).ok().and_then(Priority::from_number);
                terms.priority = known.unwrap_or_default();
            }
            (7, Value::Text(text)) => terms.idempotency_key = Some(short(key, text, MAX_KEY)?),
            (8, Value::Bytes(bytes)) => {
                let hash = bytes
                    .try_into()
                    .map_err(|_| bad(key, "a hash has 32 bytes"))?;
                terms.schema = Some(SchemaHash(hash));
            }
            (9, Value::Text(text)) => terms.trace_parent = Some(short(key, text, MAX_TRACE)?),
            (10, Value::Uint(value)) => terms.hops_left = Some(small(key, value)?),
            (11, Value::Text(text)) => terms.origin = Some(address(key, text)?),
            (12, Value::Bytes(bytes)) => terms.signed_context = Some(Bytes::copy_from_slice(bytes)),
            (13, Value::Bytes(bytes)) => terms.tokens = Some(Bytes::copy_from_slice(bytes)),
            // The body would be on another substream, which this version does not read.
            (14, Value::Uint(_)) => return Err(HeaderError::Unsupported { key }),
            (1..=14, _) => return Err(MapError::WrongType(key).into()),
            (key, _) => unknown(key)?,
        }
        Ok(())
    }
}

fn address(key: i64, text: &str) -> Result<Address, HeaderError> {
    text.parse()
        .map_err(|error: o_address::AddressError| bad(key, error.to_string()))
}

fn decode_encoding(key: i64, value: u64) -> Result<Encoding, HeaderError> {
    let known = small(key, value).ok().and_then(Encoding::from_number);
    known.ok_or_else(|| bad(key, "unknown encoding"))
}

/// The header of an item: its encoding, where it differs from the call's, and the length of one that
/// goes in parts.
pub(crate) fn encode_item(encoding: Encoding, call: Encoding, length: Option<usize>) -> Vec<u8> {
    if encoding == call && length.is_none() {
        return Vec::new();
    }
    let mut map = MapWriter::new();
    if encoding != call {
        map.uint(4, encoding.number().into());
    }
    if let Some(length) = length {
        map.uint(15, length as u64);
    }
    map.finish()
}

/// How long a body in parts will be, if its first header says so. Whatever else the header is has been
/// checked before.
pub(crate) fn decode_length(input: &[u8]) -> Option<usize> {
    let mut map = MapReader::new(input).ok()?;
    while let Ok(Some((key, value))) = map.next() {
        if let (15, Value::Uint(length)) = (key, value) {
            return usize::try_from(length).ok();
        }
    }
    None
}

pub(crate) fn decode_item(input: &[u8], call: Encoding) -> Result<Encoding, HeaderError> {
    let mut encoding = call;
    let mut map = MapReader::new(input)?;
    while let Some((key, value)) = map.next()? {
        match (key, value) {
            (4, Value::Uint(value)) => encoding = decode_encoding(key, value)?,
            (4, _) => return Err(MapError::WrongType(key).into()),
            (key, _) => unknown(key)?,
        }
    }
    Ok(encoding)
}

/// The header of a CREDIT frame: how many more bytes may be sent.
pub(crate) fn encode_credit(bytes: u64) -> Vec<u8> {
    let mut map = MapWriter::new();
    map.uint(1, bytes);
    map.finish()
}

pub(crate) fn decode_credit(input: &[u8]) -> Result<u64, HeaderError> {
    let mut bytes = 0;
    let mut map = MapReader::new(input)?;
    while let Some((key, value)) = map.next()? {
        match (key, value) {
            (1, Value::Uint(value)) => bytes = value,
            (1, _) => return Err(MapError::WrongType(key).into()),
            (key, _) => unknown(key)?,
        }
    }
    Ok(bytes)
}

/// The first `limit` bytes of a text at most, up to a character's border.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The header and body of an ERROR frame.
pub(crate) fn encode_error(error: &CallError) -> (Vec<u8>, Bytes) {
    let mut map = MapWriter::new();
    map.uint(1, error.number().into());
    map.text(2, cut(&message_of(error), MAX_MESSAGE));
    map.bool(3, error.is_retryable());
    if let CallError::Refused { certain: false, .. } = error {
        map.bool(4, false);
    }
    if let CallError::WrongShape { method, .. } = error {
        map.uint(5, method.number().into());
    }
    let data = match error {
        CallError::Failed { data, .. } => data.clone(),
        _ => Bytes::new(),
    };
    (map.finish(), data)
}

/// What the variant says beyond its kind: the part that the other side cannot know.
fn message_of(error: &CallError) -> String {
    match error {
        CallError::Unreachable { reason, .. }
        | CallError::Refused { reason, .. }
        | CallError::Busy { reason }
        | CallError::ConnectionLost { reason }
        | CallError::Protocol { reason } => reason.clone(),
        CallError::Failed { message, .. }
        | CallError::InvalidParams { message }
        | CallError::InvalidReply { message }
        | CallError::Internal { message }
        | CallError::UnknownCode { message, .. } => message.clone(),
        CallError::TooLarge { what } | CallError::Unsupported { what } => what.clone(),
        CallError::NoProviders { capability } => capability.to_string(),
        other => other.to_string(),
    }
}

/// What the caller knows and an ERROR frame therefore does not repeat.
pub(crate) struct ErrorContext<'a> {
    pub(crate) target: &'a Address,
    pub(crate) method: &'a str,
    pub(crate) shape: Shape,
    pub(crate) elapsed: Duration,
}

pub(crate) fn decode_error(
    input: &[u8],
    data: Bytes,
    call: &ErrorContext<'_>,
) -> Result<CallError, HeaderError> {
    let (mut number, mut message, mut retryable, mut certain) = (0, String::new(), false, true);
    let mut method_shape = Shape::default();
    let mut map = MapReader::new(input)?;
    while let Some((key, value)) = map.next()? {
        match (key, value) {
            (1, Value::Uint(value)) => number = small(key, value)?,
            (2, Value::Text(text)) => message = cut(text, MAX_MESSAGE).to_owned(),
            (3, Value::Bool(value)) => retryable = value,
            (4, Value::Bool(value)) => certain = value,
            (5, Value::Uint(value)) => {
                let known = small(key, value).ok().and_then(Shape::from_number);
                method_shape = known.unwrap_or_default();
            }
            (1..=5, _) => return Err(MapError::WrongType(key).into()),
            (key, _) => unknown(key)?,
        }
    }
    let told = Told {
        message,
        retryable,
        certain,
        data,
        method_shape,
    };
    Ok(told.into_error(number, call))
}

/// What an ERROR says beside its code.
struct Told {
    message: String,
    retryable: bool,
    certain: bool,
    data: Bytes,
    method_shape: Shape,
}

impl Told {
    fn into_error(self, number: u16, call: &ErrorContext<'_>) -> CallError {
        let Self {
            message,
            retryable,
            certain,
            data,
            method_shape,
        } = self;
        let target = call.target.clone();
        match ErrorCode::from_number(number) {
            Some(ErrorCode::NotFound) => CallError::NotFound { address: target },
            Some(ErrorCode::Unreachable) => CallError::Unreachable {
                address: target,
                reason: message,
            },
            Some(ErrorCode::Refused) => CallError::Refused {
                peer: None,
                reason: message,
                certain,
            },
            Some(ErrorCode::TimedOut) => CallError::TimedOut {
                after: call.elapsed,
            },
            Some(ErrorCode::Failed) => CallError::Failed {
                message,
                retryable,
                data,
            },
            Some(ErrorCode::Busy) => CallError::Busy { reason: message },
            Some(ErrorCode::Cancelled) => CallError::Cancelled,
            Some(ErrorCode::ConnectionLost) => CallError::ConnectionLost { reason: message },
            Some(ErrorCode::UnknownMethod) => CallError::UnknownMethod {
                method: call.method.to_owned(),
            },
            Some(ErrorCode::InvalidParams) => CallError::InvalidParams { message },
            Some(ErrorCode::InvalidReply) => CallError::InvalidReply { message },
            Some(ErrorCode::TooLarge) => CallError::TooLarge { what: message },
            Some(ErrorCode::Unsupported) => CallError::Unsupported { what: message },
            Some(ErrorCode::Protocol) => CallError::Protocol { reason: message },
            Some(ErrorCode::ShuttingDown) => CallError::ShuttingDown,
            Some(ErrorCode::WrongShape) => CallError::WrongShape {
                method: method_shape,
                call: call.shape,
            },
            Some(ErrorCode::Internal) => CallError::Internal { message },
            Some(ErrorCode::NoProviders) if let Ok(capability) = message.parse() => {
                CallError::NoProviders { capability }
            }
            _ => CallError::UnknownCode {
                number,
                message,
                retryable,
            },
        }
    }
}
