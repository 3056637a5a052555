//! One sidecar, one scripted model server, and an application that calls either.

use super::head::Field;
use super::message::{Call, Case, Finish, NUMBER};
use super::peer::{Peer, Seen};
use super::server::Server;
use crate::sidecar::{Setup, Sidecar};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What both ends saw of one call.
#[derive(Debug)]
pub struct Observed {
    /// Every copy of it that the model server has looked at.
    pub requests: Vec<Seen>,
    pub answer: Seen,
}

pub struct World {
    pub runtime: Runtime,
    pub sidecar: Sidecar,
    pub server: Server,
    next: Cell<u64>,
}

impl World {
    pub fn start(scheme: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::start());
        let url = format!("{scheme}://{}", server.addr);
        let sidecar = Setup::new(&url, &url, 0.0).start();
        Self {
            runtime,
            sidecar,
            server,
            next: Cell::new(1),
        }
    }

    /// The same case at the model server itself, and through the sidecar.
    pub fn both(&self, case: &Case) -> Result<(Vec<Observed>, Vec<Observed>), String> {
        let direct = self.run(case, self.server.direct)?;
        let through = self.run(case, self.sidecar.addr)?;
        Ok((direct, through))
    }

    fn run(&self, case: &Case, addr: SocketAddr) -> Result<Vec<Observed>, String> {
        let side = match addr == self.server.direct {
            true => "direct",
            false => "through the sidecar",
        };
        let mut case = case.clone();
        let mut numbers = Vec::new();
        self.server.behaves(case.server.clone());
        for call in &mut case.calls {
            let number = self.next.replace(self.next.get() + 1);
            self.server.expect(number, call.clone());
            // Behind the pseudo-headers.
            let from = call.head.iter().take_while(|f| f.name.starts_with(':'));
            let from = from.count();
            let at = from + call.request.seed as usize % (call.head.len() - from + 1);
            call.head
                .insert(at, Field::new(NUMBER, format!("{number:08}")));
            numbers.push(number);
        }
        let all = async {
            let answers = converse(&case, addr).await?;
            while !(self.server.is_quiet() && self.sidecar.shared.local().connections == 0) {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            if case.fresh {
                // One may only just have been opened.
                self.server.retire();
                while !self.server.is_deserted() {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                    self.server.retire();
                }
            }
            Ok(answers)
        };
        let answers = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, all).await })
            .map_err(|_| format!("hangs {side}"))?;
        let answers = answers.map_err(|fault: String| format!("{fault} {side}"))?;
        if let Some(fault) = self.server.faults().pop() {
            return Err(format!("the model server gets {fault} {side}"));
        }
        let pairs = numbers.into_iter().zip(answers);
        Ok(pairs
            .map(|(number, answer)| Observed {
                requests: self.server.taken(number),
                answer,
            })
            .collect())
    }
}

async fn converse(case: &Case, addr: SocketAddr) -> Result<Vec<Seen>, String> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    let peer = Peer::new(case.client.clone(), true);
    let running = tokio::spawn(Arc::clone(&peer).run(tcp, true));
    peer.may_begin().await;
    let mut making = Vec::new();
    let mut answers = Vec::new();
    for (call, stream) in case.calls.iter().zip((1..).step_by(2)) {
        // In the order of their numbers.
        peer.head(
            stream,
            &call.head,
            &call.request.cut,
            call.request.is_bare(),
        );
        let made = make(call.clone(), Arc::clone(&peer), stream);
        match case.together {
            true => making.push(tokio::spawn(made)),
            false => answers.push(made.await),
        }
    }
    for made in making {
        answers.push(made.await.unwrap());
    }
    peer.end();
    let _ = running.await;
    match peer.fault() {
        Some(fault) => Err(format!("the application gets {fault}")),
        None => Ok(answers),
    }
}

/// The rest of a call whose head was sent.
async fn make(call: Call, peer: Arc<Peer>, stream: u32) -> Seen {
    let side = &call.request;
    if !side.is_bare() {
        let before_end = async {
            if call.gives_up_late {
                peer.heard(stream, 1).await;
            }
        };
        side.send(&peer, stream, before_end).await;
    }
    if side.finish == Finish::Hangup {
        peer.hang_up();
    }
    peer.heard(stream, usize::MAX).await;
    peer.seen(stream)
}
