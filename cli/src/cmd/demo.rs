//! `serinus demo`: a better model is promoted, a worse one is caught and rolled back, both shown live.

use crate::args::Format;
use crate::console::{Console, Painter, Screen as Terminal};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{emit, now_ms};
use crate::view::{self, Change, number};
use anyhow::Context as _;
use serde_json::Value;
use serinus_demo::story::{self, Options, Screen, Story, Summary};
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus demo
  serinus demo --seed 7 --json | jq .rolled_back

Starts a control plane, three sidecars and three model servers on free ports of this machine, and ends them again. Exit
code 0 only if the better model was promoted, the worse one rolled back, no user saw an error, and every decision of both
rollouts came out the same when it was made again from what is stored.";

/// `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// For the split of the data, the models and the traffic
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests per second; fewer if this machine does not carry them
    #[arg(long, default_value_t = 1000.0, value_parser = rate)]
    rate: f64,
    /// Print the summary as one JSON object, the same as `-o json`
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("write a number between 1 and 100000".to_owned()),
    }
}

pub(crate) async fn run(
    args: &Args,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let format = if args.json { Format::Json } else { format };
    let options = Options {
        program: std::env::current_exe().context("find this program")?,
        seed: args.seed,
        rate: args.rate,
    };
    let mut stage = Stage::new(format, console);
    // The processes end when the story is dropped, so a signal must not end this one at once.
    let told = tokio::select! {
        told = story::run(&options, &mut stage) => told?,
        stopped = serinus_runtime::shutdown::signal() => {
            stopped?;
            return Err(Failure::error("stopped before the end"));
        }
    };
    if let Some(failure) = stage.failure.take() {
        return Err(failure);
    }
    let value = serde_json::to_value(&told).unwrap_or(Value::Null);
    emit(console, format, || value, || summary(&told))?;
    if told.as_it_should() {
        return Ok(Exit::Ok);
    }
    Err(Failure::error("the story did not end as it should")
        .hint("this machine may be too busy: try --rate 200, and look at the decisions above"))
}

/// Shows the story: redrawn in place on a terminal, else one line per change; with JSON all of it is notes.
struct Stage<'a, 'c> {
    console: &'a mut Console<'c>,
    format: Format,
    painter: Painter,
    shown: Option<Change>,
    /// Of writing; told at the end, since a screen cannot stop the story.
    failure: Option<Failure>,
}

impl<'a, 'c> Stage<'a, 'c> {
    fn new(format: Format, console: &'a mut Console<'c>) -> Self {
        Self {
            console,
            format,
            painter: Painter::default(),
            shown: None,
            failure: None,
        }
    }

    fn print(&mut self, text: &str) {
        if let Err(failure) = self.console.print(text) {
            self.failure.get_or_insert(failure);
        }
    }

    fn line(&mut self, line: &str) {
        match self.format {
            Format::Table => self.print(&format!("{line}\n")),
            Format::Json | Format::Yaml => self.console.note(line),
        }
    }

    fn draw(&mut self, rollout: &v1::Rollout, terminal: Terminal) {
        let text = view::render(rollout, now_ms(), self.console.view_options());
        let frame = self.painter.frame(&text, (terminal.size)().1);
        self.print(&frame);
        if view::is_terminal(rollout.state()) {
            self.painter.keep();
        }
    }
}

impl Screen for Stage<'_, '_> {
    fn say(&mut self, line: &str) {
        let erased = self.painter.erase();
        if !erased.is_empty() {
            self.print(&erased);
        }
        self.line(line);
    }

    fn rollout(&mut self, rollout: &v1::Rollout) {
        if let (Some(terminal), Format::Table) = (self.console.screen, self.format) {
            return self.draw(rollout, terminal);
        }
        let change = Change::of(rollout);
        if self.shown.as_ref() != Some(&change) {
            self.line(&view::change_line(rollout));
            self.shown = Some(change);
        }
    }
}

fn summary(told: &Summary) -> String {
    let mut text = format!(
        "\n{}{}",
        story_line(&told.promoted),
        story_line(&told.rolled_back)
    );
    for split in &told.achieved_split {
        text.push_str(&format!(
            "{} step {}: {} asked, {} got\n",
            split.variant,
            split.step,
            number::share(split.asked),
            number::measured_share(split.achieved)
        ));
    }
    text.push_str(&format!(
        "replayed from the store: {} of {} decisions reproduced bit for bit\n",
        told.replayed.reproduced, told.replayed.decisions
    ));
    text.push_str(&format!(
        "{} requests at {}/s and {} labels in {:.0} s; seed {}\n",
        number::thousands(told.requests),
        number::whole(told.rate),
        number::thousands(told.labels),
        told.seconds,
        told.seed
    ));
    text
}

fn story_line(story: &Story) -> String {
    let cause = match story.cause.as_str() {
        "" => String::new(),
        cause => format!("({cause})"),
    };
    let accuracy = match (story.accuracy, story.stable_accuracy) {
        (Some(canary), Some(stable)) => format!(
            "; right {} of the time, stable {}",
            number::percent(canary, 1),
            number::percent(stable, 1)
        ),
        _ => String::new(),
    };
    format!(
        "{}: {}{cause} after {:.1} s; {} users met it, {} errors reached users{accuracy}\n",
        story.variant,
        story.state,
        story.seconds_to_verdict,
        number::thousands(story.exposed_users),
        story.user_visible_errors
    )
}

#[cfg(test)]
mod tests;
