//! Programs that run beside the harness, and end with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use btvep_benches::exchange::{PATH, REQUEST};

use crate::error::{BenchError, Result};

/// How long a contender may take until it answers a prompt.
const READY: Duration = Duration::from_secs(20);

/// How long a program may take to end when it is asked to.
const END: Duration = Duration::from_secs(40);

/// A running program; asked to end when dropped, and killed if it does not.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    /// Where its output goes.
    pub(crate) output: PathBuf,
}

/// Returns the command pinned to the cores, such as `0` or `0,1`.
pub(crate) fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cores).arg(program);
    command
}

impl Running {
    /// Starts a program whose output goes to a file in the folder.
    pub(crate) fn start(mut command: Command, name: &str, folder: &Path) -> Result<Self> {
        let output = folder.join(format!("{name}.out"));
        let file = File::create(&output).map_err(BenchError::file(&output))?;
        let again = file.try_clone().map_err(BenchError::file(&output))?;
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        let child = command.spawn().map_err(|source| BenchError::Start { program: name.to_owned(), source })?;
        Ok(Self { child, name: name.to_owned(), output })
    }

    /// Starts a program and returns the first line it prints.
    pub(crate) fn start_and_read(mut command: Command, name: &str, folder: &Path) -> Result<(Self, String)> {
        let output = folder.join(format!("{name}.err"));
        let file = File::create(&output).map_err(BenchError::file(&output))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let start = |source| BenchError::Start { program: name.to_owned(), source };
        let mut child = command.spawn().map_err(start)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(BenchError::file(&output))?;
        }
        Ok((Self { child, name: name.to_owned(), output }, line.trim().to_owned()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers a prompt with 200.
    pub(crate) fn answers(&mut self, port: u16, key: Option<&str>) -> Result<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = format!("{status}; its output is in {}", self.output.display());
                return Err(BenchError::Program { program: self.name.clone(), said });
            }
            if ask(port, key).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(BenchError::NotReady(self.name.clone(), self.output.clone()))
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Ok(None) = self.child.try_wait() {
            signal(self.pid(), "TERM")?;
        }
        self.ended()
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < END {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(BenchError::Program { program: self.name.clone(), said: "it did not end when asked to".to_owned() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.stop().is_err() {
            // Nothing is left to be done with a program that cannot even be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    sent.map(drop).map_err(|source| BenchError::Start { program: "kill".to_owned(), source })
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BenchError::file("127.0.0.1"))?;
    Ok(listener.local_addr().map_err(BenchError::file("127.0.0.1"))?.port())
}

/// Sends the prompt on a connection of its own and returns the whole answer.
pub(crate) fn ask(port: u16, key: Option<&str>) -> std::io::Result<String> {
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    let length = REQUEST.len();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\n{key}content-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    exchange(port, &format!("{head}{REQUEST}"))
}

/// Fetches a path and returns the whole answer.
pub(crate) fn get(port: u16, path: &str) -> std::io::Result<String> {
    exchange(port, &format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"))
}

/// Reads until the body is as long as its head says, or the connection ends.
fn exchange(port: u16, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        answer.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        if length == 0 || is_whole(&text) {
            return Ok(text.into_owned());
        }
    }
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}
