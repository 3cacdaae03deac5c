//! BMP: files for tests, drawn by their parts.

/// A file by its parts, with an information header of any length.
#[derive(Clone)]
pub(super) struct Drawing {
    pub(super) length: u32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) bits: u16,
    pub(super) compression: u32,
    pub(super) colours_used: u32,
    pub(super) masks: Vec<u32>,
    pub(super) palette: Vec<[u8; 4]>,
    pub(super) pixels: Vec<u8>,
}

impl Drawing {
    /// An image of noise without compression.
    pub(super) fn new(length: u32, bits: u16, width: i32, height: i32) -> Self {
        let stride = (width.unsigned_abs() as usize * usize::from(bits)).div_ceil(32) * 4;
        let noise =
            |seed: u32| (0_u32..).map(move |at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8);
        let colours = if bits > 8 { 0 } else { 1 << bits };
        let palette = noise(7).zip(noise(99)).map(|(one, other)| [one, other, one ^ other, 0]).take(colours);
        Self {
            length,
            width,
            height,
            bits,
            compression: 0,
            colours_used: 0,
            masks: Vec::new(),
            palette: palette.collect(),
            pixels: noise(1).take(stride * height.unsigned_abs() as usize).collect(),
        }
    }

    pub(super) fn with_masks(self, compression: u32, masks: &[u32]) -> Self {
        Self { compression, masks: masks.to_vec(), ..self }
    }

    /// Run-length coded, with a palette of 16 colours.
    pub(super) fn runs(bits: u16, width: i32, height: i32, data: &[u8]) -> Self {
        let (compression, colours) = match bits {
            8 => (1, 16),
            4 => (2, 16),
            _ => (4, 0),
        };
        let palette = (0..colours).map(|index| [index * 3 + 2, index * 5 + 1, index * 7 + 100, 0]).collect();
        let pixels = data.to_vec();
        Self { compression, colours_used: colours.into(), palette, pixels, ..Self::new(40, bits, width, height) }
    }

    fn information(&self) -> Vec<u8> {
        let mut header = self.length.to_le_bytes().to_vec();
        if self.length == 12 {
            let sides = [self.width as u16, self.height as u16, 1, self.bits];
            header.extend(sides.into_iter().flat_map(u16::to_le_bytes));
            return header;
        }
        header.extend([self.width, self.height].into_iter().flat_map(i32::to_le_bytes));
        header.extend([1, self.bits].into_iter().flat_map(u16::to_le_bytes));
        let fields = [self.compression, self.pixels.len() as u32, 2835, 2835, self.colours_used, 0];
        header.extend(fields.into_iter().flat_map(u32::to_le_bytes));
        if matches!(self.length, 52..) {
            header.extend(self.masks.iter().flat_map(|mask| mask.to_le_bytes()));
        }
        header.resize(self.length as usize, 0);
        header
    }

    /// The masks after the header, if it has none, and the palette.
    fn tables(&self) -> Vec<u8> {
        let masks = self.masks.iter().filter(|_| self.length < 52).flat_map(|mask| mask.to_le_bytes());
        let bytes = if self.length == 12 { 3 } else { 4 };
        masks.chain(self.palette.iter().flat_map(|colour| colour[..bytes].to_vec())).collect()
    }

    /// The file; without an offset, the pixels follow the tables.
    pub(super) fn at(&self, start: usize, offset: Option<u32>) -> Vec<u8> {
        let (information, tables) = (self.information(), self.tables());
        let offset = offset.unwrap_or((start + 14 + information.len() + tables.len()) as u32);
        [&b"BM\0\0\0\0\0\0\0\0"[..], &offset.to_le_bytes(), &information, &tables, &self.pixels].concat()
    }

    pub(super) fn file(&self) -> Vec<u8> {
        self.at(0, None)
    }
}
