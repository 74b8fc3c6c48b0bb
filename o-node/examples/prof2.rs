//! Profile.
#![allow(clippy::all, missing_docs, clippy::unwrap_used, clippy::print_stdout)]
use bytes::Bytes;
use o_address::Address;
use o_core::{Body, CallError, Caller, IncomingCall, MethodSpec, OutgoingCall, Reply, Shape};
use o_node::{Hosting, Keypair, Methods, Node, Preset};
async fn server() -> Node {
    let echo = Methods::new().raw(
        MethodSpec::new("echo", Shape::Unary),
        |call: IncomingCall| std::future::ready(Ok::<_, CallError>(Reply::One(call.body))),
    );
    Node::builder(Keypair::generate(), Preset::Local)
        .host(Hosting::new("o://bench/echo".parse().unwrap(), echo))
        .start()
        .await
        .unwrap()
}
fn main() {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap();
    let rt = if std::env::var("MT").is_ok() {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    } else {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    rt.block_on(async {
        if mode == "serve" {
            let s = server().await;
            println!("{}", s.listen_addresses().first().unwrap());
            std::future::pending::<()>().await;
        }
        let n: usize = args.next().unwrap().parse().unwrap();
        let inflight: usize = args.next().unwrap().parse().unwrap();
        let keep;
        let addr = if mode == "both" {
            keep = server().await;
            keep.listen_addresses().first().unwrap().clone()
        } else {
            args.next().unwrap().parse().unwrap()
        };
        let c = Node::builder(Keypair::generate(), Preset::Local)
            .client()
            .start()
            .await
            .unwrap();
        c.connect(&addr).await.unwrap();
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
            "{:.0} calls/s, {:?}/call",
            n as f64 / e.as_secs_f64(),
            e / n as u32
        );
    });
}
