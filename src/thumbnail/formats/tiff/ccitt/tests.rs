//! Rows that are encoded here and decoded again.

use proptest::prelude::*;

use super::*;

/// The code of a run of this length, below 64 or a multiple of it.
fn code(run: usize, black: bool) -> String {
    let table = &RUN_TABLES[usize::from(black)];
    let (bits, code) =
        table.iter().enumerate().find(|(_, code)| usize::from(code.run) == run && code.bits > 0).unwrap();
    let width = usize::from(code.bits);
    format!("{:0width$b}", bits >> (MAX_CODE_BITS as usize - width))
}

const END_OF_LINE: &str = "000000000001";

/// Encodes rows of pixels, of which true is black.
struct Encoder {
    bits: Vec<bool>,
}

impl Encoder {
    fn push(&mut self, code: &str) {
        self.bits.extend(code.bytes().map(|bit| bit == b'1'));
    }

    fn run(&mut self, mut run: usize, black: bool) {
        while run >= 64 {
            let part = (run / 64 * 64).min(2560);
            self.push(&code(part, black));
            run -= part;
        }
        self.push(&code(run, black));
    }

    fn one_dimensional(&mut self, row: &[bool]) {
        let (mut at, mut black) = (0, false);
        while at < row.len() {
            let run = row[at..].iter().take_while(|&&pixel| pixel == black).count();
            self.run(run, black);
            (at, black) = (at + run, !black);
        }
    }

    /// ITU-T T.4, 4.2.1.
    fn two_dimensional(&mut self, row: &[bool], reference: &[bool]) {
        let pixel = |row: &[bool], at: isize| usize::try_from(at).is_ok_and(|at| row[at]);
        let width = row.len() as isize;
        let next = |row: &[bool], from: isize, black: bool| {
            (from..width).find(|&at| pixel(row, at) != black && pixel(row, at - 1) == black).unwrap_or(width)
        };
        let (mut a0, mut black) = (-1, false);
        while a0 < width {
            let a1 = (a0.max(0)..width).find(|&at| pixel(row, at) != black).unwrap_or(width);
            let b1 = next(reference, a0 + 1, black);
            let b2 = (b1 + 1..width).find(|&at| pixel(reference, at) == black).unwrap_or(width);
            if b2 < a1 {
                self.push("0001");
                a0 = b2;
                continue;
            }
            match a1 - b1 {
                0 => self.push("1"),
                1 => self.push("011"),
                2 => self.push("000011"),
                3 => self.push("0000011"),
                -1 => self.push("010"),
                -2 => self.push("000010"),
                -3 => self.push("0000010"),
                _ => {
                    let a2 = (a1..width).find(|&at| pixel(row, at) == black).unwrap_or(width);
                    self.push("001");
                    self.run((a1 - a0.max(0)) as usize, black);
                    self.run((a2 - a1) as usize, !black);
                    a0 = a2;
                    continue;
                }
            }
            (a0, black) = (a1, !black);
        }
    }

    fn of(codes: &str) -> Vec<u8> {
        let mut encoder = Self { bits: Vec::new() };
        encoder.push(&codes.replace(' ', ""));
        encoder.bytes()
    }

    fn align(&mut self, bits: usize) {
        self.bits.resize(self.bits.len().next_multiple_of(bits), false);
    }

    fn bytes(mut self) -> Vec<u8> {
        self.align(8);
        self.bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect()
    }
}

/// The codes of rows. `fill` inserts fill bits before each end of line.
pub(in super::super) fn encoded(rows: &[Vec<bool>], coding: Ccitt, fill: bool, end: bool) -> Vec<u8> {
    let mut encoder = Encoder { bits: Vec::new() };
    let mut reference = vec![false; rows[0].len()];
    for (y, row) in rows.iter().enumerate() {
        match coding {
            Ccitt::Rle { word_aligned } => {
                encoder.align(if word_aligned { 16 } else { 8 });
                encoder.one_dimensional(row);
            }
            Ccitt::Group3 { two_dimensional } => {
                while fill && !(encoder.bits.len() + END_OF_LINE.len()).is_multiple_of(8) {
                    encoder.push("0");
                }
                encoder.push(END_OF_LINE);
                let one_dimensional = !two_dimensional || y % 4 == 0;
                if two_dimensional {
                    encoder.push(if one_dimensional { "1" } else { "0" });
                }
                match one_dimensional {
                    true => encoder.one_dimensional(row),
                    false => encoder.two_dimensional(row, &reference),
                }
            }
            Ccitt::Group4 => encoder.two_dimensional(row, &reference),
        }
        reference.clone_from(row);
    }
    if end {
        let (count, tag) = match coding {
            Ccitt::Rle { .. } => (0, ""),
            Ccitt::Group3 { two_dimensional } => (6, if two_dimensional { "1" } else { "" }),
            Ccitt::Group4 => (2, ""),
        };
        (0..count).for_each(|_| encoder.push(&[END_OF_LINE, tag].concat()));
    }
    encoder.bytes()
}

const CODINGS: [Ccitt; 5] = [
    Ccitt::Rle { word_aligned: false },
    Ccitt::Rle { word_aligned: true },
    Ccitt::Group3 { two_dimensional: false },
    Ccitt::Group3 { two_dimensional: true },
    Ccitt::Group4,
];

fn decoded(bytes: &[u8], coding: Ccitt, width: usize, height: usize) -> Result<Vec<Vec<bool>>, Error> {
    let mut reader = CcittReader::new(coding, width);
    reader.restart(bytes.into())?;
    let mut row = vec![0; width.div_ceil(8)];
    let rows = (0..height).map(|_| {
        reader.read_row(&mut row)?;
        Ok((0..width).map(|x| row[x / 8] >> (7 - x % 8) & 1 == 1).collect())
    });
    rows.collect()
}

/// Rows of runs, each similar to the one before.
fn rows() -> impl Strategy<Value = Vec<Vec<bool>>> {
    let row = prop::collection::vec((0_usize..2600, -4_isize..5), 1..12);
    (prop_oneof![1_usize..70, 1_usize..3000], prop::collection::vec(row, 1..8)).prop_map(|(width, rows)| {
        let mut changes: Vec<isize> = Vec::new();
        let row = |edits: Vec<(usize, isize)>| {
            for (at, (run, shift)) in edits.into_iter().enumerate() {
                match changes.get_mut(at) {
                    Some(change) if run % 3 > 0 => *change += shift,
                    _ => changes.push((run % width) as isize),
                }
            }
            changes.sort_unstable();
            let black = |x| changes.iter().filter(|&&change| change <= x).count() % 2 == 1;
            (0..width as isize).map(black).collect()
        };
        rows.into_iter().map(row).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rows_of_every_coding_are_decoded(rows in rows(), fill: bool, end: bool) {
        for coding in CODINGS {
            let bytes = encoded(&rows, coding, fill, end);
            let is = decoded(&bytes, coding, rows[0].len(), rows.len()).unwrap();
            prop_assert!(is == rows, "{coding:?}");
        }
    }

    #[test]
    fn any_bytes_end_with_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), width in 1_usize..400) {
        for coding in CODINGS {
            let _ = decoded(&bytes, coding, width, 50);
        }
    }
}

#[test]
fn missing_rows_are_not_shown_as_white() {
    let rows = vec![vec![true; 30]; 4];
    for coding in [CODINGS[2], CODINGS[3], CODINGS[4]] {
        for end in [false, true] {
            let bytes = encoded(&rows, coding, false, end);
            assert!(decoded(&bytes, coding, 30, 4).unwrap() == rows, "{coding:?}");
            let missing = decoded(&bytes, coding, 30, 5);
            assert!(matches!(missing, Err(Error::Truncated)), "{coding:?}, end {end}: {missing:?}");
        }
    }
}

#[test]
fn one_end_of_line_is_not_the_end_of_group_4_data() {
    let end = decoded(&Encoder::of(&[END_OF_LINE, END_OF_LINE].concat()), Ccitt::Group4, 9, 1);
    assert!(matches!(end, Err(Error::Truncated)), "{end:?}");
    let single = decoded(&Encoder::of(&[END_OF_LINE, "1111"].concat()), Ccitt::Group4, 9, 1);
    assert!(matches!(single, Err(Error::Corrupt { .. })), "{single:?}");
}

#[test]
fn a_row_can_refer_to_runs_of_no_pixels() {
    // A horizontal mode of no pixels, and one of 4 white and 3 black ones. The next row passes the former, and has 2 white
    // and 3 black pixels.
    let codes = "001 00110101 0000110111  001 1011 10  1  0001 001 0111 10  1";
    let row = |black: std::ops::Range<usize>| (0..12).map(|x| black.contains(&x)).collect::<Vec<_>>();
    assert_eq!(decoded(&Encoder::of(codes), Ccitt::Group4, 12, 2).unwrap(), [row(4..7), row(2..5)]);
    let endless = Encoder::of(&"001 00110101 0000110111".repeat(20));
    let error = decoded(&endless, Ccitt::Group4, 12, 1);
    assert!(matches!(error, Err(Error::Corrupt { .. })), "{error:?}");
}

#[test]
fn runs_have_the_codes_of_the_standard() {
    // ITU-T T.4, tables 2 and 3.
    let codes = [
        (0, "00110101", "0000110111"),
        (2, "0111", "11"),
        (63, "00110100", "000001100111"),
        (64, "11011", "0000001111"),
        (1728, "010011011", "0000001100101"),
        (1792, "00000001000", "00000001000"),
        (2560, "000000011111", "000000011111"),
    ];
    for (run, white, black) in codes {
        assert_eq!((code(run, false).as_str(), code(run, true).as_str()), (white, black), "{run}");
    }
}

#[test]
fn bits_after_the_last_pixel_of_a_group_3_row_are_skipped() {
    let wide = vec![vec![true; 90], vec![false; 90], [vec![false; 40], vec![true; 50]].concat()];
    let coding = Ccitt::Group3 { two_dimensional: false };
    for fill in [false, true] {
        let bytes = encoded(&wide, coding, fill, true);
        let expected: Vec<Vec<bool>> = wide.iter().map(|row| row[..70].to_vec()).collect();
        assert!(decoded(&bytes, coding, 70, 3).unwrap() == expected, "rows of 90 pixels");
    }
    // Two rows of a black pixel, each with a white run of 0 at its end.
    let row = [END_OF_LINE, "00110101 010 00110101"].concat();
    assert!(decoded(&Encoder::of(&row.repeat(2)), coding, 1, 2).unwrap() == [[true], [true]]);
    let last = decoded(&Encoder::of(&row.repeat(2)), coding, 1, 3);
    assert!(matches!(last, Err(Error::Truncated)), "{last:?}");
}

#[test]
fn a_run_beyond_the_end_of_its_row_is_damage() {
    let wide = vec![vec![false; 90]; 2];
    for coding in [CODINGS[0], CODINGS[1], CODINGS[3]] {
        let overshot = decoded(&encoded(&wide, coding, false, true), coding, 70, 2);
        assert!(matches!(overshot, Err(Error::Corrupt { .. })), "{coding:?}: {overshot:?}");
    }
    // A horizontal mode of 5 white and 5 black pixels; a run of 0 after it.
    for codes in ["001 1100 0011 1", "001 1100 0000110111 1"] {
        let overshot = decoded(&Encoder::of(codes), Ccitt::Group4, 4, 1);
        assert!(matches!(overshot, Err(Error::Corrupt { .. })), "{overshot:?}");
    }
}
