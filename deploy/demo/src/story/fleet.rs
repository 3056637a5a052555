//! Everything that runs during the story.

use super::Options;
use super::plans::MODEL;
use super::process::Process;
use crate::traffic::Target;
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

const SIDECARS: usize = 3;

/// Control plane, sidecars and model servers, in a temporary folder.
#[derive(Debug)]
pub(super) struct Fleet {
    /// Kept, so that the folder lives as long as the fleet.
    _folder: TempDir,
    processes: Vec<Process>,
    pub(super) grpc: String,
    pub(super) http: String,
    /// Address of each model server, by version.
    pub(super) models: Vec<(&'static str, String)>,
    pub(super) targets: Vec<Target>,
}

impl Fleet {
    pub(super) async fn start(options: &Options) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a temporary folder")?;
        let data = folder.path().join("control-plane").display().to_string();
        let args = words(&[
            "control-plane",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--data-dir",
            &data,
        ]);
        let control = Process::start(&options.program, "the control plane", &args).await?;
        let (grpc, http) = (control.address("grpc")?, control.address("http")?);
        let mut fleet = Self {
            _folder: folder,
            processes: vec![control],
            grpc,
            http,
            models: Vec::new(),
            targets: Vec::new(),
        };
        for (version, kind) in [("v1", "stable"), ("v2", "better"), ("v3", "worse")] {
            fleet.start_model(options, version, kind).await?;
        }
        for number in 0..SIDECARS {
            fleet.start_sidecar(options, number).await?;
        }
        Ok(fleet)
    }

    async fn start_model(
        &mut self,
        options: &Options,
        version: &'static str,
        kind: &str,
    ) -> Result<()> {
        let seed = options.seed.to_string();
        let args = words(&[
            "model-server",
            "--model",
            kind,
            "--name",
            MODEL,
            "--version",
            version,
            "--listen",
            "127.0.0.1:0",
            "--seed",
            &seed,
        ]);
        let server = Process::start(
            &options.program,
            &format!("the model server of {version}"),
            &args,
        )
        .await?;
        self.models.push((version, server.address("listening")?));
        self.processes.push(server);
        Ok(())
    }

    async fn start_sidecar(&mut self, options: &Options, number: usize) -> Result<()> {
        let folder = self._folder.path();
        let name = format!("sidecar-{number}");
        let text = format!(
            "name = {name:?}\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             control_plane = \"http://{grpc}\"\nstate_dir = {state:?}\n\
             [[model]]\nname = {MODEL:?}\nstable = [\"http://{stable}\"]\n",
            grpc = self.grpc,
            state = folder.join(&name),
            stable = self.model("v1")?,
        );
        let config = folder.join(format!("{name}.toml"));
        std::fs::write(&config, text)?;
        let args = words(&["sidecar", "--config", &config.display().to_string()]);
        let sidecar = Process::start(&options.program, &name, &args).await?;
        let address = |word: &str| -> Result<SocketAddr> { Ok(sidecar.address(word)?.parse()?) };
        self.targets.push(Target {
            infer: address("inference")?,
            admin: Some(address("admin")?),
        });
        self.processes.push(sidecar);
        Ok(())
    }

    pub(super) fn model(&self, version: &str) -> Result<&str> {
        let model = self.models.iter().find(|(name, _)| *name == version);
        model
            .map(|(_, address)| address.as_str())
            .with_context(|| format!("no model server of {version}"))
    }

    pub(super) async fn connect(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("http://{}", self.grpc))?
            .connect()
            .await?)
    }

    /// An error that names a process that is gone.
    pub(super) fn all_alive(&mut self) -> Result<()> {
        if let Some(gone) = self
            .processes
            .iter_mut()
            .find_map(|p| p.is_gone().then(|| p.name().to_owned()))
        {
            bail!("{gone} ended in mid-story");
        }
        Ok(())
    }
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|&word| word.to_owned()).collect()
}
