use std::fmt;

use async_trait::async_trait;

use crate::{Answer, AttemptReport, Closed, Delta, Exchange, Rejection, Usage};

/// What a filter's way in says: go on, or end the request.
pub type Flow = Result<(), Rejection>;

/// What a filter needs; asked once, when the pipeline is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Runs after admission, because it asks the network.
    pub network: bool,
    /// Sees every fragment of the answer.
    pub answer: bool,
    /// Wants every request explained.
    pub explanation: bool,
}

/// What a filter says of a fragment.
#[derive(Debug)]
pub enum Pass {
    /// It may go on.
    On,
    /// It is kept back; its text comes with a later fragment.
    Hold,
    /// The answer ends here.
    Stop(Rejection),
}

/// How a request ended.
#[derive(Debug)]
pub enum Ending {
    /// A whole answer was given.
    Answered,
    /// A stream ended in order.
    Streamed,
    /// A stream broke after the first token, for this reason.
    Partial(Rejection),
    /// Refused, by a filter or because all miners failed.
    Rejected(Rejection),
    /// The client left; `delivered` tells whether it had a token.
    ClientGone {
        /// Whether a token had left.
        delivered: bool,
    },
    /// The request's task panicked.
    Panicked,
}

/// What a request came to, for the way out.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The HTTP status that was or would have been sent.
    pub status: u16,
    /// Every attempt.
    pub attempts: Vec<AttemptReport>,
    /// Choices delivered.
    pub choices: u32,
    /// The answer's text, one per choice; empty unless a filter needs it ([`Needs::answer`], [`Filter::wants_texts`]).
    pub texts: Vec<String>,
    /// Token counts as the miners gave them.
    pub usage: Option<Usage>,
    /// What was charged and what is left; none when nothing was admitted or the closing failed.
    pub closed: Option<Closed>,
    /// From receiving to the end, in microseconds.
    pub elapsed_us: u64,
    /// From receiving to the first token, in microseconds.
    pub first_token_us: Option<u64>,
}

/// A step of the pipeline, on the way in and on the way out.
///
/// A filter returns data and never answers itself. `on_end` runs exactly once for each filter that was
/// entered, in reverse order, also after a rejection, a panic or a disconnect; it does no I/O.
#[async_trait]
pub trait Filter: Send + Sync + fmt::Debug {
    /// Its name in configuration, logs and metrics.
    fn name(&self) -> &'static str;

    /// What it needs.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Whether this one request's answer is wanted in [`Outcome::texts`], although [`Needs::answer`] is not set;
    /// asked once, when the answer begins.
    fn wants_texts(&self, _exchange: &Exchange) -> bool {
        false
    }

    /// The way in.
    async fn on_request(&self, exchange: &mut Exchange) -> Flow;

    /// A fragment of the answer; called only when [`Needs::answer`] is set.
    fn on_chunk(&self, _exchange: &mut Exchange, _delta: &mut Delta) -> Pass {
        Pass::On
    }

    /// A whole answer; called only when [`Needs::answer`] is set.
    ///
    /// # Errors
    ///
    /// The answer must not be given.
    fn on_answer(&self, _exchange: &mut Exchange, _answer: &mut Answer) -> Flow {
        Ok(())
    }

    /// The way out.
    fn on_end(&self, _exchange: &Exchange, _outcome: &Outcome) {}
}
