//! `serinus restore` and `serinus store`: what is done to a store in this process.

use crate::args::Format;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::emit;
use serde_json::json;
use serinus_control_plane::maintenance::{DAMAGED, Done, exit_code};
use serinus_control_plane::store::sled::restore::RestoreError;

pub(super) fn print(
    done: Result<Done, RestoreError>,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let done = done.map_err(|error| match exit_code(&error) {
        DAMAGED => Failure::damaged(error.to_string()),
        _ => Failure::error(error.to_string()),
    })?;
    let sound = &done.sound;
    let value = || {
        json!({
            "generation": sound.generation,
            "revision": sound.revision,
            "begins_after": sound.begins_after,
            "chain": sound.chain,
            "events": sound.events,
            "slices": sound.slices,
            "label_slices": sound.label_slices,
            "pending": sound.pending,
            "sources": sound.sources,
            "seen": sound.seen,
            "lost": done.lost,
        })
    };
    emit(console, format, value, || done.text.clone())?;
    Ok(Exit::Ok)
}
