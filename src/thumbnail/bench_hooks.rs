//! Single stages of the pipeline, for benchmarks and fuzzers.

use super::encode::Thumbnail;
use super::error::Error;
use super::limits::Limits;
use super::open::open;
use super::pipeline::{self, catch_panics};
use super::raster::{Header, Resized, Sink};
use super::spec::Spec;

/// Decodes as much as a thumbnail of this spec needs, and discards the rows.
///
/// # Errors
/// When the image is rejected, truncated or damaged.
pub fn decode(bytes: &[u8], spec: &Spec, limits: &Limits) -> Result<(), Error> {
    struct Discard;
    impl Sink for Discard {
        fn row(&mut self, _: usize, _: &[u8]) {}
    }
    catch_panics(|| {
        let mut decoder = open(bytes, limits)?;
        let needed = pipeline::prepare(decoder.as_mut(), std::slice::from_ref(spec)).needed();
        decoder.decode(&needed, &mut Discard)
    })
}

/// A decoded and resized image in the colour model of the file.
#[derive(Debug)]
pub struct ResizedImage {
    spec: Spec,
    header: Header,
    planes: Vec<Vec<Resized>>,
}

impl ResizedImage {
    /// Decodes and resizes.
    ///
    /// # Errors
    /// When the image is rejected, truncated or damaged.
    pub fn new(bytes: &[u8], spec: &Spec, limits: &Limits) -> Result<Self, Error> {
        catch_panics(|| {
            let mut decoder = open(bytes, limits)?;
            let planes = pipeline::decode_and_resize(decoder.as_mut(), std::slice::from_ref(spec))?;
            Ok(Self { spec: *spec, header: decoder.header().clone(), planes })
        })
    }

    /// Converts the colours, rotates and encodes.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn finish(&self) -> Result<Thumbnail, Error> {
        catch_panics(|| {
            let mut made = pipeline::finish(&self.header, std::slice::from_ref(&self.spec), self.planes.clone())?;
            made.pop().ok_or_else(|| Error::corrupt("no thumbnail"))
        })
    }
}
