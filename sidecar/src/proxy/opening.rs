//! The beginning of a body, read where only it can tell the model or the key. It is kept, and goes to the model first.

use super::body::Early;
use super::minted::Minted;
use super::refuse::Refusal;
use crate::head::Head;
use crate::route::json::Progress;
use crate::route::key::KeySource;
use crate::route::named::{Place, Seeker};
use crate::worker::{LocalRoute, Worker};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Shorter parts are copied: a reference would hold on to the connection's read buffer.
const COPIED: usize = 4096;

/// What the beginning says.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) route: Rc<LocalRoute>,
    pub(super) key: Option<Vec<u8>>,
    /// The key that the answer brings to a caller without one.
    pub(super) minted: Option<Minted>,
    pub(super) early: Early,
}

impl Opening {
    /// Reads as much as is needed, and no more than `limits.inspect_bytes` and a part.
    pub(super) async fn read(
        worker: &Worker,
        head: &impl Head,
        body: &mut Incoming,
    ) -> Result<Self, Refusal> {
        let place = worker.place_of_name(head);
        // A call with streams in both directions may have nothing to say for a while.
        let patience = match place {
            Some(Place::Message(..)) => worker.limits.idle_timeout,
            _ => worker.limits.header_timeout,
        };
        let mut reader = Reader {
            ended: body.is_end_stream(),
            body,
            early: Early::default(),
            most: worker.limits.inspect_bytes as u64,
        };
        let reading = async {
            let route = match place {
                Some(place) => {
                    let name = reader.seek(Seeker::new(place)).await?;
                    worker.route_named(name.as_deref(), place)
                }
                None => worker.route(head),
            };
            let route = route.ok_or(Refusal::NoModel)?;
            let key = match &route.route().split.key {
                KeySource::Json(pointer) if route.route().has_key_in_body(head) => {
                    reader.seek(Seeker::of_key(pointer)).await?
                }
                _ => None,
            };
            Ok((route, key))
        };
        let (route, key) = within(worker, patience, reading).await?;
        let minted = route.route().needs_cookie(head);
        Ok(Self {
            minted: minted.then(|| Minted::new(worker)),
            route,
            key: key.filter(|key| !key.is_empty()),
            early: reader.early,
        })
    }
}

/// The caller has so much time.
async fn within<T>(
    worker: &Worker,
    patience: Duration,
    reading: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let now_ms = worker.deadlines.observe(Instant::now());
    let deadline = worker.deadlines.add(now_ms + patience.as_millis() as u64);
    let reading = std::pin::pin!(reading);
    let read = deadline.before(reading).await;
    read.unwrap_or(Err(Refusal::SlowBody))
}

struct Reader<'a, B> {
    body: &'a mut B,
    early: Early,
    ended: bool,
    most: u64,
}

impl<B: Body<Data = Bytes> + Unpin> Reader<'_, B> {
    /// Looks through what was read, and reads on until something is found, or cannot be.
    async fn seek(&mut self, mut seeker: Seeker) -> Result<Option<Vec<u8>>, Refusal> {
        let mut looked = 0;
        for part in self.early.parts() {
            let left = usize::try_from(self.most - looked).unwrap_or(usize::MAX);
            let part = &part[..part.len().min(left)];
            looked += part.len() as u64;
            if seeker.feed(part) == Progress::Done {
                return Ok(seeker.finish(false));
            }
        }
        while !self.ended && looked < self.most {
            let left = usize::try_from(self.most - looked).unwrap_or(usize::MAX);
            let Some(part) = self.next().await? else {
                continue;
            };
            let part = &part[..part.len().min(left)];
            looked += part.len() as u64;
            if seeker.feed(part) == Progress::Done {
                break;
            }
        }
        // What was cut off at the bound may not be the whole of it.
        let whole = self.ended && looked == self.early.bytes();
        Ok(seeker.finish(whole))
    }

    /// The next part of the data.
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let Some(frame) = self.body.frame().await else {
            self.ended = true;
            return Ok(None);
        };
        let frame = frame.map_err(|_| Refusal::BadBody)?;
        let frame = match frame.data_ref() {
            Some(data) if data.len() <= COPIED => Frame::data(Bytes::copy_from_slice(data)),
            _ => frame,
        };
        let part = frame.data_ref().cloned();
        self.early.push(frame);
        self.ended |= self.body.is_end_stream();
        Ok(part)
    }
}

#[cfg(test)]
mod tests;
