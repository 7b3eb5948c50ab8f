//! Load: wrk with one thread, sending the same prompt over kept connections.

use std::fs;
use std::path::{Path, PathBuf};

use btvep_benches::exchange::{PATH, REQUEST};

use crate::error::{BenchError, Result};
use crate::process::pinned;

/// What wrk saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// Requests answered.
    pub(crate) requests: u64,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// Median latency in milliseconds.
    pub(crate) p50: f64,
    /// 99th percentile in milliseconds.
    pub(crate) p99: f64,
    /// Answers that were no 2xx or 3xx.
    pub(crate) refused: u64,
    /// Connections that broke, and answers that never came.
    pub(crate) failed: u64,
}

/// Where load goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    /// The key of every prompt.
    pub(crate) key: Option<String>,
    /// A file of keys, one a line, that the prompts take in turns instead.
    pub(crate) keys: Option<PathBuf>,
}

/// Makes load.
#[derive(Debug)]
pub(crate) struct Wrk {
    script: PathBuf,
    core: String,
}

impl Wrk {
    /// Writes the script that wrk runs; the key reaches it by the environment, which strangers do not see.
    pub(crate) fn new(folder: &Path, core: &str) -> Result<Self> {
        let script = folder.join("prompt.lua");
        let text = format!(
            r#"
local prompts, turn = {{}}, 0
local function add(key)
    if key then wrk.headers["Authorization"] = "Bearer " .. key end
    prompts[#prompts + 1] = wrk.format()
end
init = function(args)
    wrk.method = "POST"
    wrk.body = [==[{REQUEST}]==]
    wrk.headers["Content-Type"] = "application/json"
    local keys = os.getenv("BENCH_KEYS")
    if keys then
        for key in io.lines(keys) do add(key) end
    else
        add(os.getenv("BENCH_KEY"))
    end
end
request = function()
    turn = turn % #prompts + 1
    return prompts[turn]
end
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("BENCH %d %d %.1f %.1f %d %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
"#
        );
        fs::write(&script, text).map_err(BenchError::file(&script))?;
        Ok(Self { script, core: core.to_owned() })
    }

    /// Sends prompts for a while.
    pub(crate) fn run(&self, target: &Target, connections: u32, seconds: u32) -> Result<Load> {
        let mut command = pinned(&self.core, Path::new("wrk"));
        command
            .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "10s", "-s"])
            .arg(&self.script);
        command.arg(format!("http://127.0.0.1:{}{PATH}", target.port)).env_remove("BENCH_KEY");
        command.env_remove("BENCH_KEYS");
        if let Some(keys) = &target.keys {
            command.env("BENCH_KEYS", keys);
        } else if let Some(key) = &target.key {
            command.env("BENCH_KEY", key);
        }
        let output = command.output().map_err(|source| BenchError::Start { program: "wrk".to_owned(), source })?;
        let said = String::from_utf8_lossy(&output.stdout);
        parse(&said).ok_or_else(|| BenchError::Program { program: "wrk".to_owned(), said: said.into_owned() })
    }
}

fn parse(said: &str) -> Option<Load> {
    let line = said.lines().find_map(|line| line.strip_prefix("BENCH "))?;
    let mut fields = line.split(' ');
    let mut next = || fields.next()?.parse::<f64>().ok();
    let requests = next()?;
    let (seconds, p50, p99) = (next()? / 1e6, next()? / 1e3, next()? / 1e3);
    let (refused, failed) = (count(next()?), count(next()?));
    Some(Load { requests: count(requests), seconds, p50, p99, refused, failed })
}

/// Returns a count that was written as a decimal number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what counts is whole and not negative")]
pub(crate) const fn count(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_script_is_read() {
        let said = "Running 4s test\nBENCH 1000 4000000 512.0 1500.5 2 3\n";
        let load = Load { requests: 1000, seconds: 4.0, p50: 0.512, p99: 1.5005, refused: 2, failed: 3 };
        assert_eq!(parse(said), Some(load));
        assert_eq!(parse("wrk: no"), None);
    }
}
