//! A model server that records exactly the bytes it gets, and plays exactly the bytes it is told.

use crate::message::Message;
use crate::raw::{Reader, Seen};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The header that says which answer belongs to a request.
pub const NUMBER: &str = "X-N";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    AfterRequest,
    /// Before the body was read.
    AfterHead,
}

/// What follows the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Kept,
    Close,
    /// Only so many bytes of it come.
    Cut {
        at: usize,
        reset: bool,
    },
}

impl End {
    pub fn is_reset(self) -> bool {
        matches!(self, Self::Cut { reset: true, .. })
    }
}

#[derive(Clone, Debug)]
pub struct Play {
    pub interim: Vec<Message>,
    pub answer: Message,
    pub when: When,
    pub end: End,
    /// Sizes of the writes, taken in turns; empty: all at once.
    pub pieces: Vec<usize>,
    pub to_head: bool,
}

impl Play {
    pub fn bytes(&self) -> Vec<u8> {
        let interim = self.interim.iter().flat_map(Message::bytes);
        let mut bytes: Vec<u8> = interim.collect();
        let empty = self.to_head || self.answer.start.split(' ').nth(1) == Some("304");
        bytes.extend(match empty {
            true => self.answer.bytes_without_body(),
            false => self.answer.bytes(),
        });
        if let End::Cut { at, .. } = self.end {
            bytes.truncate(at);
        }
        bytes
    }
}

#[derive(Default)]
struct State {
    plays: Mutex<HashMap<u64, Play>>,
    seen: Mutex<Vec<(u64, Seen)>>,
    active: AtomicUsize,
    /// Connections that have ended on the listener for applications.
    ended: AtomicUsize,
}

#[derive(Clone)]
pub struct Scripted {
    /// For the sidecar.
    pub addr: SocketAddr,
    /// For applications, so that their connections can be told apart.
    pub direct: SocketAddr,
    state: Arc<State>,
}

impl Scripted {
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let addr = Self::listen(&state, false).await;
        let direct = Self::listen(&state, true).await;
        Self {
            addr,
            direct,
            state,
        }
    }

    async fn listen(state: &Arc<State>, direct: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::clone(state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    state.serve(stream).await;
                    state.ended.fetch_add(usize::from(direct), Ordering::SeqCst);
                });
            }
        });
        addr
    }

    /// How many connections of applications have ended.
    pub fn ended(&self) -> usize {
        self.state.ended.load(Ordering::SeqCst)
    }

    pub fn expect(&self, number: u64, play: Play) {
        self.state.plays.lock().unwrap().insert(number, play);
    }

    /// Whether nothing is being read or played.
    pub fn is_idle(&self) -> bool {
        self.state.active.load(Ordering::SeqCst) == 0
    }

    /// Takes everything that came with this number.
    pub fn taken(&self, number: u64) -> Vec<Seen> {
        self.state.plays.lock().unwrap().remove(&number);
        let mut seen = self.state.seen.lock().unwrap();
        let (mine, others) = seen.drain(..).partition(|(n, _)| *n == number);
        *seen = others;
        let mine: Vec<(u64, Seen)> = mine;
        mine.into_iter().map(|(_, seen)| seen).collect()
    }

    /// What came with numbers that nobody has asked for.
    pub fn left(&self) -> Vec<(u64, Seen)> {
        std::mem::take(&mut *self.state.seen.lock().unwrap())
    }
}

impl State {
    async fn serve(&self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let mut reader = Reader::new(read);
        loop {
            // Not idle from the first byte on.
            if reader.rest().is_empty() && !reader.more().await {
                return;
            }
            self.active.fetch_add(1, Ordering::SeqCst);
            let end = self.exchange(&mut reader, &mut write).await;
            self.active.fetch_sub(1, Ordering::SeqCst);
            match end {
                Some(End::Kept) => {}
                Some(End::Cut { reset: true, .. }) => {
                    let stream = reader.into_inner().reunite(write).unwrap();
                    stream.set_zero_linger().unwrap();
                    return;
                }
                _ => return,
            }
        }
    }

    async fn exchange<R, W>(&self, reader: &mut Reader<R>, write: &mut W) -> Option<End>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let head = reader.head().await?;
        let number = head.first(NUMBER)?.parse().ok()?;
        let play = self.plays.lock().unwrap().get(&number).cloned()?;
        let bytes = play.bytes();
        match play.when {
            When::AfterHead => write_in_pieces(write, &bytes, &play.pieces).await,
            When::AfterRequest if head.first("expect").is_some() => {
                write_in_pieces(write, b"HTTP/1.1 100 Continue\r\n\r\n", &[]).await;
            }
            When::AfterRequest => {}
        }
        let framing = head.request_framing();
        let seen = reader.message(head, framing).await;
        let whole = seen.whole;
        self.seen.lock().unwrap().push((number, seen));
        if play.when == When::AfterRequest && whole {
            write_in_pieces(write, &bytes, &play.pieces).await;
        }
        whole.then_some(play.end)
    }
}

/// Writes in pieces, so that the other side may see any part first. A peer that has gone is no failure here.
pub async fn write_in_pieces<W: AsyncWrite + Unpin>(write: &mut W, bytes: &[u8], pieces: &[usize]) {
    let mut rest = bytes;
    // Large messages in tiny pieces would take for ever.
    let least = bytes.len() / 64;
    let sizes = pieces.iter().map(|&size| size.max(least).max(1));
    for size in sizes.cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, next) = rest.split_at(size.min(rest.len()));
        if write.write_all(piece).await.is_err() || write.flush().await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
        rest = next;
    }
    let _ = write.write_all(rest).await;
}
