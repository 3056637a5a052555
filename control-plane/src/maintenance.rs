//! What is done to a store while no control plane runs on it: put a backup back, check, repair.

use crate::store::StoreError;
use crate::store::sled::repair::{Repaired, repair};
use crate::store::sled::restore::{RestoreError, Sound, check_copy, check_store, restore};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// The exit code where a store or a copy is damaged.
pub const DAMAGED: u8 = 8;

/// `restore`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  serinus restore serinus-2026-05-01.backup --data-dir /var/lib/serinus
  serinus restore /var/lib/serinus.damaged/exports/export-00000000000000012345.copy --data-dir /var/lib/serinus

Checks the whole file, then makes a store of it, in a directory that is empty, as a new generation: every sidecar takes it
as newer than what it holds. Rollouts that were active come back HELD(RESTORED) and go on when you resume them; what was
rolled back stays so. Exit codes: 0 done; 1 not possible; 8 the file is damaged.")]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// An empty directory, which the control plane is then started with
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// At least this generation, where a later history than the backup's was served meanwhile
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub generation: u64,
}

/// `store`.
#[derive(Clone, Debug, Subcommand)]
pub enum Store {
    /// Read a store or a backup, check everything in it, and say what was checked
    #[command(after_help = "\
Examples:
  serinus store verify --data-dir /var/lib/serinus
  serinus store verify --file serinus-2026-05-01.backup

The control plane must not run on the directory. Exit codes: 0 sound; 1 it could not be looked at; 8 damaged.")]
    Verify {
        /// The directory of a store
        #[arg(long, value_name = "DIR", required_unless_present = "file")]
        data_dir: Option<PathBuf>,
        /// A backup or an export
        #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
        file: Option<PathBuf>,
    },
    /// Save what can be of a damaged store into a new directory
    #[command(after_help = "\
Examples:
  serinus store repair --data-dir /var/lib/serinus --bump-generation

Makes a store of the longest beginning of the log that can be proven intact, and of what belongs to it, in DIR.repaired, as
a new generation, and says what is lost. DIR stays as it is; intact values that do not belong go into DIR.repaired.rest.
Then move DIR away and DIR.repaired in its place. Rollouts that were active come back HELD(RESTORED). Prefer a backup, if
there is a recent one. Exit codes: 0 done, whatever is lost; 1 not possible; 8 nothing can be saved.")]
    Repair {
        /// The directory of the damaged store
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// An empty directory for what is saved [default: DIR.repaired]
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
        /// Says that you know: what is lost is lost, and sidecars will take the rest as newer than what they hold
        #[arg(long, required = true)]
        bump_generation: bool,
    },
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// In words.
    pub text: String,
    /// The store or the copy.
    pub sound: Sound,
    /// What a repair could not save.
    pub lost: Vec<String>,
}

impl Restore {
    /// Does it.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn run(&self) -> Result<Done, RestoreError> {
        let sound = restore(&self.file, &self.data_dir, self.generation)?;
        let text = format!(
            "restored {} into {}\n{}next: start the control plane with --data-dir {}; active rollouts are \
             HELD(RESTORED) until you resume or roll them back\n",
            self.file.display(),
            self.data_dir.display(),
            described(&sound),
            self.data_dir.display(),
        );
        Ok(Done {
            text,
            sound,
            lost: Vec::new(),
        })
    }
}

impl Store {
    /// Does it.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn run(&self) -> Result<Done, RestoreError> {
        match self {
            Self::Verify { data_dir, file } => verify(data_dir.as_deref(), file.as_deref()),
            Self::Repair { data_dir, into, .. } => {
                let default = beside(data_dir, ".repaired");
                let into = into.as_deref().unwrap_or(&default);
                let repaired = repair(data_dir, into, &beside(into, ".rest"))?;
                Ok(saved(data_dir, into, repaired))
            }
        }
    }
}

/// The exit code that an error stands for.
#[must_use]
pub fn exit_code(error: &RestoreError) -> u8 {
    match error {
        RestoreError::Copy { .. }
        | RestoreError::Content { .. }
        | RestoreError::Beyond { .. }
        | RestoreError::Store(StoreError::Damaged { .. }) => DAMAGED,
        RestoreError::NotEmpty(_) | RestoreError::NoStore(_) | RestoreError::Store(_) => 1,
    }
}

fn verify(data_dir: Option<&Path>, file: Option<&Path>) -> Result<Done, RestoreError> {
    let (of, sound) = match (data_dir, file) {
        (_, Some(file)) => (file, check_copy(file)?),
        (Some(data_dir), None) => (data_dir, check_store(data_dir)?),
        // The parser asks for one of them.
        (None, None) => return Err(RestoreError::NoStore(PathBuf::new())),
    };
    let text = format!("{}: sound\n{}", of.display(), described(&sound));
    Ok(Done {
        text,
        sound,
        lost: Vec::new(),
    })
}

fn saved(from: &Path, into: &Path, repaired: Repaired) -> Done {
    let mut text = format!(
        "saved into {}\n{}",
        into.display(),
        described(&repaired.sound)
    );
    for lost in &repaired.lost {
        text += &format!("lost        {lost}\n");
    }
    if let Some(rest) = &repaired.rest {
        text += &format!("left over   {}\n", rest.display());
    }
    let (from, into) = (from.display(), into.display());
    text += &format!(
        "next: mv {from} {from}.damaged && mv {into} {from}, then start the control plane\n"
    );
    Done {
        text,
        sound: repaired.sound,
        lost: repaired.lost,
    }
}

fn described(sound: &Sound) -> String {
    let log = match sound.begins_after {
        0 => "whole from event 1".to_owned(),
        after => format!("whole from event {}", after + 1),
    };
    format!(
        "generation  {}\nevents      {}, the last is {}; {log}\nchain       {}\nslices      {} of requests, {} of labels, \
         {} records of open counts\nsources     {}\noutcomes    {} blocks\n",
        sound.generation,
        sound.events,
        sound.revision,
        sound.chain,
        sound.slices,
        sound.label_slices,
        sound.pending,
        sound.sources,
        sound.seen,
    )
}

fn beside(directory: &Path, suffix: &str) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
