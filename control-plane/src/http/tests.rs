use super::*;
use crate::engine::Engine;
use crate::listen::Limits;
use crate::store::memory::{Disk, MemoryStore};
use serinus_runtime::shutdown;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn probes_metrics_and_the_front_page() {
    let store = Arc::new(MemoryStore::open(Disk::default()));
    let (engine, handle) = Engine::start(store, "1.2.3").unwrap();
    let (stop_engine, engine_drain) = shutdown::channel();
    let engine = tokio::spawn(engine.run(engine_drain));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = crate::listen::open(listener, None, Limits::default(), BEGINNING);
    let (trigger, drain) = shutdown::channel();
    let grpc = SocketAddr::from(([127, 0, 0, 1], 7400));
    let routes = crate::grpc::routes(handle.clone(), &Arc::default(), drain.clone());
    let options = Options { grpc, local: true };
    let served = tokio::spawn(serve(incoming, handle.clone(), routes, options, drain));

    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    let shown = || handle.views().shown_ms > 0;
    while !shown() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(get(address, "/readyz").await.ends_with("ready\n"));
    let metrics = get(address, "/metrics").await;
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(metrics.contains("serinus_sidecars_connected"), "{metrics}");
    for name in [
        "serinus_engine_waiting 0",
        "serinus_sidecar_models{how=\"stale\"} 0",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    for stage in ["take", "look", "publish"] {
        let name = format!("serinus_stage_seconds_count{{stage=\"{stage}\"}}");
        assert!(metrics.contains(&name), "{name} in {metrics}");
    }
    let front = get(address, "/").await;
    assert!(front.contains("Serinus control plane 1.2.3"), "{front}");
    assert!(front.contains("--server http://127.0.0.1:7400"), "{front}");
    assert!(get(address, "/none").await.starts_with("HTTP/1.1 404"));

    stop_engine.drain();
    engine.await.unwrap().unwrap();
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 503"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
    trigger.drain();
    served.await.unwrap();
}
