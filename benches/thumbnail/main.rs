//! What a thumbnail costs, stage by stage: `cargo bench --bench thumbnail`.
//!
//! Every file in `target/thumbnail-inputs`, which `inputs.py` makes, is taken again and again. Each stage of each
//! file is a process of its own, so that its peak memory is that of nothing else. It prints one Markdown table and one JSON
//! object on stdout, and what it is doing on stderr.
//!
//! Outside of `cargo bench` (`cargo test --benches`) each of the tests' fixtures is taken once, to see that every stage
//! works. `compare.py` measures sharp and vipsthumbnail beside it.

mod again;
mod stage;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use stage::Stage;
use table::{Line, Table};

/// The server's allocator, since memory is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often a stage runs before it counts, and how often it then does.
const FULL: (usize, usize) = (2, 15);
/// To see that it works.
const BRIEF: (usize, usize) = (0, 1);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--again", request)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return again::run(request);
    }
    let figures = arguments.iter().any(|argument| argument == "--bench");
    let (folder, rounds) = if figures { (inputs(), FULL) } else { (fixtures(), BRIEF) };
    let mut table = Table::default();
    for file in pictures(&folder)? {
        table.add(line(&file, rounds).with_context(|| file.display().to_string())?);
    }
    table.print();
    Ok(())
}

fn line(file: &Path, rounds: (usize, usize)) -> anyhow::Result<Line> {
    let pixels = stage::pixels(&std::fs::read(file)?)?;
    let measured = |stage| again::measure(stage, file, rounds);
    let [probe, decode, encode, whole] =
        [measured(Stage::Probe)?, measured(Stage::Decode)?, measured(Stage::Encode)?, measured(Stage::Whole)?];
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Line { name, pixels, bytes: file.metadata()?.len(), probe, decode, encode, whole })
}

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("thumbnail-inputs")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The files of a folder that are pictures, by name.
fn pictures(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("no {}: run inputs.py first", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    let known = ["jpg", "png", "webp", "gif", "tiff", "bmp"];
    files.retain(|file| file.extension().is_some_and(|extension| known.iter().any(|known| extension == *known)));
    // Refused by their header, as they should be.
    files.retain(|file| !file.ends_with("palette.tiff"));
    files.sort();
    ensure!(!files.is_empty(), "no pictures in {}", folder.display());
    Ok(files)
}
