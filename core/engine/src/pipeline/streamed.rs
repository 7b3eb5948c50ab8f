//! A streamed answer: the mark is durable before the first byte, the charge before the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use btvep_domain::{Closed, Delta, Ending, Hold, Kind, MinerFailure, Pass, Rejection, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::admit::Admitted;
use super::explain;
use super::journey::{Journey, Stop};
use super::whole::EVENTS;
use crate::dispatch::MinerStream;
use crate::{Reply, StreamEvent};

/// How the forwarding of a stream came to its end.
enum Over {
    InOrder,
    Broken(MinerFailure),
    Stopped(Rejection),
    ClientGone,
}

/// The client's end of a stream.
struct Outlet {
    events: mpsc::Sender<StreamEvent>,
    /// Set by the gateway once a fragment has left.
    left: Arc<AtomicBool>,
    /// Which choices have begun; as many as the request may have.
    begun: Vec<bool>,
}

impl Outlet {
    fn choices(&self) -> u32 {
        u32::try_from(self.begun.iter().filter(|begun| **begun).count()).unwrap_or(u32::MAX)
    }
}

impl Journey {
    /// Asks the miners, and passes on what the first of them sends as it comes.
    pub(super) async fn answer_streamed(mut self, mut admitted: Admitted, mut reply: oneshot::Sender<Reply>) {
        let opened = tokio::select! {
            biased;
            lost = admitted.standing.lost() => Err(Stop::Rejected(lost)),
            stream = self.dispatcher.stream(&admitted.job) => stream.map_err(Stop::Unanswered),
            () = reply.closed() => Err(Stop::ClientGone),
        };
        match opened {
            Ok(stream) => self.begin(stream, admitted, reply).await,
            Err(stop) => {
                self.note_attempts(&admitted.job.attempts);
                self.fail(stop, admitted.hold, reply).await;
            }
        }
    }

    async fn begin(mut self, stream: MinerStream, mut admitted: Admitted, reply: oneshot::Sender<Reply>) {
        if let Err(error) = mark(&mut admitted.hold).await {
            drop(stream);
            self.note_attempts(&admitted.job.attempts);
            return self.fail(Stop::Rejected(error.into()), admitted.hold, reply).await;
        }
        admitted.standing.begun();
        let job = &admitted.job;
        let first_token_us = self.way_out.elapsed_us();
        self.way_out.facts.first_token_us = Some(first_token_us);
        self.attribution.ttft_ms = Some(u32::try_from(first_token_us / 1000).unwrap_or(u32::MAX));
        self.attribution.attempts = u32::try_from(job.attempts.len()).unwrap_or(u32::MAX);
        self.attribution.uid = stream.uid();
        self.attribution.hotkey = stream.hotkey();
        let (events, receiver) = mpsc::channel(EVENTS);
        let left = Arc::new(AtomicBool::new(false));
        let head = Reply::Stream {
            events: receiver,
            attribution: self.attribution.clone(),
            include_usage: job.prompt.include_usage,
            left: Arc::clone(&left),
        };
        let most = usize::try_from(job.prompt.n.max(1)).unwrap_or(1);
        let outlet = Outlet { events, left, begun: vec![false; most] };
        // A failed send is a client that left; forwarding finds out at once.
        let _ = reply.send(head);
        self.pass_on(stream, admitted, outlet).await;
    }

    async fn pass_on(mut self, mut stream: MinerStream, admitted: Admitted, mut outlet: Outlet) {
        let Admitted { job, hold, mut standing } = admitted;
        let over = tokio::select! {
            biased;
            lost = standing.lost() => Over::Stopped(lost),
            over = self.pour(&mut stream, &mut outlet) => over,
        };
        self.way_out.facts.usage = stream.usage();
        // Closes the miner's connection if it is still open, and notes how the attempt ended.
        drop(stream);
        self.note_attempts(&job.attempts);
        let delivered = !matches!(over, Over::ClientGone) || outlet.left.load(Ordering::Acquire);
        let choices = if delivered { outlet.choices() } else { 0 };
        let closed = self.close(hold, choices).await;
        self.finish(over, closed, (delivered, outlet)).await;
    }

    /// Gives the client what the miner sends, until one of them has enough.
    async fn pour(&mut self, stream: &mut MinerStream, outlet: &mut Outlet) -> Over {
        loop {
            let next = tokio::select! {
                biased;
                next = stream.next() => next,
                () = outlet.events.closed() => return Over::ClientGone,
            };
            match next {
                None => return Over::InOrder,
                Some(Err(failure)) => return Over::Broken(failure),
                Some(Ok(delta)) => {
                    if let Err(over) = self.forward(delta, outlet).await {
                        return over;
                    }
                }
            }
        }
    }

    /// Shows a fragment to the watchers and gives it to the client.
    async fn forward(&mut self, mut delta: Delta, outlet: &mut Outlet) -> Result<(), Over> {
        let place = usize::try_from(delta.choice).unwrap_or(usize::MAX);
        let Some(begun) = outlet.begun.get_mut(place) else {
            // More choices than were asked for, and paid for, are the miner's own affair.
            return Ok(());
        };
        for watcher in &self.watchers {
            match watcher.on_chunk(&mut self.way_out.exchange, &mut delta) {
                Pass::On => {}
                Pass::Hold => return Ok(()),
                Pass::Stop(rejection) => return Err(Over::Stopped(rejection)),
            }
        }
        *begun |= delta.has_substance();
        if self.keep_texts {
            let texts = &mut self.way_out.facts.texts;
            texts.resize(texts.len().max(place + 1), String::new());
            if let Some(text) = texts.get_mut(place) {
                text.push_str(&delta.content);
            }
        }
        let memory = self.place.take(delta.bytes()).map_err(|shed| Over::Stopped(shed.into()))?;
        outlet.events.send(StreamEvent::Delta(delta, memory)).await.map_err(|_| Over::ClientGone)
    }

    async fn close(&mut self, hold: Option<Box<dyn Hold>>, choices: u32) -> Result<Option<Closed>, StoreError> {
        self.way_out.facts.choices = choices;
        let Some(hold) = hold else { return Ok(None) };
        let closed = hold.close(self.closing(choices)).await?;
        self.way_out.facts.closed = Some(closed);
        self.attribution.credits_charged = Some(closed.charged);
        self.attribution.credits_remaining = closed.remaining;
        Ok(Some(closed))
    }

    async fn finish(
        mut self,
        over: Over,
        closed: Result<Option<Closed>, StoreError>,
        (delivered, outlet): (bool, Outlet),
    ) {
        let attempts = || self.way_out.facts.attempts.clone();
        let ending = match (over, closed) {
            (Over::ClientGone, _) => Ending::ClientGone { delivered },
            // The mark is durable: the charge will be made good when the store recovers.
            (_, Err(error)) => Ending::Partial(error.into()),
            (Over::InOrder, Ok(_)) => Ending::Streamed,
            (Over::Stopped(rejection), Ok(_)) => Ending::Partial(rejection),
            (Over::Broken(failure), Ok(_)) => {
                let mut rejection =
                    Rejection::new(Kind::AllMinersFailed, "the miner failed after it had begun to answer");
                rejection.attempts = attempts();
                Ending::Partial(rejection.because(failure))
            }
        };
        let usage = self.way_out.facts.usage;
        let mut attribution = std::mem::take(&mut self.attribution);
        let outcome = self.way_out.end(ending);
        attribution.explain = explain::take(&mut self.way_out.exchange);
        let last = match outcome.ending {
            Ending::Partial(rejection) => StreamEvent::Failed { rejection, attribution },
            Ending::ClientGone { .. } => return,
            _ => StreamEvent::End { attribution, usage },
        };
        let _ = outlet.events.send(last).await;
    }
}

async fn mark(hold: &mut Option<Box<dyn Hold>>) -> Result<(), StoreError> {
    match hold {
        Some(hold) => hold.mark().await,
        None => Ok(()),
    }
}
