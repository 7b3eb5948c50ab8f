//! From a selection to an admitted plan: strategy, hold, rates, all or nothing.

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{
    Claims, Credits, EncodeError, Exchange, Hold, Kind, Model, NoCandidate, ParameterMode, Plan, Prompt, Refusal,
    Rejection, Route, Selection, Snapshot, Until,
};

use super::explain::{self, Choice};
use super::standing::Standing;
use crate::dispatch::{AttemptLog, Dispatcher, Job, Party, validate};
use crate::{Place, Service};

/// An admitted request, ready for dispatch.
pub(super) struct Admitted {
    /// What dispatch is given.
    pub(super) job: Job,
    /// Set aside for it; none when no filter meters this route and it is free.
    pub(super) hold: Option<Box<dyn Hold>>,
    /// Whether it may go on.
    pub(super) standing: Standing,
}

/// A plan that its strategy made and dispatch could run.
pub(super) struct Planned {
    party: Party,
    plan: Plan,
    /// The snapshot it was made from; none for an upstream.
    pub(super) snapshot: Option<Snapshot>,
}

/// Lets the strategy choose; asks nobody and takes nothing.
pub(super) fn plan(
    service: &Service,
    dispatcher: &Dispatcher,
    exchange: &mut Exchange,
    (model, selection): (&Model, &Selection),
) -> Result<Planned, Rejection> {
    match &model.route {
        Route::Upstream(name) => {
            let upstream = service.upstreams.get(name).ok_or_else(|| missing(name))?;
            let plan = Plan { stages: Vec::new(), at_once: 1, until: Until::First, hedge: None };
            Ok(Planned { party: Party::Upstream(Arc::clone(upstream)), plan, snapshot: None })
        }
        Route::Subnet(name) => {
            let subnet = service.subnets.get(name).ok_or_else(|| missing(name))?;
            let Some(metagraph) = subnet.source.newest() else {
                return Err(Rejection::new(Kind::NoMetagraph, "the metagraph is not synced yet; try again later")
                    .after(Duration::from_secs(10)));
            };
            let age = Duration::from_millis(u64::try_from(exchange.received_at_ms - metagraph.read_at_ms).unwrap_or(0));
            if subnet.max_age.is_some_and(|most| age > most) {
                return Err(Rejection::new(Kind::StaleMetagraph, "the metagraph is too old; try again later")
                    .after(Duration::from_mins(1)));
            }
            let kill_list = dispatcher.kills().list();
            if kill_list.is_disabled(&selection.name) {
                let message = format!("strategy `{}` is disabled; name another", selection.name);
                return Err(Rejection::new(Kind::InvalidSelection, message).about("strategy"));
            }
            let shown = kill_list.show(&subnet.name, Arc::clone(&metagraph));
            let snapshot = Snapshot { health: dispatcher.health(subnet, &shown), metagraph: shown };
            let strategy = service.strategies.get(&selection.name).ok_or_else(|| missing(&selection.name))?;
            let moment = (exchange.received_at_ms, rand::random());
            let plan = strategy.plan(exchange, selection, &snapshot, moment);
            let choice = Choice {
                strategy: &**strategy,
                selection,
                snapshot: &snapshot,
                metagraph: &metagraph,
                kill_list: &kill_list,
            };
            explain::candidates(exchange, &choice, plan.as_ref().ok());
            let plan = plan.map_err(|error| no_candidate(&error))?;
            validate(&plan, &snapshot.metagraph, service.max_miners)
                .map_err(|error| Rejection::new(Kind::InvalidSelection, error.to_string()))?;
            Ok(Planned { party: Party::Subnet(Arc::clone(subnet)), plan, snapshot: Some(snapshot) })
        }
    }
}

/// Refuses what the miners' protocol cannot carry, before anything is taken.
pub(super) fn accepts(planned: &Planned, model: &Model, prompt: &Prompt) -> Result<(), Rejection> {
    let protocol = match &planned.party {
        Party::Subnet(subnet) => &subnet.protocol,
        Party::Upstream(upstream) => &upstream.protocol,
    };
    protocol.accepts(prompt, model.mode == ParameterMode::Strict).map_err(|error| {
        let message = error.to_string();
        match error {
            EncodeError::Unsupported(field) => Rejection::new(Kind::UnsupportedParameter, message).about(field),
            EncodeError::TextOnly => Rejection::new(Kind::UnsupportedParameter, message).about("messages"),
            EncodeError::Signing(_) => Rejection::new(Kind::Internal, "the prompt could not be signed").because(error),
        }
    })
}

/// Takes everything the request claims, or nothing.
pub(super) async fn admit(
    service: &Service,
    exchange: &mut Exchange,
    (model, prompt, place): (&Arc<Model>, &Arc<Prompt>, &Arc<Place>),
    planned: Planned,
) -> Result<(Job, Option<Box<dyn Hold>>), Rejection> {
    let miners = u32::try_from(planned.plan.miners().max(1)).unwrap_or(u32::MAX);
    let hold = match claims(exchange, model, (planned.plan.max_choices(prompt.n.max(1)), miners)) {
        Some(claims) => Some(take(service, exchange, claims).await?),
        None if model.price == Credits::ZERO => None,
        None => return Err(Rejection::new(Kind::Internal, "this model has a price and no filter meters it")),
    };
    let asked = prompt.model.as_deref().unwrap_or(&model.id);
    let job = Job {
        prompt: Arc::clone(prompt),
        model: model
            .upstream_name
            .clone()
            .unwrap_or_else(|| if *asked == *model.id { asked.into() } else { Arc::clone(&model.id) }),
        party: planned.party,
        plan: planned.plan,
        snapshot: planned.snapshot,
        stream: prompt.stream,
        timeout: exchange.timeout,
        attempts: AttemptLog::new(),
        place: Arc::clone(place),
    };
    Ok((job, hold))
}

fn claims(exchange: &Exchange, model: &Model, (max_choices, max_attempts): (u32, u32)) -> Option<Claims> {
    let key = exchange.key.as_ref()?;
    Some(Claims {
        request_id: Arc::clone(&exchange.request_id),
        key: key.id,
        price: if exchange.metered { model.price } else { Credits::ZERO },
        metered: exchange.metered,
        max_choices,
        max_attempts,
        rules: Arc::clone(&exchange.rules),
        attempts: exchange.attempts_rule,
        concurrency: exchange.concurrency,
        at_ms: exchange.received_at_ms,
    })
}

async fn take(service: &Service, exchange: &mut Exchange, claims: Claims) -> Result<Box<dyn Hold>, Rejection> {
    let held = claims.price.times(claims.max_choices);
    match service.accounts.admit(claims, exchange.received_at).await {
        Ok(admission) => {
            if let Some(explanation) = &mut exchange.explanation {
                explanation.held = Some(held);
            }
            exchange.rate = admission.rate;
            Ok(admission.hold)
        }
        Err(refusal) => Err(refused(exchange, refusal)),
    }
}

fn refused(exchange: &mut Exchange, refusal: Refusal) -> Rejection {
    let message = refusal.to_string();
    match refusal {
        Refusal::Credits { .. } => Rejection::new(Kind::InsufficientCredits, format!("not enough credits: {message}")),
        Refusal::Rate(state) | Refusal::Attempts(state) => {
            exchange.rate = Some(state);
            Rejection::new(Kind::RateLimited, format!("rate limit reached: {message}")).after(state.reset_after)
        }
        Refusal::Concurrency { .. } => {
            Rejection::new(Kind::TooManyAtOnce, format!("too many requests in flight: {message}"))
                .after(Duration::from_secs(1))
        }
        Refusal::UnknownAccount => Rejection::new(Kind::UnknownKey, "the API key is not known"),
        Refusal::Store(error) => error.into(),
    }
}

fn no_candidate(error: &NoCandidate) -> Rejection {
    match error {
        NoCandidate::NobodyServes | NoCandidate::TooFew { .. } => {
            Rejection::new(Kind::NoMiner, error.to_string()).after(Duration::from_secs(30))
        }
        NoCandidate::UnknownUids(_) => Rejection::new(Kind::InvalidSelection, error.to_string()).about("uids"),
    }
}

fn missing(name: &str) -> Rejection {
    // The service was checked when it was built.
    Rejection::new(Kind::Internal, "the configuration of this model is incomplete").because(name.to_owned())
}
