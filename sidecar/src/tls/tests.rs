use super::watch::{look, stamps};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::Path;
use tokio::net::{TcpListener, TcpStream};

/// A CA, and what it signs, in a directory.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Writes a certificate for a name, and its key.
    fn sign(&self, directory: &Path, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            cert: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        fs::write(&identity.cert, cert.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }

    fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("ca.pem");
        fs::write(&path, &self.pem).unwrap();
        path
    }
}

/// Both sides shake hands; what the client gets.
async fn shake(accept: &Accept, dial: &Dial, name: &str, offer: Offer) -> std::io::Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let (stream, _) = accepted.unwrap();
    let (server, client) = tokio::join!(
        accept.accept(stream),
        dial.connect(name, client.unwrap(), offer)
    );
    let (_, is_h2) = client?;
    server.map(|_| is_h2)
}

#[tokio::test]
async fn who_is_signed_by_the_ca_and_named_so_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let identity = ca.sign(directory.path(), "model.internal");
    let accept = Accept::load(identity, None, false).unwrap();
    let dial = Dial::load("tls.upstream", Some(ca.write(directory.path())), None).unwrap();
    for (offer, is_h2) in [
        (Offer::Both, true),
        (Offer::Http2, true),
        (Offer::Http1, false),
    ] {
        let agreed = shake(&accept, &dial, "model.internal", offer).await;
        assert_eq!(agreed.unwrap(), is_h2, "{offer:?}");
    }
    let other_name = shake(&accept, &dial, "other.internal", Offer::Both).await;
    assert!(other_name.is_err());
    let stranger = Authority::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let wary = Dial::load("tls.upstream", Some(stranger.write(elsewhere.path())), None).unwrap();
    let refused = shake(&accept, &wary, "model.internal", Offer::Both).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn applications_are_asked_for_a_certificate() {
    let (server, client) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ca = Authority::new();
    let root = ca.write(server.path());
    let identity = ca.sign(server.path(), "localhost");
    let accept = Accept::load(identity, Some(root.clone()), false).unwrap();
    let own = ca.sign(client.path(), "app");
    let known = Dial::load("tls.upstream", Some(root.clone()), Some(own)).unwrap();
    assert!(
        shake(&accept, &known, "localhost", Offer::Both)
            .await
            .is_ok()
    );
    let anonymous = Dial::load("tls.upstream", Some(root), None).unwrap();
    let refused = shake(&accept, &anonymous, "localhost", Offer::Both).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_comes_into_force_and_a_broken_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let identity = old.sign(directory.path(), "localhost");
    let accept = Accept::load(identity.clone(), None, false).unwrap();
    let trust = tempfile::tempdir().unwrap();
    let dial = Dial::load("tls.upstream", Some(new.write(trust.path())), None).unwrap();
    let tls = Tls {
        accept: Some(accept),
        dial: Arc::new(dial),
        ..Tls::plain()
    };
    let accept = tls.accept.as_ref().unwrap();
    let shaken = async || {
        shake(accept, &tls.dial, "localhost", Offer::Both)
            .await
            .is_ok()
    };
    assert!(!shaken().await, "signed by the old CA");
    let files = tls.files();
    assert_eq!(files.len(), 3);
    let mut known = stamps(&files);
    new.sign(directory.path(), "localhost");
    // Whatever the clock of the file system makes of it.
    known[0] = None;
    look(&tls, &files, &mut known);
    assert!(shaken().await);
    fs::write(&identity.cert, "no certificate").unwrap();
    known[0] = None;
    look(&tls, &files, &mut known);
    assert!(shaken().await, "the last good one serves on");
}

#[test]
fn mistakes_name_the_field_and_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let identity = ca.sign(directory.path(), "localhost");
    let missing = Dial::load(
        "tls.upstream",
        Some(directory.path().join("none.pem")),
        None,
    )
    .unwrap_err();
    let text = missing.to_string();
    assert!(
        text.starts_with("tls.upstream.ca: read ") && text.contains("none.pem"),
        "{text}"
    );
    let swapped = Identity {
        cert: identity.key.clone(),
        key: identity.cert.clone(),
    };
    let empty = Accept::load(swapped, None, false).unwrap_err();
    assert!(matches!(&empty, TlsError::Empty { field, .. } if field == "tls.cert"));
    let strange = tempfile::tempdir().unwrap();
    let other = ca.sign(strange.path(), "localhost");
    let mixed = Identity {
        cert: identity.cert,
        key: other.key,
    };
    let refused = Accept::load(mixed, None, false).unwrap_err().to_string();
    assert!(refused.starts_with("tls.cert: "), "{refused}");
}
