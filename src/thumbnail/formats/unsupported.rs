//! Names of common formats that are not supported, for error messages.

/// The name of a common format that is not supported.
pub(super) fn name(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xff, 0xd8, 0xff, 0xf7, ..] => Some("JPEG-LS"),
        [0, 0, 0, _, b'f', b't', b'y', b'p', brand @ ..] => brands(head, brand),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some("JPEG 2000"),
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xff, 0x0a, ..] => Some("JPEG XL"),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some("PDF"),
        [b'8', b'B', b'P', b'S', 0, 1 | 2, ..] => Some("PSD"),
        [0, 0, 1 | 2, 0, count, 0, ..] if *count > 0 => Some("ICO"),
        [b'v', b'/', b'1', 1, ..] => Some("OpenEXR"),
        [b'%', b'!', b'P', b'S', ..] => Some("PostScript"),
        _ => is_svg(head).then_some("SVG"),
    }
}

/// ISO/IEC 14496-12 `ftyp`: the major brand, then a version, then compatible brands until the box ends.
fn brands(head: &[u8], brand: &[u8]) -> Option<&'static str> {
    let end = usize::from(head[3]).clamp(8, head.len()) - 8;
    let brands = brand.get(..end).unwrap_or(brand).as_chunks::<4>().0;
    let any = |names: &[&[u8; 4]]| brands.iter().any(|brand| names.contains(&brand));
    if any(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        Some("HEIC")
    } else {
        Some("video")
    }
}

fn is_svg(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let markup = text.starts_with(b"<");
    markup && text.windows(4).any(|window| window == b"<svg")
}
