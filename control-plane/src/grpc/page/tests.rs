use super::*;
use tonic_types::StatusExt as _;

fn views(names: &[&str], revision: u64) -> Arc<Views> {
    let mut views = Views {
        revision,
        ..Views::default()
    };
    for name in names {
        let rollout = v1::Rollout {
            id: (*name).into(),
            ..v1::Rollout::default()
        };
        views.rollouts.insert((*name).into(), Arc::new(rollout));
    }
    Arc::new(views)
}

fn asked(token: &str, size: usize) -> Asked<'_> {
    Asked {
        token,
        size,
        filters: 1,
        newest_first: true,
    }
}

fn list(
    pages: &Pages,
    views: &Arc<Views>,
    asked: Asked<'_>,
    now: Instant,
) -> Result<(String, String, u64), Status> {
    let wanted = |rollout: &v1::Rollout| rollout.id != "x";
    let page = pages.list_at(views.clone(), asked, |views| &views.rollouts, wanted, now)?;
    let ids = page.items.iter().map(|rollout| rollout.id.as_str());
    Ok((ids.collect(), page.next, page.revision))
}

#[test]
fn all_pages_are_of_the_moment_of_the_first() {
    let (pages, now) = (Pages::new(), Instant::now());
    let then = views(&["a", "b", "c", "d", "e", "x"], 5);
    let later = views(&["a", "f", "g"], 9);
    let (first, next, revision) = list(&pages, &then, asked("", 2), now).unwrap();
    assert_eq!((first.as_str(), revision), ("ed", 5));
    // The list has changed meanwhile, and the page sizes may.
    let (second, next, revision) = list(&pages, &later, asked(&next, 1), now).unwrap();
    assert_eq!((second.as_str(), revision), ("c", 5));
    let (third, next, revision) = list(&pages, &later, asked(&next, 9), now).unwrap();
    assert_eq!((third.as_str(), next.as_str(), revision), ("ba", "", 5));
    let (fresh, _, revision) = list(&pages, &later, asked("", 9), now).unwrap();
    assert_eq!((fresh.as_str(), revision), ("gfa", 9));
}

#[test]
fn a_page_that_is_full_to_the_last_item_is_the_last() {
    let (pages, now) = (Pages::new(), Instant::now());
    let views = views(&["a", "b", "x"], 5);
    let (both, next, _) = list(&pages, &views, asked("", 2), now).unwrap();
    assert_eq!((both.as_str(), next.as_str()), ("ba", ""));
    let forward = Asked {
        newest_first: false,
        ..asked("", 1)
    };
    let (first, next, _) = list(&pages, &views, forward, now).unwrap();
    let forward = Asked {
        newest_first: false,
        ..asked(&next, 1)
    };
    let (second, next, _) = list(&pages, &views, forward, now).unwrap();
    assert_eq!((first + &second, next.as_str()), ("ab".to_owned(), ""));
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    reason.unwrap_or_default()
}

#[test]
fn tokens_that_are_too_old_or_of_another_list_are_refused() {
    let (pages, now) = (Pages::new(), Instant::now());
    let views = views(&["a", "b", "c"], 5);
    let (_, next, _) = list(&pages, &views, asked("", 1), now).unwrap();

    let status = list(&pages, &views, asked("zzz", 1), now).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().starts_with("page_token: is not"),
        "{status}"
    );
    let other = Asked {
        filters: 2,
        ..asked(&next, 1)
    };
    let status = list(&pages, &views, other, now).unwrap_err();
    assert!(status.message().contains("other filters"), "{status}");

    // Each page gives the list more time; then it is over.
    let soon = now + PATIENCE - Duration::from_secs(1);
    list(&pages, &views, asked(&next, 1), soon).unwrap();
    let last = soon + PATIENCE - Duration::from_secs(1);
    list(&pages, &views, asked(&next, 1), last).unwrap();
    let status = list(&pages, &views, asked(&next, 1), last + PATIENCE).unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(reason(&status), "PAGE_TOKEN_EXPIRED");
    assert!(status.message().contains("at revision 5"), "{status}");
    // So is one of another process.
    let status = list(&Pages::new(), &views, asked(&next, 1), now).unwrap_err();
    assert_eq!(reason(&status), "PAGE_TOKEN_EXPIRED");
}

#[test]
fn only_so_many_moments_are_kept() {
    let (pages, now) = (Pages::new(), Instant::now());
    let first = views(&["a", "b", "c"], 1);
    let (_, next, _) = list(&pages, &first, asked("", 1), now).unwrap();
    for revision in 2..=MOMENTS as u64 {
        let more = views(&["a", "b", "c"], revision);
        list(&pages, &more, asked("", 1), now).unwrap();
    }
    // Asked for again, it is not the oldest any more.
    list(&pages, &first, asked(&next, 1), now).unwrap();
    list(&pages, &views(&["a", "b"], 100), asked("", 1), now).unwrap();
    list(&pages, &first, asked(&next, 1), now).unwrap();
    for revision in 0..MOMENTS as u64 {
        list(&pages, &views(&["a", "b"], revision), asked("", 1), now).unwrap();
    }
    let status = list(&pages, &first, asked(&next, 1), now).unwrap_err();
    assert_eq!(reason(&status), "PAGE_TOKEN_EXPIRED");
    assert_eq!(pages.0.lock().unwrap().kept.len(), MOMENTS);
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(size(0, 50, 500), 50);
    assert_eq!(size(1, 50, 500), 1);
    assert_eq!(size(u32::MAX, 50, 500), 500);
}
