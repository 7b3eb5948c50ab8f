//! Sends one prompt to miners by a plan, and owns their connections, lanes and health.
//!
//! `race` walks the plan, `attempt` asks one miner, `client` and `wire` are the HTTP below it, `peers` keeps what
//! outlives a request: lanes, health, breakers.

mod address;
mod agree;
mod alarm;
mod attempt;
mod breaker;
mod budget;
mod client;
mod collect;
mod errand;
mod health;
mod hedge;
mod lane;
mod log;
mod metrics;
mod pace;
mod peers;
mod plan;
mod race;
mod reading;
mod record;
mod stamp;
mod stream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Answer, Health, Metagraph, Plan, Prompt, Snapshot, Until};
use tokio::time::Instant;

use agree::Tally;
use attempt::Attempt;
use collect::collect;
use errand::Errands;
use metrics::Metrics;
use peers::Peers;

pub use log::AttemptLog;
pub use plan::validate;
pub use stream::MinerStream;

use crate::kill_list::Kills;
use crate::{KillList, Place, Subnet, Upstream};

/// Which addresses of miners are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Globally reachable ones only: miners choose what they publish.
    #[default]
    Global,
    /// Any, for miners from a file or the devnet, which the operator wrote himself.
    Any,
}

/// Who a prompt goes to.
#[derive(Clone, Debug)]
pub enum Party {
    /// The miners of a plan.
    Subnet(Arc<Subnet>),
    /// One upstream; the plan is not looked at.
    Upstream(Arc<Upstream>),
}

/// One prompt to be sent.
#[derive(Clone, Debug)]
pub struct Job {
    /// The prompt.
    pub prompt: Arc<Prompt>,
    /// The model's name towards the miners.
    pub model: Arc<str>,
    /// Who it goes to.
    pub party: Party,
    /// Which miners, in which order; ignored for an upstream.
    pub plan: Plan,
    /// What the plan was made from; some for a subnet.
    pub snapshot: Option<Snapshot>,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// The client's own deadline for all of it; tightens the configured ones.
    pub timeout: Option<Duration>,
    /// Takes the record of every attempt.
    pub attempts: Arc<AttemptLog>,
    /// Where the memory of prompts and answers is counted.
    pub place: Arc<Place>,
}

/// Why there is no answer; each attempt's reason stands in [`Job::attempts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Nobody answered.
    #[error("no miner answered")]
    Nobody,
    /// Too few gave the same answer.
    #[error("{agreed} of {asked} miners agree; {wanted} must")]
    Disagreed {
        /// Miners asked.
        asked: usize,
        /// The most that gave the same answer.
        agreed: usize,
        /// So many must.
        wanted: u16,
    },
}

/// Sends prompts; outlives configurations, and with it lanes, health and breakers.
#[derive(Debug, Default)]
pub struct Dispatcher {
    peers: Peers,
    metrics: Arc<Metrics>,
    kills: Arc<Kills>,
}

impl Dispatcher {
    /// Makes one that knows nobody yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Puts a kill list in force: attempts under way to a miner that is banned by it end now.
    pub fn kill(&self, list: Arc<KillList>) {
        self.kills.replace(list);
    }

    pub(crate) const fn kills(&self) -> &Arc<Kills> {
        &self.kills
    }

    /// Returns the frozen health of a subnet's miners, in the order of its neurons; at most 100 ms old.
    pub fn health(&self, subnet: &Subnet, metagraph: &Arc<Metagraph>) -> Arc<Health> {
        self.peers.subnet(subnet).column(metagraph).health(Instant::now())
    }

    /// Sends a prompt and waits for a whole answer. Dropping the future cancels every attempt.
    ///
    /// # Errors
    ///
    /// No miner answered, or too few agree.
    pub async fn whole(&self, job: &Job) -> Result<Answer, Failed> {
        let errands = Errands::new(job, self, false);
        let ask = |errand| collect(Attempt::new(errand), &job.place);
        let won = if let Some(errand) = errands.to_upstream() {
            ask(errand).await.map(Answer::from)
        } else {
            match &job.plan.until {
                Until::First => race::first(&job.plan, &errands, ask).await.map(Answer::from),
                Until::All => race::all(&job.plan, &errands, ask).await,
                Until::Agree { k, by } => {
                    let mut tally = Tally::new(*k, by, job.plan.miners());
                    race::walk(&job.plan, &errands, ask, |one| tally.add(one)).await;
                    return tally.end(job.attempts.len());
                }
            }
        };
        won.ok_or(Failed::Nobody)
    }

    /// Sends a prompt and waits for the first token; until then another miner of the plan may take over. Every plan is
    /// treated as one that wants the first.
    ///
    /// # Errors
    ///
    /// No miner gave a token.
    pub async fn stream(&self, job: &Job) -> Result<MinerStream, Failed> {
        let errands = Errands::new(job, self, job.stream);
        let ask = |errand| start(Attempt::new(errand));
        let won = match errands.to_upstream() {
            Some(errand) => ask(errand).await,
            None => race::first(&job.plan, &errands, ask).await,
        };
        won.map(MinerStream::new).ok_or(Failed::Nobody)
    }

    /// Returns the counters: attempts by outcome, retries by reason.
    pub fn metrics(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.metrics.families()
    }
}

async fn start(mut attempt: Attempt) -> Option<Attempt> {
    attempt.start().await.ok().map(|()| attempt)
}
