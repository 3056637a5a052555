//! The word of whoever operates this host, above every other: canaries are not used here until the same operator lets
//! them be used again. Neither the control plane nor a restart undoes it.
//!
//! It is a file, so that it can be given without this process and outlives it: an empty one stops every canary, one with
//! names of models, a line each, only theirs. The admin port writes and removes it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, warn};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Whose canaries are stopped here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Killed {
    /// Nobody's.
    #[default]
    Nothing,
    /// Of every model.
    Everything,
    /// Of these models.
    Models(BTreeSet<String>),
}

impl Killed {
    /// Whether a model's canaries are stopped.
    #[must_use]
    pub fn covers(&self, model: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Models(models) => models.contains(model),
        }
    }

    /// From the content of the file.
    fn read(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let models: BTreeSet<String> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        if models.is_empty() {
            Self::Everything
        } else {
            Self::Models(models)
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Nothing | Self::Everything => String::new(),
            Self::Models(models) => models.iter().map(|model| format!("{model}\n")).collect(),
        }
    }
}

/// The switch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Switch {
    file: Option<PathBuf>,
    killed: std::sync::Arc<watch::Sender<Killed>>,
}

impl Switch {
    /// As the file has it now; without a file it is on until the process ends.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        let switch = Self {
            file,
            killed: std::sync::Arc::new(watch::Sender::default()),
        };
        switch.look();
        switch
    }

    /// What is stopped, whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Killed> {
        self.killed.subscribe()
    }

    /// Follows the file for as long as it is polled.
    pub async fn follow(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.look();
        }
    }

    /// Stops the canaries of one model, or of every one.
    ///
    /// # Errors
    /// If the file cannot be written; then nothing is stopped.
    pub fn kill(&self, model: Option<&str>) -> io::Result<()> {
        let now = self.killed.borrow().clone();
        let next = match (now, model) {
            (Killed::Everything, _) | (_, None) => Killed::Everything,
            (Killed::Nothing, Some(model)) => Killed::Models([model.to_owned()].into()),
            (Killed::Models(mut models), Some(model)) => {
                models.insert(model.to_owned());
                Killed::Models(models)
            }
        };
        if let Some(file) = &self.file {
            write(file, &next.text())?;
        }
        self.set(next);
        Ok(())
    }

    /// Lets every canary be used again.
    ///
    /// # Errors
    /// If the file cannot be removed; then they are stopped still.
    pub fn release(&self) -> io::Result<()> {
        if let Some(file) = &self.file {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.set(Killed::Nothing);
        Ok(())
    }

    fn look(&self) {
        let Some(file) = &self.file else { return };
        match std::fs::read_to_string(file) {
            Ok(text) => self.set(Killed::read(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.set(Killed::Nothing),
            Err(error) => {
                // It is there, whatever it says.
                error!(%error, path = %file.display(), "the kill file cannot be read: every canary is stopped");
                self.set(Killed::Everything);
            }
        }
    }

    fn set(&self, next: Killed) {
        let changed = self.killed.send_if_modified(|killed| {
            let changed = *killed != next;
            killed.clone_from(&next);
            changed
        });
        if changed {
            warn!(killed = ?next, "an operator of this host changed whose canaries are stopped");
        }
    }
}

/// Whole or not at all, and on disk when this returns.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, text)?;
    std::fs::File::open(&fresh)?.sync_all()?;
    std::fs::rename(&fresh, file)?;
    match file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(switch: &Switch) -> Killed {
        switch.watch().borrow().clone()
    }

    #[test]
    fn a_file_stops_all_canaries_or_those_of_some_models() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kill");
        let switch = Switch::new(Some(file.clone()));
        assert_eq!(killed(&switch), Killed::Nothing);
        std::fs::write(&file, "").unwrap();
        switch.look();
        assert!(killed(&switch).covers("m"));
        std::fs::write(&file, "# slow here\n a \n\nb\n").unwrap();
        switch.look();
        assert!(killed(&switch).covers("a") && killed(&switch).covers("b"));
        assert!(!killed(&switch).covers("m"));
        std::fs::remove_file(&file).unwrap();
        switch.look();
        assert_eq!(killed(&switch), Killed::Nothing);
    }

    #[test]
    fn what_is_stopped_over_the_admin_port_outlives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kill");
        let switch = Switch::new(Some(file.clone()));
        switch.kill(Some("a")).unwrap();
        switch.kill(Some("b")).unwrap();
        let again = Switch::new(Some(file.clone()));
        assert_eq!(killed(&again), killed(&switch));
        assert!(killed(&again).covers("b") && !killed(&again).covers("c"));
        switch.kill(None).unwrap();
        switch.kill(Some("a")).unwrap();
        assert_eq!(killed(&switch), Killed::Everything);
        again.release().unwrap();
        again.release().unwrap();
        assert!(!file.exists());
        let nowhere = Switch::new(Some(directory.path().join("gone/kill")));
        assert!(nowhere.kill(None).is_err());
        assert_eq!(killed(&nowhere), Killed::Nothing);
    }
}
