use super::*;
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
async fn read(body: &mut Outgoing<Parts>, n: usize) -> Result<Vec<u8>, SendError> {
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

proptest! {
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
