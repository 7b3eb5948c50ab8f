//! `btvep config status`, `reload`, `history`, `rollback`, `diff`: the configuration that serves.

use std::path::Path;

use btvep_control::{Client, ClientError, ConfigCandidate, ConfigChange, ConfigRefusal, ConfigStatus, ConfigVersion};
use http::Method;
use jiff::Timestamp;

use super::args::Globals;
use super::connect;
use super::failure::Failure;
use super::output::{Output, or_dash, table};

/// Shows what serves and what was refused.
pub(super) async fn status(globals: &Globals, output: Output) -> Result<(), Failure> {
    let status: ConfigStatus = connect::control(globals).await?.get("/v1/config/status").await?;
    output.value(&status, shown)
}

/// Lets the server read its files again, and shows what came of it.
pub(super) async fn reload(globals: &Globals, output: Output) -> Result<(), Failure> {
    let status = ask_to_reload(&connect::control(globals).await?).await?;
    output.value(&status, shown)
}

/// Shows what served last, newest first.
pub(super) async fn history(globals: &Globals, output: Output) -> Result<(), Failure> {
    let mut versions: Vec<ConfigVersion> = connect::control(globals).await?.get("/v1/config/history").await?;
    versions.reverse();
    output.value(&versions, |versions| {
        let row = |v: &ConfigVersion| [v.number.to_string(), moment(v.at_ms), v.hash.clone(), v.bytes.to_string()];
        table(["NUMBER", "SERVED FROM", "HASH", "BYTES"], versions.iter().map(row))
    })
}

/// Goes back to what served before.
pub(super) async fn rollback(globals: &Globals, output: Output, number: u64) -> Result<(), Failure> {
    let client = connect::control(globals).await?;
    let path = format!("/v1/config/rollback/{number}");
    let version: ConfigVersion = client.send(Method::POST, &path, &serde_json::json!({})).await?;
    let file = globals.config.display();
    output.value(&version, |version| format!("{file} is number {} of {} again", version.number, moment(version.at_ms)))
}

/// Shows how a file differs from what serves.
pub(super) async fn diff(globals: &Globals, output: Output, file: &Path) -> Result<(), Failure> {
    let read = std::fs::read_to_string(file);
    let text = read.map_err(|error| Failure::new(format!("{}: cannot be read: {error}", file.display())))?;
    let candidate = ConfigCandidate { file: std::path::absolute(file)?, text };
    let client = connect::control(globals).await?;
    let changes: Vec<ConfigChange> = client.send(Method::POST, "/v1/config/diff", &candidate).await?;
    output.value(&changes, |changes| match changes.as_slice() {
        [] => "no key differs".to_owned(),
        changes => changes_table(changes),
    })
}

/// Lets a running server follow a file that was just changed, and says what came of it.
pub(super) async fn follow(globals: &Globals, output: Output) -> Result<(), Failure> {
    let Some(client) = connect::server(globals).await? else {
        output.note("the configuration was changed; no server runs with it");
        return Ok(());
    };
    match ask_to_reload(&client).await {
        Ok(ConfigStatus { hash, needs_restart, .. }) if needs_restart.is_empty() => {
            output.note(&format!("the configuration was changed; the running server serves by it now ({hash})"));
        }
        Ok(ConfigStatus { hash, needs_restart, .. }) => output.note(&format!(
            "the configuration was changed; the running server serves by it now ({hash}), but needs a restart for: {}",
            needs_restart.join(", ")
        )),
        Err(error) => output.note(&format!(
            "the configuration was changed; the running server refuses it and serves by the last good one: {error}"
        )),
    }
    Ok(())
}

async fn ask_to_reload(client: &Client) -> Result<ConfigStatus, ClientError> {
    client.send(Method::POST, "/v1/config/reload", &serde_json::json!({})).await
}

fn shown(status: &ConfigStatus) -> String {
    let ConfigStatus { file, hash, since_ms, trigger, .. } = status;
    let mut lines = vec![
        format!("file           {}", file.display()),
        format!("serving        {hash} since {} ({trigger})", moment(*since_ms)),
        format!("is current     {}", if status.is_current { "yes" } else { "no: the file was refused" }),
        format!("taken over     {}, refused {}", status.accepted_count, status.refused_count),
    ];
    if !status.needs_restart.is_empty() {
        lines.push(format!("needs restart  {}", status.needs_restart.join(", ")));
    }
    if let Some(ConfigRefusal { at_ms, trigger, reason }) = &status.refused {
        lines.push(format!("last refused   {} ({trigger}): {reason}", moment(*at_ms)));
    }
    if !status.changed.is_empty() {
        lines.push(format!("\n{}", changes_table(&status.changed)));
    }
    lines.join("\n")
}

fn changes_table(changes: &[ConfigChange]) -> String {
    let rows = changes.iter();
    let rows = rows.map(|c| [c.path.clone(), or_dash(c.before.as_deref()), or_dash(c.after.as_deref())]);
    table(["KEY", "BEFORE", "AFTER"], rows)
}

fn moment(ms: i64) -> String {
    or_dash(Timestamp::from_millisecond(ms).ok().map(|at| format!("{at:.0}")))
}
