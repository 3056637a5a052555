//! `serinus control-plane`, `serinus sidecar` and `serinus model-server`: the daemons' own code with their own flags, so
//! that the demo can start real processes from one program.

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

/// Keeps rollouts, decides, and tells the sidecars; the same as `serinus-control-plane`.
#[derive(Debug, Parser)]
#[command(
    name = "serinus control-plane",
    bin_name = "serinus control-plane",
    version
)]
struct ControlPlane {
    #[command(flatten)]
    args: serinus_control_plane::config::Args,
}

/// Routes local inference calls between model versions and measures them; the same as `serinus-sidecar`.
#[derive(Debug, Parser)]
#[command(name = "serinus sidecar", bin_name = "serinus sidecar", version)]
struct Sidecar {
    #[command(flatten)]
    args: serinus_sidecar::app::Args,
}

/// Serves a demonstration model over the Open Inference Protocol.
#[derive(Debug, Parser)]
#[command(
    name = "serinus model-server",
    bin_name = "serinus model-server",
    version,
    disable_version_flag = true
)]
struct ModelServer {
    #[command(flatten)]
    args: serinus_demo::server::Args,
}

/// Runs the daemon that the first argument names; `None` if it names none.
pub(crate) fn run(args: Vec<OsString>) -> Option<ExitCode> {
    let name = args.get(1)?.to_str()?.to_owned();
    // The daemon's parser takes the name of the program where this one had it.
    let flags = args.into_iter().skip(1);
    let ended = match name.as_str() {
        "control-plane" => serinus_control_plane::app::run(ControlPlane::parse_from(flags).args),
        "sidecar" => serinus_sidecar::app::run(Sidecar::parse_from(flags).args),
        "model-server" => model_server(ModelServer::parse_from(flags).args),
        _ => return None,
    };
    Some(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serinus {name}: {error:#}");
            ExitCode::from(serinus_control_plane::app::exit_code(&error))
        }
    })
}

/// One thread serves it best.
fn model_server(args: serinus_demo::server::Args) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = serinus_demo::server::run(args) => ended,
            stopped = serinus_runtime::shutdown::signal() => Ok(stopped?),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn flags_are_consistent() {
        ControlPlane::command().debug_assert();
        Sidecar::command().debug_assert();
        ModelServer::command().debug_assert();
    }

    #[test]
    fn other_commands_are_none_of_ours() {
        for args in [
            &["serinus"][..],
            &["serinus", "rollout"],
            &["serinus", "-o", "sidecar"],
        ] {
            assert!(run(args.iter().map(OsString::from).collect()).is_none());
        }
    }
}
