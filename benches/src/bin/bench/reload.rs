//! What a changed configuration costs while the server serves: the time of one reload, and the latency of others.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use btvep_domain::Hotkey;

use crate::bars::Bar;
use crate::contender::{Contender, Mock};
use crate::error::{BenchError, Result};
use crate::keys::fill;
use crate::product::{FULL, Prepared, Product, Setup};
use crate::report::{Row, print};
use crate::rounds::Bench;
use crate::window::{decimal, median};

const SETUP: Setup =
    Setup { row: "reload", name: "btvep, everything on, 1,000 keys, 20 models, 1,024 neurons", ..FULL };
const KEYS: u32 = 1_000;
const MODELS: usize = 20;
const NEURONS: u16 = 1_024;

/// Reloads of an idle server whose times are told.
const RELOADS: usize = 20;

/// From one reload under load to the next.
const EACH: Duration = Duration::from_secs(1);

/// Measures reloads of an idle server, then the load with and without them in turns.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Vec<Bar>> {
    let product = Product::new(bench.arguments.product.as_ref())?;
    let prepared = product.prepare(SETUP, bench.folder, bench.mock)?;
    fill(&prepared.state, KEYS)?;
    enlarge(&prepared, bench.mock)?;
    let contender = product.start(&prepared, bench.folder)?;
    let socket = prepared.state.join("admin.sock");
    let mut times =
        (0..RELOADS).map(|_| reload(&socket).map(|time| time.as_secs_f64() * 1e3)).collect::<Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    for &connections in &bench.arguments.connections {
        let rows = rows(bench, &contender, (&socket, connections))?;
        print(&table(&rows, connections));
    }
    let longest = times.last().copied().unwrap_or_default();
    print(&format!(
        "One reload of {}: {:.1} ms, the longest of {RELOADS} {longest:.1} ms.\n",
        SETUP.name.trim_start_matches("btvep, everything on, "),
        median(times),
    ));
    Ok(Vec::new())
}

/// Adds models to the configuration, and neurons to the one that answers.
fn enlarge(prepared: &Prepared, mock: &Mock) -> Result<()> {
    let append = |path: PathBuf, text: String| {
        let opened = fs::OpenOptions::new().append(true).open(&path);
        opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(BenchError::file(path))
    };
    let model = |nth| format!("\n[[model]]\nid = \"bench-{nth}\"\nsubnet = \"mock\"\nprice = 1\n");
    append(prepared.file.clone(), (2..=MODELS).map(model).collect())?;
    let neuron = |uid: u16| {
        let mut hotkey = [0; 32];
        hotkey.iter_mut().zip(uid.to_be_bytes()).for_each(|(to, from)| *to = from);
        format!(
            "\n[[neuron]]\nuid = {uid}\nhotkey = \"{}\"\naxon = \"127.0.0.1:{}\"\nincentive = 1\n",
            Hotkey(hotkey),
            mock.port
        )
    };
    append(prepared.file.with_file_name("neurons.toml"), (1..NEURONS).map(neuron).collect())
}

/// Lets the server read its configuration anew; returns how long that took.
fn reload(socket: &Path) -> Result<Duration> {
    let begun = Instant::now();
    let mut answer = String::new();
    let exchange = |answer: &mut String| {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(
            b"POST /v1/config/reload HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )?;
        stream.read_to_string(answer)
    };
    exchange(&mut answer).map_err(BenchError::file(socket))?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(begun.elapsed());
    }
    Err(BenchError::Program { program: "POST /v1/config/reload".to_owned(), said: answer })
}

fn rows<'a>(bench: &Bench<'_>, contender: &'a Contender, (socket, connections): (&Path, u32)) -> Result<[Row<'a>; 2]> {
    let windows = bench.windows();
    let (mut without, mut with) = (Row::new(contender), Row::new(contender));
    bench.wrk.run(&contender.target, connections, 1)?;
    for round in 1..=bench.arguments.rounds {
        eprintln!("bench: reload, {connections} connections, round {round} of {}", bench.arguments.rounds);
        windows.quiet(&mut without, connections)?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reloading = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(EACH.saturating_sub(reload(socket)?));
                }
                Ok(())
            });
            let measured = windows.quiet(&mut with, connections);
            over.store(true, Ordering::Relaxed);
            let failed = |_| BenchError::Program { program: "reloading".to_owned(), said: "it panicked".to_owned() };
            reloading.join().map_err(failed)?.and(measured)
        })?;
    }
    Ok([without, with])
}

fn table(rows: &[Row<'_>; 2], connections: u32) -> String {
    let mut text = format!(
        "\n### Reloads, {connections} connections: {}\n\n| reloads | req/s | p50 / p99 ms | CPU µs/req |\n|---|--:|--:|--:|\n",
        SETUP.name
    );
    let [without, with] = rows;
    for (name, row) in [("none", without), ("one each second", with)] {
        // Writing into memory cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {:.2} / {:.2} | {:.1} |",
            row.median(|window| decimal(window.load.requests) / window.load.seconds),
            row.median(|window| window.load.p50),
            row.median(|window| window.load.p99),
            row.median(|window| window.cpu),
        );
    }
    let ratios = with.windows.iter().zip(&without.windows).map(|(with, without)| with.load.p99 / without.load.p99);
    let _ = writeln!(text, "\nThe p99 with a reload each second is {:.2} × that without.", median(ratios.collect()));
    text
}
