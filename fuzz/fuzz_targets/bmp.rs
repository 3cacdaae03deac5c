//! Any bytes after the signature of BMP decode or return an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use m3a3_fuzz::{LIMITS, ignore_third_party_panics, spec};
use m3a3_thumbnail::bench_hooks::decode;

fuzz_target!(init: ignore_third_party_panics(), |bytes: &[u8]| {
    let _ = decode(&[b"BM", bytes].concat(), &spec(bytes.len()), &LIMITS);
});
