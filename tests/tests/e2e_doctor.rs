//! What the doctor finds in real processes. Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use serinus_tests::cluster::Cluster;
use serinus_tests::eventually::eventually;
use serinus_tests::process::binaries;
use std::time::Duration;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// The exit code and the report.
async fn doctor(cluster: &Cluster) -> Result<(i32, Value)> {
    let sidecars = cluster.sidecars.iter().map(|of| of.admin.as_str());
    let asked = Command::new(binaries()?.join("serinus"))
        .args(["--server", &format!("http://{}", cluster.grpc())])
        .args(["--timeout", "2s", "doctor", "--json", "--http"])
        .arg(cluster.http())
        .args(sidecars.flat_map(|admin| ["--sidecar", admin]))
        .output()
        .await?;
    let report = serde_json::from_slice(&asked.stdout);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    let code = asked.status.code().context("it ends by itself")?;
    Ok((code, report.with_context(|| format!("{code}: {said}"))?))
}

/// Waits until the doctor finds all of these, and ends with `code`.
async fn finds(cluster: &Cluster, code: i32, wanted: &[&str]) -> Result<Value> {
    eventually(&format!("{code} with {wanted:?}"), LIMIT, || async {
        let (ended, report) = doctor(cluster).await?;
        let findings = report["findings"].as_array().context("a list")?.clone();
        let found = |code: &&str| findings.iter().any(|of| of["code"] == **code);
        Ok((ended == code && wanted.iter().all(found)).then_some(report))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn the_doctor_finds_what_was_broken() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let well = finds(&cluster, 0, &[]).await?;
    ensure!(well["healthy"] == true, "{well}");
    let client = cluster.client()?;
    let plan = "steps: [{split: {v2: 0.3, v1: 0.7}, min_duration: 1h}, {split: {v2: 1.0}}]\n";
    client.apply(&cluster.plan(plan)?).await?;
    // Nobody calls the model.
    finds(&cluster, 0, &["NO_TRAFFIC"]).await?;
    let spare = cluster.spare_model_server().await?;
    std::mem::replace(&mut cluster.stable, spare).kill().await?;
    let report = finds(&cluster, 9, &["STABLE_NOT_READY", "ENDPOINT_DOWN"]).await?;
    let findings = report["findings"].as_array().context("a list")?;
    let silent = findings.iter().find(|of| of["way_out"] == "");
    ensure!(silent.is_none(), "{silent:?} says no way out");
    cluster.kill_control_plane().await?;
    finds(
        &cluster,
        9,
        &["UNREACHABLE", "HTTP_UNREACHABLE", "NO_CONTACT"],
    )
    .await?;
    Ok(())
}
