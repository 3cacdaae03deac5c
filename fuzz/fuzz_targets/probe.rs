//! Any bytes have a valid header or return an error with a message for the uploader.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use m3a3_fuzz::LIMITS;
use m3a3_thumbnail::probe;

fuzz_target!(|bytes: &[u8]| match probe(Cursor::new(bytes), &LIMITS) {
    Ok(probe) => assert!(u64::from(probe.width) * u64::from(probe.height) <= LIMITS.max_pixels),
    Err(error) => assert!(error.shows_in_header() && !error.message().is_empty()),
});
