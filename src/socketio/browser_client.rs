//! `/socket.io/socket.io.js` and its variants: the official client for browsers, at the addresses of Socket.IO servers.
//!
//! The client is not part of the binary, because a build needs only Rust and a C toolchain, and the repository contains
//! no code of others. So requests are redirected, or answered from a folder with files of the npm package.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::Problem;
use crate::http::resource::{self, not_found};
use crate::http::static_content::StaticContent;

/// The files in the folder `dist` of the npm package. The first one is required.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.min.js",
    "socket.io.esm.min.js",
    "socket.io.msgpack.min.js",
    "socket.io.js.map",
    "socket.io.min.js.map",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js.map",
];

/// The client cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrowserClientError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} does not exist; `npm pack socket.io-client@4 && tar -xzf socket.io-client-4.*.tgz` creates a folder \
         package/dist that contains it",
        .0.display()
    )]
    Missing(PathBuf),
}

/// The client's files; a clone shares them.
#[derive(Clone)]
pub(crate) struct BrowserClient(Arc<Source>);

enum Source {
    None,
    /// A URL that ends with a slash.
    Redirect(String),
    Files(BTreeMap<&'static str, StaticContent>),
}

impl BrowserClient {
    /// No client: every request is answered 404.
    pub(crate) fn none() -> Self {
        Self(Arc::new(Source::None))
    }

    /// Redirects requests to a URL, which must end with a slash, and the name of the file.
    pub(crate) fn redirect(url: String) -> Self {
        Self(Arc::new(Source::Redirect(url)))
    }

    /// Reads the files of a folder.
    ///
    /// # Errors
    /// If `socket.io.js` is missing, or a file cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Self, BrowserClientError> {
        let mut files = BTreeMap::new();
        for name in NAMES {
            let path = folder.join(name);
            match std::fs::read(&path) {
                Ok(content) => drop(files.insert(name, file(name, content))),
                Err(error) if error.kind() == io::ErrorKind::NotFound && name == NAMES[0] => {
                    return Err(BrowserClientError::Missing(path));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(BrowserClientError::Read { path, source }),
            }
        }
        Ok(Self(Arc::new(Source::Files(files))))
    }

    /// Adds the route. It needs no token, as `/socket.io/` itself.
    pub(crate) fn routes(&self, services: &mut web::ServiceConfig) {
        services.app_data(web::Data::new(self.clone())).service(resource::get("/socket.io/{name}", get));
    }
}

fn file(name: &str, content: Vec<u8>) -> StaticContent {
    let media_type = if name.ends_with(".map") { "application/json" } else { "text/javascript; charset=utf-8" };
    StaticContent::new(media_type, content)
}

async fn get(
    client: web::Data<BrowserClient>,
    name: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let name = name.as_str();
    if !NAMES.contains(&name) {
        return not_found().await;
    }
    match &*client.0 {
        Source::None => Err(Problem::not_found(
            "This server does not offer the Socket.IO client. It is in the folder \"dist\" of the npm package \
             socket.io-client; the setting game.socketio_client can name this folder.",
        )),
        Source::Redirect(url) => Ok(HttpResponse::Found()
            .insert_header((header::LOCATION, format!("{url}{name}")))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .finish()),
        Source::Files(files) => match files.get(name) {
            Some(file) => Ok(file.respond(&request)),
            None => Err(Problem::not_found(format!("The folder of game.socketio_client has no {name}."))),
        },
    }
}
