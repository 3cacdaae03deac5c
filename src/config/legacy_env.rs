//! The variables of the replaced Node service: `REDIS_*` and `DATABASE_URL`.

use std::net::Ipv6Addr;
use std::path::{Component, Path, PathBuf};

use config::ValueKind;
use reqwest::Url;

use super::error::ConfigError;
use super::layers::{Setting, Variables};

const URL: &str = "REDIS_URL";
const HOST: &str = "REDIS_HOST";
const PORT: &str = "REDIS_PORT";
const USERNAME: &str = "REDIS_USERNAME";
const PASSWORD: &str = "REDIS_PASSWORD";
const DATABASE: &str = "DATABASE_URL";
pub(super) const ALL: [&str; 6] = [URL, HOST, PORT, USERNAME, PASSWORD, DATABASE];

/// Looks a variable up in the first source that sets it; each source has a name.
struct Lookup<'a>(&'a [(&'static str, &'a Variables)]);

/// The value of a variable and its origin.
struct Variable<'a> {
    text: &'a str,
    origin: String,
}

impl<'a> Lookup<'a> {
    fn get(&self, name: &str) -> Option<Variable<'a>> {
        self.0.iter().find_map(|(source, variables)| {
            let text = variables.get(name).filter(|text| !text.is_empty())?;
            Some(Variable { text, origin: format!("{source}: {name}") })
        })
    }
}

/// The settings of the legacy variables; earlier sources override later ones.
pub(super) fn settings(sources: &[(&'static str, &Variables)]) -> Result<Vec<Setting>, ConfigError> {
    let lookup = Lookup(sources);
    let redis = match lookup.get(URL) {
        Some(variable) => Some(with_credentials(variable, &lookup)),
        None => from_parts(&lookup)?,
    };
    let redis = redis.map(|(url, origin)| setting("redis.url", url, origin));
    let database =
        lookup.get(DATABASE).map(|variable| setting("database.url", variable.text.to_owned(), variable.origin));
    Ok(redis.into_iter().chain(database).collect())
}

/// The folder of `schema.prisma`, to which Prisma's file URLs are relative.
const PRISMA: &str = "prisma";

/// Refuses a `DATABASE_URL` that names the database of Prisma, but not for m3a3, whose paths are relative to the
/// working directory: a new database would be created there. `origin` is that of `database.url`.
pub(super) fn check_prisma(origin: &str, path: &Path, exists: impl Fn(&Path) -> bool) -> Result<(), ConfigError> {
    let is_of_prisma = origin.ends_with(&format!(": {DATABASE}")) && path.is_relative();
    let found = Path::new(PRISMA).join(path);
    if !is_of_prisma || exists(path) || !exists(&found) {
        return Ok(());
    }
    let plain = |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    let (path, found) = (plain(path).display().to_string(), plain(&found).display().to_string());
    Err(ConfigError::PrismaDatabase { origin: origin.to_owned(), path, found })
}

fn setting(key: &str, text: String, origin: String) -> Setting {
    Setting { key: key.to_owned(), value: ValueKind::String(text), origin }
}

/// A URL, and the variables that it is composed of.
type Composed = (String, String);

/// `REDIS_URL`. Without credentials of its own it gets `REDIS_USERNAME` and `REDIS_PASSWORD`, as in the Node client.
///
/// An invalid URL is kept: it is refused when redis.url is read, as one in `M3A3_REDIS__URL` is.
fn with_credentials(variable: Variable<'_>, lookup: &Lookup<'_>) -> Composed {
    let mut origin = vec![variable.origin.clone()];
    let bare = Url::parse(variable.text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    match bare.and_then(|url| add_credentials(url, lookup, &mut origin)) {
        Some(url) if origin.len() > 1 => (url.into(), origin.join(", ")),
        _ => (variable.text.to_owned(), variable.origin),
    }
}

/// A URL of host, port and credentials, if any of them is set.
fn from_parts(lookup: &Lookup<'_>) -> Result<Option<Composed>, ConfigError> {
    let mut origin = Vec::new();
    let host = match lookup.get(HOST) {
        None => "127.0.0.1".to_owned(),
        Some(variable) => {
            let host = url_host(variable.text).ok_or_else(|| invalid(&variable, "a host name or an IP address"))?;
            origin.push(variable.origin);
            host
        }
    };
    let port = match lookup.get(PORT) {
        None => 6379,
        Some(variable) => {
            let port = variable.text.parse::<u16>().ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| invalid(&variable, "a port number from 1 to 65535"))?;
            origin.push(variable.origin);
            port
        }
    };
    let url = Url::parse(&format!("redis://{host}:{port}")).ok();
    let url = url.and_then(|url| add_credentials(url, lookup, &mut origin));
    Ok(url.filter(|_| !origin.is_empty()).map(|url| (url.into(), origin.join(", "))))
}

/// The host in URL syntax, if the text is only a host.
fn url_host(host: &str) -> Option<String> {
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
    let url = Url::parse(&format!("redis://{host}")).ok()?;
    let only_a_host = url.username().is_empty() && url.port().is_none() && url.path().is_empty();
    (only_a_host && url.query().is_none() && url.fragment().is_none()).then_some(host)
}

fn invalid(variable: &Variable<'_>, expected: &str) -> ConfigError {
    let (key, got) = ("redis.url".to_owned(), format!("{:?}", variable.text));
    ConfigError::Invalid { key, origin: variable.origin.clone(), got, expected: expected.to_owned() }
}

/// Adds the configured credentials, percent-encoded, and their origins.
fn add_credentials(mut url: Url, lookup: &Lookup<'_>, origin: &mut Vec<String>) -> Option<Url> {
    // The URL standard keeps "%" in credentials, but decoders do not.
    let plain = |text: &str| text.replace('%', "%25");
    if let Some(username) = lookup.get(USERNAME) {
        url.set_username(&plain(username.text)).ok()?;
        origin.push(username.origin);
    }
    if let Some(password) = lookup.get(PASSWORD) {
        url.set_password(Some(&plain(password.text))).ok()?;
        origin.push(password.origin);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_beside_the_schema_of_prisma_is_not_replaced_by_a_new_one() {
        const FROM_PRISMA: &str = ".env: DATABASE_URL";
        let check = |origin: &str, path: &str, existing: &[&str]| {
            let checked =
                check_prisma(origin, Path::new(path), |path| existing.iter().any(|known| path == Path::new(known)));
            checked.map_err(|error| error.to_string())
        };
        let refused = check(FROM_PRISMA, "./dev.db", &["prisma/dev.db"]).unwrap_err();
        assert!(refused.starts_with(".env: DATABASE_URL names prisma/dev.db for Prisma"), "{refused}");
        assert!(refused.contains("M3A3_DATABASE__URL=file:prisma/dev.db"), "{refused}");
        assert!(refused.contains("M3A3_DATABASE__URL=file:dev.db"), "{refused}");
        assert!(check("environment: DATABASE_URL", "data/dev.db", &["prisma/data/dev.db"]).is_err());
        for (origin, path, existing) in [
            (FROM_PRISMA, "./dev.db", &["./dev.db", "prisma/dev.db"][..]),
            (FROM_PRISMA, "./dev.db", &[]),
            (FROM_PRISMA, "/var/dev.db", &["prisma/dev.db"]),
            ("environment: M3A3_DATABASE__URL", "./dev.db", &["prisma/dev.db"]),
            ("--database-url", "./dev.db", &["prisma/dev.db"]),
        ] {
            assert_eq!(check(origin, path, existing), Ok(()), "{origin} {path}");
        }
    }
}
