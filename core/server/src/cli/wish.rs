//! A value that an option sets, or clears with the word `default`.

use std::str::FromStr;

use btvep_domain::{Credits, RateRule};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// What an option asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish<T> {
    /// As configured for all.
    Default,
    /// This.
    Set(T),
}

impl<T> Wish<T> {
    /// Returns the value, or none for the default.
    pub(super) fn into_option(self) -> Option<T> {
        match self {
            Self::Default => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// Reads a number, or `default`.
pub(super) fn number<T: FromStr>(text: &str) -> Result<Wish<T>, String>
where
    T::Err: std::fmt::Display,
{
    match text {
        "default" => Ok(Wish::Default),
        _ => text.parse().map(Wish::Set).map_err(|error| format!("{error}; write a number, or `default`")),
    }
}

/// Reads `true` or `false`, or `default`.
pub(super) fn boolean(text: &str) -> Result<Wish<bool>, String> {
    match text {
        "default" => Ok(Wish::Default),
        _ => text.parse().map(Wish::Set).map_err(|_| "expected `true`, `false` or `default`".to_owned()),
    }
}

/// Reads one of a closed set of names, or `default`.
pub(super) fn named<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<Wish<T>, String> {
    if text == "default" {
        return Ok(Wish::Default);
    }
    let value = toml::Value::String(text.to_owned());
    value.clone().try_into().map(Wish::Set).map_err(|error| {
        crate::config::refusal_of::<T>(&value).unwrap_or_else(|| toml::de::Error::message(&error).to_owned())
    })
}

/// Reads names divided by commas, or `default`.
pub(super) fn names(text: &str) -> Result<Wish<Vec<String>>, String> {
    if matches!(text, "default" | "all") {
        return Ok(Wish::Default);
    }
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err("expected names divided by commas, or `all`".to_owned());
    }
    Ok(Wish::Set(names))
}

/// Reads a text, or `default`.
#[expect(clippy::unnecessary_wraps, reason = "the parser of an option may refuse")]
pub(super) fn text(text: &str) -> Result<Wish<String>, String> {
    Ok(if matches!(text, "" | "default") { Wish::Default } else { Wish::Set(text.to_owned()) })
}

/// Reads an amount of credits, or `unlimited` (also `-1`, as the original wrote it).
pub(super) fn credits(text: &str) -> Result<Wish<Credits>, String> {
    match text {
        "unlimited" | "-1" => Ok(Wish::Default),
        _ => text.parse().map(Wish::Set).map_err(|error| format!("{error}, or `unlimited`")),
    }
}

/// One of `--rate-limit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// As configured for all.
    Default,
    /// No limit at all.
    None,
    /// A rule.
    Rule(RateRule),
}

/// Reads `TIMES/SECONDS`, `none` or `default`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "default" => return Ok(Rate::Default),
        "none" => return Ok(Rate::None),
        _ => {}
    }
    let rule = text.split_once('/').and_then(|(times, seconds)| {
        Some(RateRule { times: times.trim().parse().ok()?, seconds: seconds.trim().parse().ok()? })
    });
    rule.map(Rate::Rule).ok_or_else(|| "expected TIMES/SECONDS such as 10/60, `none`, or `default`".to_owned())
}

/// Joins all `--rate-limit` of a command; none when there is none.
pub(super) fn rates(rates: &[Rate]) -> Result<Option<Wish<Vec<RateRule>>>, String> {
    match rates {
        [] => Ok(None),
        [Rate::Default] => Ok(Some(Wish::Default)),
        [Rate::None] => Ok(Some(Wish::Set(Vec::new()))),
        rules => {
            let rules = rules.iter().map(|rate| match rate {
                Rate::Rule(rule) => Ok(*rule),
                Rate::Default | Rate::None => Err("`none` and `default` stand alone".to_owned()),
            });
            rules.collect::<Result<_, _>>().map(|rules| Some(Wish::Set(rules)))
        }
    }
}
