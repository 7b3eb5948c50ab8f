//! A whole answer: nothing leaves before its charge is durable.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use btvep_domain::{Answer, Choice, Delta, Ending, Hold};
use tokio::sync::{mpsc, oneshot};

use super::admit::Admitted;
use super::explain;
use super::journey::{Journey, Stop};
use crate::dispatch::Job;
use crate::{Attribution, Reply, StreamEvent, Taken};

impl Journey {
    /// Asks the miners, closes the account and answers; a client that wanted a stream gets the whole as one.
    pub(super) async fn answer_whole(mut self, admitted: Admitted, mut reply: oneshot::Sender<Reply>) {
        let Admitted { job, hold, mut standing } = admitted;
        let asked = tokio::select! {
            biased;
            lost = standing.lost() => Err(Stop::Rejected(lost)),
            answer = self.dispatcher.whole(&job) => answer.map_err(Stop::Unanswered),
            () = reply.closed() => Err(Stop::ClientGone),
        };
        self.note_attempts(&job.attempts);
        match asked {
            Ok(answer) => self.deliver(answer, &job, hold, reply).await,
            Err(stop) => self.fail(stop, hold, reply).await,
        }
    }

    async fn deliver(
        mut self,
        mut answer: Answer,
        job: &Job,
        hold: Option<Box<dyn Hold>>,
        reply: oneshot::Sender<Reply>,
    ) {
        for watcher in &self.watchers {
            if let Err(rejection) = watcher.on_answer(&mut self.way_out.exchange, &mut answer) {
                return self.fail(Stop::Rejected(rejection), hold, reply).await;
            }
        }
        let choices = u32::try_from(answer.choices.len()).unwrap_or(u32::MAX);
        if let Some(hold) = hold {
            let closing = self.closing(choices);
            match hold.close(closing).await {
                Ok(closed) => self.way_out.facts.closed = Some(closed),
                // Not durable, so not given: the client gets a 503 and is not charged.
                Err(error) => return self.stop(Stop::Rejected(error.into()), reply),
            }
        }
        self.note_answer(&answer, choices);
        answer.attempts.clone_from(&self.way_out.facts.attempts);
        let mut attribution = std::mem::take(&mut self.attribution);
        if job.stream {
            return self.replay(answer, job, (attribution, reply)).await;
        }
        self.way_out.end(Ending::Answered);
        attribution.explain = explain::take(&mut self.way_out.exchange);
        // A client that left while its answer was being accounted for has been charged: it was there.
        let _ = reply.send(Reply::Whole { answer, attribution });
    }

    fn note_answer(&mut self, answer: &Answer, choices: u32) {
        let elapsed_us = self.way_out.elapsed_us();
        self.attribution.agreement.clone_from(&answer.agreement);
        let facts = &mut self.way_out.facts;
        facts.choices = choices;
        facts.usage = answer.usage;
        facts.first_token_us = Some(elapsed_us);
        if self.keep_texts {
            facts.texts = answer.choices.iter().map(|choice| choice.content.clone()).collect();
        }
        if let Some(Choice { uid, hotkey, response_ms, .. }) = answer.choices.first() {
            self.attribution.uid = *uid;
            self.attribution.hotkey = *hotkey;
            self.attribution.miner_latency_ms = Some(*response_ms);
        }
        self.attribution.ttft_ms = Some(u32::try_from(elapsed_us / 1000).unwrap_or(u32::MAX));
        if let Some(closed) = facts.closed {
            self.attribution.credits_charged = Some(closed.charged);
            self.attribution.credits_remaining = closed.remaining;
        }
    }

    /// Gives a whole answer, paid for already, to a client that wanted a stream.
    async fn replay(
        mut self,
        answer: Answer,
        job: &Job,
        (mut attribution, reply): (Attribution, oneshot::Sender<Reply>),
    ) {
        self.way_out.end(Ending::Streamed);
        let (send, events) = mpsc::channel(EVENTS);
        let head = Reply::Stream {
            events,
            attribution: attribution.clone(),
            include_usage: job.prompt.include_usage,
            left: Arc::new(AtomicBool::new(false)),
        };
        if reply.send(head).is_err() {
            return;
        }
        attribution.explain = explain::take(&mut self.way_out.exchange);
        let usage = answer.usage;
        for (place, choice) in answer.choices.into_iter().enumerate() {
            let delta = Delta {
                choice: u32::try_from(place).unwrap_or(u32::MAX),
                content: choice.content,
                extras: choice.extras,
                logprobs: choice.logprobs,
                finish_reason: Some(choice.finish_reason),
            };
            if send.send(StreamEvent::Delta(delta, Taken::default())).await.is_err() {
                return;
            }
        }
        let _ = send.send(StreamEvent::End { attribution, usage }).await;
    }
}

/// Events between a request's task and its connection; a full channel stops reading the miner.
pub(super) const EVENTS: usize = 16;
