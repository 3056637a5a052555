//! A model server that plays what it is told to each call.

use super::message::{Call, Finish, NUMBER, Refusal, When};
use super::peer::{Manners, Peer, Seen};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// Any stream.
const ANY: u32 = 0x7fff_ffff;

const REFUSED_STREAM: u32 = 7;

/// A call that came.
struct Came {
    number: u64,
    peer: Arc<Peer>,
    stream: u32,
    /// It was not looked at.
    refused: bool,
}

#[derive(Default)]
struct State {
    manners: Option<Manners>,
    plays: HashMap<u64, Call>,
    came: Vec<Came>,
    peers: Vec<Arc<Peer>>,
    playing: usize,
}

#[derive(Clone)]
pub struct Server {
    /// For the sidecar.
    pub addr: SocketAddr,
    /// For applications.
    pub direct: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub async fn start() -> Self {
        let state = Arc::default();
        let addr = Self::listen(&state, true).await;
        let direct = Self::listen(&state, false).await;
        Self {
            addr,
            direct,
            state,
        }
    }

    async fn listen(state: &Arc<Mutex<State>>, through: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::clone(state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manners = state.lock().unwrap().manners.clone().unwrap();
                let peer = Peer::new(manners, false);
                state.lock().unwrap().peers.push(Arc::clone(&peer));
                tokio::spawn(Arc::clone(&peer).run(stream, false));
                tokio::spawn(serve(Arc::clone(&state), peer, through));
            }
        });
        addr
    }

    pub fn behaves(&self, manners: Manners) {
        self.state.lock().unwrap().manners = Some(manners);
    }

    pub fn expect(&self, number: u64, call: Call) {
        self.state.lock().unwrap().plays.insert(number, call);
    }

    /// Whether nothing is played, and every call that came is over.
    pub fn is_quiet(&self) -> bool {
        let state = self.state.lock().unwrap();
        let over = |came: &Came| came.peer.is_over(came.stream);
        state.playing == 0 && state.came.iter().all(over)
    }

    /// Takes what came of a call: each time it was looked at.
    pub fn taken(&self, number: u64) -> Vec<Seen> {
        let mut state = self.state.lock().unwrap();
        state.plays.remove(&number);
        let (mine, others) = std::mem::take(&mut state.came)
            .into_iter()
            .partition(|came: &Came| came.number == number);
        state.came = others;
        let mine: Vec<Came> = mine;
        let looked_at = mine.iter().filter(|came| !came.refused);
        looked_at.map(|came| came.peer.seen(came.stream)).collect()
    }

    /// Ends the connections; the other side is told before.
    pub fn retire(&self) {
        for peer in &self.state.lock().unwrap().peers {
            peer.go_away(ANY);
        }
    }

    pub fn is_deserted(&self) -> bool {
        let peers = &self.state.lock().unwrap().peers;
        peers.iter().all(|peer| peer.has_ended())
    }

    /// What some other side has done wrong. Connections that have ended are forgotten.
    pub fn faults(&self) -> Vec<String> {
        let peers = &mut self.state.lock().unwrap().peers;
        let faults = peers.iter().filter_map(|peer| peer.fault()).collect();
        peers.retain(|peer| !peer.has_ended());
        faults
    }
}

async fn serve(state: Arc<Mutex<State>>, peer: Arc<Peer>, through: bool) {
    let mut known = 0;
    while let Some(stream) = peer.begun(known).await {
        known += 1;
        let head = peer.seen(stream).head.unwrap_or_default();
        let number = head.iter().find(|(name, _)| name == NUMBER);
        let number = number.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
        let mut locked = state.lock().unwrap();
        let number: u64 = number.unwrap_or_default();
        let Some(play) = locked.plays.get_mut(&number) else {
            peer.reset(stream, REFUSED_STREAM);
            continue;
        };
        let refusal = match peer.looks_at(stream) {
            true => play.refusal.take_if(|_| through),
            false => Some(Refusal::Stream),
        };
        let play = play.clone();
        locked.came.push(Came {
            number,
            peer: Arc::clone(&peer),
            stream,
            refused: refusal.is_some(),
        });
        match refusal {
            Some(Refusal::Stream) => peer.reset(stream, REFUSED_STREAM),
            Some(Refusal::Connection) => {
                // Only this call: others are under way.
                peer.go_away(stream.saturating_sub(2));
                peer.reset(stream, REFUSED_STREAM);
            }
            None => {
                locked.playing += 1;
                let (state, peer) = (Arc::clone(&state), Arc::clone(&peer));
                tokio::spawn(async move {
                    answer(&play, &peer, stream).await;
                    state.lock().unwrap().playing -= 1;
                });
            }
        }
    }
}

/// Plays an answer, and what follows it.
async fn answer(play: &Call, peer: &Peer, stream: u32) {
    match play.when {
        When::AfterRequest => peer.heard(stream, usize::MAX).await,
        When::After(bytes) => peer.heard(stream, bytes).await,
    }
    if play.last {
        peer.go_away(ANY);
    }
    let side = &play.answer;
    let ends = async {
        if play.ends_last {
            peer.heard(stream, usize::MAX).await;
        }
    };
    if play.headless {
        side.send(peer, stream, std::future::ready(())).await;
    } else if side.is_bare() {
        ends.await;
        peer.head(stream, &play.answer_head, &side.cut, true);
    } else {
        peer.head(stream, &play.answer_head, &side.cut, false);
        side.send(peer, stream, ends).await;
    }
    if side.finish == Finish::Hangup {
        peer.end();
    }
}
