//! Optimised Huffman tables, and the bit writer (ITU-T T.81, annexes C, F.1.2 and K.2).

/// A symbol of one of the four tables, and the raw bits that follow its code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// Index of the table.
    pub(super) table: u8,
    pub(super) symbol: u8,
    /// Number of raw bits, at most 15.
    pub(super) length: u8,
    pub(super) bits: u16,
}

/// Frequency of each symbol, with a reserved symbol for the code of all ones, which must not be used.
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

/// Codes of at most 16 bits for all symbols that occur.
pub(super) struct Table {
    /// Number of codes of each length from 1 to 16.
    pub(super) lengths: [u8; 16],
    /// The symbols by ascending code.
    pub(super) symbols: Vec<u8>,
    codes: [(u16, u8); 256],
}

impl Table {
    /// Optimal codes for these frequencies (K.2).
    pub(super) fn new(counts: Counts) -> Self {
        let sizes = code_sizes(counts.0);
        let mut length_counts = vec![0_u32; 258];
        for &size in sizes.iter().filter(|&&size| size > 0) {
            length_counts[size] += 1;
        }
        let lengths = limited(length_counts);
        let mut symbols: Vec<u8> = (0..=255).filter(|&symbol| sizes[usize::from(symbol)] > 0).collect();
        symbols.sort_by_key(|&symbol| sizes[usize::from(symbol)]);
        let mut codes = [(0, 0); 256];
        let (mut code, mut remaining) = (0_u16, symbols.iter());
        for (length, &count) in (1..).zip(&lengths) {
            for &symbol in remaining.by_ref().take(count.into()) {
                codes[usize::from(symbol)] = (code, length);
                code += 1;
            }
            code <<= 1;
        }
        Self { lengths, symbols, codes }
    }
}

/// Figure K.1: joins the two rarest trees until one remains; each join adds one bit to the codes of all their symbols.
fn code_sizes(counts: [u32; 257]) -> [usize; 257] {
    let mut sizes = [0; 257];
    // Only symbols that occur, in descending order: among equal frequencies, later symbols count as rarer, and the
    // reserved symbol gets the longest code.
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

/// Figure K.3: limits codes to 16 bits by moving pairs up the tree, and removes the reserved code, one of the longest.
fn limited(mut counts: Vec<u32>) -> [u8; 16] {
    for length in (17..counts.len()).rev() {
        while counts[length] > 0 {
            let Some(shorter) = (1..length - 1).rev().find(|&shorter| counts[shorter] > 0) else { break };
            counts[length] -= 2;
            counts[length - 1] += 1;
            counts[shorter + 1] += 2;
            counts[shorter] -= 1;
        }
    }
    if let Some(longest) = (1..=16).rev().find(|&length| counts[length] > 0) {
        counts[longest] -= 1;
    }
    std::array::from_fn(|length| counts[length + 1] as u8)
}

/// Writes the entropy-coded segment: the code and bits of each token, a zero byte after each 0xff, and ones to fill the
/// last byte.
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
        fn every_symbol_has_a_prefix_free_code_of_at_most_16_bits(
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
