use super::*;
use crate::view::fixture;
use serinus_demo::story::{Replayed, StepSplit};

fn story(variant: &str, state: &str, cause: &str) -> Story {
    Story {
        variant: variant.into(),
        rollout: "r".into(),
        state: state.into(),
        cause: cause.into(),
        decision: String::new(),
        seconds_to_verdict: 12.34,
        exposed_users: 1234,
        user_visible_errors: 0,
        accuracy: Some(0.951),
        stable_accuracy: Some(0.92),
    }
}

#[test]
fn the_summary_has_the_numbers() {
    let told = Summary {
        promoted: story("v2", "PROMOTED", ""),
        rolled_back: Story {
            accuracy: None,
            ..story("v3", "ROLLED_BACK", "GUARDRAIL")
        },
        achieved_split: vec![StepSplit {
            variant: "v2".into(),
            step: 1,
            asked: 0.1,
            achieved: 0.099_6,
        }],
        replayed: Replayed {
            decisions: 14,
            reproduced: 14,
        },
        rate: 1000.0,
        requests: 60_000,
        labels: 57_000,
        seconds: 61.4,
        seed: 1,
    };
    assert_eq!(
        summary(&told),
        "\nv2: PROMOTED after 12.3 s; 1,234 users met it, 0 errors reached users; right 95.1% of the time, stable 92.0%\n\
         v3: ROLLED_BACK(GUARDRAIL) after 12.3 s; 1,234 users met it, 0 errors reached users\n\
         v2 step 1: 10.00% asked, 9.96% got\n\
         replayed from the store: 14 of 14 decisions reproduced bit for bit\n\
         60,000 requests at 1,000/s and 57,000 labels in 61 s; seed 1\n"
    );
}

/// What the stage writes to stdout and to stderr.
fn shown(
    format: Format,
    screen: Option<Terminal>,
    play: impl FnOnce(&mut Stage<'_, '_>),
) -> (String, String) {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        notes: &mut notes,
        input: &mut std::io::empty(),
        screen,
    };
    play(&mut Stage::new(format, &mut console));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(notes))
}

#[test]
fn without_a_terminal_changes_are_lines_and_json_keeps_stdout_clean() {
    let play = |stage: &mut Stage<'_, '_>| {
        stage.say("begin");
        stage.rollout(&fixture::rollout());
        stage.rollout(&fixture::rollout());
    };
    let (out, notes) = shown(Format::Table, None, play);
    assert_eq!((out.lines().count(), notes.as_str()), (2, ""));
    let (out, notes) = shown(Format::Json, None, play);
    assert_eq!((out.as_str(), notes.lines().count()), ("", 2));
}

#[test]
fn a_terminal_keeps_the_last_frame_of_each_rollout() {
    let terminal = Terminal {
        size: || (120, 40),
        color: false,
    };
    let mut ended = fixture::rollout();
    ended.set_state(v1::State::Promoted);
    let (out, _) = shown(Format::Table, Some(terminal), |stage| {
        stage.rollout(&fixture::rollout());
        stage.rollout(&ended);
        stage.say("next");
    });
    assert_eq!(out.matches("\x1b[8A").count(), 1, "{out}");
    assert!(
        !out.contains("\x1b[6A"),
        "the last frame is not drawn over: {out}"
    );
    assert!(out.ends_with("next\n"), "{out}");
}

#[test]
fn rates_are_bounded() {
    assert_eq!(rate("200"), Ok(200.0));
    for bad in ["0", "-1", "NaN", "x", "1e9"] {
        assert!(rate(bad).is_err(), "{bad}");
    }
}
