//! While nothing is heard of the control plane.

use super::*;

#[tokio::test]
async fn where_streams_break_it_asks() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    {
        let mut disk = fake.disk.lock().unwrap();
        disk.cuts_streams = true;
        disk.fetched = Some(v1::Push {
            assignments: vec![assignment(5, 50_000)],
            snapshot_complete: true,
            ..v1::Push::default()
        });
    }
    let peer = Peer {
        models: vec!["m".into()],
        ..peer_of(&Reports::new("host-a".into(), 1))
    };
    let store = Store::new(Cache::open(directory.path()).unwrap());
    let shared = Arc::clone(&peer.shared);
    let killed = Switch::new(None).watch();
    let clock = Clock::from_fn(|| 0);
    let mut applier = Applier::start(vec![spec()], shared, store, clock, 0, killed).unwrap();
    let url = fake.url();
    let (said, _contact) = watch::channel(Contact::default());
    let ended = once(&peer, &url, &mut applier, &said).await;
    assert!(ended.to_string().contains("cut"), "{ended}");
    let mut polling = Polling::default();
    for _ in 0..2 {
        polling.fetch(&peer, &url, &mut applier).await;
    }
    let table = peer.shared.table();
    let canary = &table.routes()[0].variants[1];
    assert_eq!(canary.share_ppm, 50_000);
    assert_eq!(saved(directory.path()).entries.len(), 1, "on disk as ever");
    let hello = fake.disk.lock().unwrap().fetches[1].clone();
    assert_eq!(hello.held[0].fence, assignment(5, 0).fence);
}

/// It is connected to and never answers, as one whose process was stopped: the first answer is waited for for 10 s.
#[tokio::test]
async fn while_a_control_plane_is_silent_leases_grow_old_and_the_host_is_heard() {
    const SOON: Duration = Duration::from_secs(5);
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let before = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    before.stop().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut sidecar = Sidecar::start(directory.path(), &url);
    // Only when it has connected is it the silence that is waited for.
    let (_connection, _) = silent.accept().await.unwrap();
    sidecar.clock.store(70_000, Ordering::SeqCst);
    let frozen = tokio::time::timeout(SOON, sidecar.standing(Standing::Frozen));
    frozen.await.expect("its lease grows old");
    sidecar.kill.kill(Some("m")).unwrap();
    let shared = Arc::clone(&sidecar.shared);
    let killed = eventually(|| shared.table().routes()[0].killed);
    let killed = tokio::time::timeout(SOON, killed);
    killed.await.expect("the host is heard");
    sidecar.stop().await;
}

#[tokio::test]
async fn while_nobody_answers_a_question_the_host_is_heard() {
    let directory = tempfile::tempdir().unwrap();
    let peer = peer_of(&Reports::new("host-a".into(), 1));
    let store = Store::new(Cache::open(directory.path()).unwrap());
    let kill = Switch::new(None);
    let clock = Clock::from_fn(|| 0);
    let shared = Arc::clone(&peer.shared);
    let mut applier = Applier::start(
        vec![spec()],
        Arc::clone(&shared),
        store,
        clock,
        0,
        kill.watch(),
    )
    .unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut polling = Polling::default();
    tokio::select! {
        () = polling.fetch(&peer, &url, &mut applier) => panic!("nobody was there to answer"),
        () = async {
            let (_connection, _) = silent.accept().await.unwrap();
            kill.kill(Some("m")).unwrap();
            eventually(|| shared.table().routes()[0].killed).await;
        } => {}
    }
}

#[tokio::test]
async fn whoever_operates_the_host_has_the_last_word() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let mut sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 50_000)).await;
    sidecar.kill.kill(Some("m")).unwrap();
    let told = |killed: bool| {
        move |status: &v1::Status| {
            let mut canaries = status.variants.iter().filter(|of| of.variant == "v2");
            canaries.any(|of| of.killed == killed)
        }
    };
    let tell = async |fake: &mut Fake, killed| {
        let told = told(killed);
        loop {
            if let ToControl::Status(status) = fake.any().await
                && told(&status)
            {
                break;
            }
        }
    };
    tell(&mut fake, true).await;
    let killed = |sidecar: &Sidecar| sidecar.shared.table().routes()[0].killed;
    assert!(killed(&sidecar));
    assert_eq!(
        sidecar.share(),
        50_000,
        "counted as nobody's, not as stable's"
    );
    // Nothing that comes from the control plane undoes it, and neither does a restart.
    fake.push(2, assignment(6, 500_000)).await;
    assert!(killed(&sidecar));
    sidecar.stop().await;
    sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    assert!(killed(&sidecar));
    sidecar.kill.release().unwrap();
    tell(&mut fake, false).await;
    assert!(!killed(&sidecar));
    sidecar.stop().await;
}
