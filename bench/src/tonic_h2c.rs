//! Unary gRPC with tonic over cleartext HTTP/2. The messages are bytes: no protobuf is encoded, which favors tonic.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{NamedService, UnaryService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use crate::contender::{Client, Op};

const MAX: usize = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug, Default)]
struct AsBytes;

impl Codec for AsBytes {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut as _;
        out.reserve(item.len());
        out.put(item);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

/// One method, of which the path is known already.
struct Method(Op);

impl UnaryService<Bytes> for Method {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(self.0.answer(request.into_inner()))))
    }
}

/// What a generated server would be.
#[derive(Clone, Copy, Debug)]
struct Service;

impl NamedService for Service {
    const NAME: &'static str = "bench.Bench";
}

impl tonic::codegen::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let op = if request.uri().path().ends_with("/sink") {
            Op::Sink
        } else {
            Op::Echo
        };
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(AsBytes)
                .max_decoding_message_size(MAX)
                .max_encoding_message_size(MAX);
            Ok(grpc.unary(Method(op), request).await)
        })
    }
}

/// Serves and says where.
pub(crate) async fn serve() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(
        Server::builder()
            .add_service(Service)
            .serve_with_incoming(incoming),
    );
    Ok(format!("http://{address}"))
}

/// A channel: one connection.
#[derive(Clone, Debug)]
pub(crate) struct Grpc(Channel);

impl Client for Grpc {
    type Prepared = ();

    async fn prepare() -> anyhow::Result<()> {
        Ok(())
    }

    async fn connect((): (), address: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())?;
        Ok(Self(endpoint.connect().await?))
    }

    async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone())
            .max_decoding_message_size(MAX)
            .max_encoding_message_size(MAX);
        grpc.ready().await?;
        let path = PathAndQuery::from_static(match op {
            Op::Echo | Op::PatientEcho => "/bench.Bench/echo",
            Op::Sink => "/bench.Bench/sink",
        });
        let answer = grpc.unary(Request::new(body), path, AsBytes).await?;
        Ok(answer.into_inner())
    }

    async fn close(self) {}
}
