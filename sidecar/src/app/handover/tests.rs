use super::wire::{Message, PROTOCOL, Wire};
use crate::app::start::{Running, start};
use crate::config::Sidecar;
use crate::fake::http::{call, model_server};
use crate::fake::{Fake, eventually};
use hyper::{Method, StatusCode};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(20);

async fn config(directory: &Path, name: &str, rest: &str) -> Sidecar {
    let model = model_server("v1").await;
    let text = format!(
        "name = \"{name}\"\nlisten = [\"127.0.0.1:0\", \"unix:{directory}/app.sock\"]\nadmin = \"127.0.0.1:0\"\n\
         drain = \"4s\"\nstate_dir = \"{directory}\"\n{rest}[[model]]\nname = \"m\"\nstable = [\"{model}\"]\n",
        directory = directory.display()
    );
    toml::from_str(&text).unwrap()
}

/// A process of the test: what `app::run` does, without the process.
struct Process {
    address: SocketAddr,
    admin: SocketAddr,
    end: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Process {
    async fn start(config: Sidecar) -> Self {
        Self::run(start(config).await.unwrap())
    }

    fn run(mut running: Running) -> Self {
        let address = running.core.inference[0].tcp().unwrap();
        let admin = running.core.admin;
        let (end, ended) = oneshot::channel::<()>();
        let done = tokio::spawn(async move {
            let signal = async {
                // Only a signal ends it: a test that forgets it waits for the handover.
                if ended.await.is_err() {
                    std::future::pending::<()>().await;
                }
                Ok(())
            };
            let hang_ups = crate::app::hang_ups().unwrap();
            running.serve(signal, hang_ups).await.unwrap();
            running.stop().await;
        });
        Self {
            address,
            admin,
            end,
            done,
        }
    }

    async fn in_contact(&self) {
        let status = async || {
            call(self.admin, Method::GET, "/status", &[], "")
                .await
                .json()
        };
        while status().await["control_plane"]["connected"] != true {
            tokio::task::yield_now().await;
        }
    }

    async fn ended(self) {
        tokio::time::timeout(LONG, self.done)
            .await
            .unwrap()
            .unwrap();
    }

    async fn stop(self) {
        self.end.send(()).unwrap();
        tokio::time::timeout(LONG, self.done)
            .await
            .unwrap()
            .unwrap();
    }
}

/// An application that asks again and again, over connections that it keeps as long as it may.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<usize>>,
}

impl Load {
    fn start(address: SocketAddr, socket: &Path) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut callers = Vec::new();
        for each in 0..6 {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            let socket = (each % 3 == 0).then(|| socket.to_owned());
            callers.push(tokio::spawn(async move {
                let mut answered = 0;
                while !stop.load(Ordering::SeqCst) {
                    // Every other one takes a new connection for each call.
                    let most = if each % 2 == 0 { usize::MAX } else { 1 };
                    answered += match &socket {
                        Some(path) => {
                            let stream = UnixStream::connect(path).await.unwrap();
                            calls(stream, most, &stop, &asked).await
                        }
                        None => {
                            let stream = TcpStream::connect(address).await.unwrap();
                            calls(stream, most, &stop, &asked).await
                        }
                    };
                }
                answered
            }));
        }
        Self {
            stop,
            asked,
            callers,
        }
    }

    /// Waits until everybody has asked some more.
    async fn go_on(&self, more: usize) {
        let until = self.asked.load(Ordering::SeqCst) + more;
        eventually(|| self.asked.load(Ordering::SeqCst) >= until).await;
    }

    /// How many calls were answered; each of them was answered well.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut answered = 0;
        for caller in self.callers {
            answered += caller.await.unwrap();
        }
        answered
    }
}

/// Calls over one connection until the answer says that it ends.
async fn calls<S>(mut stream: S, most: usize, stop: &AtomicBool, asked: &AtomicUsize) -> usize
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut answered = 0;
    while answered < most && !stop.load(Ordering::SeqCst) {
        asked.fetch_add(1, Ordering::SeqCst);
        let request = b"GET /v2/models/m/infer HTTP/1.1\r\nhost: ml\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let text = answer(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text:?}");
        answered += 1;
        if text.contains("\r\nconnection: close\r\n") {
            break;
        }
    }
    answered
}

/// An answer whose body is `v1`.
async fn answer<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\nv1") {
        let n = stream.read_buf(&mut got).await.unwrap();
        assert!(n > 0, "cut after {:?}", String::from_utf8_lossy(&got));
    }
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn processes_follow_one_another_without_a_dropped_request() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "host-a", "").await;
    let mut process = Process::start(config.clone()).await;
    let (address, admin) = (process.address, process.admin);
    let load = Load::start(address, &directory.path().join("app.sock"));
    load.go_on(50).await;
    for _ in 0..3 {
        let next = Process::start(config.clone()).await;
        assert_eq!((next.address, next.admin), (address, admin));
        let old = std::mem::replace(&mut process, next);
        load.go_on(50).await;
        old.ended().await;
        let ready = call(admin, Method::GET, "/healthz", &[], "").await;
        assert_eq!(ready.status, StatusCode::OK);
    }
    let answered = load.end().await;
    assert!(answered > 200, "{answered}");
    process.stop().await;
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn both_processes_report_what_they_served() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let rest = format!("control_plane = \"{}\"\n", fake.url());
    let config = config(directory.path(), "host-a", &rest).await;
    let old = Process::start(config.clone()).await;
    let first = fake.greet().await.incarnation;
    old.in_contact().await;
    let ask = async |address| call(address, Method::POST, "/v2/models/m/infer", &[], "{}").await;
    assert_eq!(ask(old.address).await.text(), "v1");
    let (new, greeting) = tokio::join!(Process::start(config), fake.greet());
    assert_ne!(greeting.incarnation, first);
    old.ended().await;
    assert_eq!(ask(new.address).await.text(), "v1");
    // The old one has left, and has not come back to greet.
    let outcome = "{\"prediction_id\":\"x\",\"metric\":\"accuracy\",\"value\":1}";
    let taken = call(new.admin, Method::POST, "/v1/outcomes", &[], outcome).await;
    assert_eq!(taken.text(), "{\"status\":\"bad_id\"}");
    new.stop().await;
    let reported = fake.disk.lock().unwrap().ok_of.clone();
    assert_eq!(reported.len(), 2);
    assert_eq!(
        (reported[&first], reported[&greeting.incarnation]),
        (1, 1),
        "{reported:?}"
    );
}

#[tokio::test]
async fn who_does_not_come_to_serve_leaves_the_old_one_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let rest = format!("control_plane = \"{}\"\n", fake.url());
    let config = config(directory.path(), "host-a", &rest).await;
    let path = config.handover_path().unwrap();
    let old = Process::start(config).await;
    fake.greet().await;
    let mut wire = Wire::new(UnixStream::connect(&path).await.unwrap()).unwrap();
    let ask = Message::TakeOver {
        protocol: PROTOCOL,
        name: "host-a".into(),
    };
    wire.send(&ask, &[]).await.unwrap();
    let (came, sockets) = wire.receive(LONG).await.unwrap();
    assert!(matches!(came, Message::Sockets { .. }));
    assert_eq!(sockets.len(), 3);
    wire.send(&Message::Release, &[]).await.unwrap();
    wire.expect(&Message::Released, LONG).await.unwrap();
    let lock = std::fs::File::open(directory.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let served = call(old.address, Method::POST, "/v2/models/m/infer", &[], "{}").await;
    assert_eq!(served.text(), "v1");
    drop((wire, sockets, lock));
    // It follows again, and answers on its admin port.
    fake.greet().await;
    let health = call(old.admin, Method::GET, "/healthz", &[], "").await;
    assert_eq!(health.status, StatusCode::OK);
    old.stop().await;
}

#[tokio::test]
async fn a_stranger_gets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let old = Process::start(config(directory.path(), "host-a", "").await).await;
    let error = start(config(directory.path(), "host-b", "").await).await;
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("is \"host-a\", not \"host-b\""), "{error}");
    let served = call(old.address, Method::POST, "/v2/models/m/infer", &[], "{}").await;
    assert_eq!(served.text(), "v1");
    old.stop().await;
}
