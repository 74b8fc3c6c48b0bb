//! The serving process.

use std::io::{Read as _, Write as _};

use tokio::sync::oneshot;

use crate::{contender::Kind, many, nats, node, raw, request_response, substream, tonic_h2c};

/// What has to live as long as the server does.
#[derive(Debug)]
enum Held {
    Nothing,
    #[expect(dead_code, reason = "held until it is dropped")]
    Node(o_node::Node),
    Process(tokio::process::Child),
}

/// Serves until standard input ends.
pub(crate) async fn run(kind: Kind) -> anyhow::Result<()> {
    let mut processes = vec![std::process::id()];
    let (address, held) = match kind {
        Kind::RawTcp => (raw::serve(false).await?, Held::Nothing),
        Kind::RawTls => (raw::serve(true).await?, Held::Nothing),
        Kind::Libp2pRr => (request_response::serve().await?, Held::Nothing),
        Kind::Libp2pStream => (substream::serve().await?, Held::Nothing),
        Kind::Tonic => (tonic_h2c::serve().await?, Held::Nothing),
        Kind::Nats => {
            let (address, server) = nats::serve().await?;
            processes.extend(server.id());
            (address, Held::Process(server))
        }
        Kind::O => with_node(node::serve::<node::Noise>().await?),
        Kind::OQuic => with_node(node::serve::<node::Quic>().await?),
        Kind::OTls => with_node(node::serve::<node::Tls>().await?),
        Kind::OUnix => with_node(node::serve::<node::Unix>().await?),
        Kind::OUnixPlain => with_node(node::serve::<node::UnixPlain>().await?),
    };
    say(&address, &processes)?;
    input_ends().await;
    if let Held::Process(mut server) = held {
        // Waited for, so that its processor time is counted as this process's.
        server.kill().await?;
    }
    Ok(())
}

/// Serves many connections at once until standard input ends.
pub(crate) async fn many(connections: usize) -> anyhow::Result<()> {
    let (address, _node) = many::serve(connections).await?;
    say(&address, &[std::process::id()])?;
    input_ends().await;
    Ok(())
}

fn say(address: &str, processes: &[u32]) -> anyhow::Result<()> {
    let processes: Vec<_> = processes.iter().map(u32::to_string).collect();
    let mut out = std::io::stdout();
    writeln!(out, "{address} {}", processes.join(" "))?;
    out.flush()?;
    Ok(())
}

fn with_node((address, node): (String, o_node::Node)) -> (String, Held) {
    (address, Held::Node(node))
}

/// Waits in a thread of its own: whoever started this process may be gone without having said so.
async fn input_ends() {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut input = Vec::new();
        // An error is an end, too.
        let _ = std::io::stdin().read_to_end(&mut input);
        let _ = ended.send(());
    });
    let _ = end.await;
}
