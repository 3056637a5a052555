//! A client's connection: one request after the other, until one comes that hyper has to serve.

use super::early::Early;
use super::exchange::{Client, End, Exchange, poll_read};
use super::lines::slots;
use super::malformed::Malformed;
use super::outbox::Outbox;
use super::own::{self, Manner};
use super::request::{self, RequestHead};
use crate::net::Stream;
use crate::proxy::refuse::Refusal;
use crate::worker::{Busy, LocalRoute, Order, State, Worker};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite as _;

/// How every HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client that is told to go may still send, and for how long.
const LINGER_BYTES: usize = 4 << 20;
const LINGER_MS: u64 = 2000;

/// A connection that goes on with hyper.
#[derive(Debug)]
pub(crate) struct HandOver {
    pub(crate) stream: Stream,
    /// Read and not yet used.
    pub(crate) early: Vec<u8>,
    pub(crate) is_h2: bool,
}

#[derive(Debug)]
struct Connection {
    worker: Rc<Worker>,
    state: Rc<State>,
    stream: Stream,
    early: Early,
    /// What is in `early` was looked at: it is a part of a head.
    stale: bool,
    own: Outbox,
    busy: Option<Busy>,
    exchange: Option<Exchange>,
    /// There was a request.
    used: bool,
}

/// What comes next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Exchange,
    /// An answer of ours waits to be sent.
    Own(End),
    HandOver {
        is_h2: bool,
    },
    End,
}

/// Serves a connection to its end, or until hyper has to go on.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    state: Rc<State>,
    stream: Stream,
) -> io::Result<Option<HandOver>> {
    let mut connection = Connection {
        worker,
        state,
        stream,
        early: Early::default(),
        stale: false,
        own: Outbox::default(),
        busy: None,
        exchange: None,
        used: false,
    };
    loop {
        let end = match poll_fn(|cx| connection.poll_next(cx)).await? {
            Next::Exchange => poll_fn(|cx| connection.poll_exchange(cx)).await,
            Next::Own(end) => poll_fn(|cx| connection.poll_own(cx, end)).await,
            Next::End => End::Close,
            Next::HandOver { is_h2 } => {
                return Ok(Some(HandOver {
                    stream: connection.stream,
                    early: connection.early.into_rest(),
                    is_h2,
                }));
            }
        };
        connection.busy = None;
        match end {
            End::Keep => {}
            End::Close => {
                // Encryption has an end of its own, without which the last answer may look cut. Nobody waits for it.
                poll_fn(|cx| Poll::Ready(Pin::new(&mut connection.stream).poll_shutdown(cx)))
                    .await
                    .is_ready();
                return Ok(None);
            }
            End::Reset => {
                connection.stream.reset_on_close();
                return Ok(None);
            }
            End::Linger => {
                Box::pin(connection.linger()).await?;
                return Ok(None);
            }
        }
    }
}

impl Connection {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        let worker = Rc::clone(&self.worker);
        loop {
            let order = self.state.ordered(cx.waker());
            if order == Order::Abort || (order == Order::Finish && self.early.is_empty()) {
                return Poll::Ready(Ok(Next::End));
            }
            if !self.early.is_empty() && !self.stale {
                if let Some(next) = self.look_at_early(cx) {
                    return Poll::Ready(Ok(next));
                }
                self.stale = true;
            }
            let next = worker.buffers.with_scratch(|scratch| {
                let n = ready!(poll_read(&mut self.stream, cx, scratch))?;
                self.state.bytes_came();
                Poll::Ready(Ok::<_, io::Error>(self.on_read(&scratch[..n], cx)))
            });
            if let Some(next) = ready!(next)? {
                return Poll::Ready(Ok(next));
            }
        }
    }

    fn on_read(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Option<Next> {
        if bytes.is_empty() {
            return Some(Next::End);
        }
        let worker = Rc::clone(&self.worker);
        if self.early.is_empty() {
            let (used, next) = self.look(bytes, cx);
            self.early.push(&bytes[used..], &worker.buffers);
            // What is left is a part of a head, or waits for its turn.
            self.stale = next.is_none();
            return next;
        }
        self.early.push(bytes, &worker.buffers);
        // A head that comes in small pieces is not read anew for each of them.
        self.stale &=
            !bytes.contains(&b'\n') && self.early.rest().len() <= worker.limits.head_bytes;
        None
    }

    fn look_at_early(&mut self, cx: &mut Context<'_>) -> Option<Next> {
        let mut early = std::mem::take(&mut self.early);
        let (used, next) = self.look(early.rest(), cx);
        early.consume(used, &self.worker.buffers);
        // What a request's body did not need was put there meanwhile; but bodies are only read after what is here.
        debug_assert!(self.early.is_empty());
        self.early = early;
        next
    }

    /// Reads what has come as a request; how much of it was used, and what is to be done.
    fn look(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> (usize, Option<Next>) {
        if !self.used {
            let known = bytes.len().min(PREFACE.len());
            if bytes[..known] == PREFACE[..known] {
                let whole = known == PREFACE.len();
                return (0, whole.then_some(Next::HandOver { is_h2: true }));
            }
        }
        let mut slots = slots();
        let limit = self.worker.limits.head_bytes;
        match request::parse(bytes, &mut slots) {
            Ok(None) if bytes.len() > limit => {
                let next = self.refuse(Refusal::HeadTooLarge, false, End::Linger);
                (bytes.len(), Some(next))
            }
            Ok(None) => (0, None),
            Err(why) => (bytes.len(), Some(self.malformed(why))),
            Ok(Some(head)) if is_for_hyper(&head) => (0, Some(Next::HandOver { is_h2: false })),
            Ok(Some(head)) => {
                let route = match self.worker.wants_body(&head) {
                    true => return (0, Some(Next::HandOver { is_h2: false })),
                    false => self.worker.route(&head),
                };
                if route.as_ref().is_some_and(|route| !is_simple(route, &head)) {
                    return (0, Some(Next::HandOver { is_h2: false }));
                }
                let (used, next) = self.begin(route, &head, &bytes[head.length..], cx);
                (head.length + used, Some(next))
            }
        }
    }

    fn begin(
        &mut self,
        route: Option<Rc<LocalRoute>>,
        head: &RequestHead<'_, '_>,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> (usize, Next) {
        self.used = true;
        self.busy = Some(self.state.begin());
        let mut client = Client {
            worker: &self.worker,
            state: &self.state,
            stream: &mut self.stream,
            early: &mut self.early,
        };
        let begun = route.ok_or(Refusal::NoModel);
        match begun.and_then(|route| Exchange::begin(&mut client, route, head, rest, cx)) {
            Ok((exchange, used)) => {
                self.exchange = Some(exchange);
                (used, Next::Exchange)
            }
            Err(refusal) => {
                let asked_head = head.method == "HEAD";
                // A body that is here is skipped; for one that is not, the connection ends.
                let mut body = head.body();
                let taken = body.take(rest, |_| {});
                let (used, end) = match taken {
                    Ok(taken) if body.is_done() && head.keeps_alive() && head.minor == 1 => {
                        (taken.bytes, End::Keep)
                    }
                    Ok(taken) if body.is_done() => (taken.bytes, End::Close),
                    _ => (rest.len(), End::Linger),
                };
                (used, self.refuse(refusal, asked_head, end))
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal, asked_head: bool, end: End) -> Next {
        self.worker.count_refusal(refusal);
        self.answer_self(asked_head, end, |out, manner| {
            own::refusal(out, refusal, manner)
        })
    }

    fn malformed(&mut self, why: Malformed) -> Next {
        self.worker.count_malformed();
        self.answer_self(false, End::Linger, |out, manner| {
            own::malformed(out, why, manner)
        })
    }

    fn answer_self(
        &mut self,
        asked_head: bool,
        end: End,
        write: impl FnOnce(&mut Vec<u8>, Manner<'_>),
    ) -> Next {
        self.used = true;
        if self.busy.is_none() {
            self.busy = Some(self.state.begin());
        }
        let end = match end {
            End::Keep if self.state.is_retiring() => End::Close,
            end => end,
        };
        let manner = Manner {
            labels: None,
            asked_head,
            close: end != End::Keep,
        };
        write(self.own.bytes_mut(), manner);
        Next::Own(end)
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.state.ordered(cx.waker()) == Order::Abort {
            if let Some(exchange) = self.exchange.take() {
                exchange.finish(&self.worker);
            }
            return Poll::Ready(End::Close);
        }
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(End::Close);
        };
        let mut client = Client {
            worker: &self.worker,
            state: &self.state,
            stream: &mut self.stream,
            early: &mut self.early,
        };
        let end = ready!(exchange.poll(&mut client, cx));
        if let Some(exchange) = self.exchange.take() {
            exchange.finish(&self.worker);
        }
        self.stale = false;
        Poll::Ready(end)
    }

    fn poll_own(&mut self, cx: &mut Context<'_>, end: End) -> Poll<End> {
        if self.state.ordered(cx.waker()) == Order::Abort {
            return Poll::Ready(End::Close);
        }
        let sent = self.own.poll_flush(&mut self.stream, cx);
        self.state.write(sent.is_pending());
        match ready!(sent) {
            Ok(()) => Poll::Ready(end),
            Err(_) => Poll::Ready(End::Close),
        }
    }

    /// Says that nothing more comes, and reads what the client is still sending: closing at once would make its system
    /// throw the answer away.
    async fn linger(&mut self) -> io::Result<()> {
        let worker = Rc::clone(&self.worker);
        let patience = worker.deadlines.add(worker.deadlines.now_ms() + LINGER_MS);
        let mut left = LINGER_BYTES;
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        poll_fn(|cx| {
            if self.state.ordered(cx.waker()) == Order::Abort || patience.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            worker.buffers.with_scratch(|scratch| {
                while let Ok(n @ 1..) = ready!(poll_read(&mut self.stream, cx, scratch)) {
                    left = left.saturating_sub(n);
                    if left == 0 {
                        break;
                    }
                }
                Poll::Ready(())
            })
        })
        .await;
        Ok(())
    }
}

/// Whether every variant takes the body as it came, and HTTP/1.1.
fn is_simple(local: &LocalRoute, head: &RequestHead<'_, '_>) -> bool {
    let route = local.route();
    let mut rewrites = route
        .variants
        .iter()
        .filter_map(|variant| variant.rewrite.as_ref());
    let changes_body = route.rewrites_bodies && rewrites.any(|rewrite| rewrite.wants_body(head));
    !changes_body && local.speaks_http1()
}

/// What is rare or another protocol's. hyper serves it, and the rest of the connection.
pub(super) fn is_for_hyper(head: &RequestHead<'_, '_>) -> bool {
    let marks = &head.marks;
    let plain = head.asked.starts_with('/') || head.asked == "*";
    // Of HTTP/1.0, which need not name a host: each endpoint gets its own.
    let hostless = marks.host.is_none();
    !plain || hostless || marks.upgrade || marks.grpc
}
