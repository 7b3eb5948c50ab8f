//! The tables, as markdown.

use std::fmt::Write as _;

use crate::contender::Contender;
use crate::load::Load;
use crate::probe::Counts;
use crate::window::{Window, decimal, median};

/// All that was measured of a contender with one number of connections.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) contender: &'a Contender,
    /// One window of each round.
    pub(crate) windows: Vec<Window>,
    /// Windows that were thrown away because the machine was busy.
    pub(crate) thrown: u32,
    pub(crate) counts: Option<Counts>,
    /// Requests answered, in windows that count or not.
    pub(crate) answered: u64,
    /// Requests that were begun at the end of a window and may have been answered to nobody.
    pub(crate) cut: u64,
}

impl<'a> Row<'a> {
    /// Begins a row.
    pub(crate) const fn new(contender: &'a Contender) -> Self {
        Self { contender, windows: Vec::new(), thrown: 0, counts: None, answered: 0, cut: 0 }
    }

    /// Notes a load, for the books.
    pub(crate) fn note(&mut self, load: &Load, connections: u32) {
        self.answered += load.requests;
        self.cut += u64::from(connections);
    }

    /// Returns the median of something of the windows.
    pub(crate) fn median(&self, of: impl Fn(&Window) -> f64) -> f64 {
        median(self.windows.iter().map(of).collect())
    }

    /// Returns the median over the rounds of this row's CPU by that of another row in the same round.
    pub(crate) fn ratio(&self, other: &Row<'_>) -> f64 {
        median(self.windows.iter().zip(&other.windows).map(|(own, other)| own.cpu / other.cpu).collect())
    }
}

/// Returns a table of the rows.
pub(crate) fn table(rows: &[Row<'_>], connections: u32) -> String {
    let yardstick = rows.iter().find(|row| row.contender.row == "pingora");
    let mut text = format!(
        "\n### {connections} connections\n\n\
         | contender | what is on | req/s | p50 / p99 ms | CPU µs/req (least-most) | × plain Pingora | \
         system calls/req | switches/req | RSS MB idle / load | ready ms | other CPU % (thrown away) |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for row in rows {
        let ratio = yardstick.map_or_else(String::new, |yardstick| format!("{:.2}", row.ratio(yardstick)));
        let count = |of: fn(&Counts) -> f64| row.counts.as_ref().map_or_else(String::new, |c| format!("{:.2}", of(c)));
        let least = row.windows.iter().map(|window| window.cpu).fold(f64::MAX, f64::min);
        let most = row.windows.iter().map(|window| window.cpu).fold(0.0, f64::max);
        let other = row.windows.iter().map(|window| window.other).fold(0.0, f64::max);
        // Writing into memory cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.2} / {:.2} | {:.1} ({least:.1}-{most:.1}) | {ratio} | {} | {} | {:.1} / {:.1} | {} | {other:.0} ({}) |",
            row.contender.name,
            row.contender.on,
            row.median(|window| decimal(window.load.requests) / window.load.seconds),
            row.median(|window| window.load.p50),
            row.median(|window| window.load.p99),
            row.median(|window| window.cpu),
            count(|counts| counts.calls),
            count(|counts| counts.switches),
            megabytes(row.contender.idle),
            row.median(|window| megabytes(window.resident)),
            row.contender.ready.as_millis(),
            row.thrown,
        );
    }
    text
}

/// Prints what was found.
#[expect(clippy::print_stdout, reason = "the tables are what this program is for")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// Returns bytes as millions.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    decimal(bytes) / 1e6
}

/// Returns what must hold and whether it does.
pub(crate) fn verdict(bars: &[crate::bars::Bar]) -> String {
    let line =
        |bar: &crate::bars::Bar| format!("- {} {}\n", if bar.holds { "holds:" } else { "**missed:**" }, bar.text);
    bars.iter().map(line).collect()
}
