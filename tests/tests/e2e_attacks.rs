//! Nobody gets in who may not, and nobody who means harm takes anything from the others: every call with every identity,
//! and floods of frames. Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use serinus_control_plane::access::callers::make;
use serinus_control_plane::access::{Role, policy};
use serinus_proto::v1;
use serinus_runtime::tls::{Dial, Identity};
use serinus_tests::attack::{Bare, Flood, framed, methods, resident};
use serinus_tests::client::Client;
use serinus_tests::cluster::Cluster;
use serinus_tests::process::Process;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

const UNAUTHENTICATED: u32 = 16;
const PERMISSION_DENIED: u32 = 7;
/// How long each flood lasts.
const FLOOD: Duration = Duration::from_secs(3);
/// What a good call may take while there is one, on a machine that does other things too.
const P99: Duration = Duration::from_secs(5);
/// What a flood may add to the memory, bytes.
const GROWTH: u64 = 256 << 20;

/// A CA, and what it signs, in a folder.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, folder })
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let identity = Identity {
            cert: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        };
        std::fs::write(&identity.cert, params.signed_by(&key, &self.issuer)?.pem())?;
        std::fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }
}

fn named(id: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Somebody who calls.
struct Somebody {
    name: String,
    token: Option<String>,
    dial: Dial,
    /// Absent: whoever this is, nobody knows.
    role: Option<Role>,
}

const ROLES: [Role; 5] = [
    Role::Viewer,
    Role::Operator,
    Role::Approver,
    Role::Admin,
    Role::Sidecar,
];

/// Every role by token and by certificate, and those whom nobody knows.
fn everybody(ca: &Authority, folder: &Path) -> Result<Vec<Somebody>> {
    let dial = |own| Dial::load("test", Some(ca.folder.join("ca.pem")), own);
    let mut lines = String::new();
    let mut all = Vec::new();
    for role in ROLES {
        let (secret, line) = make(&format!("{role}-token"), role, (None, None))?;
        let id = format!("spiffe://test/{role}");
        let bound = if role == Role::Sidecar {
            " models=*"
        } else {
            ""
        };
        lines += &format!("{line}\n{role}-cert {role} {id}{bound}\n");
        all.push(Somebody {
            name: format!("{role} by token"),
            token: Some(secret),
            dial: dial(None)?,
            role: Some(role),
        });
        all.push(Somebody {
            name: format!("{role} by certificate"),
            token: None,
            dial: dial(Some(ca.sign(&role.to_string(), &named(&id)?)?))?,
            role: Some(role),
        });
    }
    let strangers = [
        ("nobody", None, None),
        ("a wrong token", Some("serinus_guess".to_owned()), None),
        ("an empty token", Some(String::new()), None),
        (
            "an unknown certificate",
            None,
            Some(ca.sign("unknown", &named("spiffe://test/stranger")?)?),
        ),
    ];
    for (name, token, own) in strangers {
        all.push(Somebody {
            name: name.to_owned(),
            token,
            dial: dial(own)?,
            role: None,
        });
    }
    std::fs::write(folder.join("tokens"), lines)?;
    Ok(all)
}

async fn control_plane(folder: &Path, ca: &Authority) -> Result<Process> {
    let server = CertificateParams::new(vec!["localhost".to_owned()])?;
    let own = ca.sign("server", &server)?;
    let fixed = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"].map(OsString::from);
    let files = [
        ("--data-dir", folder.join("data")),
        ("--token-file", folder.join("tokens")),
        ("--tls-cert", own.cert),
        ("--tls-key", own.key),
        ("--tls-client-ca", ca.folder.join("ca.pem")),
    ];
    let files = files
        .into_iter()
        .flat_map(|(flag, path)| [flag.into(), path.into_os_string()]);
    Process::start("serinus-control-plane", fixed.into_iter().chain(files)).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn every_call_is_for_those_who_may() -> Result<()> {
    let home = tempfile::tempdir()?;
    let ca = Authority::new(home.path().join("ca"))?;
    let all = everybody(&ca, home.path())?;
    let process = control_plane(home.path(), &ca).await?;
    let address = process.address("grpc")?;
    let methods = methods()?;
    let (mut refused, mut let_in) = (0, 0);
    for somebody in &all {
        let mut bare = Bare::connect(&address, Some(&somebody.dial)).await?;
        for method in &methods {
            let (_, allowed) = policy::of(method).context("a policy")?;
            // An empty message: whoever is let in hears what is missing, or reads what there is.
            let ended = bare
                .call(method, somebody.token.as_deref(), framed(&[]))
                .await
                .with_context(|| format!("{method} by {}", somebody.name))?;
            let code = ended.as_ref().map(|(code, _)| *code);
            let wanted = match somebody.role {
                None => Some(UNAUTHENTICATED),
                Some(role) if !allowed.allows(role) => Some(PERMISSION_DENIED),
                Some(_) => None,
            };
            let right = match wanted {
                Some(wanted) => code == Some(wanted),
                None => !matches!(code, Some(UNAUTHENTICATED | PERMISSION_DENIED)),
            };
            ensure!(
                right,
                "{method} by {}: {ended:?}, not {wanted:?}",
                somebody.name
            );
            refused += u64::from(wanted.is_some());
            let_in += u64::from(wanted.is_none());
        }
    }

    // Whoever may do everything, with what is no message.
    let admin = all
        .iter()
        .find(|of| of.role == Some(Role::Admin))
        .context("an admin")?;
    let mut bare = Bare::connect(&address, Some(&admin.dial)).await?;
    let mut header = vec![0];
    header.extend(u32::MAX.to_be_bytes());
    let bodies = [
        ("4 GiB are announced", header),
        ("too long", framed(&vec![0; 5 << 20])),
        ("garbage", framed(&[0xff; 64])),
        ("no frame", vec![0xff; 64]),
        ("cut off", framed(&[0; 64])[..20].to_vec()),
    ];
    for (what, body) in bodies {
        for method in ["serinus.v1.Rollouts/Apply", "serinus.v1.Rollouts/Rollback"] {
            let ended = bare
                .call(method, admin.token.as_deref(), body.clone())
                .await;
            // A body that is not read to its end may end with the stream instead of with a status.
            let Ok(ended) = ended else {
                bare = Bare::connect(&address, Some(&admin.dial)).await?;
                continue;
            };
            ensure!(
                ended.as_ref().is_some_and(|(code, _)| *code != 0),
                "{method}, {what}: {ended:?}"
            );
        }
    }

    // Certificates that are not let shake hands.
    let foreign = Authority::new(home.path().join("foreign"))?;
    let mut expired = named("spiffe://test/admin")?;
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    for (what, own) in [
        (
            "foreign",
            foreign.sign("admin", &named("spiffe://test/admin")?)?,
        ),
        ("expired", ca.sign("expired", &expired)?),
    ] {
        let dial = Dial::load("test", Some(ca.folder.join("ca.pem")), Some(own))?;
        let called = async {
            let mut bare = Bare::connect(&address, Some(&dial)).await?;
            bare.call("serinus.v1.Admin/GetInfo", None, framed(&[]))
                .await
        };
        ensure!(
            called.await.is_err(),
            "a certificate that is {what} was let in"
        );
    }

    // Nothing has changed, and every refusal was counted.
    let http = process.address("http")?;
    let metrics = metrics(&http, &ca).await?;
    let counted: u64 = metrics
        .lines()
        .filter(|line| {
            line.starts_with("serinus_calls_denied_total{") && !line.contains("\"command\"")
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    ensure!(
        counted == refused,
        "{counted} counted, {refused} refused\n{metrics}"
    );
    ensure!(metrics.contains("\nserinus_revision 0"), "{metrics}");
    println!(
        "{} calls x {} callers: {refused} refused, {let_in} let in",
        methods.len(),
        all.len()
    );
    process.terminate().await
}

async fn metrics(address: &str, ca: &Authority) -> Result<String> {
    use serinus_runtime::tls::Offer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let dial = Dial::load("test", Some(ca.folder.join("ca.pem")), None)?;
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut stream, _) = dial.connect("localhost", stream, Offer::Http1).await?;
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    // A server may leave without the farewell of TLS.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8(answer)?)
}

/// Calls that mean well, one after the other; how long each took.
async fn good(client: Client, until: Instant) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let begin = Instant::now();
        let request = v1::ListRolloutsRequest::default();
        client.rollouts().list(request).await?;
        took.push(begin.elapsed());
    }
    took.sort();
    Ok(took)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn floods_take_nothing_from_those_who_mean_well() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let client = cluster.client()?;
    for model in ["a", "b", "c"] {
        let plan = cluster
            .plan("")?
            .replace("model: digits", &format!("model: {model}"));
        client.apply(&plan).await?;
    }
    let process = cluster.control_plane.as_ref().context("it runs")?;
    let process = process.id().context("it runs")?;
    let quiet = good(client.clone(), Instant::now() + FLOOD / 3).await?;
    println!(
        "quiet: {} good calls, p99 {:?}",
        quiet.len(),
        quiet[quiet.len() * 99 / 100]
    );
    let floods = [
        (Flood::RapidReset, cluster.grpc(), 8),
        (Flood::Continuation, cluster.grpc(), 8),
        (Flood::EmptyData, cluster.grpc(), 8),
        (Flood::Control, cluster.grpc(), 8),
        (Flood::SlowReader, cluster.grpc(), 100),
        (Flood::Silent, cluster.grpc(), 300),
        (Flood::Slowloris, cluster.http(), 300),
    ];
    for (flood, address, connections) in floods {
        let before = resident(process)?;
        let until = Instant::now() + FLOOD;
        let attackers: Vec<_> = (0..connections)
            .map(|_| {
                let address = address.to_owned();
                tokio::spawn(async move {
                    let (mut sent, mut opened) = (0, 0_u64);
                    while Instant::now() < until {
                        // A connection that was refused is tried again, as an attacker would.
                        if let Ok(more) = flood.attack(&address, until).await {
                            sent += more;
                        }
                        opened += 1;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    (sent, opened)
                })
            })
            .collect();
        let watched = tokio::spawn(async move {
            let mut most = before;
            while Instant::now() < until {
                most = most.max(resident(process)?);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(most)
        });
        let took = good(client.clone(), until)
            .await
            .with_context(|| format!("a good call during {flood:?}"))?;
        let (mut sent, mut opened) = (0, 0);
        for attacker in attackers {
            let (frames, connections) = attacker.await?;
            (sent, opened) = (sent + frames, opened + connections);
        }
        let most = watched.await??;
        ensure!(!took.is_empty(), "no good call got through {flood:?}");
        let p99 = took[took.len() * 99 / 100];
        println!(
            "{flood:?}: {sent} sent on {opened} connections; {} good calls, p99 {p99:?}; memory {} -> {} MiB",
            took.len(),
            before >> 20,
            most >> 20
        );
        ensure!(p99 < P99, "{flood:?}: p99 {p99:?}");
        ensure!(
            most.saturating_sub(before) < GROWTH,
            "{flood:?}: memory grew from {before} to {most}"
        );
    }
    Ok(())
}
