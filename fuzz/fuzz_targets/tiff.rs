//! Any strips or tiles below a directory of any variant decode or return an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use m3a3_fuzz::thumbnail::bench_hooks::decode;
use m3a3_fuzz::{LIMITS, ignore_third_party_panics, spec};

/// A TIFF whose strips or tiles all have the same data. The first bytes choose the values of its tags; the rest is the data.
fn file(bytes: &[u8]) -> Option<Vec<u8>> {
    let (choices, data) = bytes.split_first_chunk::<12>()?;
    let pick = |at: usize, values: &[u32]| values[usize::from(choices[at]) % values.len()];
    let [width, height] = [0, 1].map(|at| 1 + u32::from(choices[at] % 80));
    let channels = 1 + u32::from(choices[2] % 6);
    let mut tags = vec![
        (256, width),
        (257, height),
        (258, pick(3, &[1, 2, 4, 8, 16, 32, 12, 5, 64])),
        (259, pick(4, &[1, 2, 3, 4, 5, 7, 8, 32771, 32773, 50000, 50001])),
        (262, pick(5, &[0, 1, 2, 3, 5, 6, 8, 9])),
        (266, pick(6, &[1, 2])),
        (277, channels),
        (284, pick(7, &[1, 2])),
        (292, pick(8, &[0, 1])),
        (317, pick(9, &[1, 2, 3])),
        (338, pick(10, &[0, 1, 2])),
        (339, pick(11, &[1, 2, 3])),
        (530, [0x0001_0001, 0x0001_0002, 0x0002_0002, 0x0004_0004][usize::from(choices[8] >> 4) % 4]),
    ];
    const COLOUR_MAP: (u32, u32) = (320, 3 * 256);
    const STRIPS: u32 = 16;
    let lists = 8 + 2 + 12 * 20 + 4;
    let start = lists + 8 * STRIPS;
    let places = [(273, lists), (279, lists + 4 * STRIPS)];
    match choices[6] >> 4 & 3 {
        0 => tags.extend([(322, 16), (323, 16), (324, lists), (325, lists + 4 * STRIPS)]),
        1 => tags.extend(places.into_iter().chain([(278, 5)])),
        _ => tags.extend(places.into_iter().chain([(278, height)])),
    }
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((tags.len() as u16 + 1).to_le_bytes());
    for (tag, value) in tags {
        let (kind, count) = match tag {
            530 => (3_u16, 2_u32),
            273 | 279 | 324 | 325 => (4, STRIPS),
            _ => (4, 1),
        };
        file.extend(
            [&(tag as u16).to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat(),
        );
    }
    // The colours are the first bytes of the file.
    file.extend(
        [&(COLOUR_MAP.0 as u16).to_le_bytes()[..], &[1, 0], &COLOUR_MAP.1.to_le_bytes(), &0_u32.to_le_bytes()].concat(),
    );
    file.resize(lists as usize, 0);
    for number in [start, data.len() as u32] {
        (0..STRIPS).for_each(|_| file.extend(number.to_le_bytes()));
    }
    file.extend(data);
    Some(file)
}

fuzz_target!(init: ignore_third_party_panics(), |bytes: &[u8]| {
    let Some(file) = file(bytes) else { return };
    let _ = decode(&file, &spec(bytes.len()), &LIMITS);
});
