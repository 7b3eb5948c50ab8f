//! `btvep explain`: how one answer came about.

use std::fmt::Write as _;

use btvep_control::Explained;
use btvep_domain::{Explanation, StrategyStep};

use super::args::Globals;
use super::failure::Failure;
use super::output::{Output, or_dash, table};
use super::{connect, when};

/// Carries out the command.
pub(super) async fn run(globals: &Globals, output: Output, request_id: &str) -> Result<(), Failure> {
    let client = connect::control(globals).await?;
    let plain: String = request_id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let explained: Explained = client.get(&format!("/v1/explain/{plain}")).await?;
    output.value(&explained, text)
}

fn text(explained: &Explained) -> String {
    let Explained { request_id, at_ms, outcome, status, error, explain, .. } = explained;
    let mut text = format!("{request_id}  {}\n", when::shown(at_ms.div_euclid(1000)));
    let because: String = error.iter().flat_map(|error| ": ".chars().chain(error.chars())).collect();
    let because = because.replace(char::is_control, " ");
    let _ = writeln!(text, "{outcome}, status {status}{because}");
    let _ = writeln!(text, "model {}, {}", or_dash(explained.model.as_ref()), money(explain));
    let _ = writeln!(text, "configuration {}", or_dash(explain.config.as_ref()));
    if let Some(strategy) = &explain.strategy {
        let _ = writeln!(text, "strategy {}", named(strategy));
    }
    section(&mut text, ["FILTER", "VERDICT", "US"], filters(explain));
    section(&mut text, ["UID", "HOTKEY", "INCENTIVE", "VERDICT"], candidates(explain));
    if explain.more_candidates > 0 {
        let _ = writeln!(text, "and {} more", explain.more_candidates);
    }
    section(&mut text, ["ASKED", "OUTCOME", "REASON", "STATUS", "FIRST TOKEN MS", "MS"], attempts(explain));
    text.truncate(text.trim_end().len());
    text
}

fn money(explain: &Explanation) -> String {
    format!("held {}, charged {}", or_dash(explain.held), or_dash(explain.charged))
}

fn named(strategy: &StrategyStep) -> String {
    let StrategyStep { name, named_by, empty, in_parallel, first_success, hedge_after_ms } = strategy;
    let nearer = if empty.is_empty() { String::new() } else { format!(" (not by {})", empty.join(", ")) };
    let batches = in_parallel.map(|n| format!(", {n} at a time")).unwrap_or_default();
    let until = if *first_success { "first success" } else { "all answers" };
    let hedge = hedge_after_ms.map(|ms| format!(", another beside it after {ms} ms")).unwrap_or_default();
    format!("{name}, named by {named_by}{nearer}{batches}, {until}{hedge}")
}

fn section<const N: usize>(text: &mut String, head: [&str; N], rows: Vec<[String; N]>) {
    if !rows.is_empty() {
        let _ = writeln!(text, "\n{}", table(head, rows));
    }
}

fn filters(explain: &Explanation) -> Vec<[String; 3]> {
    let row = |step: &btvep_domain::FilterStep| [step.name.to_string(), step.verdict.to_string(), step.us.to_string()];
    explain.filters.iter().map(row).collect()
}

fn candidates(explain: &Explanation) -> Vec<[String; 4]> {
    let row = |one: &btvep_domain::Candidate| {
        [one.uid.to_string(), one.hotkey.to_string(), one.incentive.to_string(), one.verdict.to_string()]
    };
    explain.candidates.iter().map(row).collect()
}

fn attempts(explain: &Explanation) -> Vec<[String; 6]> {
    let row = |one: &btvep_domain::ExplainedAttempt| {
        [
            one.uid.map_or_else(|| or_dash(one.upstream.as_ref()), |uid| uid.to_string()),
            one.outcome.to_string(),
            or_dash(one.reason.as_ref()),
            or_dash(one.status),
            or_dash(one.first_token_ms),
            one.elapsed_ms.to_string(),
        ]
    };
    explain.attempts.iter().map(row).collect()
}
