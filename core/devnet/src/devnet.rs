use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use btvep_domain::{ConfigError, DuplicateUid, Hotkey, Incentive, Metagraph, MetagraphSource, NetUid, Neuron, Uid};
use btvep_protocol::signer::{Signer, SignerError};
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};

use crate::btauth::Replays;
use crate::miner::{Miner, now_ns};
use crate::record::Record;
use crate::synapse::Lanes;
use crate::{Asked, Behaviour, DevnetConfig, MinerPython, accept};

/// Uids whose incentives run backwards, so that nothing can mistake the order of uids for that of incentives.
const GROUP: u16 = 4;

/// Why the devnet does not start.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No port, or no thread.
    #[error("the devnet's miners cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
    /// A key could not be derived.
    #[error("a miner's key cannot be derived: {0}")]
    Key(#[from] SignerError),
    /// The metagraph could not be built.
    #[error(transparent)]
    Metagraph(#[from] DuplicateUid),
}

/// Running miners; they stop when it is dropped.
#[derive(Debug)]
pub struct Devnet {
    metagraph: Arc<Metagraph>,
    miners: Vec<Arc<Miner>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Devnet {
    /// Starts the miners on a thread of their own; when it returns they accept connections.
    ///
    /// # Errors
    ///
    /// The configuration cannot be used, or the system gives no port or thread.
    pub fn start(config: &DevnetConfig, netuid: NetUid) -> Result<Self, DevnetError> {
        config.validate("devnet")?;
        let config = Arc::new(config.clone());
        let replays = Arc::new(Mutex::new(Replays::default()));
        let (mut miners, mut listeners, mut neurons) = (Vec::new(), Vec::new(), Vec::new());
        for uid in 0..config.miners {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let hotkey = Signer::from_uri(&format!("//Devnet/{uid}"))?.hotkey();
            let at = listener.local_addr()?;
            neurons.push(neuron(&config, uid, hotkey, at));
            miners.push(Arc::new(miner(&config, uid, hotkey, at, &replays)));
            listeners.push(listener);
        }
        let read_at_ms = i64::try_from(now_ns() / 1_000_000).unwrap_or(i64::MAX);
        let metagraph = Arc::new(Metagraph::new(netuid, 0, read_at_ms, neurons)?);
        let (stop, stopped) = oneshot::channel();
        let thread = spawn(miners.clone(), listeners, stopped)?;
        Ok(Self { metagraph, miners, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the neurons, every one of them a serving miner.
    pub fn metagraph(&self) -> Arc<Metagraph> {
        Arc::clone(&self.metagraph)
    }

    /// Returns the newest requests of a miner, oldest first; empty unless `record` is configured.
    pub fn asked(&self, uid: Uid) -> Vec<Asked> {
        self.miner(uid).map(|miner| miner.record.asked()).unwrap_or_default()
    }

    /// Returns how many requests a miner has had, refused ones among them.
    pub fn count(&self, uid: Uid) -> u64 {
        self.miner(uid).map_or(0, |miner| miner.record.count())
    }

    /// Waits until a miner's requests are as wanted, and returns them; none when they are not by the deadline.
    pub async fn until(&self, uid: Uid, wanted: impl Fn(&[Asked]) -> bool, deadline: Duration) -> Option<Vec<Asked>> {
        self.miner(uid)?.record.until(wanted, deadline).await
    }

    /// Lets a gated miner say so many words more.
    pub fn release(&self, uid: Uid, words: usize) {
        if let Some(miner) = self.miner(uid) {
            miner.gate.add_permits(words);
        }
    }

    fn miner(&self, uid: Uid) -> Option<&Arc<Miner>> {
        self.miners.get(usize::from(uid.0))
    }
}

impl MetagraphSource for Devnet {
    fn newest(&self) -> Option<Arc<Metagraph>> {
        Some(self.metagraph())
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

fn spawn(
    miners: Vec<Arc<Miner>>,
    listeners: Vec<TcpListener>,
    stopped: oneshot::Receiver<()>,
) -> Result<JoinHandle<()>, DevnetError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listeners = {
        let _inside = runtime.enter();
        listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<Result<Vec<_>, _>>()?
    };
    let serve = move || {
        runtime.block_on(async {
            for (miner, listener) in miners.into_iter().zip(listeners) {
                tokio::spawn(accept::serve(miner, listener));
            }
            // Ends when the sender is dropped; the runtime then drops every connection.
            let _ = stopped.await;
        });
    };
    Ok(thread::Builder::new().name("devnet".to_owned()).spawn(serve)?)
}

fn miner(config: &Arc<DevnetConfig>, uid: u16, hotkey: Hotkey, at: SocketAddr, replays: &Arc<Mutex<Replays>>) -> Miner {
    Miner {
        uid,
        address: hotkey.to_string(),
        at,
        behaviour: behaviour(config, uid),
        python: of_uid(&config.pythons, uid).unwrap_or(MinerPython::V3_11).into(),
        config: Arc::clone(config),
        lanes: Mutex::new(Lanes::default()),
        replays: Arc::clone(replays),
        record: Arc::new(Record::new(config.record)),
        gate: Arc::new(Semaphore::new(0)),
        answers: AtomicU64::new(0),
    }
}

fn behaviour(config: &DevnetConfig, uid: u16) -> Behaviour {
    of_uid(&config.behaviours, uid).unwrap_or(Behaviour::Echo)
}

/// Returns the uid's item of a list that begins again at its end.
fn of_uid<T: Copy>(list: &[T], uid: u16) -> Option<T> {
    list.iter().copied().cycle().nth(usize::from(uid))
}

fn neuron(config: &DevnetConfig, uid: u16, hotkey: Hotkey, at: SocketAddr) -> Neuron {
    let draw = scatter(config.seed ^ u64::from(uid) << 32);
    Neuron {
        uid: Uid(uid),
        hotkey,
        coldkey: coldkey(config.seed, uid),
        axon: Some(at),
        incentive: incentive(config.miners, uid),
        // 1 to 1,000 TAO.
        stake: 1_000_000_000 + draw % 999_000_000_000,
        validator_permit: false,
        active: true,
        name: Some(format!("devnet {uid}").into()),
        description: Some(format!("scripted miner: {}", text_of(behaviour(config, uid))).into()),
        tags: config.protocols.iter().map(|speech| speech.name().into()).collect(),
    }
}

/// Returns the incentive: its rank counts down within each group of uids, and falls from group to group.
fn incentive(miners: u16, uid: u16) -> Incentive {
    let rank = uid / GROUP * GROUP + (GROUP - 1 - uid % GROUP);
    let places = miners.next_multiple_of(GROUP);
    let share = u32::from(u16::MAX) * u32::from(places - rank) / u32::from(places) / 2;
    Incentive(u16::try_from(share).unwrap_or(u16::MAX))
}

/// Returns a coldkey that owns four miners, as owners do; nobody has its secret.
fn coldkey(seed: u64, uid: u16) -> Hotkey {
    let mut bytes = [0; 32];
    for (place, chunk) in (0_u64..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&scatter(seed ^ u64::from(uid / GROUP) << 8 ^ place).to_le_bytes());
    }
    Hotkey(bytes)
}

/// Spreads a number over all 64 bits (the finaliser of `SplitMix64`).
const fn scatter(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

fn text_of(behaviour: Behaviour) -> String {
    format!("{behaviour:?}").to_lowercase()
}

#[cfg(test)]
mod tests;
