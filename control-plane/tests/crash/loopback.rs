//! Power cuts and full disks, on file systems of their own in a file. They need root, and `xfs_io` and `mkfs.xfs` of
//! xfsprogs: `cargo test -p serinus-control-plane --test crash -- --ignored loopback`.
//!
//! A cut is the file system's own shutdown without a flush of its log: what was not synced is gone.

use crate::{Known, check, heard, number, spawn};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serinus_control_plane::store::room::BALLAST;
use serinus_control_plane::store::sled::{Options, SledStore};
use serinus_control_plane::store::{Batch, Store as _, StoreError, Urgency};
use serinus_proto::{stored::v1 as stored, v1};
use std::fs::{self, File};
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in a file, mounted while the value lives.
struct Loopback {
    home: tempfile::TempDir,
    mount: PathBuf,
}

fn shell(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output();
    let done =
        done.unwrap_or_else(|error| panic!("{program}: {error}; it needs root and xfsprogs"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {args:?}: {said}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Loopback {
    fn new(kind: &str, bytes: u64) -> Self {
        let home = crate::place();
        let image = home.path().join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        let quiet = if kind == "xfs" { "-q" } else { "-qF" };
        shell(&format!("mkfs.{kind}"), &[quiet, text(&image)]);
        let mount = home.path().join("mount");
        fs::create_dir(&mount).unwrap();
        let new = Self { home, mount };
        new.mount();
        new
    }

    fn mount(&self) {
        let image = self.home.path().join("image");
        shell("mount", &["-o", "loop", text(&image), text(&self.mount)]);
    }

    /// From now on nothing reaches the disk, and what waits for it is lost.
    fn cut(&self) {
        shell("xfs_io", &["-x", "-c", "shutdown", text(&self.mount)]);
    }

    fn unmount(&self) {
        shell("umount", &[text(&self.mount)]);
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // After a failed assertion it may be in any state.
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}

fn survives_cuts(kind: &str, bytes: u64) {
    let cuts = number("SERINUS_CUTS", 3);
    let mut random = StdRng::seed_from_u64(number("SERINUS_CRASH_SEED", 1));
    let disk = Loopback::new(kind, bytes);
    let store = disk.mount.join("store");
    let mut known = Known::default();
    for round in 0..cuts {
        let (mut child, lines) = spawn(round, None, &store, &known);
        let patience = random.random_range(1..150);
        for (n, line) in lines.lines().map_while(Result::ok).enumerate() {
            heard(&line, &mut known);
            if n == patience {
                disk.cut();
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        disk.unmount();
        disk.mount();
        check(&store, &mut known, round);
    }
    println!(
        "{kind}: {cuts} power cuts; {} commands and {} reports were acknowledged",
        known.acknowledged.len(),
        known.reported.values().sum::<u64>()
    );
}

#[test]
#[ignore = "needs root"]
fn loopback_ext4_power_cuts() {
    survives_cuts("ext4", 96 << 20);
}

#[test]
#[ignore = "needs root"]
fn loopback_xfs_power_cuts() {
    survives_cuts("xfs", 320 << 20);
}

fn batch(revision: u64, urgency: Urgency) -> Batch {
    let event = v1::Event {
        revision,
        reason: "x".repeat(2000),
        kind: Some(v1::event::Kind::ModelChanged(v1::ModelChanged::default())),
        model: "m".into(),
        ..v1::Event::default()
    };
    Batch {
        records: vec![stored::LogRecord {
            event: Some(event),
            ..stored::LogRecord::default()
        }],
        urgency,
        ..Batch::default()
    }
}

#[test]
#[ignore = "needs root"]
fn loopback_full_disk() {
    let disk = Loopback::new("ext4", 24 << 20);
    let options = Options {
        reserve_bytes: 4 << 20,
        ..Options::new(disk.mount.join("store"))
    };
    let ballast = options.directory.join(BALLAST);
    let store = SledStore::open(&options).unwrap();
    store.commit(&batch(1, Urgency::Normal)).unwrap();
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 1 << 20);
    // Somebody else takes all there is.
    let other = disk.mount.join("other");
    let mut file = File::create(&other).unwrap();
    let block = vec![7; 64 << 10];
    while file.write_all(&block).is_ok() {}
    let refused = store.commit(&batch(2, Urgency::Normal)).unwrap_err();
    assert!(matches!(refused, StoreError::Full(_)), "{refused}");
    assert!(store.shortage().is_some_and(|shortage| shortage.severe));
    // A megabyte of ballast is room for many rollbacks.
    for revision in 2..=40 {
        store.commit(&batch(revision, Urgency::Lowers)).unwrap();
    }
    assert!(!ballast.exists());
    // And a start on the full disk works, and loses nothing.
    drop(store);
    let store = SledStore::open(&options).unwrap();
    assert_eq!(store.last_revision(), 40);
    assert!(store.commit(&batch(41, Urgency::Normal)).is_err());
    drop(file);
    fs::remove_file(&other).unwrap();
    store.commit(&batch(41, Urgency::Normal)).unwrap();
    assert!(ballast.exists() && store.shortage().is_none());
    drop(store);
    println!("39 rollbacks on a disk with 0 bytes free");
}
