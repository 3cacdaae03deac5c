//! `m3a3 serve`: the API server.

use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::composition::runtime::Runtime;
use super::composition::{api_server, server_address};
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::address_file::Server;
use crate::config::{Config, Overrides};
use crate::jobs::WakeSignal;

const EXAMPLES: &str = "\
Examples:
  m3a3 serve                                      on 127.0.0.1:3010
  m3a3 serve --port 8080
  M3A3_AUTH__TOKEN=a-long-random-token m3a3 serve --host 0.0.0.0

Prints `listening on URL` once it accepts connections. `m3a3 worker thumbnail` creates the thumbnails; it needs the \
same database and image root. Redis carries the notifications between them.";

/// Run the API server: uploads, statuses, thumbnails
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Serve {
    #[command(flatten)]
    address: Address,
}

/// The address to listen on.
#[derive(Args)]
pub(super) struct Address {
    /// Address to listen on [serve.host]
    #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::Hostname)]
    host: Option<String>,
    /// Port to listen on, 0 for any free port [serve.port]
    #[arg(long, value_name = "PORT", value_hint = ValueHint::Other)]
    port: Option<String>,
}

impl Address {
    pub(super) fn override_config(&self, overrides: &mut Overrides) {
        for (key, value, flag) in [("serve.host", &self.host, "--host"), ("serve.port", &self.port, "--port")] {
            if let Some(value) = value {
                overrides.set(key, value, flag);
            }
        }
    }
}

impl Subcommand for Serve {
    fn override_config(&self, overrides: &mut Overrides) {
        self.address.override_config(overrides);
    }

    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(serve)
    }
}

async fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = api_server::listen(config)?;
    let mut runtime = Runtime::open(config, None)?;
    runtime.open_access(config)?;
    runtime.open_tls(config)?;
    let images = runtime.images(config)?;
    // No worker runs in this process, so nothing waits for the signal.
    api_server::start_image_intake(&mut runtime, config, images.clone(), WakeSignal::new())?;
    let address = api_server::start(&mut runtime, config, images, listener)?;
    runtime.try_redis().await;
    let _address = server_address::publish(config, Server::Api, address);
    output::print(&format!("listening on {}\n", server_address::listener_url(config, address)))?;
    runtime.run().await?;
    Ok(ExitCode::SUCCESS)
}
