//! Every command that changes something is sealed into the audit log, in the same commit as its effect.

use super::Engine;
use super::book::Book;
use super::origin::Origin;
use serinus_proto::v1;

impl Engine {
    /// Does a command about `name`, a rollout or a model; what it put into the log becomes an entry.
    pub(super) fn audited<T>(
        &mut self,
        origin: &Origin,
        name: &str,
        command: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = state(&self.book, name);
        let first = self.stage.batch.records.len();
        let done = command(self);
        let records = self.stage.batch.records.get_mut(first..);
        let Some(records) = records.filter(|records| !records.is_empty()) else {
            return done;
        };
        // What it ended to make room comes first; the command is where its own request is.
        let own = records
            .iter()
            .position(|record| !record.request_id.is_empty());
        if let Some(record) = records.get_mut(own.unwrap_or(0)) {
            let event = record.event.as_ref();
            let about = event.map_or("", |event| match event.rollout.as_str() {
                "" => event.model.as_str(),
                rollout => rollout,
            });
            let audit = v1::Audit {
                before,
                after: state(&self.book, about),
                ..origin.audit(&record.request_id)
            };
            self.audit.seal(record, audit);
        }
        done
    }
}

/// What matters of a rollout or a model for a command; `None` if there is none.
fn state(book: &Book, name: &str) -> Option<v1::AuditState> {
    let id = book.resolve(name);
    let active = id.as_deref().and_then(|id| book.rollout(id));
    if let Some(rollout) = active {
        let stable = book.models.get(&rollout.model);
        return Some(v1::AuditState {
            rollout: rollout.id.clone(),
            model: rollout.model.clone(),
            state: rollout.state.into(),
            cause: rollout.cause.into(),
            step: u32::try_from(rollout.step).unwrap_or(u32::MAX),
            canary_ppm: rollout.canary_ppm(),
            epoch: rollout.epoch,
            revision: rollout.revision,
            stable: stable
                .map(|model| model.stable.name.clone())
                .unwrap_or_default(),
        });
    }
    if book.waiting.contains_key(name) {
        return Some(v1::AuditState {
            rollout: name.to_owned(),
            state: v1::State::Queued.into(),
            ..v1::AuditState::default()
        });
    }
    let model = book.models.get(name)?;
    Some(v1::AuditState {
        model: name.to_owned(),
        revision: model.revision,
        stable: model.stable.name.clone(),
        ..v1::AuditState::default()
    })
}

/// What a command is about.
pub(super) fn about(command: &super::Command) -> &str {
    use super::Command;
    match command {
        Command::Apply(request) => request.plan.as_ref().map_or("", |plan| plan.model.as_str()),
        Command::Verb(_, request) | Command::Undo(request) | Command::Cancel(request) => {
            &request.rollout
        }
        Command::Promote(request) => &request.rollout,
        Command::SetSplit(request) => &request.rollout,
    }
}
