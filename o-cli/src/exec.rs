//! The agent whose methods are programs: JSON on standard input, JSON values on standard output.

mod admission;
mod children;
mod convert;
mod program;
mod run;
mod tail;
#[cfg(test)]
mod tests;
mod warden;

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_core::{Agent, BodyStream, CallContext, CallError, IncomingCall, MethodSpec, Reply, Shape};

use self::{admission::Admission, convert::Answer, run::Run};
pub(crate) use self::{
    children::Children,
    convert::bytes_as_json,
    program::Program,
    warden::{WORD as WARDEN, run as be_warden},
};

/// What the programs of one server may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecLimits {
    /// Programs that run at once.
    pub(crate) max_running: usize,
    /// Calls that wait for a program to end; more are answered `busy`.
    pub(crate) max_queued: usize,
    /// Time between SIGTERM and SIGKILL.
    pub(crate) kill_after: Duration,
    /// Largest value that a program may write, in bytes.
    pub(crate) max_value: usize,
    /// How much of the end of standard error an error carries, in bytes.
    pub(crate) stderr_tail: usize,
}

impl Default for ExecLimits {
    fn default() -> Self {
        Self {
            max_running: 16,
            max_queued: 64,
            kill_after: Duration::from_secs(2),
            max_value: 16 * 1024 * 1024,
            // Below the longest message of an error, so that its end survives.
            stderr_tail: 3072,
        }
    }
}

/// Runs one program for each call.
pub(crate) struct CommandAgent {
    programs: BTreeMap<String, Program>,
    limits: ExecLimits,
    admission: Admission,
    children: Children,
    /// Numbers the calls of this process.
    calls: AtomicU64,
}

impl CommandAgent {
    /// An agent with these methods, which keeps `children` up to date.
    pub(crate) fn new(
        programs: BTreeMap<String, Program>,
        limits: ExecLimits,
        children: Children,
    ) -> Self {
        Self {
            programs,
            admission: Admission::new(&limits),
            limits,
            children,
            calls: AtomicU64::new(1),
        }
    }

    /// What a program finds in its environment beside what the server has there; `None` takes the
    /// variable out.
    fn environment(
        &self,
        context: &CallContext,
        method: &str,
    ) -> [(&'static str, Option<String>); 6] {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let terms = &context.terms;
        let remaining = terms.remaining(Instant::now());
        // A peer wrote it, and not everything can stand in an environment.
        let trace_parent = terms.trace_parent.as_deref();
        let trace_parent = trace_parent.filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
        [
            ("O_ADDRESS", Some(context.target.name().to_owned())),
            ("O_METHOD", Some(method.to_owned())),
            ("O_PEER", context.peer.map(|peer| peer.to_string())),
            (
                "O_CALL_ID",
                Some(format!("{}-{number}", std::process::id())),
            ),
            (
                "O_DEADLINE_MS",
                remaining.map(|left| left.as_millis().to_string()),
            ),
            ("TRACEPARENT", trace_parent.map(str::to_owned)),
        ]
    }
}

#[async_trait]
impl Agent for CommandAgent {
    fn methods(&self) -> Vec<MethodSpec> {
        let spec = |name: &String| {
            let mut spec = MethodSpec::new(name.as_str(), Shape::Server);
            spec.description = "A program. A unary call gets the one value that it writes.".into();
            spec
        };
        self.programs.keys().map(spec).collect()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        let (shape, method) = (call.shape, &*call.method);
        let Some(program) = self.programs.get(method) else {
            let method = method.to_owned();
            return Err(CallError::UnknownMethod { method });
        };
        if shape.streams_in() {
            let method = Shape::Server;
            return Err(CallError::WrongShape {
                method,
                call: shape,
            });
        }
        let input = convert::input(&call.body)?;
        let permit = self.admission.enter().await?;
        let environment = self.environment(&call.context, method);
        let run = Run::start(
            (method, program),
            environment,
            input,
            &self.limits,
            (permit, self.children.clone()),
        )?;
        let answer = Answer::to(&call.body);
        match shape {
            Shape::Unary => one(run, answer).await,
            _ => Ok(Reply::Stream(many(run, answer))),
        }
    }
}

/// The only value of a program.
async fn one(mut run: Run, answer: Answer) -> Result<Reply, CallError> {
    let wrong =
        |many: &str| CallError::failed(format!("one JSON value was expected, and {many} came"));
    let value = run.next().await.unwrap_or_else(|| Err(wrong("none")))?;
    match run.next().await {
        None => answer.body(value).map(Reply::One),
        Some(Ok(_)) => Err(wrong("more than one")),
        Some(Err(error)) => Err(error),
    }
}

/// The values of a program as it writes them. Dropping the stream ends the program.
fn many(run: Run, answer: Answer) -> BodyStream {
    stream::unfold(Some(run), move |run| async move {
        let mut run = run?;
        let body = run.next().await?.and_then(|value| answer.body(value));
        let next = body.is_ok().then_some(run);
        Some((body, next))
    })
    .boxed()
}

impl fmt::Debug for CommandAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandAgent")
            .field("programs", &self.programs)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
