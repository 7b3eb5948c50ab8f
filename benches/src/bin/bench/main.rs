//! Measures the product beside nginx and a plain Pingora; see `benches/README.md` for the method.

mod args;
mod bars;
mod books;
mod contender;
mod error;
mod keys;
mod load;
mod machine;
mod overload;
mod probe;
mod process;
mod product;
mod reload;
mod report;
mod rounds;
mod runtimes;
mod window;

use std::path::Path;
use std::process::ExitCode;

use args::{Arguments, Part};
use bars::Bar;
use books::Books;
use contender::{Contender, LOAD_CORE, Mock};
use error::{BenchError, Result};
use load::Wrk;
use product::{BARE, FULL, Prepared, Product};
use report::print;
use rounds::Bench;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let temporary = std::env::temp_dir().join(format!("btvep-bench-{}", std::process::id()));
    let folder = arguments.folder.as_ref().unwrap_or(&temporary);
    let result = run(&arguments, folder);
    if arguments.folder.is_none() && result.is_ok() {
        // A folder that cannot be deleted is left to the system.
        let _ = std::fs::remove_dir_all(folder);
    }
    match result {
        Ok(bars) => verdict(&bars, arguments.quick),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments, folder: &Path) -> Result<Vec<Bar>> {
    std::fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
    let mock = Mock::start(folder, LOAD_CORE)?;
    let wrk = Wrk::new(folder, LOAD_CORE)?;
    let bench = Bench { arguments, folder, mock: &mock, wrk: &wrk };
    let mut bars = Vec::new();
    for part in &arguments.parts {
        bars.extend(told(match part {
            Part::Rows => rows(&bench)?,
            Part::Runtimes => runtimes(&bench)?,
            Part::Keys => many_keys(&bench)?,
            Part::Overload => overload::measure(&bench)?,
            Part::Reload => reload::measure(&bench)?,
        }));
    }
    Ok(bars)
}

/// Prints what holds as soon as it is known: a later part may end the bench.
fn told(bars: Vec<Bar>) -> Vec<Bar> {
    print(&report::verdict(&bars));
    bars
}

/// The main table, once for each number of connections.
fn rows(bench: &Bench<'_>) -> Result<Vec<Bar>> {
    let mut contenders = yardsticks(bench)?;
    let mut full = None;
    for setup in [BARE, FULL] {
        if bench.arguments.wants(setup.row) {
            let product = Product::new(bench.arguments.product.as_ref())?;
            let prepared = product.prepare(setup, bench.folder, bench.mock)?;
            contenders.push(product.start(&prepared, bench.folder)?);
            full = setup.full.then_some((product, prepared));
        }
    }
    let mut bars = Vec::new();
    let (mut answered, mut cut) = (0, 0);
    for &connections in &bench.arguments.connections {
        let rows = bench.rounds(&contenders, connections)?;
        print(&report::table(&rows, connections));
        bars.extend(bars::of_rows(&rows, connections));
        if let Some(row) = rows.iter().find(|row| row.contender.row == FULL.row) {
            answered += row.answered;
            cut += row.cut;
        }
    }
    if let Some((product, prepared)) = full {
        bars.extend(books(bench, (&product, &prepared), contenders, (answered, cut))?.bars());
    }
    Ok(bars)
}

fn yardsticks(bench: &Bench<'_>) -> Result<Vec<Contender>> {
    let Bench { arguments, folder, mock, .. } = *bench;
    let mut contenders = Vec::new();
    if arguments.wants("nginx") {
        contenders.push(contender::nginx(folder, mock)?);
    }
    if arguments.wants("pingora") {
        contenders.push(contender::pingora(folder, mock)?);
    }
    Ok(contenders)
}

/// Closes everything and compares what client, miner, ledger and log say.
fn books(
    bench: &Bench<'_>,
    (product, prepared): (&Product, &Prepared),
    contenders: Vec<Contender>,
    (answered, cut): (u64, u64),
) -> Result<Books> {
    let asked_alone: u64 = contenders.iter().filter(|c| c.row == FULL.row).map(|c| c.asked).sum();
    for mut contender in contenders {
        contender.running.stop()?;
    }
    let account = product.account(prepared)?;
    let credits = |name: &'static str| {
        let value = account.get(name).and_then(serde_json::Value::as_f64).map(load::count);
        value.ok_or(BenchError::Missing(name, account.to_string()))
    };
    Ok(Books {
        answered: answered + asked_alone,
        cut,
        seen: bench.mock.seen()?,
        credits: credits("credits")?,
        held: credits("held")?,
        charges: books::charges(&prepared.state)?,
        rows: books::rows(&prepared.state)?,
    })
}

fn runtimes(bench: &Bench<'_>) -> Result<Vec<Bar>> {
    let contenders = runtimes::contenders(bench, &Product::new(bench.arguments.product.as_ref())?)?;
    for &connections in &bench.arguments.connections {
        print(&report::table(&bench.rounds(&contenders, connections)?, connections));
    }
    Ok(Vec::new())
}

fn many_keys(bench: &Bench<'_>) -> Result<Vec<Bar>> {
    let contenders = keys::contenders(bench, &Product::new(bench.arguments.product.as_ref())?)?;
    let connections = bench.arguments.connections.first().copied().unwrap_or(16);
    let rows = bench.rounds(&contenders, connections)?;
    print(&report::table(&rows, connections));
    Ok(keys::bars(&rows, bench.arguments.keys))
}

fn verdict(bars: &[Bar], quick: bool) -> ExitCode {
    let missed = bars.iter().filter(|bar| !bar.holds).count();
    if missed == 0 || quick {
        return ExitCode::SUCCESS;
    }
    eprintln!("bench: {missed} of {} bars are missed", bars.len());
    ExitCode::FAILURE
}
