use super::tls::{Port, Tls};
use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use serinus_runtime::tls::{Clients, Dial, Identity, Offer};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

/// A CA, and what it signs, in a directory.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    fn new(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        fs::write(directory.join("ca.pem"), pem).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            directory: directory.to_owned(),
        }
    }

    fn root(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            cert: self.directory.join(format!("{name}.pem")),
            key: self.directory.join(format!("{name}.key.pem")),
        };
        fs::write(&identity.cert, cert.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }

    fn server(&self) -> Identity {
        self.sign(
            "server",
            &CertificateParams::new(vec!["localhost".to_owned()]).unwrap(),
        )
    }
}

fn client(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let uris = uris.iter();
    params.subject_alt_names = uris
        .map(|uri| SanType::URI((*uri).try_into().unwrap()))
        .collect();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// A port that takes certificates of `ca`, and where it is.
async fn port(ca: &Authority, limits: Limits, beginning: usize) -> (Incoming, SocketAddr) {
    let tls = Tls::load(Port::Grpc, ca.server(), Clients::Asked(ca.root())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = open(listener, Some(Arc::new(tls)), limits, beginning);
    (incoming, address)
}

/// What the port learns of a caller; `None` if it is not let in.
async fn learn(
    incoming: &mut Incoming,
    address: SocketAddr,
    root: PathBuf,
    identity: Option<Identity>,
) -> Option<Certificate> {
    let dial = Dial::load("test", Some(root), identity).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let shaken = dial.connect("localhost", stream, Offer::Http2).await;
    let Ok((mut stream, _)) = shaken else {
        return None;
    };
    // In TLS 1.3 the client is ready before the server has looked at its certificate.
    let mut byte = [0];
    tokio::select! {
        arrived = incoming.recv() => Some(arrived.unwrap().peer().certificate.clone()),
        read = stream.read(&mut byte) => {
            assert!(!matches!(read, Ok(1)), "nobody has sent anything");
            None
        }
    }
}

#[tokio::test]
async fn certificates_say_who_calls_or_nothing_is_let_in() {
    let home = tempfile::tempdir().unwrap();
    let ca = Authority::new(&home.path().join("ours"));
    let foreign = Authority::new(&home.path().join("theirs"));
    let (mut incoming, address) = port(&ca, Limits::default(), 1).await;
    let mut ask = async |identity| learn(&mut incoming, address, ca.root(), identity).await;

    let id = "spiffe://td/sidecar/a";
    let good = ca.sign("good", &client(&[id]));
    assert_eq!(
        ask(Some(good)).await,
        Some(Certificate::Spiffe(id.to_owned()))
    );
    assert_eq!(ask(None).await, Some(Certificate::None));
    for (name, uris, why) in [
        ("none", &[][..], "has 0 URIs"),
        ("two", &[id, "spiffe://td/sidecar/b"][..], "has 2 URIs"),
        (
            "web",
            &["https://td/a"][..],
            "does not begin with spiffe://",
        ),
    ] {
        let unclear = ask(Some(ca.sign(name, &client(uris)))).await;
        let said = format!("{unclear:?}");
        assert!(
            matches!(unclear, Some(Certificate::Unclear(_))) && said.contains(why),
            "{name}: {said}"
        );
    }
    let strange = foreign.sign("strange", &client(&[id]));
    assert_eq!(ask(Some(strange)).await, None, "of another CA");
    let mut expired = client(&[id]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    assert_eq!(ask(Some(ca.sign("expired", &expired))).await, None);
    let mut early = client(&[id]);
    early.not_before = date_time_ymd(2090, 1, 1);
    early.not_after = date_time_ymd(2091, 1, 1);
    assert_eq!(ask(Some(ca.sign("early", &early))).await, None);
    let mut authority = client(&[id]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(
        ask(Some(ca.sign("authority", &authority))).await,
        None,
        "a CA is no caller"
    );
    let mut server = client(&[id]);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(
        ask(Some(ca.sign("usage", &server))).await,
        None,
        "for servers only"
    );
    assert_eq!(ask(None).await, Some(Certificate::None), "it still serves");
}

#[tokio::test]
async fn a_renewed_certificate_comes_into_force_and_a_broken_one_does_not() {
    let home = tempfile::tempdir().unwrap();
    let (ours, next) = (home.path().join("ours"), home.path().join("next"));
    let (old, new) = (Authority::new(&ours), Authority::new(&next));
    let identity = old.server();
    let tls = Tls::load(Port::Grpc, identity.clone(), Clients::Anybody).unwrap();
    let tls = Arc::new(tls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = open(listener, Some(Arc::clone(&tls)), Limits::default(), 1);
    let mut trusts = async |ca: &Authority| {
        learn(&mut incoming, address, ca.root(), None)
            .await
            .is_some()
    };
    assert!(trusts(&old).await && !trusts(&new).await);
    let renewed = new.server();
    fs::copy(&renewed.cert, &identity.cert).unwrap();
    assert!(tls.reload().is_err(), "the certificate without its key");
    assert!(trusts(&old).await);
    fs::copy(&renewed.key, &identity.key).unwrap();
    tls.reload().unwrap();
    assert!(!trusts(&old).await && trusts(&new).await);
    assert_eq!(tls.files(), [identity.cert, identity.key]);
}

#[tokio::test]
async fn only_so_many_connections_of_one_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = open(listener, None, Limits::new(10, 2), 1);
    let mut closed = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            arrived = incoming.recv() => Err((stream, arrived.unwrap())),
            read = stream.read(&mut byte) => Ok(read),
        }
    };
    let first = closed().await.unwrap_err();
    let _second = closed().await.unwrap_err();
    assert!(!matches!(closed().await, Ok(Ok(1)) | Err(_)));
    drop(first);
    assert!(closed().await.is_err(), "there is a place again");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = open(listener, None, Limits::default(), 4);
    let mut caller = TcpStream::connect(address).await.unwrap();
    let mut stream = incoming.recv().await.unwrap();
    caller.write_all(b"PRI").await.unwrap();
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await.unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(bytes, b"PRI");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_gives_its_place_back() {
    let home = tempfile::tempdir().unwrap();
    let ca = Authority::new(home.path());
    let (_incoming, address) = port(&ca, Limits::default(), 1).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut noisy = TcpStream::connect(address).await.unwrap();
    noisy.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    for stream in [&mut noisy, &mut silent] {
        let mut answer = Vec::new();
        let ended = timeout(LIMIT, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "it is closed after a while");
    }
}
