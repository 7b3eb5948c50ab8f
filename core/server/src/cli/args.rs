//! The arguments of every command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::key::KeyCommand;
use super::logs::LogsArgs;
use super::ratelimit::RatelimitCommand;

/// Shares access to Bittensor miners: an OpenAI-compatible endpoint with keys, limits and credits.
#[derive(Debug, Parser)]
#[command(name = "btvep", version, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Accepted after any subcommand and its arguments.
#[derive(Clone, Debug, Args)]
pub(super) struct Globals {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", env = "BTVEP_CONFIG", default_value = "conf/btvep.toml")]
    pub(super) config: PathBuf,
    /// Puts a value over the configuration's; TOML, else a string. Repeatable
    #[arg(long, global = true, value_name = "path.to.key=VALUE")]
    pub(super) set: Vec<String>,
    /// Prints exactly one JSON value
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serves until it is told to stop
    Start,
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Rate limits: those of one key, or the defaults in the configuration
    #[command(subcommand)]
    Ratelimit(RatelimitCommand),
    /// Requests, newest first
    Logs(LogsArgs),
    /// How one answer came about: filters, strategy, candidates, attempts, charge
    Explain {
        /// Its `x-request-id`
        request_id: String,
    },
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Miners that can be asked
    Miners(MinersArgs),
    /// Runs only the scripted miners and prints them
    Devnet(DevnetArgs),
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Prints a value, or all of them
    Get {
        /// Such as `filters.rate_limit.default`
        key: Option<String>,
    },
    /// Changes the file in place; comments stay, and only a valid result is written
    Set {
        /// Such as `filters.logging.content`
        key: String,
        /// TOML, else a string
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Does everything that `start` does before it listens
    Check,
    /// Prints the JSON schema of the file, for editors
    Schema,
    /// Prints the page that explains every key
    Reference,
    /// Shows which configuration the running server serves by, and what it refused
    Status,
    /// Lets the running server read its files again
    Reload,
    /// Shows the configurations that served last
    History,
    /// Puts one that served before in the place of the file; a running server serves by it
    Rollback {
        /// Its number, as `history` shows it
        number: u64,
    },
    /// Shows how a file that could take the place of the configuration differs from what serves
    Diff {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct MinersArgs {
    /// Only those that serve
    #[arg(long)]
    pub(super) serving: bool,
}

#[derive(Debug, Args)]
pub(super) struct DevnetArgs {
    /// How many miners
    #[arg(long, short)]
    pub(super) n: Option<u16>,
}

/// Returns every `--set`, also those before a subcommand when others stand behind it.
pub(super) fn every_set(arguments: &[OsString]) -> Vec<String> {
    let mut sets = Vec::new();
    let mut rest = arguments.iter().skip(1).map(|argument| argument.to_string_lossy()).take_while(|a| a != "--");
    while let Some(argument) = rest.next() {
        if argument == "--set" {
            sets.extend(rest.next().map(std::borrow::Cow::into_owned));
        } else if let Some(set) = argument.strip_prefix("--set=") {
            sets.push(set.to_owned());
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sets_before_and_behind_a_subcommand_add_up() {
        let arguments = ["btvep", "--set", "a=1", "key", "list", "--set=b=2"].map(OsString::from);
        assert_eq!(every_set(&arguments), ["a=1", "b=2"]);
    }
}
