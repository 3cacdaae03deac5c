//! A pseudo-terminal for a process of the binary: its output, input and settings.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::until;

/// A pseudo-terminal of 80 columns and 24 rows, and its process, which is killed at the end of the test.
pub struct Terminal {
    child: Child,
    master: File,
    /// Keeps the terminal open after the process has exited.
    slave: Option<File>,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    before: String,
}

impl Terminal {
    pub fn start(command: &mut Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&slave, size(80, 24)).unwrap();
        let before = settings(&slave);
        let end = || OwnedFd::from(slave.try_clone().unwrap());
        let child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        // The command would keep its ends of the terminal open.
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let master = File::from(master);
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let reader = std::thread::spawn({
            let (mut master, shown) = (master.try_clone().unwrap(), Arc::clone(&shown));
            move || {
                let mut bytes = [0; 4096];
                // Fails once the other end is closed.
                while let Ok(length) = master.read(&mut bytes) {
                    shown.lock().unwrap().extend(&bytes[..length]);
                }
            }
        });
        Self { child, master, slave: Some(slave), shown, reader: Some(reader), before }
    }

    /// Types these keys.
    pub fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Resizes the terminal, and signals the process.
    pub fn resize(&self, columns: u16, rows: u16) {
        tcsetwinsize(self.slave.as_ref().unwrap(), size(columns, rows)).unwrap();
        // The kernel signals only processes whose controlling terminal it is.
        self.signal("WINCH");
    }

    /// All output so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until the output contains all of these texts.
    pub async fn shows(&self, texts: &[&str]) {
        until(&format!("the terminal shows {texts:?}"), || {
            let shown = self.shown();
            texts.iter().all(|text| shown.contains(text))
        })
        .await;
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Whether the settings of the terminal are the same as before the process.
    pub fn is_as_before(&self) -> bool {
        settings(self.slave.as_ref().unwrap()) == self.before
    }

    /// Waits for the exit of the process.
    pub async fn wait(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        until("the process ends", || child.lock().unwrap().try_wait().unwrap().is_some()).await;
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.slave.take());
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

fn settings(terminal: &File) -> String {
    let Termios { input_modes, output_modes, control_modes, local_modes, special_codes, .. } =
        tcgetattr(terminal).unwrap();
    format!("{input_modes:?} {output_modes:?} {control_modes:?} {local_modes:?} {special_codes:?}")
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
