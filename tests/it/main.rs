//! One binary that drives the real thing: each test has its own database, its own files and its own Redis.

mod database;
