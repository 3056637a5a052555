//! A CA that lives as long as one command.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::time::{Duration, SystemTime};

/// Clocks differ.
const EARLIER: Duration = Duration::from_secs(3600);

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    days: u32,
}

/// A certificate and its key, PEM.
pub(super) struct Made {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(domain: &str, days: u32) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = params(&format!("Serinus development CA of {domain}"), days);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
            days,
        })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// For a server with these names and addresses.
    pub(super) fn server(&self, names: Vec<String>) -> Result<Made, Error> {
        let named = CertificateParams::new(names)?;
        let mut params = params("Serinus control plane", self.days);
        params.subject_alt_names = named.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// For a caller with this SPIFFE ID, its only name.
    pub(super) fn client(&self, id: &str) -> Result<Made, Error> {
        let mut params = params(id, self.days);
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Made, Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Made {
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn params(name: &str, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    params.not_before = (now - EARLIER).into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * 86_400)).into();
    params
}
