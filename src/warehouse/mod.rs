//! The warehouse: stores every image as an asset and fulfils every order, each exactly once.
//!
//! Owns the tables `assets`, `asset_references` and `fulfilments`. Consumes its jobs, which images and orders enqueue
//! in the transactions that accept them. Publishes nothing. Never copies an image (the file stays where the upload put
//! it), never fails an image that it cannot read, and never fulfils an order twice.
//!
//! - `worker`: the job
//! - `metadata`: hash, size, format and capture time of an image
//! - `exif_block`: finds the EXIF block of a file without reading its pixels
//! - `store`: the rows
//! - `report`: the totals

mod exif_block;
mod metadata;
mod report;
mod store;
mod worker;

pub(crate) use report::{Report, report};
pub(crate) use worker::WarehouseWorker;
