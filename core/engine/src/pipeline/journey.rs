//! One request from its arrival to its end.

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{
    AttemptReport, Closing, Ending, Exchange, Filter, Hold, Kind, Model, Prompt, Rejection, Selection, Until,
};
use tokio::sync::oneshot;

use super::admit::{self, Admitted};
use super::explain;
use super::metrics::EngineMetrics;
use super::select;
use super::standing::Standing;
use super::way_in;
use super::way_out::WayOut;
use crate::dispatch::{AttemptLog, Dispatcher, Failed, Job, Party};
use crate::{Attribution, Incoming, Place, Reply, Service, Shed};

/// A request on its way, with everything that was current when it arrived.
pub(super) struct Journey {
    pub(super) service: Arc<Service>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) way_out: WayOut,
    pub(super) attribution: Attribution,
    /// The filters that see fragments and whole answers.
    pub(super) watchers: Vec<Arc<dyn Filter>>,
    /// Whether a filter wants the answer's text at the end.
    pub(super) keep_texts: bool,
    /// Held until the task has ended.
    pub(super) place: Arc<Place>,
}

/// Why a request ends without an answer.
pub(super) enum Stop {
    Rejected(Rejection),
    Unanswered(Failed),
    ClientGone,
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Journey {
    pub(super) fn new(
        service: Arc<Service>,
        dispatcher: Arc<Dispatcher>,
        metrics: Arc<EngineMetrics>,
        (incoming, received_at): (Incoming, Duration),
    ) -> Self {
        let attribution = Attribution {
            request_id: Arc::clone(&incoming.request_id),
            config: Some(Arc::clone(&service.config)),
            ..Attribution::default()
        };
        let (arrived, place) = (incoming.received_at, Arc::clone(&incoming.place));
        let mut exchange = exchange(incoming, received_at, &service.config);
        if exchange.explain || service.filters.iter().any(|filter| filter.needs().explanation) {
            explain::open(&mut exchange);
        }
        let way_out = WayOut::new(exchange, arrived, metrics);
        let watchers =
            service.filters.iter().filter(|filter| filter.needs().answer).map(Arc::clone).collect::<Vec<_>>();
        let keep_texts = !watchers.is_empty();
        Self { service, dispatcher, way_out, attribution, watchers, keep_texts, place }
    }

    /// Takes the request to its end; `reply` is closed when the client leaves.
    pub(super) async fn run(mut self, mut reply: oneshot::Sender<Reply>) {
        let admitted = tokio::select! {
            biased;
            admitted = self.way_in() => admitted.map_err(Stop::Rejected),
            () = reply.closed() => Err(Stop::ClientGone),
        };
        match admitted {
            Err(stop) => self.stop(stop, reply),
            Ok(admitted) if admitted.job.stream && admitted.job.plan.until == Until::First => {
                self.answer_streamed(admitted, reply).await;
            }
            Ok(admitted) => self.answer_whole(admitted, reply).await,
        }
    }

    async fn way_in(&mut self) -> Result<Admitted, Rejection> {
        let service = Arc::clone(&self.service);
        way_in::enter(&service.filters, false, &mut self.way_out.exchange, &mut self.way_out.entered).await?;
        may_ask_why(&self.way_out.exchange)?;
        let prompt = self.take_prompt()?;
        let (model, selection) =
            select::select(&service, &self.way_out.exchange, &prompt).map_err(|rejection| *rejection)?;
        let (job, hold) = self.admit(&service, (model, &prompt), selection).await?;
        let mut standing = self.standing(&job);
        let WayOut { exchange, entered, .. } = &mut self.way_out;
        tokio::select! {
            biased;
            lost = standing.lost() => return Err(lost),
            passed = way_in::enter(&service.filters, true, exchange, entered) => passed?,
        }
        let exchange = &self.way_out.exchange;
        self.keep_texts |= self.way_out.entered.iter().any(|filter| filter.wants_texts(exchange));
        Ok(Admitted { job, hold, standing })
    }

    /// Watches over what may end the request before its time.
    fn standing(&self, job: &Job) -> Standing {
        let exchange = &self.way_out.exchange;
        let standing = Standing::new(&self.service.keys, exchange.key.as_ref(), self.way_out.clock());
        match (&job.party, &exchange.selection) {
            (Party::Subnet(_), Some(selection)) => standing.and_strategy(self.dispatcher.kills(), &selection.name),
            _ => standing,
        }
    }

    /// Returns the parsed body, or its rejection, now that the filters know who sent it.
    fn take_prompt(&mut self) -> Result<Arc<Prompt>, Rejection> {
        match &mut self.way_out.exchange.prompt {
            Ok(prompt) => Ok(Arc::clone(prompt)),
            Err(rejection) => {
                Err(rejection.take().unwrap_or_else(|| Rejection::new(Kind::MalformedBody, "the body is not usable")))
            }
        }
    }

    async fn admit(
        &mut self,
        service: &Arc<Service>,
        (model, prompt): (Arc<Model>, &Arc<Prompt>),
        selection: Selection,
    ) -> Result<(Job, Option<Box<dyn Hold>>), Rejection> {
        self.attribution.model = Some(Arc::clone(&model.id));
        self.attribution.strategy = Some(Arc::clone(&selection.name));
        self.attribution.strategy_source = Some(selection.source);
        let exchange = &mut self.way_out.exchange;
        exchange.model = Some(Arc::clone(&model));
        explain::strategy(exchange, &selection);
        let planned = admit::plan(service, &self.dispatcher, exchange, (&model, &selection));
        exchange.selection = Some(selection);
        let planned = planned?;
        if let Some(snapshot) = &planned.snapshot {
            self.attribution.metagraph_block = Some(snapshot.metagraph.block);
            self.attribution.metagraph_age_ms = Some(exchange.received_at_ms - snapshot.metagraph.read_at_ms);
        }
        admit::accepts(&planned, &model, prompt)?;
        let admitted = admit::admit(service, exchange, (&model, prompt, &self.place), planned).await;
        self.attribution.rate = exchange.rate;
        admitted
    }

    /// Ends a request that has no answer and whose account, if any, is closed.
    pub(super) fn stop(mut self, stop: Stop, reply: oneshot::Sender<Reply>) {
        let rejection = match stop {
            Stop::Rejected(rejection) => rejection,
            Stop::Unanswered(failed) => unanswered(failed, &self.way_out.facts.attempts),
            Stop::ClientGone => {
                self.way_out.end(Ending::ClientGone { delivered: false });
                return;
            }
        };
        let outcome = self.way_out.end(Ending::Rejected(rejection));
        if let Ending::Rejected(rejection) = outcome.ending {
            // A client that has left needs no answer.
            let _ = reply.send(Reply::Rejected { rejection, attribution: self.attribution });
        }
    }

    /// Closes the account without a charge and ends the request.
    pub(super) async fn fail(mut self, stop: Stop, hold: Option<Box<dyn Hold>>, reply: oneshot::Sender<Reply>) {
        if let Some(hold) = hold {
            let closing = self.closing(0);
            match hold.close(closing).await {
                Ok(closed) => self.way_out.facts.closed = Some(closed),
                // Nothing was to be charged, so the client loses nothing; the store tells of its own trouble.
                Err(error) => tracing::debug!(%error, "the record of a free request was not written"),
            }
        }
        self.stop(stop, reply);
    }

    /// Takes over what the attempts came to; called once, when no further attempt can begin.
    pub(super) fn note_attempts(&mut self, attempts: &AttemptLog) {
        self.way_out.facts.attempts = attempts.take();
        self.attribution.attempts = u32::try_from(self.way_out.facts.attempts.len()).unwrap_or(u32::MAX);
        self.attribution.overhead_us = Some(self.way_out.elapsed_us().saturating_sub(attempts.waited_us()));
    }

    /// Returns how the hold ends when `choices` were delivered.
    pub(super) fn closing(&self, choices: u32) -> Closing {
        let elapsed_ms = i64::try_from(self.way_out.elapsed_us() / 1000).unwrap_or(i64::MAX);
        Closing {
            choices,
            attempts: u32::try_from(self.way_out.facts.attempts.len()).unwrap_or(u32::MAX),
            at_ms: self.way_out.exchange.received_at_ms.saturating_add(elapsed_ms),
        }
    }
}

/// Refuses to explain what the key may not know.
fn may_ask_why(exchange: &Exchange) -> Result<(), Rejection> {
    let policy = exchange.key.as_ref().and_then(|key| key.policy.as_ref());
    if exchange.explain && policy.and_then(|policy| policy.explain) != Some(true) {
        let message = "this key may not use the header `x-btvep-explain`; leave it out, or ask the key's issuer";
        return Err(Rejection::new(Kind::NotAllowed, message).about("x-btvep-explain"));
    }
    Ok(())
}

/// Returns the rejection of a request whose miners all failed, or do not agree.
fn unanswered(failed: Failed, attempts: &[AttemptReport]) -> Rejection {
    if attempts.iter().any(AttemptReport::had_no_room) {
        return Shed::Bytes.into();
    }
    let mut rejection = match failed {
        Failed::Nobody => Rejection::new(Kind::AllMinersFailed, "all miner responses have failed"),
        Failed::Disagreed { .. } => Rejection::new(Kind::NoAgreement, failed.to_string()),
    };
    rejection.attempts = attempts.to_vec();
    rejection
}

fn exchange(incoming: Incoming, received_at: Duration, config: &Arc<str>) -> Exchange {
    Exchange {
        request_id: incoming.request_id,
        config: Some(Arc::clone(config)),
        received_at_ms: incoming.received_at_ms,
        received_at,
        surface: incoming.surface,
        client: incoming.client,
        credential: incoming.credential,
        strategy_header: incoming.strategy_header,
        timeout: incoming.timeout,
        client_retry: incoming.client_retry,
        prompt: incoming.prompt.map(Arc::new).map_err(Some),
        key: None,
        model: None,
        selection: None,
        rules: Arc::default(),
        attempts_rule: None,
        concurrency: None,
        metered: false,
        rate: None,
        verdict: None,
        explain: incoming.explain,
        explanation: None,
    }
}
