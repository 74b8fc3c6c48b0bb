//! Streams: order, ends, backpressure, shares.

use o_core::Priority;

use super::*;

fn server(method: &'static str, body: Body) -> OutgoingCall {
    OutgoingCall::server_streaming(target(), method, body)
}

fn numbers(count: usize, length: usize) -> BodyStream {
    stream::iter((0..count).map(move |_| Ok(zeros(length)))).boxed()
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_the_callers_arrives_whole() {
    let (dialer, listener) = linked(1000).await;
    // Many small ones, ones that fill the buffers, ones without bytes, one over the buffer, none.
    for (count, length) in [(1000, 10), (50, 100_000), (10_000, 0), (1, 300_000), (0, 0)] {
        let input = numbers(count, length);
        let call = OutgoingCall::client_streaming(target(), "sum", Body::default(), input);
        let reply = one(&dialer.handle, call).await.unwrap();
        let expected = format!("{count} {}", count * length);
        assert_eq!(std::str::from_utf8(&reply.bytes).unwrap(), expected);
    }
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_typed_input_cancels_the_call_and_is_what_the_caller_gets() {
    let (dialer, listener) = linked(1000).await;
    let failed = || CallError::failed("the file cannot be read");
    // The handlers read until the input ends; only a cancellation ends it here.
    let input = move || stream::iter([Ok(1), Err(failed()), Ok(2)]).chain(stream::pending());
    let call = crate::Call::to(target(), "sum");
    let sum = call
        .clone()
        .try_client::<String, i32, _>(&dialer.handle, input());
    assert_eq!(within(sum).await, Err(failed()));

    let call = crate::Call::to(target(), "mirror");
    let items = call.try_bidirectional::<i32, _, _>(&dialer.handle, input());
    let mut items = within(items).await.unwrap();
    let mut last = None;
    while let Some(item) = within(items.next()).await {
        last = Some(item);
    }
    assert_eq!(last, Some(Err(failed())));
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn an_item_over_the_send_buffer_still_ends_its_stream() {
    let (dialer, listener) = linked(1000).await;
    for length in [0, 1, 256 * 1024, 300_000, 2_000_000] {
        let items = stream_of(&dialer.handle, server("once", zeros(length))).await;
        assert_eq!(within(drain(items)).await, Ok((1, length)));
    }
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn both_directions_at_once() {
    let (dialer, listener) = linked(1000).await;
    let input = numbers(100, 20_000);
    let call = OutgoingCall::bidirectional(target(), "mirror", Body::default(), input);
    let items = stream_of(&dialer.handle, call).await;
    assert_eq!(within(drain(items)).await, Ok((100, 2_000_000)));
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

/// An agent that counts what it makes.
struct Counting(Arc<AtomicUsize>);

impl Serve for Counting {
    fn serve(&self, call: ServedCall) {
        let made = self.0.clone();
        tokio::spawn(async move { call.answer(&CountingAgent(made)).await });
    }
}

struct CountingAgent(Arc<AtomicUsize>);

#[async_trait]
impl Agent for CountingAgent {
    fn methods(&self) -> Vec<MethodSpec> {
        Vec::new()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        let (made, body) = (self.0.clone(), call.body);
        let items = stream::repeat_with(move || {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(body.clone())
        });
        // Not for ever, should nothing hold it.
        Ok(Reply::Stream(items.take(200_000).boxed()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_outruns_its_reader_is_held() {
    for length in [0_usize, 1000, 100_000] {
        let (here, there) = duplex(1 << 20);
        let made = Arc::new(AtomicUsize::new(0));
        let hello = Hello::new(NetworkId::default());
        let serve = Arc::new(Counting(made.clone()));
        let config = SessionConfig::default();
        let (_, driver) = connect(
            there.compat(),
            Side::Listener,
            config.clone(),
            hello,
            None,
            serve,
        );
        tokio::spawn(driver);
        let dialer = end(here, Side::Dialer, config.clone());
        let mut items = stream_of(&dialer.handle, server("any", zeros(length))).await;
        settle().await;
        let held = made.load(Ordering::SeqCst);
        // A window there, a send buffer here, one item over each, one in the producer's hand.
        let bytes = config.initial_credit as usize + config.send_buffer;
        let most = bytes / (length + 64) + 4;
        assert!(
            (1..=most).contains(&held),
            "{held} items of {length} bytes, {most} allowed"
        );
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(
            made.load(Ordering::SeqCst),
            held,
            "it goes on without a reader"
        );
        // A reader that reads gets everything, and the producer goes on.
        for _ in 0..held + 5 {
            assert_eq!(within(items.next()).await, Some(Ok(zeros(length))));
        }
        settle().await;
        assert!(made.load(Ordering::SeqCst) > held);
        // Nobody else is held up by it.
        let reply = within(dialer.handle.call(server("any", zeros(1)))).await;
        assert!(reply.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_drops_the_producer() {
    let (dialer, listener) = linked(1000).await;
    for take in [0, 3] {
        let dropped = listener.agent.watch();
        let mut items = stream_of(&dialer.handle, server("endless", zeros(1000))).await;
        settle().await;
        for _ in 0..take {
            within(items.next()).await.unwrap().unwrap();
        }
        drop(items);
        assert!(within(dropped).await.is_err());
    }
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_callers_stream_is_the_callers_error() {
    let (dialer, listener) = linked(1000).await;
    let error = CallError::failed("the file could not be read");
    let items = [Ok(zeros(10)), Err(error.clone()), Ok(zeros(10))];
    let input = stream::iter(items).boxed();
    let call = OutgoingCall::client_streaming(target(), "sum", Body::default(), input);
    assert_eq!(one(&dialer.handle, call).await, Err(error));
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn an_item_of_the_callers_over_the_limit_fails_the_call() {
    let (dialer, listener) = linked(1000).await;
    let input = stream::iter([Ok(zeros(16 * 1024 * 1024 + 1))]).boxed();
    let call = OutgoingCall::client_streaming(target(), "sum", Body::default(), input);
    let error = one(&dialer.handle, call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn who_reads_the_callers_stream_after_the_answer_is_told_of_its_end() {
    let (dialer, listener) = linked(1000).await;
    let (tell, told) = oneshot::channel();
    *listener.agent.read_on.lock().unwrap() = Some(tell);
    let input = stream::pending().boxed();
    let call = OutgoingCall::client_streaming(target(), "read on", Body::default(), input);
    assert_eq!(one(&dialer.handle, call).await, Ok(Body::default()));
    assert_eq!(within(told).await, Ok(Some(CallError::Cancelled)));
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn one_value_was_asked_for_and_a_stream_came() {
    let (dialer, listener) = linked(1000).await;
    let dropped = listener.agent.watch();
    let error = one(&dialer.handle, unary("endless", zeros(10)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidReply);
    assert!(within(dropped).await.is_err());
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn priorities_share_a_full_connection() {
    let (dialer, _listener) = linked(4096).await;
    let mut readers = Vec::new();
    let stop = Arc::new(AtomicUsize::new(0));
    for priority in [Priority::Interactive, Priority::Normal, Priority::Bulk] {
        let mut call = server("endless", zeros(4000));
        call.terms.priority = priority;
        let mut items = stream_of(&dialer.handle, call).await;
        let stop = stop.clone();
        readers.push(tokio::spawn(async move {
            let mut read = 0_usize;
            while stop.load(Ordering::SeqCst) < 20_000_000 {
                let length = items.next().await.unwrap().unwrap().len();
                stop.fetch_add(length, Ordering::SeqCst);
                read += length;
            }
            read as f64
        }));
    }
    let mut read = Vec::new();
    for reader in readers {
        read.push(within(reader).await.unwrap());
    }
    let (interactive, normal) = (read[0] / read[2], read[1] / read[2]);
    assert!((3.0..5.0).contains(&interactive), "{read:?}");
    assert!((1.5..2.5).contains(&normal), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_wakes_those_that_wait_for_its_room() {
    // Nobody reads: what the stream holds no more of stays queued.
    let (here, _there) = duplex(10);
    let config = SessionConfig {
        send_buffer: 100_000,
        max_outgoing: 100_000,
        ..SessionConfig::default()
    };
    let dialer = end(here, Side::Dialer, config);
    settle().await;
    let (mut items, input) = futures::channel::mpsc::channel(1);
    let call = OutgoingCall::client_streaming(target(), "sum", Body::default(), input.boxed());
    let handle = dialer.handle.clone();
    let waiting = tokio::spawn(async move { one(&handle, call).await });
    settle().await;
    let handle = dialer.handle.clone();
    let large = tokio::spawn(async move { one(&handle, unary("echo", zeros(150_000))).await });
    settle().await;
    items.try_send(Ok(zeros(70_000))).unwrap();
    settle().await;
    assert_eq!(dialer.handle.outgoing(), 64 + 150_064, "the item waits");
    large.abort();
    settle().await;
    assert_eq!(dialer.handle.outgoing(), 64 + 70_064, "the item is queued");
    waiting.abort();
}
