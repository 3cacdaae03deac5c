//! Certificates: that of the servers of m3a3, and the CA certificates of the system, which verify the servers that m3a3
//! connects to over TLS.

use crate::cli::output;
use crate::config::{Config, TlsMode};
use crate::http::client;
use crate::http::tls;

/// The files of `[serve.tls]`.
pub(crate) fn tls_files(config: &Config) -> Option<tls::Files> {
    let files = config.serve.tls.clone()?;
    Some(tls::Files { cert: files.cert, key: files.key })
}

/// What to do without any CA certificate.
pub(crate) const ADVICE: &str = "install CA certificates (Debian: ca-certificates), or set SSL_CERT_FILE";

/// A setting that may require TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Webhook,
    Mail,
    Redis,
}

impl Setting {
    pub(crate) const ALL: [Self; 3] = [Self::Webhook, Self::Mail, Self::Redis];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Webhook => "webhook.url",
            Self::Mail => "email.smtp_url",
            Self::Redis => "redis.url",
        }
    }

    /// Whether the configured value requires TLS, or uses it where the server offers it.
    pub(crate) fn uses_tls(self, config: &Config) -> bool {
        match self {
            Self::Webhook => config.webhook.url.as_ref().is_some_and(|url| url.as_url().scheme() == "https"),
            Self::Mail => config.email.smtp_url.as_ref().is_some_and(|url| url.tls != TlsMode::None),
            Self::Redis => config.redis.url.as_ref().is_some_and(|url| url.as_url().scheme().starts_with("rediss")),
        }
    }
}

/// Why no server can be verified, if the system has no usable CA certificates.
pub(crate) fn missing() -> Option<String> {
    client::check_certificates().err().map(|error| output::join(&error))
}

/// Logs an error if the setting uses TLS and no CA certificates are installed. They may be installed later: connections
/// are retried.
pub(crate) fn report_missing(config: &Config, setting: Setting) {
    if !setting.uses_tls(config) {
        return;
    }
    if let Some(error) = missing() {
        tracing::error!(setting = setting.key(), error, "TLS cannot be used without CA certificates; {ADVICE}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn a_setting_uses_tls_by_its_scheme() {
        for (key, value, used) in [
            ("webhook.url", "https://h", Some(Setting::Webhook)),
            ("webhook.url", "http://h", None),
            ("email.smtp_url", "smtps://h", Some(Setting::Mail)),
            ("email.smtp_url", "smtp://h", Some(Setting::Mail)),
            ("email.smtp_url", "smtp://h?tls=none", None),
            ("redis.url", "rediss://h", Some(Setting::Redis)),
            ("redis.url", "redis://h", None),
        ] {
            let mut overrides = Overrides::default();
            overrides.set(key, value, "--set");
            let config = Config::load(&overrides).unwrap();
            let using: Vec<_> = Setting::ALL.into_iter().filter(|setting| setting.uses_tls(&config)).collect();
            assert_eq!(using, Vec::from_iter(used), "{value}");
        }
    }
}
