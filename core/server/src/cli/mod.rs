//! The command line: what can be asked, and how it is answered.
//!
//! Every operation on keys, limits, rows and miners goes through the control plane's router: that of the running
//! server over `admin.sock`, or our own over the store when no server runs.

mod args;
mod config;
mod connect;
mod devnet;
mod explain;
mod failure;
mod key;
mod logs;
mod miners;
mod output;
mod ratelimit;
mod serving;
mod start;
mod when;
mod wish;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use failure::Failure;
use output::Output;

/// Runs the program as its arguments say.
pub fn run() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let mut cli = Cli::parse_from(&arguments);
    cli.globals.set = args::every_set(&arguments);
    let output = Output::new(cli.globals.json);
    match dispatch(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli, output: Output) -> Result<(), Failure> {
    let Cli { globals, command } = cli;
    match command {
        Command::Start => start::run(&globals, output),
        Command::Key(command) => block_on(key::run(&globals, output, command)),
        Command::Ratelimit(command) => block_on(ratelimit::run(&globals, output, command)),
        Command::Logs(arguments) => block_on(logs::run(&globals, output, arguments)),
        Command::Explain { request_id } => block_on(explain::run(&globals, output, &request_id)),
        Command::Config(command) => block_on(config::run(&globals, output, command)),
        Command::Miners(arguments) => block_on(miners::run(&globals, output, &arguments)),
        Command::Devnet(arguments) => block_on(devnet::run(&globals, output, &arguments)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "btvep", &mut script);
            output.raw(&script)
        }
    }
}

/// Runs an operation that is over soon, on this thread.
fn block_on(operation: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    crate::logging::init_quiet();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(operation)
}
