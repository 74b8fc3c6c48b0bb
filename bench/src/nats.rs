//! Request and reply over NATS, through the server that the distribution packages.

use std::{
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::process::{Child, Command};

use crate::contender::{Client, Op};

/// How long the server may take to accept connections.
const START: Duration = Duration::from_secs(5);
/// The server's own limit is 1 MiB.
const MAX_PAYLOAD: usize = 32 * 1024 * 1024;

/// Starts the server and an agent behind it; the process is the server's.
pub(crate) async fn serve() -> anyhow::Result<(String, Child)> {
    // It takes a port or a random one that it would tell only in its log.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = std::env::temp_dir().join(format!("o-bench-nats-{}.conf", std::process::id()));
    std::fs::write(
        &config,
        format!("listen: 127.0.0.1:{port}\nmax_payload: {MAX_PAYLOAD}\nmax_pending: 268435456\n"),
    )?;
    let server = Command::new("nats-server")
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("nats-server cannot be started: `apt-get install nats-server`")?;
    let address = format!("127.0.0.1:{port}");
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(&address).await.is_err() {
        ensure!(begun.elapsed() < START, "nats-server does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(config)?;
    for op in [Op::Echo, Op::Sink] {
        let client = async_nats::connect(&address).await?;
        let mut calls = client.subscribe(op.name()).await?;
        client.flush().await?;
        tokio::spawn(async move {
            while let Some(call) = calls.next().await {
                if let Some(reply) = call.reply {
                    client.publish(reply, op.answer(call.payload)).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    Ok((address, server))
}

/// A connection to the server.
#[derive(Clone, Debug)]
pub(crate) struct Nats(async_nats::Client);

impl Client for Nats {
    type Prepared = ();

    async fn prepare() -> anyhow::Result<()> {
        Ok(())
    }

    async fn connect((): (), address: &str) -> anyhow::Result<Self> {
        Ok(Self(async_nats::connect(address).await?))
    }

    async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        Ok(self.0.request(op.name(), body).await?.payload)
    }

    async fn close(self) {}
}
