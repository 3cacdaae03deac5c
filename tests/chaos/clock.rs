//! A wall clock that jumps, by preloading libfaketime. The monotonic clock is unaffected.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The clock of all processes.
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// The clock without an offset; `None` if libfaketime is not installed.
    pub fn install(folder: &Path) -> Option<Self> {
        let places = std::fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let library = places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())?;
        let clock = Self { library, offset: folder.join("clock") };
        clock.set(0);
        Some(clock)
    }

    /// Sets the offset in hours.
    pub fn set(&self, hours: i64) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, format!("{hours:+}h\n")).unwrap();
        std::fs::rename(new, &self.offset).unwrap();
    }

    /// Removes the files of libfaketime for a killed process.
    pub fn clean_up(&self, process: u32) {
        for name in [format!("faketime_shm_{process}"), format!("sem.faketime_sem_{process}")] {
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }

    /// Makes a process use this clock.
    pub fn apply(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        command.env("FAKETIME_CACHE_DURATION", "1").env("NO_FAKE_STAT", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    }
}
