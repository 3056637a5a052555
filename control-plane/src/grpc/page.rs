//! Pages of lists. All pages of a list are of one moment: what was published then is kept for those that come back for
//! more, so that nothing is missing, twice, or of another revision.

mod token;

use super::error;
use crate::engine::Views;
use serinus_proto::v1;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use token::Token;
use tonic::{Code, Status};

/// Moments that are kept for lists that are not at their end, at most; the one that was asked for longest ago goes first.
/// One of a fleet of 10,000 takes some 20 MB.
const MOMENTS: usize = 16;
/// For so long after it was last asked for.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Models and sidecars of a page, which are smaller than rollouts.
pub(super) const NAMED: usize = 1000;
pub(super) const MOST_NAMED: usize = 5000;

/// How many items to send: `asked`, or `default` for 0, at most `most`.
pub(super) fn size(asked: u32, default: usize, most: usize) -> usize {
    match asked {
        0 => default,
        n => usize::try_from(n).unwrap_or(most).min(most),
    }
}

/// What a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// Of the page before; empty for the first one.
    pub(super) token: &'a str,
    pub(super) size: usize,
    /// Of the kind of list and its filters: a token goes on with the list that it was given for.
    pub(super) filters: u64,
    pub(super) newest_first: bool,
}

/// A page.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: String,
    /// Of the last event that is in any page of the list.
    pub(super) revision: u64,
}

/// The moments that lists are read at. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Pages(Arc<Mutex<Moments>>);

#[derive(Debug)]
struct Moments {
    /// Of the last one. Begins anywhere, so that a token of another process finds nothing.
    number: u64,
    /// The one that was asked for last is the last one.
    kept: VecDeque<Moment>,
}

#[derive(Debug)]
struct Moment {
    number: u64,
    views: Arc<Views>,
    asked: Instant,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Moments {
            number: rand::random(),
            kept: VecDeque::new(),
        })))
    }

    /// One page of a list of `items`, which are sorted by their names.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for what is no token of this list; OUT_OF_RANGE for one that is too old.
    pub(super) fn list<T: Clone>(
        &self,
        views: Arc<Views>,
        asked: Asked<'_>,
        items: impl Fn(&Views) -> &BTreeMap<String, Arc<T>>,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Page<T>, Status> {
        self.list_at(views, asked, items, wanted, Instant::now())
    }

    fn list_at<T: Clone>(
        &self,
        views: Arc<Views>,
        asked: Asked<'_>,
        items: impl Fn(&Views) -> &BTreeMap<String, Arc<T>>,
        wanted: impl Fn(&T) -> bool,
        now: Instant,
    ) -> Result<Page<T>, Status> {
        let (views, behind) = match asked.token {
            "" => (views, None),
            text => {
                let token = Token::read(text).ok_or_else(foreign)?;
                if token.filters != asked.filters {
                    let message = "belongs to a list with other filters; keep them from page to page, or leave the \
                                   token empty to start over";
                    return Err(error::bad_field("page_token", message));
                }
                let kept = self.kept(token.moment, now);
                let views = kept.ok_or_else(|| too_old(token.revision))?;
                (views, Some(token.behind))
            }
        };
        let all = items(&views);
        let chosen =
            |(name, item): (&String, &Arc<T>)| wanted(item).then(|| (name.clone(), T::clone(item)));
        let behind = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let one_more = asked.size.saturating_add(1);
        let mut found: Vec<(String, T)> = match asked.newest_first {
            true => {
                let older = all.range::<str, _>((Bound::Unbounded, behind)).rev();
                older.filter_map(chosen).take(one_more).collect()
            }
            false => {
                let later = all.range::<str, _>((behind, Bound::Unbounded));
                later.filter_map(chosen).take(one_more).collect()
            }
        };
        let more = found.len() > asked.size;
        found.truncate(asked.size);
        let revision = views.revision;
        let next = match found.last().filter(|_| more) {
            Some((last, _)) => Token {
                revision,
                moment: self.keep(&views, now),
                filters: asked.filters,
                behind: last.clone(),
            }
            .write(),
            None => String::new(),
        };
        Ok(Page {
            items: found.into_iter().map(|(_, item)| item).collect(),
            next,
            revision,
        })
    }

    /// What was published at a moment, if it is still kept.
    fn kept(&self, number: u64, now: Instant) -> Option<Arc<Views>> {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.forget(now);
        let at = moments.kept.iter().position(|of| of.number == number)?;
        let mut moment = moments.kept.remove(at)?;
        moment.asked = now;
        let views = moment.views.clone();
        moments.kept.push_back(moment);
        Some(views)
    }

    /// Keeps what was published; its number.
    fn keep(&self, views: &Arc<Views>, now: Instant) -> u64 {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.forget(now);
        let mut kept = moments.kept.iter_mut();
        if let Some(known) = kept.find(|of| Arc::ptr_eq(&of.views, views)) {
            known.asked = now;
            return known.number;
        }
        if moments.kept.len() == MOMENTS {
            moments.kept.pop_front();
        }
        moments.number = moments.number.wrapping_add(1);
        let number = moments.number;
        moments.kept.push_back(Moment {
            number,
            views: views.clone(),
            asked: now,
        });
        number
    }
}

impl Moments {
    fn forget(&mut self, now: Instant) {
        self.kept
            .retain(|moment| now.saturating_duration_since(moment.asked) < PATIENCE);
    }
}

fn foreign() -> Status {
    let message = "is not a token of this list; take the next_page_token of the page before, or leave it empty to \
                   start over";
    error::bad_field("page_token", message)
}

fn too_old(revision: u64) -> Status {
    let minutes = PATIENCE.as_secs() / 60;
    let message = format!(
        "page_token: the list as it was at revision {revision} is not kept any more ({minutes} min after its last page, \
         less when many lists are read, and not over a restart); leave it empty to start over"
    );
    let metadata = [("revision", revision.to_string())];
    error::status(Code::OutOfRange, "PAGE_TOKEN_EXPIRED", message, metadata)
}

/// Of a kind of list and what it is filtered by: the request without its page.
pub(super) fn filters(kind: &str, request: &impl prost::Message) -> u64 {
    let mut bytes = kind.as_bytes().to_vec();
    bytes.push(0);
    // Writing to a vector cannot fail.
    let _ = request.encode(&mut bytes);
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

/// Whether nothing will ever happen to it again.
pub(super) fn is_over(rollout: &v1::Rollout) -> bool {
    matches!(
        rollout.state(),
        v1::State::Promoted | v1::State::RolledBack | v1::State::Cancelled
    )
}

#[cfg(test)]
mod tests;
