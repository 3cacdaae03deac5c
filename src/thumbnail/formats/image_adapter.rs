//! Adapters for the decoders of the `image` crate.

use std::io;

use image::{ColorType, ImageError};

use crate::error::Error;
use crate::raster::{Depth, Model};

/// Colour model and sample type of a colour type.
pub(super) fn layout(color: ColorType) -> Option<(Model, Depth)> {
    Some(match color {
        ColorType::L8 => (Model::Grey, Depth::U8),
        ColorType::La8 => (Model::GreyAlpha, Depth::U8),
        ColorType::Rgb8 => (Model::Rgb, Depth::U8),
        ColorType::Rgba8 => (Model::Rgba, Depth::U8),
        ColorType::L16 => (Model::Grey, Depth::U16),
        ColorType::La16 => (Model::GreyAlpha, Depth::U16),
        ColorType::Rgb16 => (Model::Rgb, Depth::U16),
        ColorType::Rgba16 => (Model::Rgba, Depth::U16),
        ColorType::Rgb32F => (Model::Rgb, Depth::F32),
        ColorType::Rgba32F => (Model::Rgba, Depth::F32),
        _ => return None,
    })
}

/// Maps an error of the `image` crate.
pub(super) fn decode_error(error: ImageError) -> Error {
    match error {
        ImageError::Limits(_) => Error::TooMuchMemory,
        ImageError::Unsupported(_) => Error::Unsupported("This variant of the format"),
        ImageError::IoError(source) => Error::decoder_io(source),
        other if is_unexpected_eof(&other) => Error::Truncated,
        other => Error::corrupt(other),
    }
}

/// Whether an end of file is wrapped in the error of a decoder.
fn is_unexpected_eof(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    false
}
