//! Ten times more than the server takes: what still comes through, and how much memory it costs.

use std::fmt::Write as _;

use crate::bars::Bar;
use crate::contender::Contender;
use crate::error::Result;
use crate::product::{FULL, Product, Setup};
use crate::report::{Row, megabytes, print};
use crate::rounds::Bench;
use crate::window::{Window, Windows, decimal, median};

/// Connections that saturate the server, all of one key: a key alone gets four fifths of the cap, so there is a place for each.
const PEAK: u32 = 64;
const SETUP: Setup = Setup {
    row: "overload",
    name: "btvep, everything on, 100 requests in flight at most",
    more: "\n[overload]\nrequests = 100\n",
    ..FULL
};

/// How much more the overload is. The load asks again at once, whatever it was told.
const TIMES: u32 = 10;

/// The least that comes through under overload, as a part of the peak.
const GOODPUT: f64 = 0.9;

/// The most memory of one more connection, in bytes, in any round.
const CONNECTION_BYTES: f64 = 131_072.0;

/// Measures both loads in turns.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Vec<Bar>> {
    let product = Product::new(bench.arguments.product.as_ref())?;
    let prepared = product.prepare(SETUP, bench.folder, bench.mock)?;
    let contender = product.start(&prepared, bench.folder)?;
    let [peak, over] = rows(bench, &contender)?;
    print(&table(&peak, &over));
    Ok(bars(&peak, &over))
}

fn rows<'a>(bench: &Bench<'_>, contender: &'a Contender) -> Result<[Row<'a>; 2]> {
    let windows = Windows { may_refuse: true, ..bench.windows() };
    let (mut peak, mut over) = (Row::new(contender), Row::new(contender));
    bench.wrk.run(&contender.target, PEAK, 1)?;
    for round in 1..=bench.arguments.rounds {
        eprintln!("bench: overload, round {round} of {}", bench.arguments.rounds);
        windows.quiet(&mut peak, PEAK)?;
        windows.quiet(&mut over, PEAK * TIMES)?;
    }
    Ok([peak, over])
}

fn goodput(window: &Window) -> f64 {
    decimal(window.load.requests - window.load.refused) / window.load.seconds
}

fn table(peak: &Row<'_>, over: &Row<'_>) -> String {
    let mut text = format!(
        "\n### Overload: {}\n\n| connections | 200/s | 503/s | RSS MB |\n|--:|--:|--:|--:|\n",
        peak.contender.name
    );
    for (row, connections) in [(peak, PEAK), (over, PEAK * TIMES)] {
        // Writing into memory cannot fail.
        let _ = writeln!(
            text,
            "| {connections} | {:.0} | {:.0} | {:.1} |",
            row.median(goodput),
            row.median(|window| decimal(window.load.refused) / window.load.seconds),
            row.median(|window| megabytes(window.resident)),
        );
    }
    text
}

fn bars(peak: &Row<'_>, over: &Row<'_>) -> Vec<Bar> {
    let pairs = || over.windows.iter().zip(&peak.windows);
    let ratio = median(pairs().map(|(over, peak)| goodput(over) / goodput(peak)).collect());
    let more = pairs().map(|(over, peak)| over.resident.saturating_sub(peak.resident)).max().unwrap_or_default();
    let each = decimal(more) / f64::from(PEAK * (TIMES - 1));
    vec![
        Bar::new(
            ratio >= GOODPUT,
            format!("overload: {ratio:.2} of the peak's answers come through {TIMES} × the load, at least {GOODPUT}"),
        ),
        Bar::new(
            each <= CONNECTION_BYTES,
            format!("overload: {each:.0} bytes of memory for each connection more, at most {CONNECTION_BYTES:.0}"),
        ),
    ]
}
