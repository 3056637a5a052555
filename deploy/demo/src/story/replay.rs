//! Both rollouts once more, from what is stored.

use super::Replayed;
use anyhow::{Context as _, Result};
use serinus_core::replay::{Recording, replay};
use serinus_proto::v1;
use serinus_proto::v1::rollouts_client::RolloutsClient;
use tonic::transport::Channel;

/// A chunk may hold some hundred decisions with all their evidence.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Makes every decision of the rollouts again.
pub(super) async fn replay_all(channel: Channel, rollouts: [&str; 2]) -> Result<Replayed> {
    let mut client = RolloutsClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let mut all = Replayed::default();
    for id in rollouts {
        let recording = fetch(&mut client, id).await?;
        let replayed = replay(&recording).with_context(|| format!("replay rollout {id}"))?;
        all.decisions += replayed.decisions.len();
        all.reproduced += replayed.reproduced();
    }
    Ok(all)
}

async fn fetch(client: &mut RolloutsClient<Channel>, id: &str) -> Result<Recording> {
    let request = v1::GetRecordingRequest {
        rollout: id.to_owned(),
    };
    let fetched = client.get_recording(request).await;
    let mut chunks = fetched.context("fetch the recording")?.into_inner();
    let mut recording = Recording::default();
    while let Some(chunk) = chunks.message().await? {
        recording.absorb(chunk)?;
    }
    Ok(recording)
}
