//! `serinus sidecars`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{json, table::table};
use crate::session::{Session, now_ms};
use crate::view::number;
use serde_json::Value;
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus sidecars
  serinus sidecars -o json | jq -r '.[] | select(.connected | not) | .sidecar'";

/// `sidecars`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only sidecars that serve this model
    #[arg(long)]
    model: Option<String>,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let client = &session.client;
    let listed = client
        .ask(|| {
            let mut admin = client.admin();
            async move { admin.list_sidecars(v1::ListSidecarsRequest {}).await }
        })
        .await?;
    let mut sidecars = listed.sidecars;
    if let Some(model) = &args.model {
        sidecars.retain(|sidecar| sidecar.models.iter().any(|served| served.model == *model));
    }
    session.emit(
        || Value::from_iter(sidecars.iter().map(json::sidecar)),
        || text(&sidecars, now_ms()),
    )?;
    Ok(Exit::Ok)
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
    let row = |model: &str, epoch: String, state: String| {
        vec![
            sidecar.sidecar.clone(),
            connection.clone(),
            sidecar.version.clone(),
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
    models
        .map(|model| row(&model.model, model.epoch.to_string(), state(model)))
        .collect()
}

fn state(model: &v1::SidecarModel) -> String {
    let has_canary = !model.rollout.is_empty();
    let mut words = vec![if model.current { "current" } else { "behind" }.to_owned()];
    if !model.stable_ready {
        words.push("stable NOT ready".to_owned());
    }
    if has_canary && !model.canary_ready {
        words.push("canary NOT ready".to_owned());
    }
    if model.breaker_open {
        words.push("breaker open".to_owned());
    }
    if model.reverted {
        words.push("reverted to stable: lease ran out".to_owned());
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
            "SIDECAR  CONNECTION      VERSION  MODEL  EPOCH  STATE\n\
             host-a   connected       0.1.0    m      3      current, canary NOT ready, breaker open\n\
             host-b   lost 1m05s ago           -      -      -\n"
        );
        assert!(text(&[], 0).starts_with("no sidecars; start one"));
    }
}
