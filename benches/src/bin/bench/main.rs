//! Measures the product beside nginx and a plain Pingora; see `benches/README.md` for the method.

mod args;
mod bars;
mod contender;
mod error;
mod load;
mod machine;
mod probe;
mod process;
mod report;
mod window;

use std::path::Path;
use std::process::ExitCode;

use args::Arguments;
use bars::Bar;
use contender::{Contender, LOAD_CORE, Mock};
use error::{BenchError, Result};
use load::Wrk;
use report::Row;
use window::Windows;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let folder = arguments
        .folder
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("btvep-bench-{}", std::process::id())));
    let result = run(&arguments, &folder);
    if arguments.folder.is_none() && result.is_ok() {
        // A folder that cannot be deleted is left to the system.
        let _ = std::fs::remove_dir_all(&folder);
    }
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the tables are what this program is for")]
fn run(arguments: &Arguments, folder: &Path) -> Result<bool> {
    std::fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
    let mock = Mock::start(folder, LOAD_CORE)?;
    let wrk = Wrk::new(folder, LOAD_CORE)?;
    let contenders = start(arguments, folder, &mock)?;
    let mut bars = Vec::new();
    for &connections in &arguments.connections {
        let rows = measure(arguments, (&contenders, &mock, &wrk), connections, folder)?;
        println!("{}", report::table(&rows, connections));
        bars.extend(bars::of_rows(&rows, connections));
    }
    println!("{}", report::verdict(&bars));
    Ok(arguments.quick || bars.iter().all(|bar: &Bar| bar.holds))
}

fn start(arguments: &Arguments, folder: &Path, mock: &Mock) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    if arguments.wants("nginx") {
        contenders.push(contender::nginx(folder, mock)?);
    }
    if arguments.wants("pingora") {
        contenders.push(contender::pingora(folder, mock)?);
    }
    Ok(contenders)
}

/// Measures all contenders in turns, so that what the machine does in the meantime meets all of them.
fn measure<'a>(
    arguments: &Arguments,
    (contenders, mock, wrk): (&'a [Contender], &Mock, &Wrk),
    connections: u32,
    folder: &Path,
) -> Result<Vec<Row<'a>>> {
    let windows = Windows { wrk, mock, seconds: arguments.seconds, other: arguments.other };
    let row = |contender| Row { contender, windows: Vec::new(), thrown: 0, counts: None };
    let mut rows: Vec<Row<'a>> = contenders.iter().map(row).collect();
    for row in &rows {
        // Connections, buffers and caches come into being.
        wrk.run(&row.contender.target, connections, 1)?;
    }
    for round in 1..=arguments.rounds {
        eprintln!("bench: {connections} connections, round {round} of {}", arguments.rounds);
        for row in &mut rows {
            let (window, thrown) = windows.quiet(row.contender, connections)?;
            row.windows.push(window);
            row.thrown += thrown;
        }
    }
    for row in &mut rows {
        row.counts = Some(probe::count(row.contender, wrk, connections, folder)?);
    }
    Ok(rows)
}
