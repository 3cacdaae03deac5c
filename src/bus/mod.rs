//! Redis: for now, the broker that m3a3 brings along.

pub mod embedded;
