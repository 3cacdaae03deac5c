//! Any bytes give a thumbnail of the requested size or return an error.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use m3a3_fuzz::{LIMITS, ignore_third_party_panics, spec};
use m3a3_thumbnail::{Fit, variants, variants_of_file};

fuzz_target!(init: ignore_third_party_panics(), |bytes: &[u8]| {
    let spec = spec(bytes.len());
    let made = variants(bytes, &[spec], &LIMITS);
    let of_file = variants_of_file(Cursor::new(bytes), &[spec], &LIMITS);
    assert_eq!(made.as_ref().map_err(ToString::to_string), of_file.as_ref().map_err(ToString::to_string));
    let Ok(made) = made else { return };
    let [thumbnail] = made.as_slice() else { panic!("not one thumbnail") };
    assert!(thumbnail.width <= spec.width && thumbnail.height <= spec.height);
    assert!(spec.fit == Fit::Inside || (thumbnail.width, thumbnail.height) == (spec.width, spec.height));
    assert!(!thumbnail.bytes.is_empty());
});
