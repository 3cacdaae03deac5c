//! A data disk that can be filled, and a long read transaction.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

/// The size of the disk.
const BYTES: u64 = 8 << 30;

/// A tmpfs on the data folder.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts the tmpfs; `None` without permission.
    pub fn mount(folder: &Path) -> Option<Self> {
        let size = format!("size={BYTES},mode=0700");
        let mounted = quiet(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "m3a3-chaos"]).arg(folder));
        mounted.then(|| Self { folder: folder.to_owned() })
    }

    /// Fills the disk, by shrinking it to its content.
    pub fn fill(&self) {
        for _ in 0..20 {
            let space = rustix::fs::statvfs(&self.folder).unwrap();
            let used = (space.f_blocks - space.f_bfree) * space.f_frsize;
            if self.resize(used.max(4096)) {
                return;
            }
            // Fails if the content has grown meanwhile.
        }
    }

    /// Restores the size.
    pub fn free(&self) {
        assert!(self.resize(BYTES), "cannot restore the size of the disk");
    }

    fn resize(&self, bytes: u64) -> bool {
        quiet(Command::new("mount").args(["-o", &format!("remount,size={bytes}")]).arg(&self.folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because an exiting process may have open files.
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
    /// Starts the transaction; `None` if the database cannot be read.
    pub fn open(database: &Path) -> Option<Self> {
        let mut connection = SqliteConnection::establish(database.to_str()?).ok()?;
        let begin = "PRAGMA busy_timeout = 5000; BEGIN; SELECT count(*) FROM jobs;";
        connection.batch_execute(begin).ok()?;
        Some(Self { _connection: connection })
    }
}
