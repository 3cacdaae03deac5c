//! One binary that drives the real thing: each test has its own database, its own files and its own Redis.

mod database;
//! What m3a3 does, tried on the real thing: one file per capability.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of this is tests, which may fail so")]

mod cli;
mod harness;
mod status;
mod upload;
//! The integration tests: one binary, one module per capability.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod broker_conformance;
mod bus;
mod harness;
