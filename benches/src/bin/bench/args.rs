use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures the product beside nginx and a plain Pingora, and fails when a bar is missed.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// What to measure; everything by default
    #[arg(value_enum)]
    pub(crate) parts: Vec<Part>,
    /// A smoke: one round of one second, no bars, whatever else the machine does
    #[arg(long)]
    pub(crate) quick: bool,
    /// Interleaved rounds; the medians are reported
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Seconds of one window
    #[arg(long, default_value_t = 4)]
    pub(crate) seconds: u32,
    /// Connections of the load, one table each
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64])]
    pub(crate) connections: Vec<u32>,
    /// The most of the machine that others may use in a window, in percent
    #[arg(long, default_value_t = 10.0)]
    pub(crate) other: f64,
    /// Rows to measure, of nginx, pingora, bare, full; all by default
    #[arg(long, value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// Keys of the large store
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) keys: u32,
    /// The product's program; by default `btvep` beside this one
    #[arg(long)]
    pub(crate) product: Option<PathBuf>,
    /// Where configurations, stores and outputs go; by default a folder that is deleted at the end
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The product beside nginx and a plain Pingora
    Rows,
    /// A runtime per core against work stealing
    Runtimes,
    /// Many keys against few
    Keys,
    /// Ten times more than the server takes
    Overload,
    /// A reload each second against none, and the time of one
    Reload,
}

impl Arguments {
    /// Reads the command line. A smoke is short and forgiving.
    pub(crate) fn read() -> Self {
        let mut arguments = Self::parse();
        if arguments.parts.is_empty() {
            arguments.parts = Part::value_variants().to_vec();
        }
        if arguments.quick {
            arguments.rounds = 1;
            arguments.seconds = 1;
            arguments.connections.truncate(1);
            arguments.other = 100.0;
            arguments.keys = arguments.keys.min(20_000);
        }
        arguments
    }

    /// Whether a row is wanted.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }
}
