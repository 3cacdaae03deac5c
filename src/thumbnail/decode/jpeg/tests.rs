//! Whole files, against other decoders and against what they must not take.

use super::*;

/// Collects planes.
#[derive(Default)]
struct Planes(Vec<Vec<Vec<u8>>>);

impl Sink for Planes {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        if self.0.len() <= plane {
            self.0.resize_with(plane + 1, Vec::new);
        }
        self.0[plane].push(bytes.to_vec());
    }
}

fn decoded(bytes: &[u8], step: f64, limits: &Limits) -> Result<(Vec<Plane>, Planes), Error> {
    let mut jpeg = Jpeg::open(bytes, limits)?;
    let planes = jpeg.shrink(Goal { step, chroma: step });
    let all = |plane: &Plane| Area { across: 0..plane.width, down: 0..plane.height };
    let mut sink = Planes::default();
    jpeg.read(&planes.iter().map(all).collect::<Vec<Area>>(), &mut sink)?;
    Ok((planes, sink))
}

#[test]
fn a_progressive_picture_that_takes_more_memory_than_its_pixels_may_is_refused_if_it_is_needed_in_full() {
    let frame =
        [b"\xff\xd8\xff\xc2\0\x14\x08\x27\x10\x27\x10\x04", &b"\x01\x11\0\x02\x11\0\x03\x11\0\x04\x11\0"[..]].concat();
    let bytes = [&frame[..], b"\xff\xda\0\x0e\x04\x01\0\x02\0\x03\0\x04\0\0\0\0\xff\xd9"].concat();
    let small = Limits { max_pixels: 10_000_000 };
    assert!(matches!(decoded(&bytes, 1.0, &small), Err(Error::TooMuchMemory)));
    assert!(matches!(decoded(&bytes, 8.0, &small), Err(Error::Truncated)));
}
