//! Any strips or tiles below a directory of any variant decode or return an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use m3a3_fuzz::{LIMITS, ignore_third_party_panics, spec};
use m3a3_thumbnail::bench_hooks::decode;

/// Values of a tag.
enum Values {
    Shorts(Vec<u16>),
    Longs(Vec<u32>),
    Rationals(Vec<[u32; 2]>),
    Bytes(Vec<u8>),
}

/// Writes numbers in a byte order, of TIFF or BigTIFF.
struct Writer {
    file: Vec<u8>,
    big_endian: bool,
    big: bool,
}

impl Writer {
    fn number(&self, value: u64, bytes: usize) -> Vec<u8> {
        let little = &value.to_le_bytes()[..bytes];
        if self.big_endian { little.iter().rev().copied().collect() } else { little.to_vec() }
    }

    /// A number of values, or an offset.
    fn size(&self, value: usize) -> Vec<u8> {
        self.number(value as u64, if self.big { 8 } else { 4 })
    }

    /// An entry of the directory; writes values that do not fit into it.
    fn entry(&mut self, tag: u16, values: &Values) -> Vec<u8> {
        let (kind, count, mut field): (u64, usize, Vec<u8>) = match values {
            Values::Bytes(bytes) => (7, bytes.len(), bytes.clone()),
            Values::Shorts(values) => {
                (3, values.len(), values.iter().flat_map(|&value| self.number(value.into(), 2)).collect())
            }
            Values::Longs(values) => {
                (4, values.len(), values.iter().flat_map(|&value| self.number(value.into(), 4)).collect())
            }
            Values::Rationals(values) => {
                (5, values.len(), values.iter().flatten().flat_map(|&value| self.number(value.into(), 4)).collect())
            }
        };
        let inline = if self.big { 8 } else { 4 };
        if field.len() > inline {
            let start = self.file.len();
            self.file.extend(field);
            field = self.size(start);
        }
        field.resize(inline, 0);
        [self.number(tag.into(), 2), self.number(kind, 2), self.size(count), field].concat()
    }

    /// Appends the directory.
    fn finish(mut self, mut tags: Vec<(u16, Values)>) -> Vec<u8> {
        tags.sort_by_key(|&(tag, _)| tag);
        let entries: Vec<u8> = tags.iter().flat_map(|(tag, values)| self.entry(*tag, values)).collect();
        let start = self.size(self.file.len());
        let at = if self.big { 8 } else { 4 };
        self.file[at..at + start.len()].copy_from_slice(&start);
        let count = self.number(tags.len() as u64, if self.big { 8 } else { 2 });
        self.file.extend([count, entries, vec![0; 8]].concat());
        self.file
    }
}

/// A TIFF whose strips or tiles are parts of the data. The first bytes choose the values of its tags; the rest is data.
fn file(bytes: &[u8]) -> Option<Vec<u8>> {
    const CHUNKS: usize = 64;
    let (choices, data) = bytes.split_first_chunk::<16>()?;
    let flag = |at: usize, bit: u8| choices[at] >> bit & 1 == 1;
    let pick = |at: usize, values: &[u16]| Values::Shorts(vec![values[usize::from(choices[at]) % values.len()]]);
    let [width, height] = [0, 1].map(|at| 1 + u32::from(choices[at] % 32));
    let channels = 1 + u16::from(choices[2] % 6);
    let (big_endian, big) = (flag(12, 0), flag(12, 1));
    let mut head = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    if big {
        head[if big_endian { 3 } else { 2 }] = 43;
        head.extend(if big_endian { [0, 8, 0, 0] } else { [8, 0, 0, 0] });
    }
    head.resize(16, 0);
    let mut writer = Writer { file: head, big_endian, big };
    let start = writer.file.len();
    writer.file.extend(data);
    let mut tags = vec![
        (256, Values::Longs(vec![width])),
        (257, Values::Longs(vec![height])),
        (258, pick(3, &[1, 2, 4, 8, 16, 32, 12, 5, 64])),
        (259, pick(4, &[1, 2, 3, 4, 5, 7, 8, 32771, 32773, 50000, 50001])),
        (262, pick(5, &[0, 1, 2, 3, 5, 6, 8, 9])),
        (266, pick(6, &[1, 2])),
        (277, Values::Shorts(vec![channels])),
        (284, pick(7, &[1, 2])),
        (292, pick(8, &[0, 1])),
        (317, pick(9, &[1, 2, 3])),
        (338, pick(10, &[0, 1, 2])),
        (339, pick(11, &[1, 2, 3])),
        (530, Values::Shorts([[1, 1], [2, 1], [2, 2], [4, 4]][usize::from(choices[8] >> 4) % 4].to_vec())),
        // The colours are the first bytes of the data.
        (320, Values::Shorts((0..3 * 256).map(|at| data.get(at).copied().unwrap_or(9).into()).collect())),
    ];
    if flag(12, 2) {
        let levels = [0, 1, 2, 3, 4, 5].map(|at| [u32::from(choices[13].rotate_left(at)), 1]);
        tags.extend([(529, Values::Rationals(levels[..3].to_vec())), (532, Values::Rationals(levels.to_vec()))]);
    }
    // The data have a part for the JPEG tables, and one for each strip or tile.
    let tables = if flag(12, 3) { data.len().min(usize::from(choices[14]) * 4) } else { 0 };
    if tables > 0 {
        tags.push((347, Values::Bytes(data[..tables].to_vec())));
    }
    let parts = if flag(12, 4) { 1 + usize::from(choices[15] % 8) } else { 1 };
    let length = (data.len() - tables) / parts;
    let offsets = (0..CHUNKS).map(|chunk| (start + tables + chunk % parts * length) as u32).collect();
    let (offsets, lengths) = (Values::Longs(offsets), Values::Longs(vec![length as u32; CHUNKS]));
    match choices[6] >> 4 & 3 {
        0 => tags.extend([
            (322, Values::Longs(vec![16])),
            (323, Values::Longs(vec![16])),
            (324, offsets),
            (325, lengths),
        ]),
        1 => tags.extend([(273, offsets), (278, Values::Longs(vec![5])), (279, lengths)]),
        _ => tags.extend([(273, offsets), (278, Values::Longs(vec![height])), (279, lengths)]),
    }
    Some(writer.finish(tags))
}

fuzz_target!(init: ignore_third_party_panics(), |bytes: &[u8]| {
    let Some(file) = file(bytes) else { return };
    let _ = decode(&file, &spec(bytes.len()), &LIMITS);
});
