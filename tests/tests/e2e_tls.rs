//! TLS of the real programs: to the control plane, and to endpoints that each model trusts by a CA of its own. Run by
//! `tests/run`.

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::eventually::eventually;
use serinus_tests::load::get;
use serinus_tests::process::Process;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const LIMIT: Duration = Duration::from_secs(60);

/// A CA, and what it signs, in a folder of its own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir()?;
        std::fs::write(
            folder.path().join("ca.pem"),
            params.self_signed(&key)?.pem(),
        )?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            folder,
        })
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Files of a certificate and its key.
    fn sign(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        let key = KeyPair::generate()?;
        let cert = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.issuer)?;
        let file = |kind: &str| self.folder.path().join(format!("{name}.{kind}.pem"));
        std::fs::write(file("cert"), cert.pem())?;
        std::fs::write(file("key"), key.serialize_pem())?;
        Ok((file("cert"), file("key")))
    }

    /// A server that is called `localhost`; with `clients` only for those who show a certificate of this CA.
    fn server(&self, alpn: &str, clients: bool) -> Result<Arc<ServerConfig>> {
        let (cert, key) = self.sign("localhost")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match clients {
            false => builder.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(self.root())?)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let chain = vec![CertificateDer::from_pem_file(cert)?];
        let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }
}

/// Serves connections with TLS; its address.
async fn serve<F, A>(config: Arc<ServerConfig>, connection: F) -> Result<String>
where
    F: Fn(TlsStream<TcpStream>) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        let connection = Arc::new(connection);
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, connection) = (
                TlsAcceptor::from(Arc::clone(&config)),
                Arc::clone(&connection),
            );
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    connection(stream).await;
                }
            });
        }
    });
    Ok(format!("https://localhost:{port}"))
}

/// Takes the encryption off in front of a server that has none.
async fn in_front_of(address: &str, config: Arc<ServerConfig>) -> Result<String> {
    let address = address.to_owned();
    serve(config, move |mut stream| {
        let address = address.clone();
        async move {
            if let Ok(mut behind) = TcpStream::connect(address).await {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
            }
        }
    })
    .await
}

/// A model that says yes to everything.
async fn model(ca: &Authority) -> Result<String> {
    serve(ca.server("http/1.1", false)?, |mut stream| async move {
        let mut request = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut request).await {
            if request.ends_with(b"\r\n\r\n") {
                request.clear();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

async fn sidecar(folder: &Path, name: &str, text: &str) -> Result<Process> {
    let config = folder.join(format!("{name}.toml"));
    let general =
        format!("name = {name:?}\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{text}");
    std::fs::write(&config, general)?;
    Process::start("serinus-sidecar", ["--config".as_ref(), config.as_os_str()]).await
}

const PLAN: &str = "
steps:
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 1h}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn the_control_plane_is_followed_over_tls_and_only_if_it_can_be_verified() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let (ca, stranger) = (Authority::new()?, Authority::new()?);
    let url = in_front_of(cluster.grpc(), ca.server("h2", true)?).await?;
    let stable = cluster.stable.address("listening")?;
    let (cert, key) = ca.sign("host-a")?;
    let start = async |name: &str, tls: String| {
        let state = cluster.folder.path().join(name);
        let text = format!(
            "control_plane = {url:?}\nstate_dir = {state:?}\n[tls.control_plane]\n{tls}\n[[model]]\nname = {MODEL:?}\n\
             stable = [\"http://{stable}\"]\n"
        );
        sidecar(cluster.folder.path(), name, &text).await
    };
    let identity = format!("cert = {cert:?}\nkey = {key:?}");
    let wary = start("wary", format!("ca = {:?}\n{identity}", stranger.root())).await?;
    let anonymous = start("anonymous", format!("ca = {:?}", ca.root())).await?;
    let known = start("known", format!("ca = {:?}\n{identity}", ca.root())).await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(PLAN)?).await?.id;
    let current = |rollout: &serinus_proto::v1::Rollout| {
        let fleet = rollout.fleet.as_ref();
        rollout.epoch > 0 && fleet.is_some_and(|fleet| fleet.connected == 1 && fleet.current == 1)
    };
    client.until(&id, "it runs", LIMIT, current).await?;
    let (_, status) = get(&known.address("admin")?, "/status").await?;
    ensure!(status.contains("\"v2\""), "{status}");
    // The others serve what their own files say, and tell why they are alone.
    for (process, why) in [(&wary, "certificate"), (&anonymous, "CertificateRequired")] {
        let admin = process.address("admin")?;
        let told = eventually("it says why", LIMIT, || async {
            let (_, status) = get(&admin, "/status").await?;
            Ok(status.contains(why).then_some(status))
        });
        let status = told.await?;
        ensure!(!status.contains("\"v2\""), "{status}");
        ensure!(get(&admin, "/readyz").await?.0 == 200, "{status}");
    }
    for process in [wary, anonymous, known] {
        process.terminate().await?;
    }
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn every_model_has_its_own_certificates() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (usual, own) = (Authority::new()?, Authority::new()?);
    let (first, second) = (model(&usual).await?, model(&own).await?);
    // Signed by whom only the other model trusts.
    let third = model(&own).await?;
    let text = format!(
        "[tls.upstream]\nca = {:?}\n\
         [[model]]\nname = \"first\"\nmatch = \"path:/first\"\nstable = [{first:?}]\n\
         [[model]]\nname = \"second\"\nmatch = \"path:/second\"\nstable = [{second:?}]\ntls.ca = {:?}\n\
         [[model]]\nname = \"third\"\nmatch = \"path:/third\"\nstable = [{first:?}]\nendpoints.v2 = [{third:?}]\n\
         split = {{v2 = 1.0}}\n",
        usual.root(),
        own.root()
    );
    let process = sidecar(folder.path(), "models", &text).await?;
    let (inference, admin) = (process.address("inference")?, process.address("admin")?);
    let ready = eventually("it is ready", LIMIT, || async {
        Ok((get(&admin, "/readyz").await?.0 == 200).then_some(()))
    });
    ready.await.context("the checks of endpoints")?;
    for path in ["/first/a", "/second/a", "/third/a"] {
        let (status, body) = get(&inference, path).await?;
        ensure!(
            (status, body.as_str()) == (200, "ok"),
            "{path}: {status} {body}"
        );
    }
    let (_, metrics) = get(&admin, "/metrics").await?;
    let ready = |model: &str, variant: &str| {
        let mut lines = metrics.lines();
        let line = lines.find(|line| {
            line.starts_with("serinus_sidecar_variant_ready")
                && line.contains(&format!("model={model:?}"))
                && line.contains(&format!("variant={variant:?}"))
        });
        line.is_some_and(|line| line.ends_with(" 1"))
    };
    ensure!(
        ready("second", "stable") && !ready("third", "v2"),
        "{metrics}"
    );
    process.terminate().await
}
