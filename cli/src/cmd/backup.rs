//! `serinus backup`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use serde_json::json;
use serinus_proto::v1;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tonic::{Code, Streaming};

const EXAMPLES: &str = "\
Examples:
  serinus backup serinus-$(date +%F).backup
  serinus backup - | ssh elsewhere 'cat > serinus.backup'

Copies everything as of one revision while the control plane goes on. The file ends with a manifest of hashes;
`serinus store verify --file FILE` checks it, `serinus restore FILE --data-dir DIR` makes a store of it.";

/// `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to; it appears only when it is whole. `-` writes to stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let mut stream = open(session).await?;
    if args.file.as_os_str() == "-" {
        while let Some(data) = next(session, &mut stream).await? {
            session.console.out.write_all(&data)?;
        }
        session.console.out.flush()?;
        return Ok(Exit::Ok);
    }
    let part = with_suffix(&args.file, ".part");
    let saved = save(session, &mut stream, &part).await;
    let bytes = match saved {
        Ok(bytes) => bytes,
        Err(failure) => {
            // What is not whole is of no use to anybody.
            let _ = fs::remove_file(&part);
            return Err(failure);
        }
    };
    let shown = args.file.display().to_string();
    finish(&part, &args.file).map_err(|error| cannot_write(&args.file, &error))?;
    session.emit(
        || json!({ "file": shown, "bytes": bytes }),
        || format!("{shown}: {bytes} bytes\n"),
    )?;
    Ok(Exit::Ok)
}

async fn open(session: &Session<'_, '_>) -> Result<Streaming<v1::BackupChunk>, Failure> {
    let client = &session.client;
    let opened = client.try_ask(|| {
        let mut admin = client.admin();
        async move { admin.backup(v1::BackupRequest {}).await }
    });
    opened.await.map_err(|status| match status.code() {
        Code::Unimplemented => {
            Failure::error("the control plane is of a version that gives no backups")
                .hint("update it")
        }
        _ => client.failure(&status),
    })
}

async fn next(
    session: &Session<'_, '_>,
    stream: &mut Streaming<v1::BackupChunk>,
) -> Result<Option<Vec<u8>>, Failure> {
    let chunk = stream.message().await;
    let chunk = chunk.map_err(|status| session.client.failure(&status))?;
    Ok(chunk.map(|chunk| chunk.data))
}

async fn save(
    session: &Session<'_, '_>,
    stream: &mut Streaming<v1::BackupChunk>,
    part: &Path,
) -> Result<u64, Failure> {
    let mut file = File::create(part).map_err(|error| cannot_write(part, &error))?;
    let mut bytes = 0;
    while let Some(data) = next(session, stream).await? {
        file.write_all(&data)
            .map_err(|error| cannot_write(part, &error))?;
        bytes += data.len() as u64;
    }
    file.sync_all()
        .map_err(|error| cannot_write(part, &error))?;
    Ok(bytes)
}

fn finish(part: &Path, file: &Path) -> std::io::Result<()> {
    fs::rename(part, file)?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::error(format!("write {}: {error}", path.display()))
        .hint("name a file in a directory that is yours and has room")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
