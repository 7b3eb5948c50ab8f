//! Rules between the parts of a configuration: references, duplicates, what goes together.

use std::collections::HashSet;
use std::time::Duration;

use btvep_domain::{ConfigError, Credits};
use btvep_plugins::RateLimit;
use btvep_strategies::Spec;

use super::wording::suggestion;
use super::{Addresses, Config, DeadlinesConfig, MetagraphConfig, ModelConfig, SubnetConfig, UpstreamConfig};
use crate::roster::{self, STRATEGIES};

/// Checks what the types cannot say.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    config.listen.validate("listen")?;
    config.state.validate("state")?;
    config.limits.validate("limits")?;
    config.devnet.iter().try_for_each(|devnet| devnet.validate("devnet"))?;
    config.overload.validate("overload", config.limits.body_bytes)?;
    config.pipeline.check()?;
    if config.reload.poll < Duration::from_millis(100) {
        return refuse("reload.poll", "must be at least 100ms");
    }
    // Made and dropped: only the components know what of their settings they cannot use.
    RateLimit::new(&config.filters.rate_limit)?;
    roster::strategies(&config.strategies)?;
    check_tries(config)?;
    check_kill_list(config)?;
    check_validator(config)?;
    unique("subnet", "name", config.subnet.iter().map(|subnet| subnet.name.as_str()))?;
    unique("upstream", "name", config.upstream.iter().map(|upstream| upstream.name.as_str()))?;
    unique("model", "id", config.model.iter().map(|model| model.id.as_str()))?;
    for (at, subnet) in config.subnet.iter().enumerate() {
        check_subnet(config, &format!("subnet.{at}"), subnet)?;
    }
    for (at, upstream) in config.upstream.iter().enumerate() {
        check_upstream(&format!("upstream.{at}"), upstream)?;
    }
    for (at, model) in config.model.iter().enumerate() {
        check_model(config, &format!("model.{at}"), model)?;
    }
    if config.model.is_empty() {
        return refuse("model", "there is no model, so nobody could ask for anything; write at least one [[model]]");
    }
    Ok(())
}

fn refuse<T>(path: impl Into<String>, message: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::new(path, message))
}

fn unique<'a>(table: &str, key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    for (at, name) in names.enumerate() {
        let path = format!("{table}.{at}.{key}");
        if name.is_empty() {
            return refuse(path, "is empty; give it a name");
        }
        if !seen.insert(name) {
            return refuse(path, format!("`{name}` stands twice; each [[{table}]] has its own {key}"));
        }
    }
    Ok(())
}

fn check_tries(config: &Config) -> Result<(), ConfigError> {
    let most = config.pipeline.max_miners;
    let tries =
        [("lowest_latency", config.strategies.lowest_latency.tries), ("weighted", config.strategies.weighted.tries)];
    match tries.into_iter().find(|(_, tries)| *tries > most) {
        Some((name, _)) => {
            refuse(format!("strategies.{name}.tries"), format!("is more than pipeline.max_miners, which is {most}"))
        }
        None => Ok(()),
    }
}

fn check_kill_list(config: &Config) -> Result<(), ConfigError> {
    for (at, name) in config.strategies.disabled.iter().enumerate() {
        if !STRATEGIES.contains(&name.as_str()) {
            let hint = suggestion(name, STRATEGIES.iter().copied());
            return refuse(format!("strategies.disabled.{at}"), format!("there is no strategy `{name}`{hint}"));
        }
    }
    let mut seen = HashSet::new();
    match config.ban.iter().position(|ban| !seen.insert(ban.hotkey)) {
        Some(at) => refuse(format!("ban.{at}.hotkey"), "is banned twice; keep one of the two"),
        None => Ok(()),
    }
}

fn check_validator(config: &Config) -> Result<(), ConfigError> {
    let Some(validator) = &config.validator else {
        if config.subnet.is_empty() {
            return Ok(());
        }
        return refuse(
            "validator",
            "a subnet needs a hotkey that signs; write [validator] hotkey = { wallet = \"default/default\" }",
        );
    };
    let hotkey = &validator.hotkey;
    let given = [hotkey.mnemonic.is_some(), hotkey.wallet.is_some(), hotkey.uri.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return refuse("validator.hotkey", "expected exactly one of `mnemonic`, `wallet`, `uri`");
    }
    if hotkey.uri.is_some() && !config.dev {
        return refuse("validator.hotkey.uri", "everybody knows such a key; it is allowed only with `dev = true`");
    }
    if hotkey.wallet_path.is_some() && hotkey.wallet.is_none() {
        return refuse(
            "validator.hotkey.wallet_path",
            "belongs to `wallet`, which is not given; give it, or remove this key",
        );
    }
    if hotkey.wallet.as_deref().is_some_and(|wallet| wallet_parts(wallet).is_none()) {
        return refuse("validator.hotkey.wallet", "expected `WALLET/HOTKEY`, such as `default/default`");
    }
    if validator.node_id > 1023 {
        return refuse("validator.node_id", "must be from 0 to 1023");
    }
    Ok(())
}

/// Splits `WALLET/HOTKEY`; neither part may lead elsewhere.
pub(crate) fn wallet_parts(wallet: &str) -> Option<(&str, &str)> {
    let (name, hotkey) = wallet.split_once('/')?;
    let plain = |part: &str| !part.is_empty() && !part.contains('/') && part != "." && part != "..";
    (plain(name) && plain(hotkey)).then_some((name, hotkey))
}

fn check_subnet(config: &Config, path: &str, subnet: &SubnetConfig) -> Result<(), ConfigError> {
    if matches!(subnet.metagraph, MetagraphConfig::Devnet {}) && config.devnet.is_none() {
        return refuse(format!("{path}.metagraph"), "the devnet is not configured; write [devnet]");
    }
    if matches!(subnet.metagraph, MetagraphConfig::Devnet {}) && subnet.addresses == Addresses::Global {
        return refuse(format!("{path}.addresses"), "the devnet's miners are on loopback; write addresses = \"any\"");
    }
    if subnet.lanes == 0 {
        return refuse(format!("{path}.lanes"), "must be at least 1");
    }
    check_answers(path, subnet.answer_bytes, &subnet.deadlines)
}

fn check_upstream(path: &str, upstream: &UpstreamConfig) -> Result<(), ConfigError> {
    let at = format!("{path}.base_url");
    let uri: http::Uri = match upstream.base_url.parse() {
        Ok(uri) => uri,
        Err(error) => return refuse(at, format!("is no URL ({error}); expected https://host/v1")),
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return refuse(at, "expected http:// or https:// and a host, such as https://host/v1");
    }
    if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return refuse(at, "takes neither a query nor a user name; a bearer key goes into `key`");
    }
    check_answers(path, upstream.answer_bytes, &upstream.deadlines)
}

fn check_answers(path: &str, bytes: usize, deadlines: &DeadlinesConfig) -> Result<(), ConfigError> {
    if bytes == 0 {
        return refuse(format!("{path}.answer_bytes"), "must be at least 1; 4194304 (4 MiB) is usual");
    }
    let DeadlinesConfig { connect, first_token, idle, total } = deadlines;
    let all = [("connect", connect), ("first_token", first_token), ("idle", idle), ("total", total)];
    match all.into_iter().find(|(_, deadline)| deadline.is_zero()) {
        Some((key, _)) => refuse(format!("{path}.deadlines.{key}"), "must be longer than nothing, such as \"12s\""),
        None => Ok(()),
    }
}

fn check_model(config: &Config, path: &str, model: &ModelConfig) -> Result<(), ConfigError> {
    if model.id.contains(':') {
        return refuse(format!("{path}.id"), "may not hold `:`, which begins a strategy (`sn1:top_n=5`)");
    }
    match (&model.subnet, &model.upstream) {
        (Some(name), None) => known(path, "subnet", name, config.subnet.iter().map(|subnet| subnet.name.as_str()))?,
        (None, Some(name)) => known(path, "upstream", name, config.upstream.iter().map(|u| u.name.as_str()))?,
        _ => return refuse(path, "expected exactly one of `subnet` and `upstream`"),
    }
    if model.price < Credits::ZERO {
        return refuse(format!("{path}.price"), "may not be negative; 0 is free of charge");
    }
    let metered = config.pipeline.filters.iter().any(|filter| filter == "credits");
    if model.price > Credits::ZERO && !metered {
        return refuse(
            format!("{path}.price"),
            "nothing would be charged: add \"credits\" to pipeline.filters, or remove the price",
        );
    }
    if let Some(text) = &model.default_strategy {
        check_strategy(config, &format!("{path}.default_strategy"), text)?;
    }
    let mut seen = HashSet::new();
    for (at, text) in model.presets.iter().enumerate() {
        let path = format!("{path}.presets.{at}");
        let spec = check_strategy(config, &path, text)?;
        if model.upstream.is_some() && *spec.name != *"default" {
            return refuse(path, format!("an upstream has no miners to choose; `{}` is for a subnet", spec.name));
        }
        if !seen.insert(spec.to_string()) {
            return refuse(path, format!("`{text}` stands twice; list each preset once"));
        }
    }
    Ok(())
}

fn check_strategy(config: &Config, path: &str, text: &str) -> Result<Spec, ConfigError> {
    let spec = match Spec::parse(text) {
        Ok(spec) => spec,
        Err(error) => return refuse(path, error.to_string()),
    };
    if !STRATEGIES.contains(&&*spec.name) {
        let hint = suggestion(&spec.name, STRATEGIES);
        return refuse(path, format!("there is no strategy `{}`{hint}", spec.name));
    }
    let (asked, most) = (spec.uids.len().max(spec.top_n.unwrap_or_default().into()), config.pipeline.max_miners);
    if asked > most.into() {
        return refuse(path, format!("asks {asked} miners; pipeline.max_miners allows {most}"));
    }
    Ok(spec)
}

fn known<'a>(
    path: &str,
    key: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), ConfigError> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let hint = match names.clone().next() {
        Some(_) => suggestion(name, names),
        None => format!("; write a [[{key}]] of that name"),
    };
    refuse(format!("{path}.{key}"), format!("there is no {key} `{name}`{hint}"))
}
