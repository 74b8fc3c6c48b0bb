//! The caller: knows one node of the network and two capabilities, and nothing else.

use std::{
    future::ready,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt};
use o_address::{Address, PeerId};
use o_core::{CallError, Capability, DiscoveryError, Provider, Query};
use o_node::{CallerExt, Keypair, Node, Preset, TypedStream};
use tokio::sync::oneshot;

use super::{
    DemoArgs, MORE_TIME,
    event::{Event, millis},
    failover,
    wire::{Found, Picked, Piece, READ, ReadParams, SEARCH, SUMMARIZE, SearchParams},
};
use crate::{exit::Failure, output::Output};

/// Pause before a search that found nobody is made again: agents may still be announcing.
const AGAIN: Duration = Duration::from_millis(50);

/// Somebody who was found.
#[derive(Debug)]
struct Agent {
    /// Pinned to the peer that confirmed it.
    address: Address,
    provider: Provider,
}

/// Finds both agents, pipes the one into the other and tells of it.
pub(super) async fn run(node: &Node, args: &DemoArgs, output: &Output) -> Result<(), Failure> {
    let (killed, over) = oneshot::channel();
    let watching = async {
        let leader = args.child.leader().filter(|_| args.watch);
        let Some(leader) = leader else {
            return Ok(());
        };
        let killed = async {
            // Where the work has failed, nobody was killed.
            let _ = over.await;
        };
        failover::watch(node, leader, output, killed).await
    };
    let working = async {
        work(node, args, output).await?;
        let _ = killed.send(()); // Nobody may be watching.
        Ok(())
    };
    tokio::try_join!(working, watching)?;
    Ok(())
}

async fn work(node: &Node, args: &DemoArgs, output: &Output) -> Result<(), Failure> {
    let (files, texts) = tokio::try_join!(
        find(node, SEARCH.0, 1, args.timeout, output),
        find(node, SUMMARIZE.0, 2, args.timeout, output),
    )?;
    for agent in files.iter().chain(&texts) {
        measure(node, agent, args.timeout, output).await?;
    }
    let (Some(files), Some(text)) = (files.first(), texts.first()) else {
        return Err(Failure::internal("nobody was found"));
    };
    let paths = search(node, &files.address, args, output).await?;
    let ends = [&files.address, &text.address];
    let sentences = pipe(node, ends, paths.clone(), args.timeout, output).await?;
    // Files without a sentence have names.
    let texts = if sentences.is_empty() {
        paths
    } else {
        sentences
    };
    failover::run(node, &texts, args.timeout, output).await
}

/// So many who confirm that they have a capability, the first ones.
async fn find(
    node: &Node,
    capability: &str,
    count: usize,
    limit: Duration,
    output: &Output,
) -> Result<Vec<Agent>, Failure> {
    let capability: Capability = capability
        .parse()
        .map_err(|e: o_core::CapabilityError| Failure::internal(e.to_string()))?;
    let begun = Instant::now();
    let mut agents: Vec<Agent> = Vec::new();
    let finding = async {
        while agents.len() < count {
            let (address, provider) = another(node, &capability, &agents).await?;
            output.value(&Event::Found {
                capability: capability.clone(),
                address: address.clone(),
                peer_id: provider.peer,
                addresses: provider.addresses.clone(),
                source: provider.sources.iter().map(ToString::to_string).collect(),
                confirmed: provider.confirmed,
                age_ms: u64::try_from(provider.age.as_millis()).unwrap_or(u64::MAX),
                elapsed_ms: millis(begun.elapsed()),
            })?;
            let address = address.pinned(provider.peer);
            agents.push(Agent { address, provider });
        }
        Ok(())
    };
    let found = tokio::time::timeout(limit, finding).await;
    found.unwrap_or_else(|_| {
        let text = format!("nobody with the capability {capability} was found within {limit:?}");
        Err(Failure::not_found(text).hint(MORE_TIME))
    })?;
    Ok(agents)
}

/// Somebody who has a capability and is not among those who were found.
async fn another(
    node: &Node,
    capability: &Capability,
    found: &[Agent],
) -> Result<(Address, Provider), Failure> {
    let is_known = |peer: &PeerId| found.iter().any(|agent| agent.provider.peer == *peer);
    loop {
        let mut providers = node.find(Query::Capability(capability.clone()));
        while let Some(provider) = providers.next().await {
            match provider {
                Ok(provider) if is_known(&provider.peer) => {}
                Ok(provider) => {
                    if let Some(record) = provider.record.as_ref().filter(|_| provider.confirmed) {
                        return Ok((record.record().address.clone(), provider));
                    }
                }
                Err(DiscoveryError::NoNetwork | DiscoveryError::TimedOut { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(providers);
        tokio::time::sleep(AGAIN).await;
    }
}

/// How long it takes to connect to somebody. The search has connected already to have its finding
/// confirmed, so that this takes a node of its own, which knows nobody and is gone afterwards.
async fn measure(
    node: &Node,
    agent: &Agent,
    limit: Duration,
    output: &Output,
) -> Result<(), Failure> {
    let Agent { address, provider } = agent;
    let network = node.config().network.clone();
    let probe = Node::builder(Keypair::generate(), Preset::Local)
        .client()
        .configure(|config| {
            config.network = network;
            config.dht.enabled = false;
        });
    let probe = probe.start().await?;
    let Some(to) = provider.addresses.first() else {
        return Err(Failure::internal(format!(
            "{address} has no transport address"
        )));
    };
    let begun = Instant::now();
    let connected = within(limit, connect(&probe, provider.peer, to)).await;
    let elapsed_ms = millis(begun.elapsed());
    let _ = o_core::Node::stop(&probe).await;
    connected.map_err(|failure| failure.context(format!("connecting to {}", address.name())))?;
    output.value(&Event::Connected {
        address: address.without_pin(),
        peer_id: provider.peer,
        transport: to.transport_label().to_owned(),
        elapsed_ms,
    })
}

async fn connect(probe: &Node, peer: PeerId, to: &o_address::TransportAddr) -> Result<(), Failure> {
    probe.connect(&to.with_peer(&peer)).await?;
    Ok(())
}

/// Asks the file agent which files to read.
async fn search(
    node: &Node,
    files: &Address,
    args: &DemoArgs,
    output: &Output,
) -> Result<Vec<String>, Failure> {
    let params = SearchParams {
        query: args.query.clone(),
        limit: args.files.into(),
    };
    let begun = Instant::now();
    let call = node.call_typed::<Found>(files, SEARCH.1, &params);
    let found = within(args.timeout, call)
        .await
        .map_err(|f| f.context("the search of the files"))?;
    let paths: Vec<String> = found.hits.iter().map(|hit| hit.path.clone()).collect();
    let (files, searched) = (found.files, found.searched);
    output.value(&Event::Searched {
        query: params.query.clone(),
        hits: found.hits,
        files,
        searched,
        skipped: found.skipped,
        truncated: found.truncated,
        elapsed_ms: millis(begun.elapsed()),
    })?;
    match (&params.query, paths.is_empty()) {
        (_, false) => Ok(paths),
        (Some(query), true) if searched > 0 => {
            let text = format!("none of the {searched} text files is about `{query}`");
            Err(Failure::not_found(text).hint("try other words, or leave --query out"))
        }
        (_, true) => {
            let text = format!("there are no text files among the {files} files");
            let hint = "give the path of a directory with text in it; hidden files, links and what \
                        .gitignore names are left out";
            Err(Failure::not_found(text).hint(hint))
        }
    }
}

/// What went through the pipe.
#[derive(Debug, Default)]
struct Meter {
    documents: usize,
    bytes: u64,
    /// Why reading ended early.
    failed: Option<CallError>,
}

/// Lets the files' text flow from one agent to the other and tells of each sentence that comes out.
/// Nothing but the sentences is collected on the way: one of the first file is here before the last file
/// is read. Returns the sentences.
async fn pipe(
    node: &Node,
    [files, text]: [&Address; 2],
    paths: Vec<String>,
    limit: Duration,
    output: &Output,
) -> Result<Vec<String>, Failure> {
    let begun = Instant::now();
    let meter = Arc::new(Mutex::new(Meter::default()));
    let params = ReadParams { paths };
    let reading = node.stream_typed::<Piece>(files, READ.1, &params);
    let pieces = within(limit, reading)
        .await
        .map_err(|f| f.context("reading the files"))?;
    let pieces = metered(pieces, meter.clone());
    let summarizing = node.bidi_typed::<Picked>(text, SUMMARIZE.1, pieces);
    let summarizing = within(limit, summarizing);
    let mut picked = summarizing
        .await
        .map_err(|f| f.context("summarizing the text"))?;

    let (mut sentences, mut first_ms) = (Vec::new(), None);
    loop {
        let next = async { picked.next().await.transpose() };
        let next = within(limit, next)
            .await
            .map_err(|f| f.context("summarizing the text"))?;
        let Some(Picked {
            document,
            sentence,
            score,
            of,
            overall,
        }) = next
        else {
            break;
        };
        let elapsed_ms = millis(begun.elapsed());
        first_ms.get_or_insert(elapsed_ms);
        sentences.push(sentence.clone());
        output.value(&Event::Sentence {
            document,
            sentence,
            score,
            of,
            overall,
            elapsed_ms,
        })?;
    }
    let meter = std::mem::take(&mut *meter.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(error) = meter.failed {
        return Err(Failure::from(error).context("reading the files"));
    }
    let elapsed_ms = millis(begun.elapsed());
    let (documents, bytes) = (meter.documents, meter.bytes);
    output.value(&Event::Summarized {
        from: files.without_pin(),
        to: text.without_pin(),
        documents,
        bytes,
        sentences: sentences.len(),
        first_ms,
        elapsed_ms,
    })?;
    Ok(sentences)
}

/// The pieces up to the first error, counted.
fn metered(
    pieces: TypedStream<Piece>,
    meter: Arc<Mutex<Meter>>,
) -> impl Stream<Item = Piece> + Send + 'static {
    pieces.scan(meter, |meter, piece| {
        let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
        ready(match piece {
            Ok(piece) => {
                meter.documents += usize::from(piece.last);
                meter.bytes += piece.text.len() as u64;
                Some(piece)
            }
            Err(error) => {
                meter.failed = Some(error);
                None
            }
        })
    })
}

/// Waits for something at most so long.
async fn within<T, E: Into<Failure>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Failure::from(CallError::TimedOut { after: limit }).hint(MORE_TIME)),
    }
}
