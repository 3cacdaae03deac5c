//! The variants of TIFF: compressions, colour models, sample types, and the names of those that are not supported.

use super::page::Page;
use crate::error::Error;

/// How the strips or tiles are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Ccitt(Ccitt),
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Zstandard,
    WebP,
}

/// Compressions of black and white (TIFF 6.0, sections 10 and 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ccitt {
    /// Modified Huffman; each row begins at a byte, or at a word.
    Rle { word_aligned: bool },
    /// ITU-T T.4.
    Group3 { two_dimensional: bool },
    /// ITU-T T.6.
    Group4,
}

/// The meaning of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    Grey {
        white_is_zero: bool,
    },
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    /// L* unsigned, a* and b* signed.
    CieLab,
    /// L*, a* and b* unsigned, as in ICC profiles.
    IccLab,
}

/// The type of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleType {
    Unsigned,
    Signed,
    Float,
}

/// The error for a variant that every program can avoid.
pub(super) fn unsupported(name: &'static str) -> Error {
    const REMEDY: &str = "save it as 8-bit RGB with LZW or Deflate compression, or as PNG or JPEG";
    Error::UnsupportedVariant { name, remedy: REMEDY }
}

impl Compression {
    pub(super) fn new(number: u64, two_dimensional: bool) -> Result<Self, Error> {
        Err(unsupported(match number {
            1 => return Ok(Self::None),
            2 => return Ok(Self::Ccitt(Ccitt::Rle { word_aligned: false })),
            3 => return Ok(Self::Ccitt(Ccitt::Group3 { two_dimensional })),
            4 => return Ok(Self::Ccitt(Ccitt::Group4)),
            5 => return Ok(Self::Lzw),
            7 => return Ok(Self::Jpeg),
            8 | 32946 => return Ok(Self::Deflate),
            32771 => return Ok(Self::Ccitt(Ccitt::Rle { word_aligned: true })),
            32773 => return Ok(Self::PackBits),
            50000 => return Ok(Self::Zstandard),
            50001 => return Ok(Self::WebP),
            6 => "TIFF with old-style JPEG compression",
            9 | 10 | 34661 => "TIFF with JBIG compression",
            32766 => "TIFF with NeXT compression",
            32809 => "TIFF with ThunderScan compression",
            33003..=33005 | 34712 => "TIFF with JPEG 2000 compression",
            34676 | 34677 => "TIFF with LogLuv compression",
            34887 => "TIFF with LERC compression",
            34925 => "TIFF with LZMA compression",
            50002 | 52546 => "TIFF with JPEG XL compression",
            _ => "TIFF with an unknown compression",
        }))
    }

    /// Whether each strip or tile is an image of another format.
    pub(super) fn is_image(self) -> bool {
        matches!(self, Self::Jpeg | Self::WebP)
    }
}

impl Photometric {
    pub(super) fn new(number: Option<u64>) -> Result<Self, Error> {
        Err(unsupported(match number {
            Some(0) => return Ok(Self::Grey { white_is_zero: true }),
            Some(1) => return Ok(Self::Grey { white_is_zero: false }),
            Some(2) => return Ok(Self::Rgb),
            Some(3) => return Ok(Self::Palette),
            Some(5) => return Ok(Self::Cmyk),
            Some(6) => return Ok(Self::YCbCr),
            Some(8) => return Ok(Self::CieLab),
            Some(9) => return Ok(Self::IccLab),
            None => "TIFF that does not name its colour model (PhotometricInterpretation)",
            Some(4) => "TIFF whose first page is a transparency mask",
            Some(10) => "TIFF with ITU Lab colours",
            Some(32803 | 34892) => "Camera raw",
            Some(32844 | 32845) => "TIFF with LogLuv colours",
            Some(_) => "TIFF with an unknown colour model",
        }))
    }

    pub(super) fn is_lab(self) -> bool {
        matches!(self, Self::CieLab | Self::IccLab)
    }

    /// Stored channels per pixel without extra channels.
    pub(super) fn colours(self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::CieLab | Self::IccLab => 3,
            Self::Cmyk => 4,
        }
    }
}

impl SampleType {
    /// From the sample format (TIFF 6.0, section 19); an undefined one counts as unsigned, as in libtiff.
    pub(super) fn new(format: u64, bits: u64) -> Result<Self, Error> {
        match (format, bits) {
            (1 | 4, 1..=16 | 32) => Ok(Self::Unsigned),
            (2, 8 | 16 | 32) => Ok(Self::Signed),
            (3, 16 | 32) => Ok(Self::Float),
            (3, 24) => Err(unsupported("TIFF with floats of 24 bits")),
            (3, 64) => Err(unsupported("TIFF with floats of 64 bits")),
            (5 | 6, _) => Err(unsupported("TIFF with complex numbers")),
            (1..=4, 24) => Err(unsupported("TIFF with integers of 24 bits")),
            (1..=4, 64) => Err(unsupported("TIFF with integers of 64 bits")),
            _ => Err(unsupported("TIFF with this number of bits per channel")),
        }
    }
}

/// Rejects depths that a compression or colour model does not have.
pub(super) fn check_depth(page: &Page) -> Result<(), Error> {
    let unsigned = page.sample == SampleType::Unsigned;
    let compressed = match page.compression {
        Compression::Ccitt(_) => page.bits == 1 && page.channels_per_chunk() == 1,
        Compression::Jpeg if page.bits != 8 => return Err(unsupported("TIFF with JPEG data of more than 8 bits")),
        Compression::Jpeg => unsigned && matches!(page.channels_per_chunk(), 1 | 3 | 4),
        Compression::WebP => unsigned && page.bits == 8 && matches!(page.channels_per_chunk(), 3 | 4),
        _ => true,
    };
    if !compressed {
        return Err(Error::BadHeader("channels that the compression does not have"));
    }
    match page.photometric {
        Photometric::Palette if !unsigned || !matches!(page.bits, 1..=8 | 16) => {
            Err(unsupported("TIFF with a palette of this depth"))
        }
        Photometric::YCbCr if !unsigned || !matches!(page.bits, 8 | 16) => {
            Err(unsupported("TIFF in YCbCr of this depth"))
        }
        Photometric::CieLab | Photometric::IccLab
            if page.sample == SampleType::Float || !matches!(page.bits, 8 | 16) =>
        {
            Err(unsupported("TIFF in Lab of this depth"))
        }
        _ => Ok(()),
    }
}
