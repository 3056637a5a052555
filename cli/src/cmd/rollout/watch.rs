//! `serinus rollout watch`: the screen, redrawn in place; one line per change where there is no terminal.

use crate::args::Format;
use crate::client::{Follow, Update};
use crate::console::{Painter, Screen};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;
use crate::session::{Session, now_ms};
use crate::view::{self, Change};
use serinus_proto::v1;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const EXAMPLES: &str = "\
Examples:
  serinus rollout watch recommender
  serinus rollout watch recommender | tee release.log     # one line per change
  serinus rollout watch recommender -o json | jq .split   # one JSON object per change

Ends when the rollout has ended. Lost connections are opened again.";

/// Clocks on the screen tick this often.
const TICK: Duration = Duration::from_secs(1);

pub(super) async fn run(name: &str, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let (mut follow, first) = Follow::open(&session.client, name).await?;
    match session.console.screen {
        Some(screen) if session.format == Format::Table => {
            live(&mut follow, first, screen, session).await
        }
        _ => lines(&mut follow, first, session).await,
    }
}

async fn live(
    follow: &mut Follow,
    first: v1::Rollout,
    screen: Screen,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let mut painter = Painter::default();
    let mut ticks = tokio::time::interval_at(Instant::now() + TICK, TICK);
    let mut rollout = Box::new(first);
    let mut trouble = String::new();
    loop {
        draw(&rollout, &trouble, &mut painter, screen, session)?;
        if view::is_terminal(rollout.state()) {
            return Ok(Exit::Ok);
        }
        let next = follow.next();
        tokio::pin!(next);
        let update = loop {
            tokio::select! {
                update = &mut next => break update?,
                _ = ticks.tick() => draw(&rollout, &trouble, &mut painter, screen, session)?,
            }
        };
        match update {
            Update::State(state) => {
                rollout = state;
                trouble.clear();
            }
            Update::Lost(why) => trouble = format!("{why}\n"),
        }
    }
}

fn draw(
    rollout: &v1::Rollout,
    trouble: &str,
    painter: &mut Painter,
    screen: Screen,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let options = session.console.view_options();
    let (width, height) = (screen.size)();
    let mut text = view::render(rollout, now_ms(), options);
    text.extend(trouble.chars().take(width));
    let frame = painter.frame(&text, height);
    session.console.print(&frame)
}

async fn lines(
    follow: &mut Follow,
    first: v1::Rollout,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let mut rollout = Box::new(first);
    let mut shown = None;
    loop {
        let change = Change::of(&rollout);
        if shown.as_ref() != Some(&change) {
            session.emit_item(|| json::rollout(&rollout), || view::change_line(&rollout))?;
            shown = Some(change);
        }
        if view::is_terminal(rollout.state()) {
            return Ok(Exit::Ok);
        }
        match follow.next().await? {
            Update::State(state) => rollout = state,
            Update::Lost(why) => session.console.note(&why),
        }
    }
}
