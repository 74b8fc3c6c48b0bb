//! Three agents in one process, without a network stack: what o-core and o-protocol are by
//! themselves.
//!
//! A library reads texts aloud, line by line. A summarizer takes lines and gives the longest of each
//! paragraph as soon as the paragraph ends. A coordinator knows both only by name, pipes the one
//! into the other, and streams what comes out. Each lives on a node of its own; the nodes are
//! joined by a network in memory, and every call crosses it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_core::{
    Agent, CallContext, CallError, Caller, Encoding, IncomingCall, MethodSpec, Node, OutgoingCall,
    Reply, Shape,
};
use o_protocol::{CallerExt, Methods, TypedStream, decode_body, encode_body};
use o_testkit::{Directory, MemoryNetwork, MemoryNode, test_peer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::support::{address, within};

/// What the library is asked for.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Read {
    title: String,
}

/// One line of a text.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Line {
    number: u32,
    text: String,
}

/// What is left of a paragraph.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Sentence {
    line: u32,
    text: String,
}

const POEM: &str = "\
    Of calls and peers\n\
    this poem tells:\n\
    how names are found among the shells.\n\
    \n\
    A stream goes out,\n\
    another in, and where they meet\n\
    we may begin.";

/// How long the library takes for each line.
const PER_LINE: Duration = Duration::from_secs(1);

/// An agent made of closures. `reading` counts who is being read to.
fn library(reading: Arc<AtomicUsize>) -> Methods {
    Methods::new()
        .server("read", move |_, read: Read| {
            let guard = Reading::begin(&reading);
            async move {
                if read.title != "poem" {
                    return Err(CallError::failed(format!(
                        "no text is called {:?}",
                        read.title
                    )));
                }
                let lines = stream::iter((1..).zip(POEM.lines())).then(move |(number, text)| {
                    let _ = &guard; // Ends with the stream, however that ends.
                    async move {
                        tokio::time::sleep(PER_LINE).await;
                        Ok::<_, CallError>(Line {
                            number,
                            text: text.to_owned(),
                        })
                    }
                });
                Ok(lines)
            }
        })
        .describe("Reads a text aloud, line by line.")
}

struct Reading(Arc<AtomicUsize>);

impl Reading {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Another, which reads a stream and answers with one.
fn summarizer() -> Methods {
    Methods::new()
        .bidirectional("summarize", async |_, lines: TypedStream<Line>| {
            Ok::<_, CallError>(stream::unfold(Some(lines), async |lines| {
                let mut lines = lines?;
                match paragraph(&mut lines).await {
                    Ok(Some(sentence)) => Some((Ok(sentence), Some(lines))),
                    Ok(None) => None,
                    Err(error) => Some((Err(error), None)),
                }
            }))
        })
        .describe("Gives the longest line of each paragraph.")
}

/// The longest line up to the next empty one; nothing at the end.
async fn paragraph(lines: &mut TypedStream<Line>) -> Result<Option<Sentence>, CallError> {
    let mut longest: Option<Sentence> = None;
    while let Some(line) = lines.next().await {
        let Line { number, text } = line?;
        if text.is_empty() {
            break;
        }
        if longest
            .as_ref()
            .is_none_or(|longest| longest.text.len() < text.len())
        {
            longest = Some(Sentence { line: number, text });
        }
    }
    Ok(longest)
}

/// An agent without closures: the trait itself. It calls others through any [`Caller`].
struct Coordinator<C> {
    caller: C,
}

#[async_trait]
impl<C: Caller> Agent for Coordinator<C> {
    fn methods(&self) -> Vec<MethodSpec> {
        vec![MethodSpec::new("digest", Shape::Server)]
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        if &*call.method != "digest" {
            return Err(CallError::UnknownMethod {
                method: call.method.to_string(),
            });
        }
        let title: String = decode_body(&call.body).map_err(|error| CallError::InvalidParams {
            message: error.to_string(),
        })?;
        self.digest(&call.context, title).await
    }
}

impl<C: Caller> Coordinator<C> {
    /// Pipes the library's lines into the summarizer. They are not decoded on their way, and an
    /// error of the library ends the whole pipe.
    async fn digest(&self, context: &CallContext, title: String) -> Result<Reply, CallError> {
        let params =
            encode_body(Encoding::Cbor, &Read { title }).map_err(|error| CallError::Internal {
                message: error.to_string(),
            })?;
        let read = OutgoingCall::server_streaming(address("o://town/library"), "read", params);
        let Reply::Stream(lines) = self.caller.call(read.on_behalf_of(context)).await? else {
            return Err(CallError::InvalidReply {
                message: "one line is no text".into(),
            });
        };
        let summarizer = address("o://office/summarizer");
        let nothing = o_core::Body::cbor("");
        let summarize = OutgoingCall::bidirectional(summarizer, "summarize", nothing, lines);
        self.caller.call(summarize.on_behalf_of(context)).await
    }
}

/// Four nodes that know each other through one directory: three agents, and a user.
struct World {
    nodes: Vec<MemoryNode>,
    reading: Arc<AtomicUsize>,
}

impl World {
    async fn start() -> Self {
        let (network, directory) = (MemoryNetwork::new(), Directory::default());
        let mut nodes = Vec::new();
        for number in 1..=4 {
            let peer = test_peer(number);
            let node = MemoryNode::builder(peer, network.transport(peer))
                .directory(&directory)
                .listen("/memory/0".parse().unwrap())
                .build();
            node.start().await.unwrap();
            nodes.push(node);
        }
        let reading = Arc::new(AtomicUsize::new(0));
        nodes[0]
            .host(&address("o://town/library"), library(reading.clone()))
            .unwrap();
        nodes[1]
            .host(&address("o://office/summarizer"), summarizer())
            .unwrap();
        let coordinator = Coordinator {
            caller: nodes[2].clone(),
        };
        nodes[2]
            .host(&address("o://office/coordinator"), coordinator)
            .unwrap();
        Self { nodes, reading }
    }

    async fn digest(&self, title: &str) -> Result<TypedStream<Sentence>, CallError> {
        let coordinator = address("o://office/coordinator");
        within(self.nodes[3].stream_typed(&coordinator, "digest", title)).await
    }

    async fn stop(self) {
        for node in &self.nodes {
            within(node.stop()).await.unwrap();
        }
        assert_eq!(self.reading.load(Ordering::Relaxed), 0);
        assert_eq!(
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            0
        );
    }
}

fn sentence(line: u32, text: &str) -> Sentence {
    Sentence {
        line,
        text: text.into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_is_piped_through_three_agents_while_it_is_read() {
    let world = World::start().await;
    let begun = Instant::now();
    let mut digest = world.digest("poem").await.unwrap();

    // The first paragraph is there when its last line is, long before the text ends.
    let first = within(digest.next()).await.unwrap().unwrap();
    assert_eq!(first, sentence(3, "how names are found among the shells."));
    assert_eq!(begun.elapsed().as_secs(), 4);
    let second = within(digest.next()).await.unwrap().unwrap();
    assert_eq!(second, sentence(6, "another in, and where they meet"));
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert!(within(digest.next()).await.is_none());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_at_one_end_reaches_the_other() {
    let world = World::start().await;
    let mut digest = world.digest("novel").await.unwrap();
    let error = within(digest.next()).await.unwrap().unwrap_err();
    assert_eq!(error, CallError::failed("no text is called \"novel\""));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_who_leaves_silences_the_library() {
    let world = World::start().await;
    let mut digest = world.digest("poem").await.unwrap();
    within(digest.next()).await.unwrap().unwrap();
    assert_eq!(world.reading.load(Ordering::Relaxed), 1);
    drop(digest);
    within(async {
        while world.reading.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.stop().await;
}
