//! `btvep ratelimit`: the rules of one key, or the defaults in the configuration.

use btvep_control::RateLimits;
use btvep_domain::RateRule;
use clap::{Args, Subcommand};
use http::Method;
use serde::Serialize;

use super::args::Globals;
use super::connect;
use super::failure::Failure;
use super::key::path;
use super::output::{Output, table};
use super::serving;
use crate::config::{Edits, Loaded};

/// Where the defaults stand in the configuration.
const DEFAULTS: &str = "filters.rate_limit.default";

#[derive(Debug, Subcommand)]
pub(super) enum RatelimitCommand {
    /// Shows the rules
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Adds a rule
    Add {
        /// Requests in one window
        times: u32,
        /// Length of the window
        seconds: u32,
        #[command(flatten)]
        whose: Whose,
    },
    /// Deletes a rule
    Delete {
        /// Its number, from 0, as `list` shows it
        index: usize,
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(Debug, Args)]
pub(super) struct Whose {
    /// The key; without it, the defaults in the configuration file
    #[arg(long, short, value_name = "ID")]
    key: Option<String>,
}

/// A rule with its number.
#[derive(Debug, Serialize)]
struct Numbered {
    index: usize,
    times: u32,
    seconds: u32,
}

/// Carries out a command.
pub(super) async fn run(globals: &Globals, output: Output, command: RatelimitCommand) -> Result<(), Failure> {
    let key = match &command {
        RatelimitCommand::List { whose }
        | RatelimitCommand::Add { whose, .. }
        | RatelimitCommand::Delete { whose, .. } => whose.key.clone(),
    };
    let rules = match key {
        Some(key) => of_key(globals, output, &path(&key), &command).await?,
        None => of_file(globals, output, &command).await?,
    };
    let numbered: Vec<Numbered> = rules
        .into_iter()
        .enumerate()
        .map(|(index, RateRule { times, seconds })| Numbered { index, times, seconds })
        .collect();
    output.value(&numbered, |rules| {
        let rows =
            rules.iter().map(|rule| [rule.index, rule.times as usize, rule.seconds as usize].map(|n| n.to_string()));
        table(["INDEX", "REQUESTS", "PER SECONDS"], rows)
    })
}

async fn of_key(
    globals: &Globals,
    output: Output,
    path: &str,
    command: &RatelimitCommand,
) -> Result<Vec<RateRule>, Failure> {
    let client = connect::control(globals).await?;
    let path = format!("{path}/rate-limits");
    let RateLimits { rate_limits } = match *command {
        RatelimitCommand::List { .. } => client.get(&path).await?,
        RatelimitCommand::Add { times, seconds, .. } => {
            client.send(Method::POST, &path, &RateRule { times, seconds }).await?
        }
        RatelimitCommand::Delete { index, .. } => client.delete(&format!("{path}/{index}")).await?,
    };
    match rate_limits.as_deref() {
        None => output.note("the key has no rules of its own; the configuration's apply"),
        Some([]) => output.note("the key has no rate limit; `key edit ID --rate-limit default` restores the defaults"),
        Some(_) => {}
    }
    Ok(rate_limits.unwrap_or_default())
}

async fn of_file(globals: &Globals, output: Output, command: &RatelimitCommand) -> Result<Vec<RateRule>, Failure> {
    let file = &globals.config;
    if !matches!(command, RatelimitCommand::List { .. }) {
        let mut edits = Edits::read(file)?;
        match *command {
            RatelimitCommand::Add { times, seconds, .. } => {
                edits.push(DEFAULTS, &[("times", times.into()), ("seconds", seconds.into())])?;
            }
            RatelimitCommand::Delete { index, .. } => edits.remove(DEFAULTS, index)?,
            RatelimitCommand::List { .. } => {}
        }
        edits.write(file)?;
        serving::follow(globals, output).await?;
        return Ok(Loaded::read(file, &[])?.config.filters.rate_limit.default);
    }
    Ok(Loaded::read(file, &globals.set)?.config.filters.rate_limit.default)
}
