use super::callers::make;
use super::*;
use crate::listen::{Certificate, Peer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::Code;
use tonic::codegen::http::HeaderMap;

const ANYTHING: (Option<&str>, Option<&str>) = (None, None);
const GET: &str = "serinus.v1.Rollouts/Get";
const APPLY: &str = "serinus.v1.Rollouts/Apply";
const SYNC: &str = "serinus.v1.Sidecars/Sync";

fn access(text: &str) -> Arc<Access> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path: PathBuf = file.path().into();
    Arc::new(Access::read(path).unwrap())
}

fn bearer(secret: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Bearer {secret}").parse().unwrap();
    headers.insert("authorization", value);
    headers
}

fn showing(certificate: Certificate) -> Peer {
    let address = SocketAddr::from(([10, 0, 0, 7], 1234));
    Peer {
        address,
        certificate,
    }
}

fn code(admitted: Result<Caller, tonic::Status>) -> Result<String, Code> {
    admitted
        .map(|caller| caller.name)
        .map_err(|status| status.code())
}

#[test]
fn each_role_passes_where_it_is_allowed() {
    let (operator, first) = make("ana", Role::Operator, ANYTHING).unwrap();
    let (sidecar, second) = make("host-a", Role::Sidecar, ANYTHING).unwrap();
    let access = access(&format!("{first}\n{second}\n"));
    let call = |method, headers: &HeaderMap| code(access.admit(method, headers, None));
    assert_eq!(call(APPLY, &bearer(&operator)), Ok("ana".into()));
    assert_eq!(call(APPLY, &bearer(&sidecar)), Err(Code::PermissionDenied));
    assert_eq!(call(SYNC, &bearer(&operator)), Err(Code::PermissionDenied));
    assert_eq!(call(SYNC, &bearer(&sidecar)), Ok("host-a".into()));
    assert_eq!(call(GET, &bearer("guess")), Err(Code::Unauthenticated));
    assert_eq!(call(GET, &HeaderMap::new()), Err(Code::Unauthenticated));
    let mut basic = HeaderMap::new();
    basic.insert("authorization", operator.parse().unwrap());
    assert_eq!(call(GET, &basic), Err(Code::Unauthenticated));
    let health = "grpc.health.v1.Health/Check";
    assert!(call(health, &HeaderMap::new()).is_ok());
    let none = "serinus.v1.Rollouts/Delete";
    assert_eq!(call(none, &bearer(&operator)), Err(Code::Unimplemented));
    let (kept, total) = access.refusals.all();
    assert_eq!((kept.len(), total), (6, 6));
    assert_eq!((kept[0].caller.as_str(), kept[0].why), ("host-a", "role"));
    assert!(!format!("{kept:?}").contains(&operator));
}

#[test]
fn where_nobody_is_asked_everybody_is_the_operator() {
    let access = Arc::new(Access::open());
    for method in [GET, APPLY, SYNC, "serinus.v1.Admin/Backup"] {
        let caller = access.admit(method, &HeaderMap::new(), None).unwrap();
        assert_eq!(caller.name, "operator");
        caller.is_sidecar("any").unwrap();
        caller.speaks_for(["any"]).unwrap();
    }
}

#[test]
fn a_certificate_is_who_its_one_spiffe_id_says() {
    let access = access("ana admin spiffe://td/ana\nfleet sidecar spiffe://td/sidecar/* models=m");
    let call = |method, certificate| {
        let peer = showing(certificate);
        code(access.admit(method, &HeaderMap::new(), Some(&peer)))
    };
    let spiffe = |id: &str| Certificate::Spiffe(id.to_owned());
    assert_eq!(call(APPLY, spiffe("spiffe://td/ana")), Ok("ana".into()));
    assert_eq!(
        call(APPLY, spiffe("spiffe://td/bob")),
        Err(Code::Unauthenticated)
    );
    assert_eq!(
        call(APPLY, spiffe("spiffe://td/sidecar/a")),
        Err(Code::PermissionDenied)
    );
    assert_eq!(call(APPLY, Certificate::None), Err(Code::Unauthenticated));
    let unclear = Certificate::Unclear("it has 2 URIs among its names, not one".into());
    assert_eq!(call(APPLY, unclear), Err(Code::Unauthenticated));
    let (kept, _) = access.refusals.all();
    assert!(kept[0].message.contains("spiffe://td/bob"), "{kept:?}");
    assert!(kept.iter().all(|refusal| refusal.from == "10.0.0.7:1234"));
}

#[test]
fn a_sidecar_speaks_for_its_models_and_as_itself() {
    let access = access("fleet sidecar spiffe://td/sidecar/* models=digits,cats-*");
    let peer = showing(Certificate::Spiffe("spiffe://td/sidecar/host-a".into()));
    let caller = access.admit(SYNC, &HeaderMap::new(), Some(&peer)).unwrap();
    assert!(caller.is_bound());
    caller.is_sidecar("host-a").unwrap();
    caller.speaks_for(["digits", "cats-1", ""]).unwrap();
    let refused = [
        caller.is_sidecar("host-b").unwrap_err(),
        caller.speaks_for(["digits", "dogs"]).unwrap_err(),
        caller.has(Role::Approver, "promoting").unwrap_err(),
    ];
    for status in refused {
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    let (kept, _) = access.refusals.all();
    let why: Vec<_> = kept.iter().map(|refusal| refusal.why).collect();
    assert_eq!(why, ["sidecar", "model", "role"]);
    assert!(kept[1].message.contains("\"dogs\""), "{kept:?}");
}

#[test]
fn a_file_that_is_read_again_is_in_force_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let (ana, first) = make("ana", Role::Viewer, ANYTHING).unwrap();
    let (bob, second) = make("bob", Role::Viewer, ANYTHING).unwrap();
    std::fs::write(&path, &first).unwrap();
    let access = Arc::new(Access::read(path.clone()).unwrap());
    let may = |secret: &str| access.admit(GET, &bearer(secret), None).is_ok();
    assert_eq!((may(&ana), may(&bob)), (true, false));
    std::fs::write(&path, &second).unwrap();
    access.reload().unwrap();
    assert_eq!((may(&ana), may(&bob)), (false, true));
    std::fs::write(&path, "nonsense").unwrap();
    assert!(access.reload().is_err());
    assert_eq!((may(&ana), may(&bob)), (false, true));
    assert!(Access::read(Path::new("/does/not/exist").into()).is_err());
}
