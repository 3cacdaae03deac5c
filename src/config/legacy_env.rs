//! The variables of the service before m3a3: `REDIS_*` and `DATABASE_URL`.

use std::net::Ipv6Addr;

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

/// The names as set in the first of these places that sets them, each place with its name.
struct Names<'a>(&'a [(&'static str, &'a Variables)]);

/// What stands in a variable, and where the variable stands.
struct Found<'a> {
    text: &'a str,
    origin: String,
}

impl<'a> Names<'a> {
    fn get(&self, name: &str) -> Option<Found<'a>> {
        self.0.iter().find_map(|(place, variables)| {
            let text = variables.get(name).filter(|text| !text.is_empty())?;
            Some(Found { text, origin: format!("{place}: {name}") })
        })
    }
}

/// What the old names say of today's keys, the first place before the later ones.
pub(super) fn settings(places: &[(&'static str, &Variables)]) -> Result<Vec<Setting>, ConfigError> {
    let names = Names(places);
    let redis = match names.get(URL) {
        Some(found) => Some(with_credentials(found, &names)),
        None => from_parts(&names)?,
    };
    let redis = redis.map(|(url, origin)| setting("redis.url", url, origin));
    let database = names.get(DATABASE).map(|found| setting("database.url", found.text.to_owned(), found.origin));
    Ok(redis.into_iter().chain(database).collect())
}

fn setting(key: &str, text: String, origin: String) -> Setting {
    Setting { key: key.to_owned(), value: ValueKind::String(text), origin }
}

/// A URL put together here, and the variables that it is made of.
type Composed = (String, String);

/// `REDIS_URL`; where it holds no credentials, with `REDIS_USERNAME` and `REDIS_PASSWORD`, as Node's client does it.
///
/// A bad URL stays as it is: it is refused where redis.url is read, like one that came under today's name.
fn with_credentials(found: Found<'_>, names: &Names<'_>) -> Composed {
    let mut origin = vec![found.origin.clone()];
    let bare = Url::parse(found.text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    match bare.and_then(|url| add_credentials(url, names, &mut origin)) {
        Some(url) if origin.len() > 1 => (url.into(), origin.join(", ")),
        _ => (found.text.to_owned(), found.origin),
    }
}

/// A URL of host, port and credentials, if any of them is set.
fn from_parts(names: &Names<'_>) -> Result<Option<Composed>, ConfigError> {
    let mut origin = Vec::new();
    let host = match names.get(HOST) {
        None => "127.0.0.1".to_owned(),
        Some(found) => {
            let host = url_host(found.text).ok_or_else(|| invalid(&found, "a host name or an IP address"))?;
            origin.push(found.origin);
            host
        }
    };
    let port = match names.get(PORT) {
        None => 6379,
        Some(found) => {
            let port = found.text.parse::<u16>().ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| invalid(&found, "a port number from 1 to 65535"))?;
            origin.push(found.origin);
            port
        }
    };
    let url = Url::parse(&format!("redis://{host}:{port}")).ok();
    let url = url.and_then(|url| add_credentials(url, names, &mut origin));
    Ok(url.filter(|_| !origin.is_empty()).map(|url| (url.into(), origin.join(", "))))
}

/// The host as a URL writes it, if it is nothing but a host.
fn url_host(host: &str) -> Option<String> {
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
    let url = Url::parse(&format!("redis://{host}")).ok()?;
    let only_a_host = url.username().is_empty() && url.port().is_none() && url.path().is_empty();
    (only_a_host && url.query().is_none() && url.fragment().is_none()).then_some(host)
}

fn invalid(found: &Found<'_>, expected: &str) -> ConfigError {
    let (key, got) = ("redis.url".to_owned(), format!("{:?}", found.text));
    ConfigError::Invalid { key, origin: found.origin.clone(), got, expected: expected.to_owned() }
}

/// Adds the credentials that are set, percent-encoded, and where they came from.
fn add_credentials(mut url: Url, names: &Names<'_>, origin: &mut Vec<String>) -> Option<Url> {
    // The URL standard leaves "%" alone in credentials, but whoever decodes them would not.
    let plain = |text: &str| text.replace('%', "%25");
    if let Some(username) = names.get(USERNAME) {
        url.set_username(&plain(username.text)).ok()?;
        origin.push(username.origin);
    }
    if let Some(password) = names.get(PASSWORD) {
        url.set_password(Some(&plain(password.text))).ok()?;
        origin.push(password.origin);
    }
    Some(url)
}
