//! Calls as the corpus describes them, and how they are sent.

use super::head::{Cut, Field};
use super::peer::{Manners, Peer};
use crate::message::content;

/// The header that says which answer belongs to a call.
pub const NUMBER: &str = "x-n";

/// How one side's part ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With the last frame that carries anything.
    OnLast,
    /// With an empty frame.
    Empty,
    Trailers(Vec<Field>),
    Reset(u32),
    /// With the whole connection.
    Hangup,
}

/// One side's part of a call.
#[derive(Clone, Debug)]
pub struct Side {
    pub cut: Cut,
    /// Lengths of gRPC messages.
    pub messages: Vec<usize>,
    /// Bytes of the frames, taken in turns; empty: as large as can be.
    pub pieces: Vec<usize>,
    /// Of the frames, taken in turns.
    pub padding: Vec<Option<u8>>,
    /// An empty frame stands before this one.
    pub empty_at: Option<usize>,
    pub finish: Finish,
    pub seed: u64,
}

impl Side {
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (seed, &length) in (self.seed..).zip(&self.messages) {
            body.push(0);
            body.extend(u32::try_from(length).unwrap().to_be_bytes());
            body.extend(content(seed, length));
        }
        body
    }

    /// Sends the part but for its head, which did not end the stream. `before_end` is waited for before the end. An end
    /// of the connection is left to the caller.
    pub async fn send(&self, peer: &Peer, stream: u32, before_end: impl Future<Output = ()>) {
        let body = self.body();
        let mut before_end = Some(before_end);
        let mut padding = self.padding.iter().cycle();
        // Large bodies in tiny frames would take for ever.
        let least = (body.len() / 64).max(1);
        let mut pieces = self.pieces.iter().map(|&piece| piece.max(least)).cycle();
        let mut rest = body.as_slice();
        let mut number = 0;
        while !rest.is_empty() {
            if self.empty_at == Some(number) {
                peer.data(stream, &[], None, false).await;
            }
            let size = pieces.next().unwrap_or(16_384).min(rest.len());
            let (piece, after) = rest.split_at(size);
            rest = after;
            let end = rest.is_empty() && self.finish == Finish::OnLast;
            if end && let Some(wait) = before_end.take() {
                wait.await;
            }
            let padding = padding.next().copied().flatten();
            if !peer.data(stream, piece, padding, end).await {
                return;
            }
            tokio::task::yield_now().await;
            number += 1;
        }
        if let Some(wait) = before_end.take() {
            wait.await;
        }
        match &self.finish {
            Finish::OnLast if !body.is_empty() => {}
            Finish::OnLast | Finish::Empty => {
                peer.data(stream, &[], None, true).await;
            }
            Finish::Trailers(fields) => peer.head(stream, fields, &Cut::default(), true),
            Finish::Reset(code) => peer.reset(stream, *code),
            Finish::Hangup => {}
        }
    }

    /// Whether the head is all there is.
    pub fn is_bare(&self) -> bool {
        self.messages.is_empty() && self.finish == Finish::OnLast
    }

    pub fn is_whole(&self) -> bool {
        !matches!(self.finish, Finish::Reset(_) | Finish::Hangup)
    }
}

/// When the answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    AfterRequest,
    /// When so many bytes of the request have come.
    After(usize),
}

/// What a model server does to the first attempt through the sidecar; the next one is answered. Nobody should notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Stream,
    Connection,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub head: Vec<Field>,
    pub request: Side,
    pub answer_head: Vec<Field>,
    pub answer: Side,
    pub when: When,
    /// The answer's end waits for the request's.
    pub ends_last: bool,
    /// The application gives up in the middle of the answer.
    pub gives_up_late: bool,
    /// The answer ends without having begun.
    pub headless: bool,
    pub refusal: Option<Refusal>,
    /// The server says that it takes no more streams, and answers this one.
    pub last: bool,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub client: Manners,
    pub server: Manners,
    pub calls: Vec<Call>,
    /// The calls are made at the same time.
    pub together: bool,
    /// The server's connections end with the case.
    pub fresh: bool,
}
