//! A file with two readers, of which only one is in use at a time.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use super::super::codec::ReadSeek;

#[derive(Clone)]
pub(super) struct SharedFile<'a>(Rc<RefCell<&'a mut dyn ReadSeek>>);

impl<'a> SharedFile<'a> {
    pub(super) fn new(file: &'a mut dyn ReadSeek) -> Self {
        Self(Rc::new(RefCell::new(file)))
    }
}

impl Read for SharedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl Seek for SharedFile<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(position)
    }
}
