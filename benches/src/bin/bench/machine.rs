//! What Linux tells of processes and of the whole machine.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::error::{BenchError, Result};

/// Clock ticks per second of `/proc`: fixed by the kernel's interface, whatever its timer.
const TICKS: f64 = 100.0;

/// What a tree of processes has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of CPU, user and system.
    pub(crate) cpu: f64,
    /// Context switches, voluntary or not, of threads that are alive.
    pub(crate) switches: u64,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
}

/// Returns what a process and all its descendants have used.
pub(crate) fn usage(root: u32) -> Result<Usage> {
    let mut sum = Usage::default();
    for pid in tree(root)? {
        // One of them may have ended meanwhile; the root must not.
        let Some(cpu) = cpu_of(&pid.to_string()) else { continue };
        sum.cpu += cpu;
        sum.switches += switches(pid);
        sum.resident += resident(pid);
    }
    if sum.cpu == 0.0 && !Path::new(&format!("/proc/{root}")).exists() {
        return Err(BenchError::Program { program: format!("process {root}"), said: "it has ended".to_owned() });
    }
    Ok(sum)
}

/// Returns the process and all its descendants.
pub(crate) fn tree(root: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").map_err(BenchError::file("/proc"))?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = stat(&pid.to_string()).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

/// Returns the CPU seconds of this process and of its children that have ended.
pub(crate) fn own_cpu() -> f64 {
    let fields = stat("self").unwrap_or_default();
    ticks(&fields, 11..15)
}

/// Returns the CPU seconds that the machine was busy, all cores together, what its host took away among them.
pub(crate) fn busy() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").map_err(BenchError::file("/proc/stat"))?;
    let line = text.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; the rest is counted in user already.
    let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, steal, ..] = fields[..] else {
        return Err(BenchError::Missing("CPU times", line.to_owned()));
    };
    Ok((user + nice + system + irq + softirq + steal) / TICKS)
}

/// Returns how many cores the machine has.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the fields of `stat` from the state on: the name before it may hold spaces.
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn cpu_of(pid: &str) -> Option<f64> {
    Some(ticks(&stat(pid)?, 11..13))
}

fn ticks(fields: &[String], places: std::ops::Range<usize>) -> f64 {
    let fields = fields.get(places).unwrap_or_default();
    fields.iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn switches(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).unwrap_or_default();
    tasks.flatten().map(|task| numbers(&of_task(task), "ctxt_switches:")).sum()
}

fn resident(pid: u32) -> u64 {
    numbers(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmRSS:") * 1024
}

/// Sums the numbers of the lines whose name ends so.
fn numbers(status: &str, name: &str) -> u64 {
    let lines = status.lines().filter_map(|line| line.split_once(name));
    lines.filter_map(|(_, value)| value.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.resident > 100_000);
        assert!(busy().unwrap() > 0.0);
    }

    #[test]
    fn switches_of_both_kinds_are_summed() {
        let status = "Name:\tx\nVmRSS:\t     12 kB\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n";
        assert_eq!((numbers(status, "ctxt_switches:"), numbers(status, "VmRSS:")), (7, 12));
    }

    #[test]
    fn a_child_belongs_to_the_tree() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let found = tree(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id()));
    }
}
