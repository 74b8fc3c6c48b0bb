//! What was found out about a name: records that their peer signed, and their withdrawal.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use o_address::{Address, PeerId, TransportAddr};

use crate::{Capability, Label, MethodSpec, NetworkId, SchemaHash, Shape, label::is_plain};

/// How far two clocks may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// A method, as far as a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodDigest {
    /// Its name.
    pub name: Arc<str>,
    /// How many values go each way.
    pub shape: Shape,
    /// [`MethodSpec::hash`]: what a caller may pin.
    pub hash: SchemaHash,
    /// What it does, as far as a record has room for it: plain text of at most
    /// [`Record::MAX_METHOD_DESCRIPTION`] bytes.
    pub description: Arc<str>,
}

impl From<&MethodSpec> for MethodDigest {
    fn from(spec: &MethodSpec) -> Self {
        Self {
            name: spec.name.clone(),
            shape: spec.shape,
            hash: spec.hash(),
            description: plain_text(&spec.description, Record::MAX_METHOD_DESCRIPTION).into(),
        }
    }
}

/// The beginning of a text as a record may hold it: on one line, without control and invisible
/// characters, at most `limit` bytes.
pub fn plain_text(text: &str, limit: usize) -> String {
    let mut plain = String::with_capacity(text.len().min(limit));
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|c| is_plain(*c)).collect();
        if word.is_empty() {
            continue;
        }
        let space = usize::from(!plain.is_empty());
        if plain.len() + space + word.len() > limit {
            break;
        }
        plain.extend((space > 0).then_some(' '));
        plain.push_str(&word);
    }
    plain
}

/// Whether a text is what [`plain_text`] would make of it.
pub fn is_plain_text(text: &str, limit: usize) -> bool {
    text.len() <= limit && text.chars().all(is_plain)
}

/// When something signed was made and until when it holds, by the signer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTimes {
    /// Seconds since 1970 at its making.
    pub created: u64,
    /// How long it holds from then, in seconds.
    pub lifetime: u32,
}

impl RecordTimes {
    /// From `now` on, for `lifetime` (whole seconds, at most [`Record::MAX_LIFETIME`]).
    pub fn starting(now: SystemTime, lifetime: Duration) -> Self {
        let lifetime = lifetime.min(Record::MAX_LIFETIME).as_secs();
        Self {
            created: unix_seconds(now),
            lifetime: u32::try_from(lifetime).unwrap_or(u32::MAX),
        }
    }

    /// How old it is. Made in the future, by a clock ahead of ours, counts as made now.
    pub fn age(&self, now: SystemTime) -> Duration {
        Duration::from_secs(unix_seconds(now).saturating_sub(self.created))
    }

    /// Whether it no longer holds; clocks may be five minutes apart. One that was made in the future
    /// never has expired before that: whoever keeps it asks for [`holds_until`](Self::holds_until) once.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.age(now) > self.longest()
    }

    /// Whether it was made later than clocks that are five minutes apart can explain.
    pub fn is_from_the_future(&self, now: SystemTime) -> bool {
        self.created > unix_seconds(now).saturating_add(CLOCK_SKEW.as_secs())
    }

    /// Until when it holds for somebody who gets it now.
    pub fn holds_until(&self, now: SystemTime) -> SystemTime {
        let left = self.longest().saturating_sub(self.age(now));
        now.checked_add(left).unwrap_or(now)
    }

    fn longest(&self) -> Duration {
        let lifetime = Duration::from_secs(self.lifetime.into()).min(Record::MAX_LIFETIME);
        lifetime + CLOCK_SKEW
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// What a peer says about one of its agents. Of two, the higher sequence number holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The agent's name.
    pub address: Address,
    /// The node that hosts it, which signs the record.
    pub peer: PeerId,
    /// Where that node listens; at most [`Record::MAX_ADDRESSES`].
    pub addresses: Vec<TransportAddr>,
    /// What it can do; at most [`Record::MAX_CAPABILITIES`].
    pub capabilities: Vec<Capability>,
    /// What it is especially good at, in the grammar of capabilities; at most
    /// [`Record::MAX_SPECIALISATIONS`]. Nobody is found under them as under a capability.
    pub specialisations: Vec<Capability>,
    /// What else it says about itself; at most [`Record::MAX_LABELS`].
    pub labels: Vec<Label>,
    /// What it is for, for people and models: plain text of at most
    /// [`Record::MAX_DESCRIPTION`] bytes. The word of the agent, to be trusted as little as any
    /// other.
    pub description: Arc<str>,
    /// Its methods; at most [`Record::MAX_METHODS`].
    pub methods: Vec<MethodDigest>,
    /// The delegations that give the peer the name, the root's first, as they were signed; at most
    /// [`Record::MAX_CHAIN`]. Empty for a name that is only claimed. `o_protocol` verifies them.
    pub chain: Vec<Bytes>,
    /// Grows with every record of this peer for this name.
    pub sequence: u64,
    /// When it was made and until when it holds.
    pub times: RecordTimes,
    /// The network that it belongs to.
    pub network: NetworkId,
}

impl Record {
    /// A record that says nothing but who this is: the rest is empty, the sequence number zero.
    pub fn new(address: Address, peer: PeerId, network: NetworkId, times: RecordTimes) -> Self {
        Self {
            address,
            peer,
            addresses: Vec::new(),
            capabilities: Vec::new(),
            specialisations: Vec::new(),
            labels: Vec::new(),
            description: "".into(),
            methods: Vec::new(),
            chain: Vec::new(),
            sequence: 0,
            times,
            network,
        }
    }

    /// Most transport addresses.
    pub const MAX_ADDRESSES: usize = 16;
    /// Most specialisations.
    pub const MAX_SPECIALISATIONS: usize = 32;
    /// Most labels.
    pub const MAX_LABELS: usize = 100;
    /// Longest description, in bytes.
    pub const MAX_DESCRIPTION: usize = 1024;
    /// Longest description of a method, in bytes.
    pub const MAX_METHOD_DESCRIPTION: usize = 256;
    /// Most delegations: as many as a name has segments.
    pub const MAX_CHAIN: usize = 16;
    /// Most capabilities.
    pub const MAX_CAPABILITIES: usize = 100;
    /// Most methods.
    pub const MAX_METHODS: usize = 256;
    /// Longest lifetime: 48 hours.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(48 * 3600);
    /// Largest signed form, in bytes.
    pub const MAX_SIGNED: usize = 10 * 1024;
}

/// A record with the bytes that its peer signed. Cloning is cheap.
///
/// Made by `o_protocol::record`, which verifies; relayed as it came, never encoded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    record: Arc<Record>,
    envelope: Bytes,
}

impl SignedRecord {
    /// Joins a record and the envelope that was proved to hold it.
    pub fn new_verified(record: Record, envelope: Bytes) -> Self {
        Self {
            record: Arc::new(record),
            envelope,
        }
    }

    /// What it says.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The signed bytes, as received.
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }
}

/// The withdrawal of a name by the peer that announced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The name.
    pub address: Address,
    /// Who announced and now withdraws it.
    pub peer: PeerId,
    /// Withdraws every record with a sequence number up to this.
    pub sequence: u64,
    /// The capabilities under which it was announced.
    pub capabilities: Vec<Capability>,
    /// When it was made and how long it must be kept.
    pub times: RecordTimes,
    /// The network that it belongs to.
    pub network: NetworkId,
}

impl Tombstone {
    /// Withdraws a record, and those before it, for the time that `times` says.
    pub fn of(record: &Record, times: RecordTimes) -> Self {
        Self {
            address: record.address.clone(),
            peer: record.peer,
            sequence: record.sequence,
            capabilities: record.capabilities.clone(),
            times,
            network: record.network.clone(),
        }
    }
}

/// A tombstone with the bytes that its peer signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTombstone {
    tombstone: Arc<Tombstone>,
    envelope: Bytes,
}

impl SignedTombstone {
    /// Joins a tombstone and the envelope that was proved to hold it.
    pub fn new_verified(tombstone: Tombstone, envelope: Bytes) -> Self {
        Self {
            tombstone: Arc::new(tombstone),
            envelope,
        }
    }

    /// What it says.
    pub fn tombstone(&self) -> &Tombstone {
        &self.tombstone
    }

    /// The signed bytes, as received.
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_five_minutes() {
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let times = RecordTimes::starting(made, Duration::from_secs(60));
        assert_eq!(times.age(made - Duration::from_secs(600)), Duration::ZERO);
        assert!(!times.is_expired(made + Duration::from_secs(360)));
        assert!(times.is_expired(made + Duration::from_secs(361)));
    }

    #[test]
    fn text_of_a_record_is_plain_and_short() {
        let text = " one\n two\u{1b}[31m \u{200b} three\u{202e}";
        assert_eq!(plain_text(text, 100), "one two[31m three");
        assert_eq!(plain_text(text, 7), "one");
        assert_eq!(plain_text("äöü äöü", 6), "äöü");
        assert!(is_plain_text(&plain_text(text, 100), 100));
        assert!(!is_plain_text(text, 100) && !is_plain_text("abc", 2));
    }

    #[test]
    fn a_lifetime_of_years_is_cut() {
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let times = RecordTimes {
            created: 1_000_000,
            lifetime: u32::MAX,
        };
        assert!(times.is_expired(made + Record::MAX_LIFETIME + Duration::from_secs(301)));
    }
}
