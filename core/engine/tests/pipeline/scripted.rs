//! A server on loopback that answers each request by a script, and tells when its client has left.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// What to answer.
pub(crate) enum Script {
    /// This status and JSON body.
    Whole(u16, String),
    /// A chunked event stream of these pieces as they come; the sender's end is the stream's end.
    Chunks(mpsc::UnboundedReceiver<String>),
    /// Nothing, ever.
    Hang,
}

/// The server; ends with the test's runtime.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    /// Told once for each request.
    pub(crate) asked: Arc<Notify>,
    /// Told once for each client that left before its answer was whole.
    pub(crate) left: Arc<Notify>,
}

impl Scripted {
    /// Starts a server that takes a fresh script for each request.
    pub(crate) async fn start(script: impl Fn(&str) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begun, told) = (Arc::clone(&asked), Arc::clone(&left));
        let script = Arc::new(move |body: &str| {
            begun.notify_one();
            script(body)
        });
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, Arc::clone(&script), Arc::clone(&told)));
            }
        });
        Self { address, asked, left }
    }
}

async fn converse(mut socket: TcpStream, script: Arc<impl Fn(&str) -> Script>, left: Arc<Notify>) {
    while let Some(body) = read_request(&mut socket).await {
        match script(&body) {
            Script::Whole(status, json) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    json.len()
                );
                if socket.write_all((head + &json).as_bytes()).await.is_err() {
                    return;
                }
            }
            Script::Chunks(mut pieces) => {
                let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                socket.write_all(head.as_bytes()).await.unwrap();
                loop {
                    let mut nothing = [0; 1];
                    tokio::select! {
                        piece = pieces.recv() => match piece {
                            Some(piece) => {
                                let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                                if socket.write_all(chunk.as_bytes()).await.is_err() {
                                    return left.notify_one();
                                }
                            }
                            None => break,
                        },
                        _ = socket.read(&mut nothing) => return left.notify_one(),
                    }
                }
                let _ = socket.write_all(b"0\r\n\r\n").await;
            }
            Script::Hang => {
                let mut nothing = [0; 1];
                let _ = socket.read(&mut nothing).await;
                return left.notify_one();
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut received = Vec::new();
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
            while received.len() < end + 4 + length {
                more(socket, &mut received).await?;
            }
            return Some(String::from_utf8_lossy(&received[end + 4..]).into_owned());
        }
        more(socket, &mut received).await?;
    }
}

async fn more(socket: &mut TcpStream, received: &mut Vec<u8>) -> Option<()> {
    let mut block = [0; 4096];
    let read = socket.read(&mut block).await.ok().filter(|read| *read > 0)?;
    received.extend_from_slice(&block[..read]);
    Some(())
}
