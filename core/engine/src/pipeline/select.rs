//! Which model serves, and which strategy chooses its miners.

use std::collections::HashSet;
use std::sync::Arc;

use btvep_domain::{
    Exchange, Kind, Model, Prompt, Rejection, Route, Selection, SelectionSource, StrategyFields, Surface, Uid,
};
use btvep_strategies::{Spec, SpecError};

use crate::Service;

#[cfg(test)]
mod tests;

type Checked<T> = Result<T, Box<Rejection>>;

/// Returns the model and the strategy of a request, both checked against what its key allows.
///
/// The strategy is the first that is named by: the body, the header, the model's suffix, the key, the model.
pub(super) fn select(service: &Service, exchange: &Exchange, prompt: &Prompt) -> Checked<(Arc<Model>, Selection)> {
    let (model, suffix) = find_model(service, exchange.surface, prompt)?;
    let fields = &prompt.strategy;
    let in_parallel = positive(fields.in_parallel, "in_parallel")?;
    let first_success = fields.respond_on_first_success.unwrap_or(true);
    let (spec, source) = find_strategy(exchange, &model, suffix, fields)?;
    let selection = spec.select(source, in_parallel, first_success);
    check(service, exchange, &model, &selection)?;
    Ok((model, selection))
}

fn find_model<'a>(service: &Service, surface: Surface, prompt: &'a Prompt) -> Checked<(Arc<Model>, Option<&'a str>)> {
    if surface == Surface::Legacy {
        // The original had one model; its clients name none.
        let first = service.models.first().ok_or_else(|| refuse(Kind::UnknownModel, "no model is configured"))?;
        return Ok((Arc::clone(first), None));
    }
    let Some(asked) = prompt.model.as_deref() else {
        return Err(about("model", Kind::InvalidField, "name a model; `GET /v1/models` lists them"));
    };
    let find = |id: &str| service.models.iter().find(|model| *model.id == *id).map(Arc::clone);
    if let Some(model) = find(asked) {
        return Ok((model, None));
    }
    // The suffix may hold one more colon: `sn1:top_n:5`.
    let ends = asked.rmatch_indices(':').take(2).map(|(at, _)| at);
    let mut parts = ends.filter_map(|at| Some((find(asked.get(..at)?)?, asked.get(at + 1..))));
    parts.next().ok_or_else(|| {
        let shown: String = asked.chars().filter(|c| !c.is_control()).take(64).collect();
        about("model", Kind::UnknownModel, format!("there is no model `{shown}`; `GET /v1/models` lists them"))
    })
}

fn find_strategy(
    exchange: &Exchange,
    model: &Model,
    suffix: Option<&str>,
    fields: &StrategyFields,
) -> Checked<(Spec, SelectionSource)> {
    if let Some(spec) = from_body(fields)? {
        return Ok((spec, SelectionSource::Body));
    }
    let key = exchange.key.as_ref().and_then(|key| key.policy.as_ref()?.default_query_strategy.as_deref());
    let named = [
        (exchange.strategy_header.as_deref(), SelectionSource::Header, "x-btvep-strategy"),
        (suffix, SelectionSource::Suffix, "model"),
        (key, SelectionSource::Key, "default_query_strategy"),
        (model.default_strategy.as_deref(), SelectionSource::Model, "default_strategy"),
    ];
    match named.into_iter().find_map(|(text, source, place)| text.map(|text| (text, source, place))) {
        Some((text, source, place)) => {
            let spec = Spec::parse(text).map_err(|error| invalid(place, &error))?;
            Ok((spec, source))
        }
        None => Ok((Spec::parse("default").map_err(|error| invalid("strategy", &error))?, SelectionSource::Default)),
    }
}

/// Reads the body's own fields. `top_n` wins over `uids`; a named strategy must agree with them: `top_n` goes with every
/// strategy that takes a number of miners.
fn from_body(fields: &StrategyFields) -> Checked<Option<Spec>> {
    let top_n = positive(fields.top_n, "top_n")?;
    let uids = match (&fields.uids, top_n) {
        (Some(uids), None) => Some(check_uids(uids)?),
        _ => None,
    };
    let implied = match (top_n, &uids) {
        (Some(_), _) => Some("top_n"),
        (None, Some(_)) => Some("uids"),
        (None, None) => None,
    };
    let Some(text) = fields.strategy.as_deref() else {
        return Ok(implied.map(|name| Spec { name: name.into(), uids: uids.unwrap_or_default(), top_n, quorum: None }));
    };
    let mut spec = Spec::parse_name(text).map_err(|error| invalid("strategy", &error))?;
    if let Some(implied) = implied {
        let argued_otherwise = spec.top_n.is_some_and(|n| Some(n) != top_n)
            || (!spec.uids.is_empty() && Some(&spec.uids) != uids.as_ref());
        let agrees = *spec.name == *implied || (top_n.is_some() && spec.is_counted());
        if !agrees || argued_otherwise {
            let message = format!("`strategy` is `{spec}` but `{implied}` is given too; name one of them");
            return Err(about("strategy", Kind::InvalidSelection, message));
        }
        spec.top_n = top_n;
        spec.uids = uids.unwrap_or_default();
    }
    // Fills nothing in: `top_n` without its number is refused here.
    Spec::parse(&spec.to_string()).map(Some).map_err(|error| invalid("strategy", &error))
}

fn check_uids(uids: &[i64]) -> Checked<Vec<Uid>> {
    if uids.is_empty() {
        return Err(about("uids", Kind::InvalidSelection, "`uids` is empty; name at least one miner"));
    }
    let mut seen = HashSet::with_capacity(uids.len());
    uids.iter()
        .map(|&number| {
            let uid = u16::try_from(number).map_err(|_| {
                about("uids", Kind::InvalidSelection, format!("{number} is no uid; uids go from 0 to 65535"))
            })?;
            if seen.insert(uid) {
                Ok(Uid(uid))
            } else {
                Err(about("uids", Kind::InvalidSelection, format!("uid {uid} stands twice; name each miner once")))
            }
        })
        .collect()
}

fn positive(number: Option<i64>, field: &'static str) -> Checked<Option<u16>> {
    match number.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(n)) if n > 0 => Ok(Some(n)),
        Some(_) => Err(about(field, Kind::InvalidSelection, format!("`{field}` must be from 1 to {}", u16::MAX))),
    }
}

fn check(service: &Service, exchange: &Exchange, model: &Model, selection: &Selection) -> Checked<()> {
    let name = &selection.name;
    if matches!(model.route, Route::Upstream(_)) && **name != *"default" && service.strategies.contains_key(name) {
        let message = format!("model `{}` is served by an upstream and has no miners to choose", model.id);
        return Err(about("strategy", Kind::InvalidSelection, message));
    }
    if !service.strategies.contains_key(name) {
        let known: Vec<&str> = service.strategies.keys().map(|name| &**name).collect();
        let message = format!("there is no strategy `{name}`; known strategies: {}", known.join(", "));
        return Err(about("strategy", Kind::InvalidSelection, message));
    }
    let best = selection.top_n.or(selection.quorum.map(|quorum| quorum.n)).unwrap_or(0);
    let asked = selection.uids.len().max(best.into());
    let Some(policy) = exchange.key.as_ref().and_then(|key| key.policy.as_deref()) else {
        return most(asked, service.max_miners);
    };
    if policy.models.as_ref().is_some_and(|models| !models.iter().any(|id| **id == *model.id)) {
        return Err(about("model", Kind::NotAllowed, format!("this key may not use model `{}`", model.id)));
    }
    if policy.strategies.as_ref().is_some_and(|allowed| !allowed.iter().any(|other| **other == **name)) {
        return Err(about("strategy", Kind::NotAllowed, format!("this key may not use strategy `{name}`")));
    }
    most(asked, policy.max_top_n.unwrap_or(u16::MAX).min(service.max_miners))
}

fn most(asked: usize, limit: u16) -> Checked<()> {
    if asked <= usize::from(limit) {
        return Ok(());
    }
    let message = format!("{asked} miners are asked for; at most {limit} are allowed");
    Err(about("top_n", Kind::InvalidSelection, message))
}

fn invalid(place: &'static str, error: &SpecError) -> Box<Rejection> {
    about(place, Kind::InvalidSelection, error.to_string())
}

fn about(field: &'static str, kind: Kind, message: impl Into<std::borrow::Cow<'static, str>>) -> Box<Rejection> {
    Box::new(Rejection::new(kind, message).about(field))
}

fn refuse(kind: Kind, message: &'static str) -> Box<Rejection> {
    Box::new(Rejection::new(kind, message))
}
