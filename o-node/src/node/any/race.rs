//! One call by capability: its attempts, one after the other or two at a time.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::FuturesUnordered};
use o_core::{Attributes, CallError, Capability, OutgoingCall, Reply};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{AnyAttempt, AnyCall, AnyReply, AttemptOutcome};
use crate::{
    balance::{Choice, Reason, Standing, mix, pick},
    node::{
        calling::{Again, Until},
        elsewhere::{Sure, copy},
        running::Running,
    },
    providers::Instance,
    reputation::{InFlight, Outcome},
};

/// A call on its way to one of several providers.
pub(super) struct Race<'a> {
    wanted: &'a AnyCall,
    running: Arc<Running>,
    /// What each provider is offered; its target is that of the provider.
    call: OutgoingCall,
    until: Until,
    open: FuturesUnordered<BoxFuture<'static, Ended>>,
    tried: Vec<Instance>,
    begun: Vec<Instant>,
    trace: Vec<AnyAttempt>,
    /// Why nobody else may be offered the call: what failed so may have run.
    stuck: Option<CallError>,
}

/// The end of the attempt with this number.
struct Ended(usize, Result<Reply, (CallError, Again)>);

/// What the race waits for.
enum Next {
    Ended(Ended),
    /// The first provider takes its time.
    Hedge,
}

impl<'a> Race<'a> {
    pub(super) fn new(wanted: &'a AnyCall, running: Arc<Running>, call: OutgoingCall) -> Self {
        Self {
            wanted,
            running,
            until: Until::of(&call),
            call,
            open: FuturesUnordered::new(),
            tried: Vec::new(),
            begun: Vec::new(),
            trace: Vec::new(),
            stuck: None,
        }
    }

    pub(super) async fn run(mut self) -> AnyReply {
        let capability = &self.wanted.capability;
        let span = tracing::debug_span!(
            "call_any", %capability, method = %self.call.method,
            attempts = tracing::field::Empty, peer = tracing::field::Empty,
            outcome = tracing::field::Empty,
        );
        let (running, until) = (self.running.clone(), self.until);
        let racing = running.wait(until, self.call_any().instrument(span.clone()));
        let reply = racing.boxed().await;
        self.give_up();
        span.record("attempts", self.trace.len());
        if let Some(last) = self.trace.last() {
            span.record("peer", tracing::field::display(last.peer));
        }
        let code = reply.as_ref().err().map(CallError::code);
        span.record("outcome", code.map_or("answered", |code| code.name()));
        let trace = self.trace;
        AnyReply { reply, trace }
    }

    async fn call_any(&mut self) -> Result<Reply, CallError> {
        let capability = self.wanted.capability.clone();
        let nobody = || CallError::NoProviders {
            capability: capability.clone(),
        };
        let mut found = self.running.providers.get(&capability).await;
        let mut failed = None;
        let mut hedge = self.wanted.hedge;
        loop {
            if self.open.is_empty() {
                if let Some(error) = self.stuck.take() {
                    return Err(error);
                }
                let enough = self.tried.len() >= self.running.providers.config.max_attempts;
                let offered = !enough && self.offer(&found.all, false);
                if !offered && (enough || found.fresh) {
                    return Err(failed.unwrap_or_else(nobody));
                }
                if !offered {
                    // What is known no longer holds.
                    found = self.running.providers.again(&capability).await;
                    continue;
                }
            }
            match self.next(hedge).await {
                Next::Hedge => {
                    hedge = None;
                    if self.stuck.is_none() {
                        self.offer(&found.all, true);
                    }
                }
                Next::Ended(Ended(number, Ok(reply))) => {
                    self.end(number, AttemptOutcome::Answered);
                    return Ok(reply);
                }
                Next::Ended(Ended(number, Err((error, again)))) => {
                    self.end(number, AttemptOutcome::Failed(error.clone()));
                    self.note_denial(number, &error, &capability);
                    if self.may_go_elsewhere(&error, again) {
                        failed = Some(error);
                    } else if is_answer(&error) {
                        return Err(error);
                    } else if self.open.is_empty() {
                        return Err(self.stuck.take().unwrap_or(error));
                    } else {
                        // The hedge is under way and may still answer.
                        self.stuck.get_or_insert(error);
                    }
                }
            }
        }
    }

    /// The next attempt that ends, or that another one should begin.
    async fn next(&mut self, hedge: Option<Duration>) -> Next {
        let begun = self.begun.last().copied().unwrap_or_else(Instant::now);
        let at = hedge.filter(|_| self.open.len() == 1);
        let at = at.and_then(|after| begun.checked_add(after));
        let late = async {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(ended) = self.open.next() => Next::Ended(ended),
            () = late => Next::Hedge,
        }
    }

    /// Begins an attempt with one of those that were not tried yet, if there is one.
    fn offer(&mut self, found: &[Instance], hedge: bool) -> bool {
        let candidates = self.candidates(found);
        let Some((instance, why)) = self.choose(&candidates) else {
            return false;
        };
        let number = self.tried.len();
        let now = Instant::now();
        let flight = instance.entry.begin(&self.call.method, now.into_std());
        let call = OutgoingCall {
            target: instance.address.clone(),
            method: self.call.method.clone(),
            shape: self.call.shape,
            body: self.call.body.clone(),
            input: None,
            terms: self.call.terms.clone(),
        };
        tracing::debug!(peer = %instance.peer, address = %instance.address, %why, hedge, "offered");
        self.trace.push(AnyAttempt {
            peer: instance.peer,
            address: instance.address.clone(),
            why,
            hedge,
            outcome: AttemptOutcome::GivenUp,
            took: Duration::ZERO,
        });
        self.begun.push(now);
        let attempt = Attempt {
            running: self.running.clone(),
            until: self.until,
            alone: candidates.iter().all(|other| other.peer == instance.peer),
            instance: instance.clone(),
        };
        self.tried.push(instance);
        let attempt = attempt.make(call, flight);
        self.open
            .push(async move { Ended(number, attempt.await) }.boxed());
        true
    }

    /// Who may be offered the call: of those that say that they have the method, if any does.
    fn candidates(&self, found: &[Instance]) -> Vec<Instance> {
        let local = self.running.hosting(&self.wanted.capability);
        let is_tried = |instance: &Instance| {
            let mut tried = self.tried.iter();
            tried.any(|t| t.peer == instance.peer && t.address == instance.address)
        };
        let wanted = |instance: &&Instance| {
            let pinned = self.wanted.pin.is_none_or(|pin| pin == instance.peer);
            let attributes = self.wanted.attributes.as_ref();
            pinned
                && !self.wanted.exclude.contains(&instance.peer)
                && attributes.is_none_or(|attributes| has(instance, attributes))
                && !is_tried(instance)
        };
        let local_peer = self.running.resolver.local;
        let others = found.iter().filter(|instance| instance.peer != local_peer);
        let all: Vec<_> = others.chain(&local).filter(wanted).cloned().collect();
        let method = &*self.call.method;
        if all.iter().any(|instance| instance.has(method)) {
            let with = all.into_iter().filter(|instance| instance.has(method));
            return with.collect();
        }
        all
    }

    fn choose(&self, candidates: &[Instance]) -> Option<(Instance, Choice)> {
        let now = Instant::now().into_std();
        let method = &*self.call.method;
        // What is known is known of the peer: one with many names is no more likely to be picked.
        let peers = one_of_each(candidates, self.running.random());
        let standings = peers.iter().map(|c| c.entry.standing(method, now));
        let standings: Vec<Standing> = standings.collect();
        let picked = pick(&standings, self.running.random())?;
        let instance = *peers.get(picked.index)?;
        let rival = picked.rival.and_then(|rival| peers.get(rival));
        let rival = rival.zip(picked.rival_cost).map(|(r, cost)| (r.peer, cost));
        let pinned = self.wanted.pin.is_some();
        let choice = Choice {
            peer: instance.peer,
            candidates: candidates.len(),
            score: picked.cost,
            rival,
            reason: if pinned {
                Reason::Pinned
            } else {
                picked.reason
            },
        };
        Some((instance.clone(), choice))
    }

    fn end(&mut self, number: usize, outcome: AttemptOutcome) {
        let begun = self.begun.get(number).copied();
        if let Some(attempt) = self.trace.get_mut(number) {
            attempt.took = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
            attempt.outcome = outcome;
        }
    }

    /// Ends what is still under way.
    fn give_up(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.open.clear();
        let rows = self.trace.iter_mut().zip(&self.begun).zip(&self.tried);
        for ((attempt, begun), instance) in rows {
            if attempt.outcome == AttemptOutcome::GivenUp && attempt.took.is_zero() {
                attempt.took = begun.elapsed();
                let entry = &instance.entry;
                entry.gave_up(&self.call.method, begun.into_std());
            }
        }
    }

    /// The peer denies an agent or a method that its record tells of.
    fn note_denial(&self, number: usize, error: &CallError, capability: &Capability) {
        let Some(instance) = self.tried.get(number) else {
            return;
        };
        let denies = match error {
            CallError::NotFound { .. } => true,
            CallError::UnknownMethod { method } => {
                *method == *self.call.method && instance.has(method)
            }
            _ => false,
        };
        if denies {
            let providers = &self.running.providers;
            providers.deny(capability, &self.call.method, instance);
        }
    }

    fn may_go_elsewhere(&self, error: &CallError, again: Again) -> bool {
        // Parameters are wrong everywhere, and another method is one that the handler called.
        let ran = match error {
            CallError::InvalidParams { .. } => true,
            CallError::UnknownMethod { method } => *method != *self.call.method,
            _ => false,
        };
        let not_begun = error.is_before_execution() && !ran;
        let twice = self.wanted.idempotent
            && (error.is_retryable() || matches!(error, CallError::Internal { .. }));
        !self.running.is_leaving() && (again == Again::Yes || not_begun || twice)
    }
}

/// One instance of each peer: of several a random one.
fn one_of_each(candidates: &[Instance], random: u64) -> Vec<&Instance> {
    let mut drawn: Vec<_> = (0u64..).zip(candidates).collect();
    drawn.sort_unstable_by_key(|(index, candidate)| (candidate.peer, mix(random ^ index)));
    drawn.dedup_by_key(|(_, candidate)| candidate.peer);
    drawn.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Whether a provider has said so itself, and did not only fail to answer.
fn is_answer(error: &CallError) -> bool {
    !matches!(
        error,
        CallError::ConnectionLost { .. } | CallError::TimedOut { .. } | CallError::Internal { .. }
    )
}

/// Whether its record has these attributes.
fn has(instance: &Instance, attributes: &Attributes) -> bool {
    let record = instance.record.as_ref();
    record.is_some_and(|record| attributes.matches(record.record()).is_some())
}

/// A call at one provider.
struct Attempt {
    running: Arc<Running>,
    instance: Instance,
    until: Until,
    /// Whether nobody else is left.
    alone: bool,
}

impl Attempt {
    /// Calls the provider, by way of the tree where it takes calls from its family only.
    async fn make(self, call: OutgoingCall, flight: InFlight) -> Result<Reply, (CallError, Again)> {
        let (running, until, alone) = (self.running.clone(), self.until, self.alone);
        let mut again = copy(&call);
        let failed = match self.make_directly(call, flight).await {
            Err((error @ CallError::Refused { certain: true, .. }, again)) => (error, again),
            // Where there are others, they are nearer.
            Err((error @ CallError::Unreachable { .. }, again)) if alone => (error, again),
            ended => return ended,
        };
        match running.over_the_tree(&mut again, until).await {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(_)) | None => Err(failed),
        }
    }

    async fn make_directly(
        self,
        mut call: OutgoingCall,
        flight: InFlight,
    ) -> Result<Reply, (CallError, Again)> {
        let Self {
            running,
            instance,
            until,
            alone,
        } = self;
        let here = instance.peer == running.resolver.local;
        if !here && !alone {
            running.reach(&instance.route(), &call.target).await?;
        }
        let begun = Instant::now().into_std();
        let routes = vec![instance.route()];
        let answer = running.try_routes(routes, &mut call, until, Sure::No);
        let answer = answer.await;
        if here {
            // Over the network this is seen where it is sent.
            match &answer {
                Ok(_) => instance
                    .entry
                    .observe(&call.method, Outcome::Succeeded, begun),
                Err((error, _)) => instance.entry.failed(&call.method, error, begun),
            }
        }
        let mut items = match answer? {
            Reply::Stream(items) => items,
            one => return Ok(one),
        };
        // It has not answered before the first item: as long as there is none, another may.
        let first = match items.next().await {
            Some(Err(error)) => return Err((error, Again::No)),
            first => first,
        };
        let items = stream::iter(first).chain(items);
        let counted = items.map(move |item| {
            let _counted = &flight;
            item
        });
        Ok(Reply::Stream(counted.boxed()))
    }
}
