//! The controlling terminal of the process.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// A terminal that was open when the process started.
#[derive(Debug)]
pub(super) struct Terminal(File);

impl Terminal {
    /// The controlling terminal; `None` for a process without one, such as a service of systemd or a container.
    pub(super) fn open() -> Option<Self> {
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open("/dev/tty").ok().map(Self)
    }

    /// Whether the terminal was closed. The kernel hangs it up before it sends SIGHUP.
    pub(super) fn is_closed(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::empty())];
        // An error would be one of this call: a signal must not end the process because of it.
        let found = poll(&mut polled, Some(&Timespec::default())).unwrap_or(0);
        found > 0 && polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
    }
}
