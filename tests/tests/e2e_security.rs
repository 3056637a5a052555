//! Who may do what, with the real programs: certificates of `serinus certs dev`, tokens, and what changes under way. Run
//! by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use serinus_tests::cluster::{MODEL, model_server};
use serinus_tests::eventually::eventually;
use serinus_tests::load::get;
use serinus_tests::process::{Process, binaries};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// What a run of the command line ended with.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn serinus(args: &[&str]) -> Result<Ran> {
    let output = Command::new(binaries()?.join("serinus"))
        .args(args)
        .env_remove("SERINUS_SERVER")
        .output()
        .await?;
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

async fn certs(out: &Path) -> Result<()> {
    let out = out.display().to_string();
    let made = serinus(&[
        "certs", "dev", "--out", &out, "--model", MODEL, "--model", "cats",
    ])
    .await?;
    ensure!(made.code == Some(0), "{}", made.err);
    Ok(())
}

async fn control_plane(folder: &Path, certs: &Path) -> Result<Process> {
    let file = |name: &str| certs.join(name).into_os_string();
    let fixed = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let fixed = fixed.into_iter().map(OsString::from);
    let named = [
        ("--data-dir", folder.join("data").into_os_string()),
        ("--token-file", file("tokens")),
        ("--tls-cert", file("server.pem")),
        ("--tls-key", file("server.key")),
        ("--tls-client-ca", file("ca.pem")),
    ];
    let named = named
        .into_iter()
        .flat_map(|(flag, path)| [flag.into(), path]);
    Process::start("serinus-control-plane", fixed.chain(named)).await
}

/// Runs the command line as whoever has this certificate; `-` for nobody.
async fn call(server: &str, certs: &Path, who: &str, args: &[&str]) -> Result<Ran> {
    let file = |name: String| certs.join(name).display().to_string();
    let (ca, cert, key) = (
        file("ca.pem".into()),
        file(format!("{who}.pem")),
        file(format!("{who}.key")),
    );
    let mut all = vec!["--server", server, "--tls-ca", &ca];
    if who != "-" {
        all.extend(["--tls-cert", &cert, "--tls-key", &key]);
    }
    all.extend(args);
    serinus(&all).await
}

async fn sidecar(
    folder: &Path,
    name: &str,
    server: &str,
    cert: &str,
    stable: &str,
) -> Result<Process> {
    let (certs, state) = (folder.join("certs"), folder.join(name));
    let text = format!(
        "name = {name:?}\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ncontrol_plane = {server:?}\n\
         state_dir = {state:?}\n[tls.control_plane]\nca = {:?}\ncert = {:?}\nkey = {:?}\n[[model]]\nname = {MODEL:?}\n\
         stable = [\"http://{stable}\"]\n",
        certs.join("ca.pem"),
        certs.join(format!("{cert}.pem")),
        certs.join(format!("{cert}.key")),
    );
    let config = folder.join(format!("{name}.toml"));
    std::fs::write(&config, text)?;
    Process::start("serinus-sidecar", ["--config".as_ref(), config.as_os_str()]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn certificates_say_who_may_do_what() -> Result<()> {
    let home = tempfile::tempdir()?;
    let (folder, dev) = (home.path(), home.path().join("certs"));
    certs(&dev).await?;
    let process = control_plane(folder, &dev).await?;
    let port = process.address("grpc")?;
    let port = port.rsplit_once(':').context("a port")?.1.to_owned();
    let server = format!("https://localhost:{port}");
    let (stable, canary) = (model_server("v1").await?, model_server("v2").await?);
    let (v1, v2) = (stable.address("listening")?, canary.address("listening")?);
    let (v1, v2) = (format!("v1=http://{v1}"), format!("v2=http://{v2}"));

    // Nobody, somebody else, and whoever may not.
    let nobody = call(&server, &dev, "-", &["rollout", "list"]).await?;
    ensure!(
        nobody.code == Some(1) && nobody.err.contains("asks who calls"),
        "{}",
        nobody.err
    );
    let host = call(&server, &dev, "sidecar-digits", &["rollout", "list"]).await?;
    ensure!(
        host.code == Some(1) && host.err.contains("has the role sidecar"),
        "{}",
        host.err
    );
    let other = folder.join("other");
    certs(&other).await?;
    let foreign = call(&server, &other, "admin", &["rollout", "list"]).await?;
    ensure!(
        foreign.code == Some(1) && foreign.err.contains("ertificate"),
        "{}",
        foreign.err
    );
    let plain = serinus(&[
        "--server",
        &format!("http://localhost:{port}"),
        "rollout",
        "list",
    ])
    .await?;
    ensure!(plain.code == Some(1), "{}", plain.out);

    // Whoever may.
    let deploy = [
        "deploy",
        MODEL,
        "--stable",
        &v1,
        "--canary",
        &v2,
        "--percent",
        "50",
    ];
    let deployed = call(&server, &dev, "admin", &deploy).await?;
    ensure!(deployed.code == Some(0), "{}", deployed.err);
    let model = stable.address("listening")?;
    let own = sidecar(folder, "own", &server, "sidecar-digits", &model).await?;
    let poacher = sidecar(folder, "poacher", &server, "sidecar-cats", &model).await?;
    let listed = eventually("the sidecar follows", LIMIT, || async {
        let listed = call(&server, &dev, "admin", &["sidecars", "-o", "json"]).await?;
        Ok(listed
            .out
            .contains("\"current\": true")
            .then_some(listed.out))
    });
    let listed = listed.await?;
    ensure!(
        listed.contains("\"own\"") && !listed.contains("poacher"),
        "{listed}"
    );
    let admin = poacher.address("admin")?;
    let told = eventually("it says why", LIMIT, || async {
        let (_, status) = get(&admin, "/status").await?;
        Ok(status
            .contains("may not speak for the model")
            .then_some(status))
    });
    let status = told.await?;
    ensure!(!status.contains("\"v2\""), "{status}");

    // Who did that, from where, and that nobody has changed it since.
    let audit = call(&server, &dev, "admin", &["audit", "-o", "json"]).await?;
    ensure!(audit.code == Some(0), "{}", audit.err);
    let audit: serde_json::Value = serde_json::from_str(&audit.out)?;
    let entry = &audit["entries"][0];
    ensure!(
        entry["caller"] == "admin"
            && entry["identity"] == "spiffe://serinus.dev/admin"
            && entry["method"] == "serinus.v1.Rollouts/Apply"
            && entry["from"]
                .as_str()
                .is_some_and(|from| from.starts_with("127.0.0.1:"))
            && entry["before"].is_null()
            && entry["after"]["model"] == MODEL,
        "{entry}"
    );
    let refused = audit["refusals"].as_array().context("a list")?;
    let why: Vec<_> = refused
        .iter()
        .filter_map(|refusal| refusal["why"].as_str())
        .collect();
    ensure!(
        ["missing", "role", "model"]
            .iter()
            .all(|why_| why.contains(why_)),
        "{why:?}"
    );
    let noted = audit["last"].as_str().context("a text")?;
    let again = call(&server, &dev, "admin", &["audit", "--known", noted]).await?;
    ensure!(
        again.code == Some(0) && again.out.contains("as they were written"),
        "{}",
        again.out
    );
    let forged = format!("1:{}", "0".repeat(64));
    let forged = call(&server, &dev, "admin", &["audit", "--known", &forged]).await?;
    ensure!(
        forged.code == Some(1) && forged.err.contains("cut off or rewritten"),
        "{}",
        forged.err
    );

    // The token file and the certificates change under way; nonsense changes nothing.
    std::fs::write(dev.join("tokens"), "nonsense")?;
    std::fs::write(dev.join("server.pem"), "nonsense")?;
    let kept = call(&server, &dev, "admin", &["rollout", "list"]).await?;
    ensure!(kept.code == Some(0), "{}", kept.err);
    let viewer = "admin viewer spiffe://serinus.dev/admin\n";
    std::fs::write(dev.join("tokens"), viewer)?;
    let rollback = ["rollout", "rollback", MODEL, "--reason", "test"];
    let demoted = eventually("the new token file is in force", LIMIT, || async {
        let tried = call(&server, &dev, "admin", &rollback).await?;
        Ok(tried.err.contains("has the role viewer").then_some(()))
    });
    demoted.await?;
    for name in ["server.pem", "server.key"] {
        std::fs::copy(other.join(name), dev.join(name))?;
    }
    let renewed = eventually("the new certificate is shown", LIMIT, || async {
        let (ca, cert, key) = (
            other.join("ca.pem"),
            dev.join("admin.pem"),
            dev.join("admin.key"),
        );
        let (ca, cert, key) = (ca.display(), cert.display(), key.display());
        let args = [
            "--server".to_owned(),
            server.clone(),
            format!("--tls-ca={ca}"),
            format!("--tls-cert={cert}"),
            format!("--tls-key={key}"),
            "rollout".to_owned(),
            "list".to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Ok((serinus(&args).await?.code == Some(0)).then_some(()))
    });
    renewed.await?;
    for process in [own, poacher, process] {
        process.terminate().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn beyond_loopback_only_for_who_is_known_and_encrypted() -> Result<()> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("data").display().to_string();
    let tokens = home.path().join("tokens");
    let made = serinus(&["token", "new", "ana", "approver", "-o", "json"]).await?;
    let made: serde_json::Value = serde_json::from_str(&made.out)?;
    let line = made["line"].as_str().context("a line")?;
    std::fs::write(&tokens, line)?;
    ensure!(!line.contains(made["secret"].as_str().context("a secret")?));
    let tokens = tokens.display().to_string();
    let check = async |args: &[&str]| {
        let output = Command::new(binaries()?.join("serinus-control-plane"))
            .args([
                "--check-config",
                "--data-dir",
                &data,
                "--listen",
                "0.0.0.0:0",
            ])
            .args(args)
            .output()
            .await?;
        anyhow::Ok((output.status.success(), String::from_utf8(output.stderr)?))
    };
    let (allowed, said) = check(&[]).await?;
    ensure!(
        !allowed && said.contains("serinus-control-plane token NAME"),
        "{said}"
    );
    let (allowed, said) = check(&["--token-file", &tokens]).await?;
    ensure!(!allowed && said.contains("serinus certs dev"), "{said}");
    let dev = home.path().join("certs");
    certs(&dev).await?;
    let (cert, key) = (dev.join("server.pem"), dev.join("server.key"));
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let with = [
        "--token-file",
        &tokens,
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let (allowed, said) = check(&with).await?;
    ensure!(allowed, "{said}");
    Ok(())
}
