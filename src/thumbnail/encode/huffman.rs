//! Huffman tables made for one picture, and the bits they write (ITU-T T.81, annexes C, F.1.2 and K.2).

/// One code of one of the four tables, and the bits that follow it as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// Which table: an index that the writer and the counter agree on.
    pub(super) table: u8,
    pub(super) symbol: u8,
    /// How many bits follow, at most 15.
    pub(super) length: u8,
    pub(super) bits: u16,
}

/// How often each symbol comes; one more than there are, for the code of all ones that must not be used.
pub(super) struct Counts([u32; 257]);

impl Counts {
    pub(super) fn new() -> Self {
        let mut counts = [0; 257];
        counts[256] = 1;
        Self(counts)
    }

    pub(super) fn add(&mut self, symbol: u8) {
        self.0[usize::from(symbol)] += 1;
    }
}

/// A code of at most 16 bits for each symbol that occurs.
pub(super) struct Table {
    /// How many codes there are of each length from 1 to 16.
    pub(super) lengths: [u8; 16],
    /// The symbols by ascending code.
    pub(super) symbols: Vec<u8>,
    codes: [(u16, u8); 256],
}

impl Table {
    /// The shortest codes for these counts, in the form that the standard's procedure gives them (K.2).
    pub(super) fn new(counts: Counts) -> Self {
        let sizes = code_sizes(counts.0);
        let mut numbers = vec![0_u32; 258];
        for &size in sizes.iter().filter(|&&size| size > 0) {
            numbers[size] += 1;
        }
        let lengths = limited(numbers);
        let mut symbols: Vec<u8> = (0..=255).filter(|&symbol| sizes[usize::from(symbol)] > 0).collect();
        symbols.sort_by_key(|&symbol| sizes[usize::from(symbol)]);
        let mut codes = [(0, 0); 256];
        let (mut code, mut left) = (0_u16, symbols.iter());
        for (length, &count) in (1..).zip(&lengths) {
            for &symbol in left.by_ref().take(count.into()) {
                codes[usize::from(symbol)] = (code, length);
                code += 1;
            }
            code <<= 1;
        }
        Self { lengths, symbols, codes }
    }
}

/// Figure K.1: joins the two rarest trees until one is left; all symbols of both are then one bit further down.
fn code_sizes(counts: [u32; 257]) -> [usize; 257] {
    let mut sizes = [0; 257];
    // Only what occurs, the later symbols first: of equal counts they are the rarer, and the reserved one gets the longest
    // code.
    let mut trees: Vec<(u32, Vec<usize>)> =
        (0..257).rev().filter(|&symbol| counts[symbol] > 0).map(|symbol| (counts[symbol], vec![symbol])).collect();
    while trees.len() > 1 {
        let mut rarest = || {
            let at = (0..trees.len()).min_by_key(|&at| trees[at].0).unwrap_or_default();
            trees.swap_remove(at)
        };
        let ((first, mut symbols), (second, others)) = (rarest(), rarest());
        symbols.extend(others);
        symbols.iter().for_each(|&symbol| sizes[symbol] += 1);
        trees.push((first + second, symbols));
    }
    sizes
}

/// Figure K.3: moves pairs of codes longer than 16 bits up the tree, and takes the reserved code, one of the longest,
/// away.
fn limited(mut numbers: Vec<u32>) -> [u8; 16] {
    for length in (17..numbers.len()).rev() {
        while numbers[length] > 0 {
            let Some(shorter) = (1..length - 1).rev().find(|&shorter| numbers[shorter] > 0) else { break };
            numbers[length] -= 2;
            numbers[length - 1] += 1;
            numbers[shorter + 1] += 2;
            numbers[shorter] -= 1;
        }
    }
    if let Some(longest) = (1..=16).rev().find(|&length| numbers[length] > 0) {
        numbers[longest] -= 1;
    }
    std::array::from_fn(|length| numbers[length + 1] as u8)
}

/// The entropy-coded segment: every token's code and bits, 0 stuffed behind 0xff, ones up to the last byte's end.
pub(super) fn write(tokens: &[Token], tables: &[Table], file: &mut Vec<u8>) {
    let (mut buffer, mut filled) = (0_u64, 0_u32);
    let mut put = |bits: u16, length: u8| {
        buffer = buffer << length | u64::from(bits);
        filled += u32::from(length);
        while filled >= 8 {
            filled -= 8;
            let byte = (buffer >> filled) as u8;
            file.push(byte);
            if byte == 0xff {
                file.push(0);
            }
        }
    };
    for token in tokens {
        let (code, length) = tables[usize::from(token.table)].codes[usize::from(token.symbol)];
        put(code, length);
        put(token.bits, token.length);
    }
    put(0x7f, 7);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_symbol_has_a_code_of_at_most_16_bits_that_no_other_begins_with(
            counts in prop::collection::vec((any::<u8>(), 0_u32..24), 1..200),
        ) {
            let mut table = Counts::new();
            for &(symbol, magnitude) in &counts {
                table.0[usize::from(symbol)] = 1 << magnitude;
            }
            let used: Vec<u8> = (0..=255).filter(|&symbol| table.0[usize::from(symbol)] > 0).collect();
            let table = Table::new(table);
            prop_assert_eq!(table.symbols.len(), used.len());
            prop_assert_eq!(table.lengths.iter().map(|&count| usize::from(count)).sum::<usize>(), used.len());
            for &one in &used {
                let (code, length) = table.codes[usize::from(one)];
                prop_assert!((1..=16).contains(&length));
                prop_assert!(u32::from(code) + 1 < 1 << length, "all ones is reserved");
                for &other in used.iter().filter(|&&other| other != one) {
                    let (longer, bits) = table.codes[usize::from(other)];
                    prop_assert!(bits < length || longer >> (bits - length) != code);
                }
            }
        }
    }
}
