//! What is held of a file: all of it where it lies in memory, and else a window that moves along with who reads.

use std::io::{self, Read, Seek, SeekFrom};

use crate::thumbnail::Error;

/// How much is held from where one reads on, unless the file ends before: more than a segment (B.1.1.4), and more than
/// [`BLOCKS`](super::bits::BLOCKS) blocks can take.
pub(super) const AHEAD: usize = 66 << 10;

/// How much is read at once. Small enough to stay in a processor's cache.
const HELD: usize = 4 * AHEAD;

/// A file that can be read anywhere, and again.
pub(in crate::thumbnail) trait Seekable: Read + Seek {}
impl<F: Read + Seek> Seekable for F {}

/// A file and the part of it that is held.
pub(super) enum Window<'a> {
    Whole(&'a [u8]),
    Moving(Moving<'a>),
}

/// A part of a file.
pub(super) struct Moving<'a> {
    file: &'a mut dyn Seekable,
    /// Where in the file the part begins.
    start: usize,
    held: Vec<u8>,
    /// Whether the file ends with the part.
    ended: bool,
}

impl<'a> Window<'a> {
    pub(super) fn on(file: &'a mut dyn Seekable) -> Self {
        Self::Moving(Moving { file, start: 0, held: Vec::new(), ended: false })
    }

    /// The bytes from this place of the file on: at least [`AHEAD`], or all that are left.
    pub(super) fn from(&mut self, at: usize) -> Result<&[u8], Error> {
        match self {
            Self::Whole(bytes) => Ok(bytes.get(at..).unwrap_or_default()),
            Self::Moving(part) => part.from(at).map_err(|source| Error::Read { source }),
        }
    }
}

impl Moving<'_> {
    fn from(&mut self, at: usize) -> io::Result<&[u8]> {
        let within = at.checked_sub(self.start).filter(|&within| within <= self.held.len());
        let enough = within.is_some_and(|within| self.ended || self.held.len() - within >= AHEAD);
        if !enough {
            // What lies before is not needed any more.
            self.held.drain(..within.unwrap_or(self.held.len()));
            self.start = at;
            self.fill()?;
        }
        Ok(self.held.get(at - self.start..).unwrap_or_default())
    }

    fn fill(&mut self) -> io::Result<()> {
        let wanted = HELD - self.held.len();
        self.held.reserve_exact(wanted);
        self.file.seek(SeekFrom::Start((self.start + self.held.len()) as u64))?;
        let read = (&mut *self.file).take(wanted as u64).read_to_end(&mut self.held)?;
        self.ended = read < wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn wherever_one_reads_the_bytes_are_those_of_the_file(
            length in prop_oneof![0..AHEAD, AHEAD..3 * HELD],
            steps in prop::collection::vec((any::<bool>(), 0..2 * HELD), 1..20),
        ) {
            let bytes: Vec<u8> = (0..length).map(|at| (at ^ at >> 8) as u8).collect();
            let mut file = Cursor::new(&bytes);
            let mut window = Window::on(&mut file);
            let mut at = 0;
            for (anew, step) in steps {
                at = if anew { step } else { at + step % AHEAD };
                let rest = bytes.get(at..).unwrap_or_default();
                let held = window.from(at).unwrap();
                prop_assert!(held.len() >= rest.len().min(AHEAD));
                prop_assert!(rest.starts_with(held));
            }
        }
    }
}
