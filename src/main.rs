//! The m3a3 binary: what a process has once, and the command line.

use std::process::ExitCode;

use clap::Parser;
use m3a3::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The only failure is a provider that is there already, which would do as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cli::parse().run()
}
