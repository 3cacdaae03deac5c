//! `m3a3 serve`: the API server.

use std::net::SocketAddr;
use std::process::ExitCode;

use actix_web::web;
use anyhow::Context;
use clap::Args;
use futures_util::{FutureExt, future};

use super::composition::api_presence::ApiPresence;
use super::composition::job_registry::job_kinds;
use super::composition::metrics::{admin_auth, redis_and_jobs};
use super::composition::readiness::{self, check_disk};
use super::composition::runtime::{Runtime, auth, drain};
use super::output;
use crate::admin;
use crate::audit::{LastAudit, Sources, keep_auditing};
use crate::config::{Config, Overrides};
use crate::db::Location;
use crate::http::health::{self, Readiness};
use crate::http::metrics::{self, Kind, Sample};
use crate::http::openapi::{self, OpenApi};
use crate::http::server;
use crate::images;
use crate::jobs::WakeSignal;
use crate::lifecycle::Running;
use crate::users;

const EXAMPLES: &str = "\
Examples:
  m3a3 serve                                      on 127.0.0.1:3010
  m3a3 serve --port 8080
  M3A3_AUTH__TOKEN=secret m3a3 serve --host 0.0.0.0

It prints `listening on URL` once it accepts connections. Thumbnails are made by `m3a3 worker thumbnail`,
which shares its database and image root; Redis carries the news between them.";

/// Accept pictures, answer polls, serve thumbnails
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) address: Address,
}

/// Where to listen.
#[derive(Args)]
pub(super) struct Address {
    /// The address to listen on [serve.host]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// The port to listen on, 0 for a free one [serve.port]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
}

impl Address {
    pub(super) fn add_to(&self, overrides: &mut Overrides) {
        for (key, value, flag) in [("serve.host", &self.host, "--host"), ("serve.port", &self.port, "--port")] {
            if let Some(value) = value {
                overrides.set(key, value, flag);
            }
        }
    }
}

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = listen(config)?;
    let mut runtime = Runtime::open(config, None)?;
    let images = runtime.images(config)?;
    // No worker runs here that the bell could wake.
    start_image_intake(&mut runtime, config, images.clone(), WakeSignal::new())?;
    let address = start(&mut runtime, config, images, listener)?;
    runtime.try_redis().await;
    output::print(&format!("listening on http://{address}\n"))?;
    runtime.run().await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the role that records other programs' images. As long as it runs, workers leave that to it.
pub(super) fn start_image_intake(
    runtime: &mut Runtime,
    config: &Config,
    images: images::State,
    wake: WakeSignal,
) -> anyhow::Result<()> {
    let location = Location::new(&config.database.path);
    let presence = ApiPresence::announce(location.folder())
        .with_context(|| format!("cannot lock a file below {}", location.folder().display()))?;
    let intake = images::listen(images, wake, images::Role::Record, runtime.shutdown.token());
    runtime.run_role(Running::spawn("image intake", async move {
        intake.await;
        drop(presence);
        Ok(())
    }));
    Ok(())
}

/// Opens the API server's listener, if others may reach it at all.
pub(super) fn listen(config: &Config) -> anyhow::Result<std::net::TcpListener> {
    config.check_binding(config.serve.host)?;
    let address = config.serve.address();
    server::listen(address).with_context(|| {
        format!("cannot listen on {address} (is another m3a3 running? --port and --host choose another address)")
    })
}

/// Starts the API server's roles, and says where it listens.
pub(super) fn start(
    runtime: &mut Runtime,
    config: &Config,
    state: images::State,
    listener: std::net::TcpListener,
) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let shutdown = runtime.shutdown.token();
    let readiness = readiness(config, &state);
    let long_polls = state.long_polls.clone();
    let held = long_polls.clone();
    let last_audit = start_audits(runtime, config, &state);
    let metrics = redis_and_jobs(&state.database, &state.bus)
        .with_value("m3a3_held_polls", "Requests that wait for news", Kind::Gauge, move || held.held() as f64)
        .with("m3a3_audit_missing", "How many things the last audit missed", Kind::Gauge, move || {
            let missing = last_audit.missing().map(|missing| Sample::from(missing as f64));
            future::ready(missing.into_iter().collect()).boxed()
        });
    let admin_auth = admin_auth(config);
    let description = OpenApi::new("m3a3 API server", &[images::OPENAPI, users::OPENAPI, admin::OPENAPI])?;
    let bus = state.bus.clone();
    let hooks = job_kinds(move |finished| bus.publish(&finished));
    let admin = admin::State { database: state.database.clone(), hooks, auth: admin_auth.clone() };
    let users = users::State { database: state.database.clone(), auth: auth(config) };
    let images = state.clone();
    let routes = move |services: &mut web::ServiceConfig| {
        services
            .configure(health::routes(readiness.clone()))
            .configure(metrics::routes(metrics.clone(), admin_auth.clone()))
            .configure(openapi::routes(description.clone()))
            .configure(users::routes(users.clone()))
            .configure(admin::routes(admin.clone()))
            // Last, since its guarded routes match every path.
            .configure(images::routes(images.clone()));
    };
    let settings = server::Settings { workers: config.serve.workers, drain: drain(config) };
    let sweeping = shutdown.clone();
    let serving = server::start(listener, settings, shutdown, routes)?;
    runtime.start_pruning(config);
    let orphans = images::keep_removing_orphans(state.database.clone(), state.files.clone(), sweeping);
    runtime.run_role(Running::spawn("upload sweep", orphans.map(Ok)));
    runtime.run_role(Running::spawn("API server", async { Ok(serving.await?) }));
    runtime.run_role(Running::spawn("long polls", long_polls.run(state.bus).map(Ok)));
    Ok(address)
}

/// Starts the audits, and returns where the result of the last one is. They work a tenth of the time, so that requests do
/// not notice them.
fn start_audits(runtime: &mut Runtime, config: &Config, state: &images::State) -> LastAudit {
    let sources = Sources {
        database: state.database.clone(),
        inventory: state.files.inventory(),
        bus: state.bus.clone(),
        keep_jobs: config.jobs.keep,
        share: 0.1,
    };
    let last = LastAudit::default();
    let audits = keep_auditing(sources, last.clone(), runtime.shutdown.token());
    runtime.run_role(Running::spawn("audit", audits.map(Ok)));
    last
}

fn readiness(config: &Config, state: &images::State) -> Readiness {
    let (files, wanted) = (state.files.clone(), state.limits.min_free_bytes);
    readiness::common(config, &state.database, &state.bus).with("disk", move || {
        let check = check_disk(files.free_bytes(), wanted);
        async { check }.boxed()
    })
}
