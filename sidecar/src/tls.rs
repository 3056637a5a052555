//! TLS: to endpoints and the control plane, and from applications. Certificates are read anew when their files change.

mod accept;
mod watch;

pub use accept::Accept;
pub(crate) use serinus_runtime::tls::Offer;
pub use serinus_runtime::tls::{Dial, Identity, TlsError};
pub use watch::watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// All directions.
#[derive(Debug)]
pub struct Tls {
    /// From applications; absent where they speak without TLS.
    pub accept: Option<Accept>,
    /// To endpoints.
    pub dial: Arc<Dial>,
    /// To endpoints of models that have settings of their own, by the model's name.
    pub models: BTreeMap<String, Arc<Dial>>,
    /// To the control plane.
    pub control_plane: Arc<Dial>,
}

impl Tls {
    /// Endpoints are verified by the system's roots; applications speak without TLS.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            accept: None,
            dial: Arc::new(Dial::system()),
            models: BTreeMap::new(),
            control_plane: Arc::new(Dial::system()),
        }
    }

    /// How the endpoints of a model are connected to.
    pub(crate) fn to(&self, model: &str) -> &Arc<Dial> {
        self.models.get(model).unwrap_or(&self.dial)
    }

    fn dials(&self) -> impl Iterator<Item = &Arc<Dial>> {
        [&self.dial, &self.control_plane]
            .into_iter()
            .chain(self.models.values())
    }

    /// Reads every file again; which of them failed.
    fn reload(&self) -> Vec<TlsError> {
        let accept = self.accept.as_ref().map(Accept::reload);
        let dials = self.dials().map(|dial| dial.reload());
        accept
            .into_iter()
            .chain(dials)
            .filter_map(Result::err)
            .collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let accept = self.accept.iter().flat_map(Accept::files);
        accept
            .chain(self.dials().flat_map(|dial| dial.files()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
