//! The warehouse: every picture is kept as an asset, every order is taken on for fulfilment, each exactly once.
//!
//! Owns the tables `assets`, `asset_references` and `fulfilments`. Consumes its jobs, which images and orders make in the
//! transactions that accept them; publishes nothing. Never keeps a picture's bytes a second time (they lie where the
//! upload put them), never refuses a picture that it does not understand, and never takes an order on twice.
//!
//! - `worker`: the job
//! - `metadata`: what is to be known of a picture
//! - `store`: the rows
//! - `report`: what it all comes to

mod metadata;
mod report;
mod store;
mod worker;

pub use report::{Report, report};
pub use worker::WarehouseWorker;
