use std::borrow::Cow;

use btvep_domain::{Kind, Prompt, Rejection, StrategyFields};
use bytes::Bytes;

use super::conversation::conversation;
use crate::surface::LimitsConfig;
use crate::surface::body::{Member, members};
use crate::surface::loose::{Loose, Twice};

/// The longest name of a model or strategy, in bytes.
const NAME: usize = 256;

/// Reads the body of a chat request.
///
/// Unknown members and explicit nulls are fine; what is known must have its type. Members of ours
/// (`uids`, `top_n`, `in_parallel`, `respond_on_first_success`, `strategy`) choose miners and are not among
/// the prompt's fields.
///
/// # Errors
///
/// [`Kind::MalformedBody`], [`Kind::InvalidField`] with the field's name, or [`Kind::InvalidSelection`] for
/// more miners than the limits allow.
pub fn parse(body: Bytes, limits: &LimitsConfig) -> Result<Prompt, Rejection> {
    let found = members(&body, limits)?;
    let mut prompt = Prompt { n: 1, fields: Vec::with_capacity(found.len()), ..Prompt::default() };
    for member in &found {
        if is_ours(&member.name) {
            selection(&mut prompt.strategy, member, limits)?;
        } else {
            field(&mut prompt, member, limits)?;
            prompt.fields.push(member.field());
        }
    }
    if prompt.messages.is_empty() {
        return Err(invalid("messages", "is required and must hold at least one message"));
    }
    drop(found);
    prompt.body = body;
    Ok(prompt)
}

/// Returns the rejection of a field; `fault` goes on after its name.
pub(super) fn invalid(param: impl Into<Cow<'static, str>>, fault: &str) -> Rejection {
    let param = param.into();
    Rejection::new(Kind::InvalidField, format!("`{param}` {fault}")).about(param)
}

impl From<Twice> for Rejection {
    fn from(_: Twice) -> Self {
        Self::new(Kind::InvalidField, "a member stands twice in an object of the body")
    }
}

fn is_ours(name: &str) -> bool {
    matches!(name, "uids" | "top_n" | "in_parallel" | "respond_on_first_success" | "strategy")
}

fn field(prompt: &mut Prompt, member: &Member<'_>, limits: &LimitsConfig) -> Result<(), Rejection> {
    if member.is_null() {
        return Ok(());
    }
    match &*member.name {
        "model" => prompt.model = Some(name(member)?),
        "messages" => prompt.messages = conversation(member.json, limits)?,
        "stream" => prompt.stream = flag(member)?,
        "stream_options" => prompt.include_usage = include_usage(member)?,
        "n" => prompt.n = choices(member, limits.choices)?,
        _ => return shape(member),
    }
    Ok(())
}

fn selection(fields: &mut StrategyFields, member: &Member<'_>, limits: &LimitsConfig) -> Result<(), Rejection> {
    if member.is_null() {
        return Ok(());
    }
    match &*member.name {
        "uids" => fields.uids = Some(uids(member, limits.uids)?),
        "top_n" => fields.top_n = Some(at_most(member, limits.top_n)?),
        "in_parallel" => fields.in_parallel = Some(at_most(member, limits.in_parallel)?),
        "respond_on_first_success" => fields.respond_on_first_success = Some(flag(member)?),
        _ => fields.strategy = Some(name(member)?),
    }
    Ok(())
}

fn about(member: &Member<'_>) -> String {
    crate::surface::body::shorten(&member.name)
}

fn name(member: &Member<'_>) -> Result<String, Rejection> {
    match serde_json::from_str::<String>(member.json) {
        Ok(text) if text.len() <= NAME && !text.is_empty() => Ok(text),
        Ok(_) => Err(invalid(about(member), "must have from 1 to 256 characters")),
        Err(_) => Err(invalid(about(member), "must be a string")),
    }
}

fn flag(member: &Member<'_>) -> Result<bool, Rejection> {
    match member.json {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(about(member), "must be true or false")),
    }
}

fn integer(member: &Member<'_>) -> Result<i64, Rejection> {
    serde_json::from_str(member.json).map_err(|_| invalid(about(member), "must be an integer"))
}

fn choices(member: &Member<'_>, limit: u16) -> Result<u32, Rejection> {
    let wanted = integer(member)?;
    match u32::try_from(wanted) {
        Ok(n) if (1..=u32::from(limit)).contains(&n) => Ok(n),
        _ => Err(invalid("n", &format!("must be from 1 to {limit}"))),
    }
}

fn at_most(member: &Member<'_>, limit: u16) -> Result<i64, Rejection> {
    let wanted = integer(member)?;
    if wanted > limit.into() {
        return Err(too_many(member, limit.into()));
    }
    Ok(wanted)
}

fn too_many(member: &Member<'_>, limit: usize) -> Rejection {
    let name = about(member);
    Rejection::new(Kind::InvalidSelection, format!("`{name}` asks for more than {limit} miners")).about(name)
}

fn uids(member: &Member<'_>, limit: usize) -> Result<Vec<i64>, Rejection> {
    let uids: Vec<i64> =
        serde_json::from_str(member.json).map_err(|_| invalid("uids", "must be a list of integers"))?;
    if uids.len() > limit {
        return Err(too_many(member, limit));
    }
    Ok(uids)
}

fn include_usage(member: &Member<'_>) -> Result<bool, Rejection> {
    match Loose::read(member.json) {
        Some(options @ Loose::Map(_)) => match options.get("include_usage")? {
            None => Ok(false),
            Some(Loose::Bool(wanted)) => Ok(*wanted),
            Some(_) => Err(invalid("stream_options.include_usage", "must be true or false")),
        },
        _ => Err(invalid("stream_options", "must be an object")),
    }
}

/// Checks the outer type of a known parameter, so that a mistake costs nobody a miner's work.
fn shape(member: &Member<'_>) -> Result<(), Rejection> {
    let (fits, expected) = match &*member.name {
        "temperature" | "top_p" | "frequency_penalty" | "presence_penalty" => (is_number(member.json), "a number"),
        "max_tokens" | "max_completion_tokens" | "seed" | "top_logprobs" => (is_integer(member.json), "an integer"),
        "logprobs" | "parallel_tool_calls" | "store" => (member.json == "true" || member.json == "false", "a boolean"),
        "tools" | "functions" | "modalities" => (member.json.starts_with('['), "a list"),
        "logit_bias" | "metadata" | "response_format" => (member.json.starts_with('{'), "an object"),
        "user" | "reasoning_effort" | "service_tier" => (member.json.starts_with('"'), "a string"),
        "stop" => (member.json.starts_with(['"', '[']), "a string or a list of strings"),
        _ => return Ok(()),
    };
    if fits { Ok(()) } else { Err(invalid(about(member), &format!("must be {expected}"))) }
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn is_integer(json: &str) -> bool {
    is_number(json) && !json.contains(['.', 'e', 'E'])
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
