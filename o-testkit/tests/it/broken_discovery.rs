//! The suite of discovery finds what is broken in each of these.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_core::{
    Discovery, DiscoveryError, Provider, ProviderStream, Query, SignedRecord, SignedTombstone,
    Source,
};
use o_testkit::{
    Directory, FakeSigner,
    conformance::{self, DiscoveryCase},
    test_peer,
};

use crate::support::failure_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Withdraws nothing.
    Sticky,
    /// The last record holds, however old.
    LastHolds,
    /// A search that has told everything does not end.
    Endless,
    /// Tells everything twice.
    Twice,
    /// Finds names that only begin alike.
    Prefix,
    /// Announces nothing.
    Silent,
    /// Finds everybody whatever attributes are asked for.
    Generous,
}

#[derive(Debug)]
struct Broken {
    fault: Fault,
    inner: Directory,
    records: Mutex<Vec<SignedRecord>>,
}

#[async_trait]
impl Discovery for Broken {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        match self.fault {
            Fault::Silent => Ok(()),
            Fault::LastHolds => {
                let mut records = self.records.lock().unwrap();
                records.retain(|held| held.record().address != record.record().address);
                records.push(record.clone());
                Ok(())
            }
            Fault::Prefix => {
                self.records.lock().unwrap().push(record.clone());
                self.inner.announce(record).await
            }
            Fault::Generous => {
                self.records.lock().unwrap().push(record.clone());
                Ok(())
            }
            _ => self.inner.announce(record).await,
        }
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        match self.fault {
            Fault::Sticky => Ok(()),
            _ => self.inner.withdraw(tombstone).await,
        }
    }

    fn find(&self, query: Query) -> ProviderStream {
        let of = |record: &SignedRecord| {
            let said = record.record();
            let mut provider = Provider::hint(said.peer, said.addresses.clone(), Source::Memory);
            provider.record = Some(record.clone());
            Ok(provider)
        };
        let records = self.records.lock().unwrap();
        match (self.fault, &query) {
            (Fault::Endless, _) => self.inner.find(query).chain(stream::pending()).boxed(),
            (Fault::Twice, _) => self
                .inner
                .find(query.clone())
                .chain(self.inner.find(query))
                .boxed(),
            (Fault::LastHolds, _) => {
                let found = records.iter().filter(|record| match &query {
                    Query::Name(name) => record.record().address == *name,
                    Query::Capability(wanted) => record.record().capabilities.contains(wanted),
                    _ => false,
                });
                stream::iter(found.map(of).collect::<Vec<_>>()).boxed()
            }
            (Fault::Generous, _) => {
                stream::iter(records.iter().map(of).collect::<Vec<_>>()).boxed()
            }
            (Fault::Prefix, Query::Name(name)) => {
                let found = records
                    .iter()
                    .filter(|record| record.record().address.name().starts_with(name.name()));
                stream::iter(found.map(of).take(1).collect::<Vec<_>>()).boxed()
            }
            _ => self.inner.find(query),
        }
    }
}

fn case(fault: Fault) -> DiscoveryCase {
    let broken = Broken {
        fault,
        inner: Directory::default(),
        records: Mutex::default(),
    };
    DiscoveryCase::one(Arc::new(broken), FakeSigner::new(test_peer(1)))
}

async fn found(fault: Fault) -> String {
    failure_of(conformance::discovery(&case(fault))).await
}

#[tokio::test(start_paused = true)]
async fn who_finds_everybody_does_not_search() {
    let found = failure_of(conformance::searching(&case(Fault::Generous))).await;
    assert!(found.contains("a label"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn who_tells_only_of_those_who_match_gives_no_hints() {
    let found = failure_of(conformance::hints(&case(Fault::Silent), &[test_peer(2)])).await;
    assert!(found.contains("a search by name"), "{found}");
    let found = failure_of(conformance::hints(&case(Fault::Generous), &[])).await;
    assert!(found.contains("a search by name"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn each_is_found() {
    for (fault, what) in [
        (Fault::Sticky, "a withdrawn name is gone"),
        (Fault::LastHolds, "a newer record replaces the older"),
        (Fault::Endless, "that finds nothing ends"),
        (Fault::Twice, "the same provider twice"),
        (Fault::Prefix, "a name above those that were announced"),
        (Fault::Silent, "found by name"),
    ] {
        let found = found(fault).await;
        assert!(found.contains(what), "{fault:?}: {found}");
    }
}
