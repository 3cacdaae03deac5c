//! Cost of a thumbnail by stage: `cargo bench --bench thumbnail`.
//!
//! Measures every file in `target/thumbnail-inputs`, which `inputs.py` creates, several times. Each stage of each file
//! runs in a child process, so that peak memory is measured separately. Prints one Markdown table and one JSON object
//! on stdout, and progress on stderr.
//!
//! Outside of `cargo bench` (`cargo test --benches`), each test fixture runs once as a smoke test of all stages.
//! `compare.py` compares with sharp and vipsthumbnail.

mod repeat;
mod stage;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use stage::Stage;
use table::{Line, Table};

/// The allocator of the server, because memory is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Warm-up rounds and measured rounds.
const FULL: (usize, usize) = (2, 15);
/// The rounds of a smoke test.
const BRIEF: (usize, usize) = (0, 1);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--again", request)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return repeat::run(request);
    }
    let figures = arguments.iter().any(|argument| argument == "--bench");
    let (folder, rounds) = if figures { (inputs(), FULL) } else { (fixtures(), BRIEF) };
    let mut table = Table::default();
    for file in images(&folder)? {
        table.add(line(&file, rounds).with_context(|| file.display().to_string())?);
    }
    table.print();
    Ok(())
}

fn line(file: &Path, rounds: (usize, usize)) -> anyhow::Result<Line> {
    let pixels = stage::pixels(&std::fs::read(file)?)?;
    let measured = |stage| repeat::measure(stage, file, rounds);
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

/// The images of a folder, sorted by name.
fn images(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("no {}: run inputs.py first", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    let known = ["jpg", "png", "webp", "gif", "tiff", "bmp"];
    files.retain(|file| file.extension().is_some_and(|extension| known.iter().any(|known| extension == *known)));
    files.sort();
    ensure!(!files.is_empty(), "no images in {}", folder.display());
    Ok(files)
}
