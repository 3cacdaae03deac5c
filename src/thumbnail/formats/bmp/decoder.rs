//! BMP: rows from the top, converted to RGB or RGBA one by one.

use image::metadata::Orientation;

use super::super::codec::RowDecoder;
use super::headers::{Coding, Headers};
use super::runs::Runs;
use super::uncompressed::Uncompressed;
use crate::error::Error;
use crate::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};

pub(super) struct BmpDecoder<'a> {
    header: Header,
    top_down: bool,
    rows: Rows<'a>,
}

enum Rows<'a> {
    Uncompressed(Uncompressed<'a>),
    Runs(Runs<'a>),
}

/// Checks that all pixels and the profile are there.
pub(super) fn open<'a>(file: &'a [u8], headers: &Headers) -> Result<BmpDecoder<'a>, Error> {
    let rows = match headers.coding {
        Coding::Runs => Rows::Runs(Runs::new(file, headers)?),
        _ => Rows::Uncompressed(Uncompressed::new(file, headers)?),
    };
    let has_alpha = match &rows {
        Rows::Uncompressed(rows) => rows.has_alpha(),
        Rows::Runs(rows) => rows.has_alpha(),
    };
    // Browsers do not show an image without the end of its profile.
    let icc = headers.profile.clone().map(|profile| file.get(profile).map(<[u8]>::to_vec).ok_or(Error::Truncated));
    let header = Header {
        width: headers.size.width as usize,
        height: headers.size.height as usize,
        model: if has_alpha { Model::Rgba } else { Model::Rgb },
        depth: Depth::U8,
        premultiplied: false,
        icc: icc.transpose()?,
        orientation: Orientation::NoTransforms,
    };
    Ok(BmpDecoder { header, top_down: headers.top_down, rows })
}

impl RowDecoder for BmpDecoder<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn decode(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let mut row = vec![0; self.header.stride()];
        for top in 0..self.header.height {
            let stored = if self.top_down { top } else { self.header.height - 1 - top };
            match &self.rows {
                Rows::Uncompressed(rows) => rows.decode(stored, &mut row)?,
                Rows::Runs(rows) => rows.decode(stored, &mut row),
            }
            sink.row(0, &row);
        }
        Ok(())
    }
}
