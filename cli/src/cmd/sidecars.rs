//! `serinus sidecars`.

use crate::client::lists;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{json, table::table};
use crate::session::{Session, now_ms, request_id};
use crate::view::number;
use serde_json::Value;
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus sidecars
  serinus sidecars --model recommender --label ring=0
  serinus sidecars --release host-a --reason 'its clock was set'
  serinus sidecars -o json | jq -r '.[] | select(.connected | not) | .sidecar'";

/// `sidecars`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only sidecars that serve this model
    #[arg(long)]
    model: Option<String>,
    /// Only sidecars with this label; may be given more than once, then all of them
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Let the reports of this sidecar count again, which were refused because one of them could not be true
    #[arg(long, value_name = "SIDECAR", conflicts_with_all = ["model", "label"])]
    release: Option<String>,
    /// Why; kept in the event
    #[arg(long, requires = "release")]
    reason: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!(
            "`{text}` is no label; write NAME=VALUE, such as ring=0"
        )),
    }
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    if let Some(sidecar) = &args.release {
        return release(sidecar, args.reason.as_deref(), session).await;
    }
    let client = &session.client;
    let info = client
        .ask(|| {
            let mut admin = client.admin();
            async move { admin.get_info(v1::GetInfoRequest {}).await }
        })
        .await?;
    let request = v1::ListSidecarsRequest {
        model: args.model.clone().unwrap_or_default(),
        labels: args.label.iter().cloned().collect(),
        ..v1::ListSidecarsRequest::default()
    };
    let sidecars = lists::sidecars(client, request).await?;
    session.emit(
        || Value::from_iter(sidecars.iter().map(json::sidecar)),
        || alarm(&info) + &text(&sidecars, now_ms()),
    )?;
    Ok(Exit::Ok)
}

async fn release(
    sidecar: &str,
    reason: Option<&str>,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let request = v1::ReleaseSidecarRequest {
        sidecar: sidecar.to_owned(),
        request_id: request_id(),
        reason: reason.unwrap_or_default().to_owned(),
    };
    let client = &session.client;
    let released = client
        .ask(|| {
            let (mut admin, request) = (client.admin(), request.clone());
            async move { admin.release_sidecar(request).await }
        })
        .await?;
    session.emit(
        || json::sidecar(&released),
        || text(std::slice::from_ref(&released), now_ms()),
    )?;
    Ok(Exit::Ok)
}

/// What stops every raise.
fn alarm(info: &v1::Info) -> String {
    let Some(shown) = &info.fence_regressed else {
        return String::new();
    };
    let fence = |fence: Option<v1::Fence>| {
        let fence = fence.unwrap_or_default();
        format!("{}.{}.{}", fence.generation, fence.term, fence.revision)
    };
    format!(
        "FENCE_REGRESSION: {} holds instruction {}, later than {}, the newest one of this control plane. Nothing is \
         raised: stop the stale control plane, or start the restored one with --generation {}.\n\n",
        shown.sidecar,
        fence(shown.held),
        fence(shown.newest),
        shown.held.map_or(0, |held| held.generation) + 1
    )
    .replace(|c: char| c.is_control() && c != '\n', " ")
}

fn text(sidecars: &[v1::SidecarInfo], now_ms: u64) -> String {
    let rows: Vec<_> = sidecars
        .iter()
        .flat_map(|sidecar| rows(sidecar, now_ms))
        .collect();
    let head = [
        "SIDECAR",
        "CONNECTION",
        "VERSION",
        "LABELS",
        "MODEL",
        "EPOCH",
        "STATE",
    ];
    let empty = "no sidecars; start one with `serinus-sidecar --config FILE`";
    table(&head, &rows, empty)
}

/// One row per model, one for a sidecar without any.
fn rows(sidecar: &v1::SidecarInfo, now_ms: u64) -> Vec<Vec<String>> {
    let connection = match &sidecar.last_seen {
        _ if sidecar.connected => "connected".to_owned(),
        Some(seen) => {
            let ago = now_ms.saturating_sub(number::unix_ms(seen));
            format!("lost {} ago", number::clock(ago))
        }
        None => "lost".to_owned(),
    };
    let labels: Vec<String> = sidecar
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let labels = match labels.join(",") {
        none if none.is_empty() => number::NONE.to_owned(),
        some => some,
    };
    let row = |model: &str, epoch: String, state: String| {
        vec![
            sidecar.sidecar.clone(),
            connection.clone(),
            sidecar.version.clone(),
            labels.clone(),
            model.to_owned(),
            epoch,
            state,
        ]
    };
    if sidecar.models.is_empty() {
        return vec![row(
            number::NONE,
            number::NONE.to_owned(),
            number::NONE.to_owned(),
        )];
    }
    let models = sidecar.models.iter();
    let whole = whole(sidecar);
    models
        .map(|model| {
            let state = format!("{}{whole}", state(model));
            row(&model.model, model.epoch.to_string(), state)
        })
        .collect()
}

/// What is wrong with a sidecar as a whole.
fn whole(sidecar: &v1::SidecarInfo) -> String {
    let mut text = String::new();
    if !sidecar.quarantined.is_empty() {
        text += &format!(", reports NOT counted: {}", sidecar.quarantined);
    }
    if sidecar.ahead {
        text += ", holds a LATER instruction than any from here";
    }
    text
}

fn state(model: &v1::SidecarModel) -> String {
    let has_canary = !model.rollout.is_empty();
    let mut words = vec![if model.current { "current" } else { "behind" }.to_owned()];
    if !model.stable_ready {
        words.push("stable NOT ready".to_owned());
    }
    if has_canary && !model.not_selected {
        if model.warming {
            words.push("warming: canary was never ready".to_owned());
        } else if !model.canary_ready {
            words.push("canary NOT ready".to_owned());
        }
    }
    if model.not_selected {
        words.push("not selected".to_owned());
    }
    if model.killed {
        words.push("canary KILLED by the host's operator".to_owned());
    }
    if model.latched {
        words.push("latched".to_owned());
    }
    if model.breaker_open {
        words.push("breaker open".to_owned());
    }
    if model.reverted {
        words.push("reverted to stable: lease ran out".to_owned());
    } else if model.stale {
        words.push("stale: lease ran out".to_owned());
    }
    if !model.rejection.is_empty() {
        words.push(format!("refused: {}", model.rejection));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    #[test]
    fn one_row_per_model_and_what_is_wrong() {
        let sidecars = [
            v1::SidecarInfo {
                sidecar: "host-a".into(),
                version: "0.1.0".into(),
                connected: true,
                labels: [("ring".into(), "0".into()), ("region".into(), "eu".into())].into(),
                models: vec![v1::SidecarModel {
                    model: "m".into(),
                    rollout: "r".into(),
                    epoch: 3,
                    current: true,
                    stable_ready: true,
                    breaker_open: true,
                    ..Default::default()
                }],
                ..Default::default()
            },
            v1::SidecarInfo {
                sidecar: "host-b".into(),
                last_seen: Some(Timestamp {
                    seconds: 10,
                    nanos: 0,
                }),
                ..Default::default()
            },
        ];
        assert_eq!(
            text(&sidecars, 75_000),
            "SIDECAR  CONNECTION      VERSION  LABELS            MODEL  EPOCH  STATE\n\
             host-a   connected       0.1.0    region=eu,ring=0  m      3      current, canary NOT ready, breaker open\n\
             host-b   lost 1m05s ago           -                 -      -      -\n"
        );
        assert!(text(&[], 0).starts_with("no sidecars; start one"));
    }

    #[test]
    fn what_stands_above_an_assignment_and_what_is_not_believed() {
        let model = v1::SidecarModel {
            model: "m".into(),
            rollout: "r".into(),
            stable_ready: true,
            warming: true,
            killed: true,
            stale: true,
            ..Default::default()
        };
        let sidecar = v1::SidecarInfo {
            sidecar: "host-a".into(),
            connected: true,
            models: vec![model],
            quarantined: "a counter of v2 is too large to be true".into(),
            ahead: true,
            ..Default::default()
        };
        let shown = text(&[sidecar], 0);
        let expected = "behind, warming: canary was never ready, canary KILLED by the host's operator, \
                        stale: lease ran out, reports NOT counted: a counter of v2 is too large to be true, \
                        holds a LATER instruction than any from here\n";
        assert!(shown.ends_with(expected), "{shown}");
        assert_eq!(alarm(&v1::Info::default()), "");
        let fence = |term| {
            Some(v1::Fence {
                generation: 1,
                term,
                revision: 9,
            })
        };
        let info = v1::Info {
            fence_regressed: Some(v1::FenceRegressed {
                sidecar: "host-a".into(),
                held: fence(7),
                newest: fence(2),
            }),
            ..Default::default()
        };
        let shown = alarm(&info);
        assert!(
            shown.contains("host-a holds instruction 1.7.9, later than 1.2.9"),
            "{shown}"
        );
        assert!(shown.contains("--generation 2"), "{shown}");
    }
}
