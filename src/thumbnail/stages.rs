//! The way in pieces, for benchmarks and fuzzers, which look at one piece at a time; nothing else needs it.

use super::decode::{Header, Sink};
use super::resize::Resized;
use super::{Error, Limits, Spec, Thumbnail, contained, make, open};

/// Decodes what a thumbnail of this kind needs, and throws it away.
///
/// # Errors
/// When the picture is refused, cut off or damaged.
pub fn decode(bytes: &[u8], spec: &Spec, limits: &Limits) -> Result<(), Error> {
    struct Nowhere;
    impl Sink for Nowhere {
        fn row(&mut self, _: usize, _: &[u8]) {}
    }
    contained(|| {
        let mut source = open(bytes, limits)?;
        let needed = make::shrunk(source.as_mut(), std::slice::from_ref(spec)).needed();
        source.read(&needed, &mut Nowhere)
    })
}

/// A picture of a thumbnail's size, whose colours are still the file's own.
#[derive(Debug)]
pub struct Small {
    spec: Spec,
    header: Header,
    planes: Vec<Vec<Resized>>,
}

impl Small {
    /// Decodes and resizes.
    ///
    /// # Errors
    /// When the picture is refused, cut off or damaged.
    pub fn new(bytes: &[u8], spec: &Spec, limits: &Limits) -> Result<Self, Error> {
        contained(|| {
            let mut source = open(bytes, limits)?;
            let planes = make::resized(source.as_mut(), std::slice::from_ref(spec))?;
            Ok(Self { spec: *spec, header: source.header().clone(), planes })
        })
    }

    /// Converts the colours, turns the picture upright, and encodes it.
    ///
    /// # Errors
    /// When the encoder fails, which it has no reason to.
    pub fn finish(&self) -> Result<Thumbnail, Error> {
        contained(|| {
            let mut made = make::finish(&self.header, std::slice::from_ref(&self.spec), self.planes.clone())?;
            made.pop().ok_or_else(|| Error::corrupt("nothing was made"))
        })
    }
}
