//! TLS for both doors: certificates and keys from files, read again when the operator asks.
//!
//! What is served over it, and who a client's certificate stands for, is the doors' matter. Keys must
//! be unencrypted PEM. A reload that fails leaves what is in use; connections keep what they began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use parking_lot::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, SupportedProtocolVersion};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::config::Config;

/// Largest file of certificates that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Whether a client must show a certificate of a known authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is asked for.
    No,
    /// One is asked for; without it the client is as anonymous as without TLS.
    Optional,
    /// Without one there is no connection.
    Yes,
}

/// The TLS configuration of both doors; each is replaced as a whole.
#[derive(Debug, Default)]
pub struct Tls {
    redis: RwLock<Option<Arc<ServerConfig>>>,
    http: RwLock<Option<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files of the doors that are open, and uses what is in them for connections from now on.
    ///
    /// # Errors
    /// When a file can not be read or used; what was in use stays.
    pub fn load(&self, config: &Config) -> Result<()> {
        let redis = match config.tls_port {
            0 => None,
            _ => Some(server_config(config, config.tls_auth_clients, &[])?),
        };
        let has_authority = !authority_files(config)?.is_empty();
        let http_auth = match config.http_tls_auth_clients {
            ClientAuth::Optional if !has_authority => ClientAuth::No,
            auth => auth,
        };
        let http = match config.http_tls_port {
            0 => None,
            _ => Some(server_config(config, http_auth, &[b"http/1.1"])?),
        };
        *self.redis.write() = redis;
        *self.http.write() = http;
        Ok(())
    }

    /// What shakes hands with a new Redis client; `None` without a `tls-port`.
    pub fn redis(&self) -> Option<TlsAcceptor> {
        self.redis.read().clone().map(TlsAcceptor::from)
    }

    /// The same for HTTP.
    pub fn http(&self) -> Option<TlsAcceptor> {
        self.http.read().clone().map(TlsAcceptor::from)
    }
}

/// The common name in the subject of a certificate that was verified.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let name = certificate.tbs_certificate().subject().common_name().ok()??;
    Some(name.value().into_owned())
}

fn server_config(config: &Config, auth: ClientAuth, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>> {
    if config.tls_cert_file.is_empty() || config.tls_key_file.is_empty() {
        bail!("a port with TLS needs tls-cert-file and tls-key-file");
    }
    let provider = Arc::new(ring::default_provider());
    let certificates = certificates(Path::new(&config.tls_cert_file))?;
    let key = private_key(Path::new(&config.tls_key_file))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(&config.tls_protocols)?)?;
    let builder = match verifier(config, auth, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut made = builder.with_single_cert(certificates, key).with_context(|| {
        format!(
            "the key in {} does not fit the certificate in {}",
            config.tls_key_file, config.tls_cert_file
        )
    })?;
    made.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(made))
}

fn verifier(
    config: &Config,
    auth: ClientAuth,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    if auth == ClientAuth::No {
        return Ok(None);
    }
    let files = authority_files(config)?;
    if files.is_empty() {
        bail!(
            "client certificates are asked for, but neither tls-ca-cert-file nor tls-ca-cert-dir says \
             who may issue them; set one, or say tls-auth-clients no"
        );
    }
    let mut roots = RootCertStore::empty();
    for file in files {
        for certificate in self::certificates(&file)? {
            roots.add(certificate).with_context(|| format!("{}", file.display()))?;
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Yes | ClientAuth::No => builder,
    };
    Ok(Some(builder.build()?))
}

fn authority_files(config: &Config) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !config.tls_ca_cert_file.is_empty() {
        files.push(PathBuf::from(&config.tls_ca_cert_file));
    }
    let dir = &config.tls_ca_cert_dir;
    if !dir.is_empty() {
        let entries = std::fs::read_dir(dir).with_context(|| format!("tls-ca-cert-dir {dir}"))?;
        let mut found: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        found.retain(|path| path.is_file());
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn versions(words: &str) -> Result<Vec<&'static SupportedProtocolVersion>> {
    let all = || vec![&rustls::version::TLS12, &rustls::version::TLS13];
    if words.trim().is_empty() {
        return Ok(all());
    }
    let version = |word: &str| match word.to_ascii_lowercase().as_str() {
        "tlsv1.2" => Ok(&rustls::version::TLS12),
        "tlsv1.3" => Ok(&rustls::version::TLS13),
        _ => Err(anyhow!("tls-protocols: {word} is not spoken here, only TLSv1.2 and TLSv1.3")),
    };
    words.split_whitespace().map(version).collect()
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(file)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is no PEM file", file.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate", file.display());
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(file)?).with_context(|| {
        format!(
            "{} holds no private key that can be read; it must be unencrypted PEM",
            file.display()
        )
    })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let what = || format!("can not read {}", file.display());
    let len = std::fs::metadata(file).with_context(what)?.len();
    if len > FILE_BYTES_MAX {
        bail!("{} is longer than {FILE_BYTES_MAX} bytes", file.display());
    }
    std::fs::read(file).with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_redis_words() {
        assert_eq!(versions("").unwrap().len(), 2);
        assert_eq!(versions("TLSv1.3").unwrap(), [&rustls::version::TLS13]);
        assert_eq!(versions("tlsv1.2 TLSv1.3").unwrap().len(), 2);
        assert!(versions("TLSv1.1").unwrap_err().to_string().contains("TLSv1.1"));
    }

    #[test]
    fn the_common_name_is_read_from_the_subject() {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "shop");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "till-7");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        assert_eq!(common_name(certificate.der()).as_deref(), Some("till-7"));
        assert_eq!(common_name(&CertificateDer::from(&b"\x30\x03abc"[..])), None);
    }

    #[test]
    fn what_can_not_be_used_is_named() {
        let config = Config {
            tls_port: 1,
            tls_cert_file: "/nonexistent/cert.pem".to_owned(),
            tls_key_file: "/nonexistent/key.pem".to_owned(),
            ..Config::default()
        };
        let tls = Tls::default();
        let error = tls.load(&config).unwrap_err();
        assert!(format!("{error:#}").contains("/nonexistent/cert.pem"), "{error:#}");
        assert!(tls.redis().is_none());
    }
}
