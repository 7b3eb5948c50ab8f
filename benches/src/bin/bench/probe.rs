//! System calls and context switches per request, in a short window of their own: counting calls slows the contender.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{BenchError, Result};
use crate::load::{Load, Wrk};
use crate::machine::{tree, usage};
use crate::process::{Running, signal};
use crate::report::Row;
use crate::window::decimal;

/// Until the counter has attached to every thread.
const ATTACHED: Duration = Duration::from_millis(500);

/// Per request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) calls: f64,
    pub(crate) switches: f64,
}

/// Counts for a row's contender under load. The switches come from a window without the counter of calls.
pub(crate) fn count(row: &mut Row<'_>, wrk: &Wrk, connections: u32, folder: &Path) -> Result<()> {
    let pid = row.contender.running.pid();
    let mut load = || {
        let load = wrk.run(&row.contender.target, connections, 1)?;
        row.note(&load, connections);
        Ok(load)
    };
    let before = usage(pid)?.switches;
    let requests = load()?.requests;
    let switches = usage(pid)?.switches.saturating_sub(before);
    let switches = decimal(switches) / decimal(requests.max(1));
    let pids: Vec<String> = tree(pid)?.iter().map(ToString::to_string).collect();
    let calls = if has_perf() { with_perf(&pids, load, folder)? } else { with_strace(&pids, load, folder)? };
    row.counts = Some(Counts { calls, switches });
    Ok(())
}

/// perf counts in the kernel and hardly disturbs; it needs root and trace points.
fn has_perf() -> bool {
    let output = Command::new("perf").args(["stat", "-e", "raw_syscalls:sys_enter", "-a", "true"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn with_perf(pids: &[String], load: impl FnMut() -> Result<Load>, folder: &Path) -> Result<f64> {
    let output = folder.join("perf.txt");
    let mut command = Command::new("perf");
    command.args(["stat", "-x", ";", "-e", "raw_syscalls:sys_enter", "-p", &pids.join(","), "-o"]).arg(&output);
    let (text, requests) = counted(command, "perf", load, (folder, &output))?;
    let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter")).unwrap_or_default();
    let calls = line.split(';').next().and_then(|count| count.parse::<f64>().ok());
    calls.map(|calls| calls / decimal(requests)).ok_or(BenchError::Missing("count of system calls", text))
}

fn with_strace(pids: &[String], load: impl FnMut() -> Result<Load>, folder: &Path) -> Result<f64> {
    let output = folder.join("strace.txt");
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-q", "-o"]).arg(&output);
    command.args(pids.iter().flat_map(|pid| ["-p", pid]));
    let (text, requests) = counted(command, "strace", load, (folder, &output))?;
    let line = text.lines().find(|line| line.ends_with(" total")).unwrap_or_default();
    // time, seconds, microseconds per call, calls, perhaps errors, the word
    let calls = line.split_whitespace().nth(3).and_then(|count| count.parse::<f64>().ok());
    calls.map(|calls| calls / decimal(requests)).ok_or(BenchError::Missing("count of system calls", text))
}

/// Runs the load while a counter is attached; returns what the counter wrote and how many requests there were.
fn counted(
    command: Command,
    name: &str,
    mut load: impl FnMut() -> Result<Load>,
    (folder, output): (&Path, &Path),
) -> Result<(String, u64)> {
    let mut counter = Running::start(command, name, folder)?;
    std::thread::sleep(ATTACHED);
    let load = load()?;
    signal(counter.pid(), "INT")?;
    counter.ended()?;
    let text = fs::read_to_string(output).map_err(BenchError::file(output))?;
    Ok((text, load.requests.max(1)))
}
