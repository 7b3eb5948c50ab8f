//! `btvep key`: makes, shows and changes API keys.

use btvep_control::{Client, Deleted, KeyChange, KeyPage, KeyView};
use btvep_domain::{ContentPolicy, Credits, KeyPolicy, ModerationMode, NewKey};
use clap::{ArgAction, Args, Subcommand};
use http::Method;
use jiff::Timestamp;

use super::args::Globals;
use super::connect;
use super::failure::Failure;
use super::output::{Output, or_dash, table};
use super::when;
use super::wish::{self, Rate, Wish};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a key; the secret is shown once
    Create(KeyFields),
    /// Shows all keys
    List,
    /// Shows a key with its credits
    Show {
        /// Its id
        id: String,
    },
    /// Changes what is given; the word `default` clears a setting
    Edit {
        /// Its id
        id: String,
        #[command(flatten)]
        fields: KeyFields,
    },
    /// Deletes a key with its account
    Delete {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct KeyFields {
    /// A name for it
    #[arg(long, short, value_parser = wish::text)]
    name: Option<Wish<String>>,
    /// When it expires: `in 1 month`, `December 2025`, `2025-01-01`, unix seconds; `false`, `-1` or `never`. UTC
    #[arg(
        long,
        alias = "valid_until",
        short = 'v',
        short_alias = 'u',
        value_name = "WHEN",
        allow_hyphen_values = true
    )]
    valid_until: Option<String>,
    /// Its balance, with up to six decimals, or `unlimited`
    #[arg(long, short, value_parser = wish::credits, allow_hyphen_values = true)]
    credits: Option<Wish<Credits>>,
    /// It may be used
    #[arg(long, short, action = ArgAction::SetTrue, conflicts_with = "disable")]
    enable: bool,
    /// It is refused
    #[arg(long, short, action = ArgAction::SetTrue)]
    disable: bool,
    /// At most TIMES requests in any SECONDS; repeatable. `none` for no limit
    #[arg(long, alias = "rate_limit", value_name = "TIMES/SECONDS", value_parser = wish::rate)]
    rate_limit: Vec<Rate>,
    /// Requests in flight at the same time
    #[arg(long, value_parser = wish::number::<u32>)]
    concurrency: Option<Wish<u32>>,
    /// The strategy when a request names none, such as `top_n:5` or `uids:1,2,3`
    #[arg(long, alias = "default_query_strategy", value_parser = wish::text)]
    default_query_strategy: Option<Wish<String>>,
    /// The most miners one request may ask
    #[arg(long, alias = "max_top_n", value_parser = wish::number::<u16>)]
    max_top_n: Option<Wish<u16>>,
    /// What the request log keeps of its prompts and answers: `meta`, `hash`, `full` or `none`
    #[arg(long, value_parser = wish::named::<ContentPolicy>)]
    content: Option<Wish<ContentPolicy>>,
    /// How its prompts are moderated: `off`, `monitor`, `fail_open` or `fail_closed`
    #[arg(long, value_parser = wish::named::<ModerationMode>)]
    moderation: Option<Wish<ModerationMode>>,
    /// It may ask how an answer came about, with the header `x-btvep-explain: 1`: `true` or `false`
    #[arg(long, value_name = "BOOL", value_parser = wish::boolean)]
    explain: Option<Wish<bool>>,
    /// Models it may use, divided by commas, or `all`
    #[arg(long, value_parser = wish::names)]
    models: Option<Wish<Vec<String>>>,
    /// Strategies it may name, divided by commas, or `all`
    #[arg(long, value_parser = wish::names)]
    strategies: Option<Wish<Vec<String>>>,
}

/// Carries out a command.
pub(super) async fn run(globals: &Globals, output: Output, command: KeyCommand) -> Result<(), Failure> {
    let client = connect::control(globals).await?;
    match command {
        KeyCommand::Create(fields) => {
            let created: KeyView = client.send(Method::POST, "/v1/keys", &fields.into_new(output)?).await?;
            if !output.is_json() {
                output.note("the key is shown this once; keep it");
            }
            output.json_value(&created)
        }
        KeyCommand::List => output.value(&every_key(&client).await?, |keys| keys_table(keys)),
        KeyCommand::Show { id } => output.json_value(&client.get::<KeyView>(&path(&id)).await?),
        KeyCommand::Edit { id, fields } => {
            let change = fields.into_change(output)?;
            output.json_value(&client.send::<KeyView>(Method::PATCH, &path(&id), &change).await?)
        }
        KeyCommand::Delete { id } => {
            let deleted: Deleted = client.delete(&path(&id)).await?;
            output.value(&deleted, |deleted| format!("deleted key {}", deleted.id))
        }
    }
}

/// Returns the route of a key; of a whole key the id alone, so that no secret travels on.
pub(super) fn path(id: &str) -> String {
    let id = id.strip_prefix("btvep_").and_then(|rest| rest.split('_').next()).unwrap_or(id);
    let plain: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    // An empty name would be the route of the list.
    if plain.is_empty() { "/v1/keys/_".to_owned() } else { format!("/v1/keys/{plain}") }
}

async fn every_key(client: &Client) -> Result<Vec<KeyView>, Failure> {
    let mut keys = Vec::new();
    let mut next = None;
    loop {
        let after = next.map(|id| format!("?after={id}")).unwrap_or_default();
        let page: KeyPage = client.get(&format!("/v1/keys{after}")).await?;
        keys.extend(page.keys);
        next = page.next;
        if next.is_none() {
            return Ok(keys);
        }
    }
}

fn keys_table(keys: &[KeyView]) -> String {
    let head =
        ["ID", "NAME", "ENABLED", "CREDITS", "HELD", "API REQUESTS", "MINERS ASKED", "VALID UNTIL", "RATE LIMITS"];
    table(
        head,
        keys.iter().map(|key| {
            [
                key.id.to_string(),
                or_dash(key.name.as_ref()),
                if key.enabled { "yes" } else { "no" }.to_owned(),
                key.credits.map_or_else(|| "unlimited".to_owned(), |credits| credits.to_string()),
                key.held.to_string(),
                key.api_request_count.to_string(),
                key.request_count.to_string(),
                key.valid_until.map_or_else(|| "never".to_owned(), when::shown),
                rules_text(key.rate_limits.as_deref()),
            ]
        }),
    )
}

fn rules_text(rules: Option<&[btvep_domain::RateRule]>) -> String {
    match rules {
        None => "default".to_owned(),
        Some([]) => "none".to_owned(),
        Some(rules) => {
            rules.iter().map(|rule| format!("{}/{}s", rule.times, rule.seconds)).collect::<Vec<_>>().join(" ")
        }
    }
}

impl KeyFields {
    #[expect(clippy::option_option, reason = "not given and never are different wishes")]
    fn expiry(&self, output: Output) -> Result<Option<Option<i64>>, Failure> {
        let Some(text) = &self.valid_until else {
            return Ok(None);
        };
        let until = when::parse_expiry(text, Timestamp::now())?;
        output.note(&format!("valid until {}", until.map_or_else(|| "it is deleted".to_owned(), when::shown)));
        Ok(Some(until))
    }

    fn into_new(self, output: Output) -> Result<NewKey, Failure> {
        let valid_until = self.expiry(output)?.flatten();
        let rate_limits = wish::rates(&self.rate_limit).map_err(Failure::new)?.and_then(Wish::into_option);
        Ok(NewKey {
            name: self.name.and_then(Wish::into_option),
            credits: self.credits.and_then(Wish::into_option),
            valid_until,
            disabled: self.disable,
            policy: KeyPolicy {
                rate_limits,
                concurrency: self.concurrency.and_then(Wish::into_option),
                default_query_strategy: self.default_query_strategy.and_then(Wish::into_option),
                models: self.models.and_then(Wish::into_option),
                strategies: self.strategies.and_then(Wish::into_option),
                max_top_n: self.max_top_n.and_then(Wish::into_option),
                content: self.content.and_then(Wish::into_option),
                moderation: self.moderation.and_then(Wish::into_option),
                explain: self.explain.and_then(Wish::into_option),
            },
        })
    }

    fn into_change(self, output: Output) -> Result<KeyChange, Failure> {
        let valid_until = self.expiry(output)?;
        let rate_limits = wish::rates(&self.rate_limit).map_err(Failure::new)?.map(Wish::into_option);
        let enabled = if self.enable || self.disable { Some(self.enable) } else { None };
        Ok(KeyChange {
            name: self.name.map(Wish::into_option),
            enabled,
            valid_until,
            credits: self.credits.map(Wish::into_option),
            rate_limits,
            concurrency: self.concurrency.map(Wish::into_option),
            default_query_strategy: self.default_query_strategy.map(Wish::into_option),
            max_top_n: self.max_top_n.map(Wish::into_option),
            models: self.models.map(Wish::into_option),
            strategies: self.strategies.map(Wish::into_option),
            content: self.content.map(Wish::into_option),
            moderation: self.moderation.map(Wish::into_option),
            explain: self.explain.map(Wish::into_option),
        })
    }
}
