//! The event log as a stream.

mod cursor;

pub(super) use cursor::Filter;

use super::error;
use super::feed::Feed;
use super::watches::{Watcher, Watches};
use crate::engine::{Handle, Views};
use cursor::start;
use serinus_proto::v1::{
    self, WatchEventsResponse, events_server::Events, watch_events_response::Message,
};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Events read from the store at a time.
const PAGE: usize = 256;
/// A watcher hears at least this often how far it has come.
const BOOKMARK: Duration = Duration::from_secs(5);

/// Serves `Events`.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
    watches: Watches,
}

impl Service {
    pub(super) fn new(handle: Handle, watches: Watches) -> Self {
        Self { handle, watches }
    }
}

#[tonic::async_trait]
impl Events for Service {
    type WatchStream = Feed<WatchEventsResponse>;

    async fn watch(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let filter = Filter::new(&self.handle.views(), &request.rollout)?;
        let info = self.handle.info();
        let generation = info.fence.map_or(0, |fence| fence.generation);
        let oldest = self
            .handle
            .oldest_revision()
            .map_err(|fault| error::store(&fault))?;
        let last = *self.handle.watch_revision().borrow();
        let items = request
            .snapshot
            .then(|| snapshot(&self.handle.views(), &filter));
        let from = match &items {
            Some((revision, _)) => *revision,
            None => start(&request, generation, oldest, last)?,
        };
        let handle = self.handle.clone();
        let feed = self.watches.start(move |watcher| {
            let follow = request.follow;
            Watch {
                handle,
                watcher,
                filter,
                generation,
                at: from,
            }
            .run(items.map(|(_, items)| items), follow)
        })?;
        Ok(Response::new(feed))
    }
}

/// The rollouts that a watch is about, and the revision that they are at: events after it are not in them yet.
fn snapshot(views: &Views, filter: &Filter) -> (u64, Vec<Arc<v1::Rollout>>) {
    let wanted = views.rollouts.values().filter(|rollout| {
        let about = v1::Event {
            rollout: rollout.id.clone(),
            model: rollout.model.clone(),
            ..v1::Event::default()
        };
        filter.wants(&about)
    });
    (views.revision, wanted.cloned().collect())
}

/// One open watch.
struct Watch {
    handle: Handle,
    watcher: Watcher<WatchEventsResponse>,
    filter: Filter,
    /// Of the history that is told.
    generation: u64,
    /// Everything up to this revision was sent.
    at: u64,
}

impl Watch {
    async fn run(
        mut self,
        items: Option<Vec<Arc<v1::Rollout>>>,
        follow: bool,
    ) -> Result<(), Status> {
        if let Some(items) = items {
            for item in items {
                self.send(Message::SnapshotItem((*item).clone())).await?;
            }
            self.send(Message::SnapshotDone(self.at)).await?;
        }
        let mut revision = self.handle.watch_revision();
        loop {
            revision.borrow_and_update();
            self.catch_up().await?;
            self.bookmark().await?;
            if !follow {
                return Ok(());
            }
            self.idle(&mut revision).await?;
        }
    }

    /// Sends what there is.
    async fn catch_up(&mut self) -> Result<(), Status> {
        loop {
            let events = self.handle.events(self.at, PAGE).await;
            let events = events.map_err(|fault| error::store(&fault))?;
            let full = events.len() == PAGE;
            for event in events {
                // What was compacted meanwhile would be a hole.
                let request = v1::WatchEventsRequest {
                    after_revision: self.at,
                    ..v1::WatchEventsRequest::default()
                };
                start(&request, self.generation, event.revision, event.revision)?;
                self.at = event.revision;
                if self.filter.wants(&event) {
                    self.send(Message::Event(event)).await?;
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Waits for more, with a sign of life every few seconds.
    async fn idle(&self, revision: &mut tokio::sync::watch::Receiver<u64>) -> Result<(), Status> {
        loop {
            tokio::select! {
                changed = revision.changed() => return changed.map_err(|_| error::stopping()),
                () = tokio::time::sleep(BOOKMARK) => self.bookmark().await?,
            }
        }
    }

    async fn bookmark(&self) -> Result<(), Status> {
        self.send(Message::Bookmark(self.at)).await
    }

    async fn send(&self, message: Message) -> Result<(), Status> {
        self.watcher
            .send(WatchEventsResponse {
                message: Some(message),
                generation: self.generation,
            })
            .await
    }
}
