//! The disk below the data folder, which can be full, and a read transaction that stays open.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

/// How large the disk is as long as it is not full.
const BYTES: u64 = 8 << 30;

/// A small file system of its own on the data folder (tmpfs).
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one; `None` where that is not allowed.
    pub fn mount(folder: &Path) -> Option<Self> {
        let size = format!("size={BYTES},mode=0700");
        let mounted = quiet(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "m3a3-chaos"]).arg(folder));
        mounted.then(|| Self { folder: folder.to_owned() })
    }

    /// Leaves no byte free: the disk becomes as small as what it holds.
    pub fn fill(&self) {
        for _ in 0..20 {
            let space = rustix::fs::statvfs(&self.folder).unwrap();
            let used = (space.f_blocks - space.f_bfree) * space.f_frsize;
            if self.resize(used.max(4096)) {
                return;
            }
            // Something was written meanwhile.
        }
    }

    /// Makes it large again.
    pub fn free(&self) {
        assert!(self.resize(BYTES), "the disk cannot be made large again");
    }

    fn resize(&self, bytes: u64) -> bool {
        quiet(Command::new("mount").args(["-o", &format!("remount,size={bytes}")]).arg(&self.folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is just ending may still have a file open.
        quiet(Command::new("umount").arg("-l").arg(&self.folder));
    }
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A read transaction on the database that stays open until it is dropped.
pub struct LongReader {
    _connection: SqliteConnection,
}

impl LongReader {
    /// Opens one; `None` when the database cannot be read just now.
    pub fn open(database: &Path) -> Option<Self> {
        let mut connection = SqliteConnection::establish(database.to_str()?).ok()?;
        let begin = "PRAGMA busy_timeout = 5000; BEGIN; SELECT count(*) FROM jobs;";
        connection.batch_execute(begin).ok()?;
        Some(Self { _connection: connection })
    }
}
