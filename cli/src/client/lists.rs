//! Lists, read to their end: all pages are of one moment.

use super::Client;
use crate::failure::Failure;
use serinus_proto::v1;

/// Every model, by name.
pub(crate) async fn models(client: &Client) -> Result<Vec<v1::Model>, Failure> {
    let mut models = Vec::new();
    let mut request = v1::ListModelsRequest::default();
    loop {
        let page = client
            .ask(|| {
                let (mut models, request) = (client.models(), request.clone());
                async move { models.list_models(request).await }
            })
            .await?;
        models.extend(page.models);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(models);
        }
    }
}

/// Every sidecar that the request chooses, by name.
pub(crate) async fn sidecars(
    client: &Client,
    mut request: v1::ListSidecarsRequest,
) -> Result<Vec<v1::SidecarInfo>, Failure> {
    let mut sidecars = Vec::new();
    loop {
        let page = client
            .ask(|| {
                let (mut admin, request) = (client.admin(), request.clone());
                async move { admin.list_sidecars(request).await }
            })
            .await?;
        sidecars.extend(page.sidecars);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(sidecars);
        }
    }
}

/// The newest rollouts that the request chooses, at most `wanted`.
pub(crate) async fn rollouts(
    client: &Client,
    mut request: v1::ListRolloutsRequest,
    wanted: usize,
) -> Result<Vec<v1::Rollout>, Failure> {
    /// The server's largest page.
    const PAGE: u32 = 500;
    let mut rollouts: Vec<v1::Rollout> = Vec::new();
    loop {
        let missing = wanted.saturating_sub(rollouts.len());
        request.page_size = u32::try_from(missing).unwrap_or(PAGE).min(PAGE);
        let page = client
            .ask(|| {
                let (mut rollouts, request) = (client.rollouts(), request.clone());
                async move { rollouts.list(request).await }
            })
            .await?;
        rollouts.extend(page.rollouts);
        rollouts.truncate(wanted);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || rollouts.len() == wanted {
            return Ok(rollouts);
        }
    }
}
