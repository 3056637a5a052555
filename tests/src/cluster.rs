//! A control plane, sidecars and model servers on loopback: what a user would run, small.

pub(crate) mod ending;
pub mod trace;

use crate::client::Client;
use crate::oracle::trace::{Fault, What};
use crate::process::Process;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use trace::{Follower, Trace};

/// The model that every test releases.
pub const MODEL: &str = "digits";

/// Everything that runs.
#[derive(Debug)]
pub struct Cluster {
    /// Databases and state of everything here.
    pub folder: TempDir,
    /// `None` while it is killed.
    pub control_plane: Option<Process>,
    grpc: String,
    http: String,
    /// The sidecars.
    pub sidecars: Vec<Sidecar>,
    /// v1.
    pub stable: Process,
    /// v2.
    pub canary: Process,
    /// What is seen of all of them.
    pub trace: Trace,
    followers: Vec<Follower>,
}

/// What a sidecar is told beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Where it finds control planes; empty: the cluster's.
    pub control_planes: Vec<String>,
    /// By which rollouts select it.
    pub labels: BTreeMap<String, String>,
}

/// One sidecar; a restarted one keeps its name, ports and state.
#[derive(Debug)]
pub struct Sidecar {
    /// `None` while it is killed.
    pub process: Option<Process>,
    /// Its name.
    pub name: String,
    /// Where inference calls go.
    pub inference: String,
    /// Where outcomes go.
    pub admin: String,
    /// What it was told beyond the usual.
    pub extra: Extra,
    /// By a signal, until it is told to go on.
    pub stopped: bool,
}

impl Cluster {
    /// Starts a control plane, `sidecars` of them, and two echo models.
    ///
    /// # Errors
    /// If any of them does not come up.
    pub async fn start(sidecars: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let stable = model_server("v1").await?;
        let canary = model_server("v2").await?;
        let control_plane = control_plane(folder.path(), "127.0.0.1:0", "127.0.0.1:0").await?;
        let (grpc, http) = (
            control_plane.address("grpc")?,
            control_plane.address("http")?,
        );
        let trace = Trace::default();
        let mut cluster = Self {
            folder,
            control_plane: Some(control_plane),
            grpc,
            http,
            sidecars: Vec::new(),
            stable,
            canary,
            trace: trace.clone(),
            followers: Vec::new(),
        };
        let watching = cluster.client()?.channel();
        cluster.followers.push(trace.follow_events(watching));
        for _ in 0..sidecars {
            cluster.add_sidecar(Extra::default()).await?;
        }
        Ok(cluster)
    }

    /// Starts one more sidecar; its number.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn add_sidecar(&mut self, extra: Extra) -> Result<usize> {
        let number = self.sidecars.len();
        let name = format!("sidecar-{number}");
        let process = self
            .start_sidecar(&name, "127.0.0.1:0", "127.0.0.1:0", &extra)
            .await?;
        let (inference, admin) = (process.address("inference")?, process.address("admin")?);
        self.followers
            .push(self.trace.follow_sidecar(&name, &admin));
        self.sidecars.push(Sidecar {
            process: Some(process),
            name,
            inference,
            admin,
            extra,
            stopped: false,
        });
        Ok(number)
    }

    /// Says that there is traffic of which the trace knows nothing.
    pub fn traffic_elsewhere(&self) {
        self.trace.note(What::Unseen);
    }

    /// A client of the control plane, whether it runs or not.
    ///
    /// # Errors
    /// If its address is none.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.grpc)?.traced(&self.trace))
    }

    /// Address of the HTTP port.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Address of the gRPC port.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Kills the control plane.
    ///
    /// # Errors
    /// If it is not running.
    pub async fn kill_control_plane(&mut self) -> Result<()> {
        let process = self.control_plane.take();
        let process = process.context("the control plane is not running")?;
        self.trace.fault(Fault::Killed, "control-plane");
        process.kill().await
    }

    /// Starts it again on the same ports and data.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_control_plane(&mut self) -> Result<()> {
        let started = control_plane(self.folder.path(), &self.grpc, &self.http).await?;
        self.control_plane = Some(started);
        self.trace.fault(Fault::Started, "control-plane");
        Ok(())
    }

    /// What the control plane's file says from its next start on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, text: &str) -> Result<()> {
        std::fs::write(config(self.folder.path()), text)?;
        Ok(())
    }

    /// Kills a sidecar.
    ///
    /// # Errors
    /// If it is not running.
    pub async fn kill_sidecar(&mut self, number: usize) -> Result<()> {
        let of = &mut self.sidecars[number];
        let process = of.process.take().context("the sidecar is not running")?;
        self.trace.fault(Fault::Killed, &of.name);
        process.kill().await
    }

    /// Stops the control plane by a signal, or lets it go on.
    ///
    /// # Errors
    /// If it is not running.
    pub async fn stop_control_plane(&self, stop: bool) -> Result<()> {
        let process = self.control_plane.as_ref();
        let process = process.context("the control plane is not running")?;
        let (fault, signal) = stopping(stop);
        self.trace.fault(fault, "control-plane");
        process.signal(signal).await
    }

    /// Stops a sidecar by a signal, or lets it go on.
    ///
    /// # Errors
    /// If it is not running.
    pub async fn stop_sidecar(&mut self, number: usize, stop: bool) -> Result<()> {
        let of = &mut self.sidecars[number];
        let process = of.process.as_ref().context("the sidecar is not running")?;
        let (fault, signal) = stopping(stop);
        self.trace.fault(fault, &of.name);
        of.stopped = stop;
        process.signal(signal).await
    }

    /// Starts it again with the same name, ports and state.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn restart_sidecar(&mut self, number: usize) -> Result<()> {
        let of = &self.sidecars[number];
        let process = self
            .start_sidecar(&of.name, &of.inference, &of.admin, &of.extra)
            .await?;
        self.trace.fault(Fault::Started, &of.name);
        self.sidecars[number].process = Some(process);
        Ok(())
    }

    /// Another model server, to take the place of one that is killed.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn spare_model_server(&self) -> Result<Process> {
        model_server("v2").await
    }

    async fn start_sidecar(
        &self,
        name: &str,
        listen: &str,
        admin: &str,
        extra: &Extra,
    ) -> Result<Process> {
        let state = self.folder.path().join(name);
        let stable = self.stable.address("listening")?;
        let own = vec![format!("http://{}", self.grpc)];
        let control_planes = match &extra.control_planes {
            none if none.is_empty() => &own,
            some => some,
        };
        let labels = extra.labels.iter().map(|(k, v)| format!("{k} = {v:?}\n"));
        let labels: String = labels.collect();
        let text = format!(
            "name = {name:?}\nlisten = {listen:?}\nadmin = {admin:?}\ncontrol_plane = {control_planes:?}\n\
             state_dir = {state:?}\n[labels]\n{labels}[[model]]\nname = {MODEL:?}\nstable = [\"http://{stable}\"]\n",
        );
        let config = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&config, text)?;
        Process::start("serinus-sidecar", ["--config".as_ref(), config.as_os_str()]).await
    }

    /// The first lines of a plan from v1 to v2; steps and guardrails follow.
    ///
    /// # Errors
    /// If a model server said no address.
    pub fn plan(&self, rest: &str) -> Result<String> {
        Ok(format!(
            "model: {MODEL}\nstable: {{name: v1, endpoints: [\"http://{}\"]}}\n\
             canary: {{name: v2, endpoints: [\"http://{}\"]}}\n{rest}",
            self.stable.address("listening")?,
            self.canary.address("listening")?,
        ))
    }
}

fn stopping(stop: bool) -> (Fault, &'static str) {
    if stop {
        (Fault::Stopped, "STOP")
    } else {
        (Fault::Continued, "CONT")
    }
}

fn config(folder: &Path) -> PathBuf {
    folder.join("control-plane.toml")
}

async fn control_plane(folder: &Path, grpc: &str, http: &str) -> Result<Process> {
    let data = folder.join("control-plane");
    let mut args: Vec<OsString> = ["--listen", grpc, "--http", http, "--data-dir"]
        .map(Into::into)
        .into();
    args.push(data.into());
    let config = config(folder);
    if config.exists() {
        args.extend(["--config".into(), config.into()]);
    }
    Process::start("serinus-control-plane", args).await
}

/// An echo model of a version.
///
/// # Errors
/// If it does not come up.
pub async fn model_server(version: &str) -> Result<Process> {
    let args = [
        "model-server",
        "--model",
        "echo",
        "--name",
        MODEL,
        "--version",
        version,
        "--listen",
        "127.0.0.1:0",
    ];
    Process::start("serinus", args).await
}
