use super::*;
use tonic::Status;

#[tokio::test]
async fn a_backup_appears_when_it_is_whole() {
    let fake = Fake::start().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("b");
    let ran = serinus(&fake, &["backup", file.to_str().unwrap(), "-o", "json"]).await;
    assert_eq!(
        (ran.exit, ran.json()["bytes"].as_u64()),
        (Exit::Ok, Some(7))
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one two");
    std::fs::remove_file(&file).unwrap();
    let cut = Status::data_loss("event 7 fails its checksum");
    fake.world().refusals.push_back(cut);
    let ran = serinus(&fake, &["backup", file.to_str().unwrap()]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.error.contains("event 7"), "{}", ran.error);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    let ran = serinus(&fake, &["backup", "-"]).await;
    assert_eq!(ran.out, "one two");
}

#[cfg(feature = "demo")]
#[tokio::test]
async fn a_damaged_file_has_an_exit_code_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("b");
    std::fs::write(&file, "not a backup at all").unwrap();
    let into = home.path().join("d");
    let (file, into) = (file.to_str().unwrap(), into.to_str().unwrap());
    let ran = serinus_with(&["restore", file, "--data-dir", into], "").await;
    assert_eq!(ran.exit, Exit::Damaged, "{ran:?}");
    assert!(ran.error.contains("no backup of Serinus"), "{ran:?}");
    let ran = serinus_with(&["store", "verify", "--data-dir", into], "").await;
    assert_eq!(ran.exit, Exit::Error, "{ran:?}");
}
