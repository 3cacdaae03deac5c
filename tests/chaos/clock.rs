//! A wall clock that jumps: libfaketime, loaded before the binary. The monotonic clock goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The clock of all processes together.
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// The clock, right at first; `None` where libfaketime is not installed.
    pub fn install(folder: &Path) -> Option<Self> {
        let places = std::fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let library = places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())?;
        let clock = Self { library, offset: folder.join("clock") };
        clock.set(0);
        Some(clock)
    }

    /// Sets the clock off by so many hours.
    pub fn set(&self, hours: i64) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, format!("{hours:+}h\n")).unwrap();
        std::fs::rename(new, &self.offset).unwrap();
    }

    /// Removes what libfaketime leaves of a process that was killed.
    pub fn tidy(&self, process: u32) {
        for name in [format!("faketime_shm_{process}"), format!("sem.faketime_sem_{process}")] {
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }

    /// Lets a process go by this clock.
    pub fn apply(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        command.env("FAKETIME_CACHE_DURATION", "1").env("NO_FAKE_STAT", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    }
}
