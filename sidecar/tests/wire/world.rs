//! One sidecar, one scripted model server, and an application that talks to either.

use crate::message::Message;
use crate::raw::{Reader, Seen};
use crate::script::{End, NUMBER, Play, Scripted, When, write_in_pieces};
use crate::sidecar::{Setup, Sidecar};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Runtime;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Message,
    pub play: Play,
    /// The body waits for `100 Continue`.
    pub expects: bool,
}

/// How the application's last request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    AfterAnswer,
    /// It sends nothing more, and reads on.
    HalfClose,
    /// After so many bytes of its last request.
    Cut {
        at: usize,
        reset: bool,
    },
}

#[derive(Clone, Debug)]
pub struct Case {
    pub exchanges: Vec<Exchange>,
    pub pipelined: bool,
    pub leave: Leave,
    pub pieces: Vec<usize>,
}

/// What both ends saw of one exchange.
#[derive(Debug)]
pub struct Observed {
    /// Every copy of the request that reached the model server.
    pub requests: Vec<Seen>,
    pub interim: Vec<Seen>,
    pub answer: Option<Seen>,
}

pub struct World {
    pub runtime: Runtime,
    pub sidecar: Sidecar,
    pub upstream: Scripted,
    next: Cell<u64>,
}

struct Connection {
    reader: Reader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Connection {
    async fn open(addr: SocketAddr, opened: &Cell<usize>) -> Self {
        opened.set(opened.get() + 1);
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (read, write) = stream.into_split();
        Self {
            reader: Reader::new(read),
            write,
        }
    }
}

fn says_close(seen: &Seen) -> bool {
    let named = seen.head.all("connection").any(|value| {
        value
            .split(|&b| b == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
    });
    named || seen.head.start.starts_with(b"HTTP/1.0") || !seen.whole
}

impl World {
    pub fn start(change: impl FnOnce(Setup) -> Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let upstream = runtime.block_on(Scripted::start());
        let url = format!("http://{}", upstream.addr);
        let sidecar = change(Setup::new(&url, &url, 0.0)).start();
        Self {
            runtime,
            sidecar,
            upstream,
            next: Cell::new(1),
        }
    }

    /// The same case at the model server itself, and through the sidecar.
    pub fn both(&self, case: &Case) -> Result<(Vec<Observed>, Vec<Observed>), String> {
        let direct = self.run(case, self.upstream.direct)?;
        let through = self.run(case, self.sidecar.addr)?;
        Ok((direct, through))
    }

    fn run(&self, case: &Case, addr: SocketAddr) -> Result<Vec<Observed>, String> {
        let side = if addr == self.upstream.direct {
            "direct"
        } else {
            "through the sidecar"
        };
        let mut numbers = Vec::new();
        let mut case = case.clone();
        for exchange in &mut case.exchanges {
            let number = self.next.replace(self.next.get() + 1);
            self.upstream.expect(number, exchange.play.clone());
            let at = exchange.request.seed as usize % (exchange.request.lines.len() + 1);
            let line = crate::message::Line::new(NUMBER, format!("{number:08}"));
            exchange.request.lines.insert(at, line);
            numbers.push(number);
        }
        let all = async {
            let opened = Cell::new(0);
            let ended = self.upstream.ended();
            let observed = converse(&case, addr, &opened).await;
            let direct = if addr == self.upstream.direct {
                opened.get()
            } else {
                0
            };
            self.quiet(ended + direct).await;
            observed
        };
        let observed = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, all).await })
            .map_err(|_| format!("hangs {side}"))?;
        let pairs = numbers.into_iter().zip(observed);
        Ok(pairs
            .map(|(number, (interim, answer))| Observed {
                requests: self.upstream.taken(number),
                interim,
                answer,
            })
            .collect())
    }

    /// Ends when nobody is doing anything any more.
    async fn quiet(&self, ended: usize) {
        while !(self.upstream.ended() == ended
            && self.upstream.is_idle()
            && self.sidecar.shared.local().connections == 0)
        {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
}

type Answers = Vec<(Vec<Seen>, Option<Seen>)>;

async fn converse(case: &Case, addr: SocketAddr, opened: &Cell<usize>) -> Answers {
    match case.pipelined {
        true => pipeline(case, addr, opened).await,
        false => in_turns(case, addr, opened).await,
    }
}

/// The bytes of a request, and whether that is all.
fn outgoing(case: &Case, index: usize) -> (Vec<u8>, bool) {
    let mut bytes = case.exchanges[index].request.bytes();
    let last = index + 1 == case.exchanges.len();
    match case.leave {
        Leave::Cut { at, .. } if last && at < bytes.len() => {
            bytes.truncate(at);
            (bytes, false)
        }
        _ => (bytes, true),
    }
}

async fn pipeline(case: &Case, addr: SocketAddr, opened: &Cell<usize>) -> Answers {
    let mut connection = Connection::open(addr, opened).await;
    let mut bytes = Vec::new();
    let mut whole = true;
    for index in 0..case.exchanges.len() {
        let (request, all) = outgoing(case, index);
        bytes.extend(request);
        whole = all;
    }
    let Connection { reader, write } = &mut connection;
    let mut answers = Vec::new();
    let writing = write_in_pieces(write, &bytes, &case.pieces);
    let expected = case.exchanges.len() - usize::from(!whole);
    let reading = async {
        for exchange in &case.exchanges[..expected] {
            let mut interim = Vec::new();
            let to_head = exchange.request.method() == "HEAD";
            let answer = reader.final_answer(to_head, &mut interim).await;
            answers.push((interim, answer));
        }
    };
    tokio::join!(writing, reading);
    if !whole {
        answers.push((Vec::new(), None));
    }
    finish(case.leave, connection).await;
    answers
}

async fn in_turns(case: &Case, addr: SocketAddr, opened: &Cell<usize>) -> Answers {
    let mut connection = None;
    let mut answers = Vec::new();
    for (index, exchange) in case.exchanges.iter().enumerate() {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(addr, opened).await,
        };
        let (bytes, whole) = outgoing(case, index);
        if !whole {
            write_in_pieces(&mut open.write, &bytes, &case.pieces).await;
            finish(case.leave, open).await;
            answers.push((Vec::new(), None));
            break;
        }
        let half_close = case.leave == Leave::HalfClose && index + 1 == case.exchanges.len();
        let (interim, answer) = turn(&mut open, exchange, &bytes, case, half_close).await;
        // After an early answer nobody has to read the rest of the request.
        let may_close = exchange.play.end != End::Kept || exchange.play.when == When::AfterHead;
        let closes = may_close || answer.as_ref().is_none_or(says_close);
        answers.push((interim, answer));
        connection = (!closes).then_some(open);
    }
    answers
}

async fn turn(
    open: &mut Connection,
    exchange: &Exchange,
    bytes: &[u8],
    case: &Case,
    half_close: bool,
) -> (Vec<Seen>, Option<Seen>) {
    let mut interim = Vec::new();
    let to_head = exchange.request.method() == "HEAD";
    let mut rest = bytes;
    if exchange.expects {
        let head = exchange.request.head_bytes();
        write_in_pieces(&mut open.write, &head, &case.pieces).await;
        let Some(first) = open.reader.answer(to_head).await else {
            return (interim, None);
        };
        if first.head.status() != 100 {
            return (interim, Some(first));
        }
        interim.push(first);
        rest = &bytes[head.len()..];
    }
    let Connection { reader, write } = open;
    let writing = async {
        write_in_pieces(write, rest, &case.pieces).await;
        if half_close {
            let _ = write.shutdown().await;
        }
    };
    let (answer, ()) = tokio::join!(reader.final_answer(to_head, &mut interim), writing);
    (interim, answer)
}

async fn finish(leave: Leave, connection: Connection) {
    let stream = connection.reader.into_inner().reunite(connection.write);
    if let (Leave::Cut { reset: true, .. }, Ok(stream)) = (leave, stream) {
        let _ = stream.set_zero_linger();
    }
}
