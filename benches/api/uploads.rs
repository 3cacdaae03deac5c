//! The CPU time of the server for an upload of 2 MB, and the part of it in kernel mode. `--vs BINARY` loads another
//! m3a3 in turn, for comparison.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::enqueues::{self, Uploading};
use super::rig::load;
use super::rig::report::{Report, Target, median};
use super::rig::server::Server;
use super::{Bench, rows};

const BYTES: usize = 2_000_000;
/// Few, so that the load generator keeps up.
const CONNECTIONS: usize = 4;

/// The CPU milliseconds of an upload, for each round.
#[derive(Default)]
struct Costs {
    all: Vec<f64>,
    kernel: Vec<f64>,
}

/// Loads new servers of the binaries in turn.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let image = image()?;
    let mut variants = vec![("", PathBuf::from(env!("CARGO_BIN_EXE_m3a3")), Costs::default())];
    let mut args = std::env::args().skip_while(|arg| arg != "--vs");
    if args.next().is_some() {
        let other = args.next().context("--vs needs the path of a binary")?;
        variants.push((", the other binary", PathBuf::from(other), Costs::default()));
    }
    for round in 0..bench.plan.rounds {
        for (variant, (_, binary, costs)) in variants.iter_mut().enumerate() {
            load(bench, binary, &format!("uploads-{round}-{variant}"), &image, costs)?;
        }
    }
    for (name, _, costs) in variants {
        let name = format!("Upload of {} MB, {CONNECTIONS} connections{name}: CPU of the server", BYTES / 1_000_000);
        report.add(&name, "ms", median(costs.all), Some(Target::AtMost(1.5)));
        report.add(&format!("{name}, in the kernel"), "ms", median(costs.kernel), None);
    }
    Ok(())
}

/// Keeps the files of the round: ext4 searches longer for an inode while others have just been deleted.
fn load(bench: &Bench, binary: &Path, name: &str, image: &[u8], costs: &mut Costs) -> anyhow::Result<()> {
    let server = Server::start_binary(&bench.rig, binary, name, "serve", 0, &[])?;
    server.ready()?;
    let load = load::run_with(&bench.rig, &server, CONNECTIONS, |connection| Uploading::new(connection, image))?;
    let rows = rows::images(&mut server.database()?)?;
    ensure!(i64::try_from(load.total) == Ok(rows), "{} were accepted, {rows} have a row", load.total);
    eprintln!(
        "{}: {:.0} /s, {:.2} ms, {:.2} ms in the kernel",
        binary.display(),
        load.rate(),
        load.cpu_per_thousand().unwrap_or_default(),
        load.kernel_per_thousand().unwrap_or_default()
    );
    costs.all.extend(load.cpu_per_thousand());
    costs.kernel.extend(load.kernel_per_thousand());
    Ok(())
}

/// A JPEG, followed by bytes that are as random as its own.
fn image() -> anyhow::Result<Vec<u8>> {
    let mut bytes = enqueues::photo()?;
    let mut state = 1_u64;
    while bytes.len() < BYTES {
        // Knuth's MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    bytes.truncate(BYTES);
    Ok(bytes)
}
