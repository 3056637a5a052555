//! A bounded stream that a task fills. The task's last word always arrives, however full the stream is.

use futures_util::Stream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// The reading end: what gRPC sends.
#[derive(Debug)]
pub struct Feed<T> {
    items: mpsc::Receiver<T>,
    end: Option<oneshot::Receiver<Status>>,
}

/// The filling end.
#[derive(Debug)]
pub(super) struct Filler<T> {
    items: mpsc::Sender<T>,
    patience: Duration,
}

/// The reader does not keep up, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Slow,
    Gone,
}

impl<T: Send> Filler<T> {
    /// Hands an item over; waits at most the feed's patience for room.
    pub(super) async fn send(&self, item: T) -> Result<(), Lost> {
        match self.items.send_timeout(item, self.patience).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Lost::Slow),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Lost::Gone),
        }
    }

    /// Ends when the reader is gone.
    pub(super) async fn gone(&self) {
        self.items.closed().await;
    }
}

/// A stream of `room` items whose reader is waited for at most `patience`, filled by the task that `fill` makes. What
/// the task returns ends the stream: nothing, or a status.
pub(super) fn feed<T, F>(
    room: usize,
    patience: Duration,
    fill: impl FnOnce(Filler<T>) -> F,
) -> Feed<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (items, receiver) = mpsc::channel(room);
    let (last, end) = oneshot::channel();
    let filling = fill(Filler { items, patience });
    tokio::spawn(async move {
        if let Err(status) = filling.await {
            // An error means that nobody reads any more.
            let _ = last.send(status);
        }
    });
    Feed {
        items: receiver,
        end: Some(end),
    }
}

impl<T> Stream for Feed<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(item) = ready!(self.items.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(item)));
        }
        let Some(end) = self.end.as_mut() else {
            return Poll::Ready(None);
        };
        let last = ready!(Pin::new(end).poll(cx));
        self.end = None;
        // An error means that the task ended without a status.
        Poll::Ready(last.ok().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use tonic::Code;

    #[tokio::test]
    async fn items_come_before_the_last_word() {
        let mut feed = feed(1, Duration::from_secs(60), |filler| async move {
            for item in 0..3 {
                filler.send(item).await.unwrap();
            }
            Err(Status::aborted("over"))
        });
        for item in 0..3 {
            assert_eq!(feed.next().await.unwrap().unwrap(), item);
        }
        assert_eq!(
            feed.next().await.unwrap().unwrap_err().code(),
            Code::Aborted
        );
        assert!(feed.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_stops_is_given_up_and_told_why() {
        let mut feed = feed(2, Duration::ZERO, |filler| async move {
            for item in 0.. {
                if filler.send(item).await == Err(Lost::Slow) {
                    return Err(Status::resource_exhausted("slow"));
                }
            }
            Ok(())
        });
        // Nothing is read before the task has ended.
        while !feed.items.is_closed() {
            tokio::task::yield_now().await;
        }
        let items: Vec<_> = feed.by_ref().collect().await;
        assert_eq!(items.len(), 3);
        assert_eq!(
            items[2].as_ref().unwrap_err().code(),
            Code::ResourceExhausted
        );
    }

    #[tokio::test]
    async fn a_reader_that_left_is_noticed() {
        let (told, noticed) = oneshot::channel();
        let feed = feed::<u32, _>(1, Duration::from_secs(60), |filler| async move {
            filler.gone().await;
            told.send(filler.send(1).await).unwrap();
            Ok(())
        });
        drop(feed);
        assert_eq!(noticed.await.unwrap(), Err(Lost::Gone));
    }
}
