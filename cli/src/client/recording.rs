//! The recording of a rollout, chunk by chunk.

use super::Client;
use crate::failure::Failure;
use serinus_core::replay::Recording;
use serinus_proto::v1;
use tonic::{Code, Status, Streaming};

impl Client {
    /// The recording of one rollout, by id or model. Every chunk has to come within the time limit of a call.
    ///
    /// # Errors
    /// What the control plane says, or what is wrong with what it sent.
    pub(crate) async fn recording(&self, rollout: &str) -> Result<Recording, Failure> {
        let mut stream = self.open(rollout).await?;
        let mut recording = Recording::default();
        while let Some(chunk) = self.next(&mut stream).await? {
            recording
                .absorb(chunk)
                .map_err(|error| Failure::error(error.to_string()))?;
        }
        Ok(recording)
    }

    async fn open(&self, rollout: &str) -> Result<Streaming<v1::RecordingChunk>, Failure> {
        let request = v1::GetRecordingRequest {
            rollout: rollout.to_owned(),
        };
        let opened = self.try_ask(|| {
            let (mut rollouts, request) = (self.rollouts(), request.clone());
            async move { rollouts.get_recording(request).await }
        });
        opened.await.map_err(|status| match status.code() {
            Code::Unimplemented => Failure::error(
                "the control plane is of a version that does not hand out recordings",
            )
            .hint("update it; what it has stored stays readable"),
            _ => self.failure(&status),
        })
    }

    async fn next(
        &self,
        stream: &mut Streaming<v1::RecordingChunk>,
    ) -> Result<Option<v1::RecordingChunk>, Failure> {
        let next: Result<_, Status> = tokio::time::timeout(self.timeout, stream.message())
            .await
            .unwrap_or_else(|_| Err(self.no_answer()));
        next.map_err(|status| self.failure(&status))
    }
}
