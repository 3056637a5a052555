//! `serinus model ...`.

use crate::args::values;
use crate::client::lists;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{json, table::table};
use crate::session::{Session, request_id};
use serde_json::Value;
use serinus_proto::v1;
use tonic::Status;

const SET_EXAMPLES: &str = "\
Examples:
  serinus model set-stable recommender v1=http://127.0.0.1:9001
  serinus model set-stable recommender v1=http://10.0.0.1:9001,http://10.0.0.2:9001 --reason 'new hosts'
  serinus model set-stable digits v1=http://127.0.0.1:9001 --rewrite version=1

Refused while a rollout of the model is active.";

/// `model`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the models
    #[command(after_help = "Example:\n  serinus model list -o json | jq -r '.[].name'")]
    List,
    /// Show one model
    #[command(after_help = "Example:\n  serinus model get recommender")]
    Get {
        /// Its name
        model: String,
    },
    /// Name the version that serves a model
    #[command(after_help = SET_EXAMPLES)]
    SetStable(Box<SetStable>),
}

/// `model set-stable`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetStable {
    /// Its name
    model: String,
    /// The version and its endpoints
    #[arg(value_name = "NAME=URL[,URL]", value_parser = values::variant)]
    stable: v1::Variant,
    /// How its calls name the model there: model=NAME, version=V or label=L, several separated by commas
    #[arg(long, value_name = "FIELD=TEXT", value_parser = values::rewrite)]
    rewrite: Option<v1::Rewrite>,
    /// Why; kept in the log
    #[arg(long, default_value = "")]
    reason: String,
    /// Refuse unless the model is at this revision
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    expected_revision: u64,
    /// Check whether it would be done, change nothing
    #[arg(long)]
    validate_only: bool,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    match command {
        Command::List => {
            let models = lists::models(&session.client).await?;
            session.emit(
                || Value::from_iter(models.iter().map(json::model)),
                || text(&models),
            )?;
        }
        Command::Get { model } => {
            let model = get(&model, session)
                .await
                .map_err(|status| session.client.failure(&status))?;
            session.emit(
                || json::model(&model),
                || text(std::slice::from_ref(&model)),
            )?;
        }
        Command::SetStable(args) => {
            let validate_only = args.validate_only;
            let model = set_stable(*args, session).await?;
            session.emit(
                || json::model(&model),
                || text(std::slice::from_ref(&model)),
            )?;
            if validate_only {
                session
                    .console
                    .note("it would be done; nothing was changed");
            }
        }
    }
    Ok(Exit::Ok)
}

fn text(models: &[v1::Model]) -> String {
    let rows: Vec<_> = models.iter().map(row).collect();
    let head = ["MODEL", "STABLE", "ENDPOINTS", "ACTIVE ROLLOUT"];
    table(
        &head,
        &rows,
        "no models; name one with `serinus model set-stable` or `serinus deploy`",
    )
}

fn row(model: &v1::Model) -> Vec<String> {
    let stable = model.stable.clone().unwrap_or_default();
    let active = match model.active_rollout.as_str() {
        "" => "-",
        rollout => rollout,
    };
    vec![
        model.name.clone(),
        stable.name,
        stable.endpoints.join(", "),
        active.to_owned(),
    ]
}

/// One model.
pub(crate) async fn get(name: &str, session: &Session<'_, '_>) -> Result<v1::Model, Status> {
    let client = &session.client;
    client
        .try_ask(|| {
            let mut models = client.models();
            let request = v1::GetModelRequest {
                model: name.to_owned(),
            };
            async move { models.get_model(request).await }
        })
        .await
}

async fn set_stable(args: SetStable, session: &Session<'_, '_>) -> Result<v1::Model, Failure> {
    let client = &session.client;
    let request = v1::SetStableRequest {
        request_id: request_id(),
        model: args.model,
        stable: Some(v1::Variant {
            rewrite: args.rewrite,
            ..args.stable
        }),
        expected_revision: args.expected_revision,
        reason: args.reason,
        validate_only: args.validate_only,
    };
    client
        .ask(|| {
            let (mut models, request) = (client.models(), request.clone());
            async move { models.set_stable(request).await }
        })
        .await
}
