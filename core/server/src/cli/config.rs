//! `btvep config`: shows, changes and checks the configuration.

use serde_json::json;

use super::args::{ConfigCommand, Globals};
use super::failure::Failure;
use super::output::Output;
use super::serving;
use crate::assemble;
use crate::config::{self, Edits, Loaded};

/// Carries out a command.
pub(super) async fn run(globals: &Globals, output: Output, command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Get { key } => get(globals, output, key.as_deref()),
        ConfigCommand::Set { key, value } => {
            let mut edits = Edits::read(&globals.config)?;
            edits.set(&key, &value)?;
            edits.write(&globals.config)?;
            serving::follow(globals, output).await?;
            get(&Globals { set: Vec::new(), ..globals.clone() }, output, Some(&key))
        }
        ConfigCommand::Check => {
            let loaded = Loaded::read(&globals.config, &globals.set)?;
            assemble::preflight(&loaded)?;
            let file = globals.config.display().to_string();
            output.value(&json!({ "ok": true, "file": file }), |_| format!("{file}: ok"))
        }
        ConfigCommand::Schema => output.raw(config::schema_text().as_bytes()),
        ConfigCommand::Reference => output.raw(config::page().as_bytes()),
        ConfigCommand::Status => serving::status(globals, output).await,
        ConfigCommand::Reload => serving::reload(globals, output).await,
        ConfigCommand::History => serving::history(globals, output).await,
        ConfigCommand::Rollback { number } => serving::rollback(globals, output, number).await,
        ConfigCommand::Diff { file } => serving::diff(globals, output, &file).await,
    }
}

/// Prints a value as the program understands it, defaults included. Secrets are references and shown as such.
fn get(globals: &Globals, output: Output, key: Option<&str>) -> Result<(), Failure> {
    let loaded = Loaded::read(&globals.config, &globals.set)?;
    let whole = toml::Value::try_from(&loaded.config)?;
    let Some(key) = key else {
        let text = toml::to_string(&whole)?;
        return output.value(&whole, |_| text.trim_end().to_owned());
    };
    let value = find(&whole, key).ok_or_else(|| {
        let known: Vec<&str> = whole.as_table().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let first = key.split('.').next().unwrap_or_default();
        let hint = if whole.get(first).is_some() { "" } else { &config::suggestion(first, known.iter().copied()) };
        Failure::new(format!("there is no value `{key}`{hint}"))
    })?;
    output.value(value, |value| match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => toml::to_string(table).unwrap_or_default().trim_end().to_owned(),
        other => other.to_string(),
    })
}

fn find<'a>(whole: &'a toml::Value, key: &str) -> Option<&'a toml::Value> {
    key.split('.').try_fold(whole, |at, part| match at {
        toml::Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => at.get(part),
    })
}
