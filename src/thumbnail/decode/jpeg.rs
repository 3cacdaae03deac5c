//! JPEG by `zune-jpeg`, in the components as they are stored: their conversion to RGB waits for the few pixels that the
//! resize leaves, and CMYK reaches its profile.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Depth, Header, Whole, buffer};
use crate::thumbnail::colour::Model;
use crate::thumbnail::complete::jpeg_end;
use crate::thumbnail::probe::jpeg::{Frame, first_scan, frame};
use crate::thumbnail::{Error, Limits, orientation};

/// Progressive files have about ten scans; each costs a pass over the whole picture, however small it is in the file.
const MAX_SCANS: usize = 64;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Whole, Error> {
    let mut header = Cursor::new(bytes);
    header.set_position(2);
    let frame = frame(&mut header)?;
    let buffered = frame.progressive || first_scan(&mut header)? < frame.components;
    if memory(&frame, buffered) > limits.max_bytes() {
        return Err(Error::TooMuchMemory);
    }
    let bytes = told_plainly(bytes, &frame);
    // Strict, or damaged data would become grey areas.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(frame.width.into())
        .set_max_height(frame.height.into())
        .jpeg_set_max_scans(MAX_SCANS);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes.as_slice()), options);
    decoder.decode_headers().map_err(refused)?;
    let stored = decoder.input_colorspace().ok_or(Error::BadHeader("no colour space"))?;
    if stored.num_components() != usize::from(frame.components) {
        return Err(Error::corrupt("the decoder reads another number of components than the header states"));
    }
    decoder.set_options(options.jpeg_set_out_colorspace(stored));
    let size = decoder.output_buffer_size().and_then(|size| u64::try_from(size).ok());
    let mut samples = buffer(size.ok_or(Error::BadHeader("no dimensions"))?, limits)?;
    decoder.decode_into(&mut samples).map_err(refused)?;
    let header = Header {
        width: frame.width.into(),
        height: frame.height.into(),
        model: model(&frame),
        depth: Depth::U8,
        premultiplied: false,
        icc: decoder.icc_profile(),
        orientation: orientation::from_exif(decoder.exif().map(Vec::as_slice)),
    };
    Ok(Whole { header, bytes: samples })
}

/// What decoding takes: the samples, and where they do not come all in one scan, a 16-bit coefficient for each of them
/// that is stored.
fn memory(frame: &Frame, buffered: bool) -> u64 {
    let pixels = u64::from(frame.width) * u64::from(frame.height);
    let sampling = &frame.sampling[..frame.components.into()];
    let across = sampling.iter().map(|&(across, _)| across).max().map_or(1, u64::from);
    let down = sampling.iter().map(|&(_, down)| down).max().map_or(1, u64::from);
    let stored: u64 = sampling.iter().map(|&(across, down)| u64::from(across) * u64::from(down)).sum();
    let coefficients = if buffered { 2 * pixels * stored / (across * down) } else { 0 };
    pixels * u64::from(frame.components) + coefficients
}

/// How the components are to be read: by Adobe's marker, else by JFIF, else by their names, as libjpeg does it. Adobe's
/// programs store ink inverted.
fn model(frame: &Frame) -> Model {
    let adobe = frame.adobe.map(|adobe| adobe.transform);
    match (frame.components, adobe) {
        (1, _) => Model::Grey,
        (3, Some(0)) if !frame.jfif => Model::Rgb,
        (3, None) if !frame.jfif && frame.ids[..3] == *b"RGB" => Model::Rgb,
        (3, _) => Model::YCbCr,
        (_, None) => Model::Cmyk { inverted: false },
        (_, Some(0)) => Model::Cmyk { inverted: true },
        _ => Model::Ycck,
    }
}

/// The file as the decoder understands it best.
///
/// It takes an Adobe transform of 0 for CMYK even where there are three components, and fails on values it does not
/// know; as nothing is converted there, any known value does. And where coded data ends early, it fills up with grey
/// once it has seen an EOI, but says so if the file simply ends: so a sequential file ends without one here, and with
/// enough zeros for the decoder to look ahead.
fn told_plainly(bytes: &[u8], frame: &Frame) -> Vec<u8> {
    let mut told = bytes.to_vec();
    let known: &[u8] = if frame.components == 4 { &[0, 2] } else { &[1] };
    if let Some(adobe) = frame.adobe.filter(|adobe| !known.contains(&adobe.transform)) {
        let transform = usize::try_from(adobe.offset).ok().and_then(|offset| told.get_mut(offset));
        transform.into_iter().for_each(|transform| *transform = known[0]);
    }
    if let Some(end) = jpeg_end(bytes).filter(|_| !frame.progressive) {
        told.truncate(end);
        told.extend([0; 16]);
    }
    told
}

fn refused(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::ExhaustedData => Error::Truncated,
        DecodeErrors::Unsupported(_) => Error::Unsupported("This variant of JPEG"),
        other => Error::corrupt(other.to_string()),
    }
}
