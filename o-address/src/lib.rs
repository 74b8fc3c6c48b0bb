//! Names in the `o://` address space, peer ids and transport addresses, as checked, opaque values.
//!
//! The three types say three different things about an agent:
//!
//! | type | says | example |
//! |---|---|---|
//! | [`Address`] | what it is called | `o://company/sales/ai-assistant` |
//! | [`PeerId`] | which key it holds | `12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo` |
//! | [`TransportAddr`] | where it can be reached | `/ip4/127.0.0.1/tcp/4001` |
//!
//! A value of one of these types has passed its check, is cheap to clone and prints as exactly the text that it was
//! parsed from. The check concerns the *shape* only: whether a peer id belongs to a valid key and whether a transport
//! address can be dialed is for the crates that know the network stack to say.
//!
//! ```
//! use o_address::Address;
//!
//! let agent = Address::parse("o://company/sales/ai-assistant")?;
//! assert_eq!(agent.leaf(), "ai-assistant");
//! assert_eq!(agent.root().as_str(), "o://company");
//! assert_eq!(agent.to_protocol(), "/o/company/sales/ai-assistant");
//!
//! let error = Address::parse("o://company//sales").unwrap_err();
//! assert_eq!(error.offset(), 12);
//! # Ok::<(), o_address::AddressError>(())
//! ```
//!
//! # Grammar
//!
//! In ABNF (RFC 5234; `%s` marks case-sensitive text, RFC 7405):
//!
//! ```text
//! address        = name [ "#" peer-id ]
//! name           = %s"o://" segments
//! protocol       = %s"/o/" segments
//! segments       = segment *15( "/" segment )
//! segment        = 1*63( ALPHA / DIGIT / "." / "_" / "~" / "-" )
//!                  ; but neither "." nor ".."
//!
//! peer-id        = 2*60base58
//!                  ; that decodes to %x00 length key, length up to 42, or to %x12 %x20 and 32 bytes
//! base58         = %x31-39 / %x41-48 / %x4A-4E / %x50-5A / %x61-6B / %x6D-7A
//!
//! transport-addr = 1*( "/" component )
//!                  ; 1024 bytes at most, not counting the "/p2p/" peer-id at its end
//! component      = 1*( %x21-2E / %x30-7E )
//! ```
//!
//! Letters keep their case and nothing is folded, decoded or normalized: two addresses are equal when their texts are.
//! `.` and `..` are refused because shells, URL libraries and HTTP front ends remove them, so that a name containing
//! one would mean something else after passing through such a tool. `o://~` is reserved: see [`Address::node`].
//!
//! # Errors
//!
//! Every error says what is allowed and at which byte the text leaves the grammar; none contains a copy of the text.
//! The length is looked at first, so that refusing a text of any size takes constant time and memory.
//!
//! # Features
//!
//! `serde` (off by default): every type serializes as its text and is parsed when deserialized.

mod address;
mod peer_id;
#[cfg(feature = "serde")]
mod serde;
mod transport_addr;

pub use address::{Address, AddressError};
pub use peer_id::{PeerId, PeerIdError};
pub use transport_addr::{TransportAddr, TransportAddrError};
