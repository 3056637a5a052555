//! The thread that owns the spool: whoever waits for the disk waits together.

use super::spool::{Batch, Spool, SpoolError};
use serinus_proto::v1;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Between two syncs at least; who comes meanwhile shares the next one.
const SYNC_EVERY: Duration = Duration::from_millis(50);

type Reply<T> = oneshot::Sender<T>;

enum Order {
    Append(Vec<v1::Outcome>, Reply<Result<(), SpoolError>>),
    Read(usize, Reply<io::Result<Batch>>),
    Release(Batch, Reply<io::Result<()>>),
    Close(Reply<()>),
}

/// Gives orders to the spool's thread, which ends when the last of these is gone or when it is told to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    orders: Sender<Order>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting_bytes: AtomicU64,
    arrived: Notify,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn start(spool: Spool) -> io::Result<Self> {
        let (orders, receive) = mpsc::channel();
        let state = Arc::new(State::default());
        state
            .waiting_bytes
            .store(spool.waiting_bytes(), Ordering::Relaxed);
        let shared = Arc::clone(&state);
        thread::Builder::new()
            .name("outcomes".to_owned())
            .spawn(move || work(spool, &receive, &shared))?;
        Ok(Self { orders, state })
    }

    /// Puts outcomes on disk.
    ///
    /// # Errors
    /// See [`SpoolError`]; none of them is kept then.
    pub async fn append(&self, items: Vec<v1::Outcome>) -> Result<(), SpoolError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Append(items, reply));
        sent.map_err(|_| SpoolError::Closed)?;
        answer.await.map_err(|_| SpoolError::Closed)?
    }

    /// The oldest outcomes on disk, at most `most`.
    ///
    /// # Errors
    /// What the system says.
    pub async fn read(&self, most: usize) -> io::Result<Batch> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Read(most, reply));
        sent.map_err(|_| io::Error::other(SpoolError::Closed))?;
        answer.await.map_err(io::Error::other)?
    }

    /// Forgets what was read.
    ///
    /// # Errors
    /// What the system says.
    pub async fn release(&self, batch: Batch) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Release(batch, reply));
        sent.map_err(|_| io::Error::other(SpoolError::Closed))?;
        answer.await.map_err(io::Error::other)?
    }

    /// Ends the thread. Everything that was appended is on disk then, and the files are closed.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.orders.send(Order::Close(reply)).is_ok() {
            // An error means that it has ended already.
            let _ = answer.await;
        }
    }

    /// Waits until outcomes have arrived since the last call.
    pub async fn arrival(&self) {
        self.state.arrived.notified().await;
    }

    /// Bytes on disk that the control plane has not answered.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.state.waiting_bytes.load(Ordering::Relaxed)
    }
}

fn work(mut spool: Spool, orders: &Receiver<Order>, state: &State) {
    let mut last_sync: Option<Instant> = None;
    let mut group = Vec::new();
    let closing = loop {
        let order = match due(&group, last_sync) {
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => orders.recv_timeout(wait),
        };
        match order {
            Ok(Order::Append(items, reply)) => match spool.append(&items) {
                Ok(()) => group.push(reply),
                Err(error) => answer(reply, Err(error)),
            },
            Ok(Order::Read(most, reply)) => answer(reply, spool.read(most)),
            Ok(Order::Release(batch, reply)) => {
                let released = spool.release(&batch);
                state
                    .waiting_bytes
                    .store(spool.waiting_bytes(), Ordering::Relaxed);
                answer(reply, released);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Order::Close(reply)) => break Some(reply),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
        if due(&group, last_sync) == Some(Duration::ZERO) {
            sync(&mut spool, &mut group, state);
            last_sync = Some(Instant::now());
        }
    };
    sync(&mut spool, &mut group, state);
    drop(spool);
    if let Some(reply) = closing {
        answer(reply, ());
    }
}

/// How long the group may still wait for others; `None` while there is no group.
fn due(group: &[Reply<Result<(), SpoolError>>], last_sync: Option<Instant>) -> Option<Duration> {
    if group.is_empty() {
        return None;
    }
    let since = last_sync.map_or(SYNC_EVERY, |last| last.elapsed());
    Some(SYNC_EVERY.saturating_sub(since))
}

fn sync(spool: &mut Spool, group: &mut Vec<Reply<Result<(), SpoolError>>>, state: &State) {
    if group.is_empty() {
        return;
    }
    let result = spool.sync();
    state
        .waiting_bytes
        .store(spool.waiting_bytes(), Ordering::Relaxed);
    for reply in group.drain(..) {
        let each = match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(SpoolError::Io(io::Error::new(
                error.kind(),
                error.to_string(),
            ))),
        };
        answer(reply, each);
    }
    state.arrived.notify_one();
}

/// Whoever asked may have gone.
fn answer<T>(reply: Reply<T>, value: T) {
    drop(reply.send(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(row: u32) -> v1::Outcome {
        v1::Outcome {
            prediction_id: "id".into(),
            metric: "accuracy".into(),
            value: 1.0,
            row,
        }
    }

    #[tokio::test]
    async fn many_senders_share_a_sync_and_all_is_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
        let writer = Writer::start(spool).unwrap();
        let mut senders = tokio::task::JoinSet::new();
        for row in 0..40 {
            let writer = writer.clone();
            senders.spawn(async move { writer.append(vec![outcome(row)]).await });
        }
        while let Some(sent) = senders.join_next().await {
            sent.unwrap().unwrap();
        }
        writer.arrival().await;
        // A second process would find them all, without this one closing anything.
        let (other, _) = Spool::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(other.read(100).unwrap().items.len(), 40);
        let batch = writer.read(100).await.unwrap();
        assert_eq!(batch.items.len(), 40);
        writer.release(batch).await.unwrap();
        assert!(writer.read(100).await.unwrap().items.is_empty());
        assert!(writer.append(vec![outcome(1)]).await.is_ok());
        assert!(writer.waiting_bytes() > 0);
    }

    #[tokio::test]
    async fn a_closed_spool_refuses_and_another_finds_everything() {
        let directory = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
        let writer = Writer::start(spool).unwrap();
        let (kept, ()) = tokio::join!(writer.append(vec![outcome(1)]), writer.close());
        kept.unwrap();
        let refused = writer.append(vec![outcome(2)]).await;
        assert!(matches!(refused, Err(SpoolError::Closed)));
        writer.close().await;
        let (other, _) = Spool::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(other.read(10).unwrap().items.len(), 1);
    }

    #[tokio::test]
    async fn a_full_spool_refuses_and_takes_again_later() {
        let directory = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(directory.path(), 100).unwrap();
        let writer = Writer::start(spool).unwrap();
        writer.append(vec![outcome(1), outcome(2)]).await.unwrap();
        let full = writer.append(vec![outcome(3), outcome(4)]).await;
        assert!(matches!(full, Err(SpoolError::Full { .. })));
        let batch = writer.read(10).await.unwrap();
        writer.release(batch).await.unwrap();
        writer.append(vec![outcome(3)]).await.unwrap();
    }
}
