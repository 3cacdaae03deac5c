//! The Redis of a run: a broker in this process, on its own thread, and a bus that publishes through it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use m3a3::bus::Bus;
use m3a3::bus::embedded::Broker;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::DEADLINE;

/// The broker, and a bus that is connected to it.
#[derive(Debug)]
pub struct Doorbell {
    /// The broker's URL.
    pub url: String,
    /// The bus, for any thread.
    pub bus: Bus,
}

impl Doorbell {
    /// Starts the broker, which runs until the process exits.
    pub fn start() -> anyhow::Result<Self> {
        let (sender, started) = mpsc::channel();
        std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    let _ = sender.send(run().await);
                    std::future::pending().await
                }),
                Err(error) => {
                    let _ = sender.send(Err(error.into()));
                }
            }
        })?;
        let doorbell = started.recv().context("the broker's thread ended")??;
        let begun = Instant::now();
        while !doorbell.bus.is_connected() {
            ensure!(begun.elapsed() < DEADLINE, "the broker cannot be reached");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(doorbell)
    }
}

async fn run() -> anyhow::Result<Doorbell> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("redis://{}", listener.local_addr()?);
    // The threads and the bus end with the process.
    let _serving = Broker::start(listener, String::new(), CancellationToken::new());
    let (bus, _tasks) = Bus::start(&url, CancellationToken::new())?;
    Ok(Doorbell { url, bus })
}
