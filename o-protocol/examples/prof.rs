//! Profile.
#![allow(clippy::all, missing_docs, clippy::unwrap_used)]
use async_trait::async_trait;
use bytes::Bytes;
use o_address::Address;
use o_core::*;
use o_protocol::*;
use std::sync::Arc;
use tokio_util::compat::TokioAsyncReadCompatExt;
struct Echo;
#[async_trait]
impl Agent for Echo {
    fn methods(&self) -> Vec<MethodSpec> {
        Vec::new()
    }
    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        Ok(Reply::One(call.body))
    }
}
impl Serve for Echo {
    fn serve(&self, call: ServedCall) {
        tokio::spawn(async move { call.answer(&Echo).await });
    }
}
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let inflight: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    rt.block_on(async {
        let (l, r) = tokio::io::duplex(1 << 20);
        let hello = || Hello::new(NetworkId::default());
        let (c, d) = connect(
            l.compat(),
            Side::Dialer,
            SessionConfig::default(),
            hello(),
            None,
            Arc::new(Echo),
        );
        tokio::spawn(d);
        let (_k, d) = connect(
            r.compat(),
            Side::Listener,
            SessionConfig::default(),
            hello(),
            None,
            Arc::new(Echo),
        );
        tokio::spawn(d);
        c.ready().await.unwrap();
        let target: Address = "o://bench/echo".parse().unwrap();
        let t = std::time::Instant::now();
        let mut set = Vec::new();
        for _ in 0..inflight {
            let (c, target) = (c.clone(), target.clone());
            set.push(tokio::spawn(async move {
                for _ in 0..n / inflight {
                    let body = Body::raw(Bytes::from_static(&[7; 100]));
                    c.call(OutgoingCall::unary(target.clone(), "echo", body))
                        .await
                        .unwrap();
                }
            }));
        }
        for s in set {
            s.await.unwrap();
        }
        let e = t.elapsed();
        println!(
            "{} calls/s, {:?}/call",
            n as f64 / e.as_secs_f64(),
            e / n as u32
        );
    });
}
