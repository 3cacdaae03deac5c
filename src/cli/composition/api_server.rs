//! The API server: its listener, its routes, and the roles beside them.

use std::net::SocketAddr;

use actix_web::web;
use anyhow::Context;
use futures_util::{FutureExt, future};

use super::access;
use super::api_presence::ApiPresence;
use super::clients::{limits, proxies};
use super::confirmation::confirmation;
use super::job_registry::job_kinds;
use super::metrics::{certificate, limited_requests, redis_and_jobs};
use super::origins::{cors, site_guard};
use super::readiness::{self, check_disk};
use super::runtime::{Runtime, drain};
use crate::admin;
use crate::audit::{LastAudit, Sources, keep_auditing};
use crate::config::Config;
use crate::db::Location;
use crate::http::draining::Draining;
use crate::http::health::{self, Readiness};
use crate::http::limits::Purpose;
use crate::http::listener::Listener;
use crate::http::metrics::{self, Kind, Sample};
use crate::http::openapi::{self, OpenApi};
use crate::http::server;
use crate::images;
use crate::jobs::WakeSignal;
use crate::lifecycle::Running;
use crate::users;

/// The share of its time that the periodic audit works, so that it does not slow down requests.
const AUDIT_SHARE: f64 = 0.1;

/// Opens the API server's listener; a public address requires a token or `auth.allow_anonymous`.
pub(crate) fn listen(config: &Config) -> anyhow::Result<Listener> {
    config.check_binding(config.serve.host)?;
    let address = config.serve.address();
    Listener::bind(address, config.serve.reuse_port).with_context(|| {
        format!("cannot listen on {address} (is another m3a3 running? --port and --host choose another address)")
    })
}

/// Starts the role that records images announced by other programs. While it runs, workers do not record them.
pub(crate) fn start_image_intake(
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

/// Starts the API server's roles, and returns the address that it listens on.
pub(crate) fn start(
    runtime: &mut Runtime,
    config: &Config,
    state: images::State,
    listener: Listener,
) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let shutdown = runtime.shutdown.token();
    let long_polls = state.long_polls.clone();
    let draining = runtime.draining(config);
    let readiness = readiness(config, &state, &draining);
    let held = long_polls.clone();
    let last_audit = start_audits(runtime, config, &state);
    let limits = limits(config, &[("/enqueue", Purpose::Upload)]);
    let metrics = redis_and_jobs(&state.database, &state.bus);
    let metrics = certificate(limited_requests(metrics, &limits), runtime.tls.as_ref())
        .with_value("m3a3_held_polls", "Held long polls", Kind::Gauge, move || held.held() as f64)
        .with("m3a3_audit_missing", "Missing items found by the last audit", Kind::Gauge, move || {
            let missing = last_audit.missing().map(|missing| Sample::from(missing as f64));
            future::ready(missing.into_iter().collect()).boxed()
        });
    let admin_auth = access::admin(config, &runtime.auth);
    let description = OpenApi::new(
        "m3a3 API server",
        config.serve.public_url.as_deref(),
        [images::openapi(), users::openapi(), admin::openapi()],
    )?;
    let cors = cors(config, &[]);
    let bus = state.bus.clone();
    let hooks = job_kinds(move |finished| bus.publish(&finished));
    let admin = admin::State { database: state.database.clone(), hooks, auth: admin_auth.clone() };
    let users = users::State {
        database: state.database.clone(),
        auth: runtime.auth.clone(),
        confirmation: confirmation(config, address),
        max_users: config.limits.users,
    };
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
    let settings = server::Settings {
        workers: config.serve.workers,
        drain: drain(config),
        access_log: config.log.requests,
        guard: site_guard(config, config.serve.host, &cors, &[admin::PATH, metrics::PATH]),
        cors,
        proxies: proxies(config),
        tokens: access::tokens(config),
        limits,
        draining: draining.clone(),
        tls: runtime.tls.clone(),
    };
    let serving = server::start(listener, settings, routes)?;
    runtime.start_pruning(config);
    let orphans = images::keep_removing_orphans(state.database.clone(), state.files.clone(), shutdown);
    runtime.run_role(Running::spawn("upload sweep", orphans.map(Ok)));
    let commits = state.commits.clone();
    runtime.run_role(Running::spawn("API server", async move {
        let served = serving.await;
        commits.finished().await;
        Ok(served?)
    }));
    runtime.run_role(Running::spawn("long polls", long_polls.run(state.bus, draining.ended()).map(Ok)));
    Ok(address)
}

/// Starts the periodic audit, and returns its last result.
fn start_audits(runtime: &mut Runtime, config: &Config, state: &images::State) -> LastAudit {
    let sources = Sources {
        database: state.database.clone(),
        inventory: state.files.inventory(),
        bus: state.bus.clone(),
        keep_jobs: config.jobs.keep,
        share: AUDIT_SHARE,
    };
    let last = LastAudit::default();
    let audits = keep_auditing(sources, last.clone(), runtime.shutdown.token());
    runtime.run_role(Running::spawn("audit", audits.map(Ok)));
    last
}

/// The common checks, and the disk of the image root.
fn readiness(config: &Config, state: &images::State, draining: &Draining) -> Readiness {
    let (files, wanted) = (state.files.clone(), state.limits.min_free_bytes);
    readiness::common(config, &state.database, &state.bus, draining).with("disk", move || {
        let check = check_disk(files.free_bytes(), wanted);
        async { check }.boxed()
    })
}
