//! The m3a3 binary: the allocator, the TLS provider and the command line.

use std::process::ExitCode;

use clap::Parser;
use m3a3::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Fails only if a provider is already installed, which works as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cli::parse().run()
}
