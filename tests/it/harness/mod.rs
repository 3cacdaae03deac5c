//! What the tests stand on.

pub mod binary;
pub mod scripted_api;
