use super::*;
use crate::rewrite;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;
use std::convert::Infallible;

type Parts =
    StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

fn parts(sizes: &[usize]) -> Parts {
    let frames: Vec<_> = sizes
        .iter()
        .enumerate()
        .map(|(at, &size)| Ok(Frame::data(Bytes::from(vec![at as u8; size]))))
        .collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

fn whole(sizes: &[usize]) -> Vec<u8> {
    let part = |(at, &size): (usize, &usize)| vec![at as u8; size];
    sizes.iter().enumerate().flat_map(part).collect()
}

/// Reads up to `n` frames.
async fn read<B>(body: &mut Outgoing<B>, n: usize) -> Result<Vec<u8>, SendError>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
{
    let mut out = Vec::new();
    for _ in 0..n {
        match body.frame().await {
            None => break,
            Some(frame) => out.extend_from_slice(frame?.data_ref().unwrap()),
        }
    }
    Ok(out)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

#[test]
fn an_abandoned_attempt_can_read_no_more() {
    block_on(async {
        let source = Source::new(parts(&[3, 3]), Early::default(), 100, 100);
        let mut first = source.outgoing();
        read(&mut first, 1).await.unwrap();
        let mut second = source.outgoing();
        assert!(matches!(
            read(&mut first, 1).await,
            Err(SendError::Superseded)
        ));
        assert_eq!(read(&mut second, 9).await.unwrap(), whole(&[3, 3]));
    });
}

#[test]
fn a_body_over_its_bound_is_cut() {
    block_on(async {
        let source = Source::new(parts(&[60, 60]), Early::default(), 10, 100);
        let mut body = source.outgoing();
        assert!(matches!(read(&mut body, 9).await, Err(SendError::TooLarge)));
        assert_eq!(source.fault(), Some(Fault::TooLarge));
        assert!(!source.is_replayable());
    });
}

#[test]
fn a_body_that_stops_and_does_not_say_that_it_has_ended_broke_off() {
    block_on(async {
        let stops = Source::new(parts(&[3]), Early::default(), 100, 100).tells_ends();
        let mut body = stops.outgoing();
        assert!(matches!(
            read(&mut body, 9).await,
            Err(SendError::Caller(_))
        ));
        assert_eq!(stops.fault(), Some(Fault::Caller));
        let ends = Source::new(known("abc", 2), Early::default(), 100, 100).tells_ends();
        assert_eq!(read(&mut ends.outgoing(), 9).await.unwrap(), b"abc");
        assert!(ends.has_ended());
    });
}

/// A body that says how long it is.
#[derive(Debug)]
struct Known {
    parts: Parts,
    left: u64,
}

impl Body for Known {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.parts).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.left -= frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn known(text: &str, piece: usize) -> Known {
    let frames = text
        .as_bytes()
        .chunks(piece)
        .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part))));
    let frames: Vec<_> = frames.collect();
    Known {
        parts: StreamBody::new(futures_util::stream::iter(frames)),
        left: text.len() as u64,
    }
}

fn named(model: &str) -> Edit {
    let rewrite = rewrite::Rewrite::new(&rewrite::Spec {
        model: Some(model.to_owned()),
        ..Default::default()
    });
    let request = http::Request::post("/v1/completions").body(()).unwrap();
    rewrite.edit(&request.into_parts().0).unwrap().unwrap()
}

proptest! {
    #[test]
    fn each_attempt_changes_the_original(
        before in "[a-z]{0,30}", after in "[a-z]{0,9000}", piece in 1usize..6000, limit in 0usize..12_000,
    ) {
        let text = |model: &str| format!("{{\"a\":\"{before}\",\"model\":\"{model}\",\"b\":\"{after}\"}}");
        let sent = text("caller's");
        block_on(async {
            let source = Source::new(known(&sent, piece), Early::default(), limit, 20_000);
            source.gather().await.unwrap();
            let names = Rc::new(RefCell::new(Names::default()));
            let mut one = source.outgoing().edited(named("the canary's"), Some(Rc::clone(&names)));
            let expected = text("the canary's");
            let fits = sent.len() <= limit;
            let length = fits.then_some(expected.len() as u64);
            prop_assert_eq!(one.size_hint().exact(), length);
            prop_assert_eq!(read(&mut one, usize::MAX).await.unwrap(), expected.into_bytes());
            prop_assert!(one.is_end_stream());
            let named_by_caller = names.take().model;
            prop_assert_eq!(named_by_caller.as_deref(), Some(&b"\"caller's\""[..]));
            prop_assert_eq!(source.is_replayable(), fits);
            if fits {
                let mut two = source.outgoing().edited(named("s"), None);
                prop_assert_eq!(read(&mut two, usize::MAX).await.unwrap(), text("s").into_bytes());
                let mut three = source.outgoing();
                prop_assert_eq!(read(&mut three, usize::MAX).await.unwrap(), sent.into_bytes());
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_was_kept_is_sent_again_and_the_rest_follows(
        sizes in prop::collection::vec(0usize..50, 0..8),
        first in 0usize..10,
        limit in 0usize..300,
    ) {
        block_on(async {
            let source = Source::new(parts(&sizes), Early::default(), limit, 10_000);
            let mut one = source.outgoing();
            let taken = read(&mut one, first).await.unwrap();
            prop_assert!(whole(&sizes).starts_with(&taken));
            prop_assert_eq!(source.is_replayable(), taken.len() <= limit);
            if source.is_replayable() {
                let mut two = source.outgoing();
                prop_assert_eq!(two.size_hint().lower() >= taken.len() as u64, true);
                prop_assert_eq!(read(&mut two, 20).await.unwrap(), whole(&sizes));
                prop_assert!(two.is_end_stream());
            } else {
                let rest = read(&mut one, 20).await.unwrap();
                prop_assert_eq!([taken, rest].concat(), whole(&sizes));
            }
            Ok(())
        })?;
    }
}
