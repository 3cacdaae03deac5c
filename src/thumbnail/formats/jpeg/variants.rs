//! Variants of JPEG that are not supported, with messages for uploaders. Browsers do not show them either.

use crate::error::Error;

/// The error for a frame header (SOFn, table B.1) or another marker of an unsupported variant.
pub(super) fn unsupported(marker: u8) -> Option<Error> {
    let (name, remedy) = match marker {
        0xc3 | 0xcb => ("Lossless JPEG", "save it as an ordinary JPEG or as PNG"),
        // Differential frames, and the markers that introduce them (DHP, EXP).
        0xc5..=0xc7 | 0xcd..=0xcf | 0xde | 0xdf => ("Hierarchical JPEG", "save it as an ordinary JPEG"),
        0xc9 | 0xca => ("JPEG with arithmetic coding", "save it as JPEG with Huffman coding"),
        0xf7 => ("JPEG-LS", "save it as an ordinary JPEG or as PNG"),
        _ => return None,
    };
    Some(Error::UnsupportedVariant { name, remedy })
}

/// The error for samples that do not have 8 bits.
pub(super) fn unsupported_precision(bits: u8) -> Error {
    let name = if bits == 12 { "12-bit JPEG" } else { "JPEG with other than 8 bits per channel" };
    Error::UnsupportedVariant { name, remedy: "save it as JPEG with 8 bits per channel" }
}

/// The error for a number of components that has no colour model.
pub(super) fn unsupported_components() -> Error {
    let name = "JPEG with two or more than four channels";
    Error::UnsupportedVariant { name, remedy: "save it as a grey, RGB or CMYK JPEG" }
}

/// The error for a height that only follows the first scan (DNL, B.2.5).
pub(super) fn unsupported_height() -> Error {
    let name = "JPEG without a height in its header";
    Error::UnsupportedVariant { name, remedy: "save it again as JPEG" }
}
