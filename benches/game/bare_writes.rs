//! What a broadcast takes at the least: a bare write(2) of the same bytes to each socket, by one thread on the server's core.
//!
//! Machines differ by more than servers do, so the server is held against this, measured in the same run and read by the
//! same watchers. The sockets are those of a process of its own, as the server's are: one process may not have the open
//! files for both ends of ten thousand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::time::{ClockId, clock_gettime};

use super::Bench;
use super::broadcast::{per_hundred_thousand, rounds};
use super::watchers::{Watchers, score_at};

/// What this binary is told in order to be the process that writes: this, the sockets, and the bytes of a frame.
const WRITER: &str = "--bare-writes";

/// Writes this frame, with a new score each time, as often as a broadcast goes out. Returns the CPU time in seconds of
/// 100,000 writes.
pub fn measure(bench: &Bench, sockets: usize, mut frame: Vec<u8>) -> anyhow::Result<f64> {
    let score = score_at(&frame).context("a board without a score")?;
    let mut writer = Writer::start(bench, sockets, frame.len())?;
    let writes = bench.rig.generator.block_on(async {
        let mut watchers = Watchers::connect_bare(writer.address, sockets).await?;
        let latencies = rounds(bench, &mut watchers, async |top| {
            let digits = top.to_string();
            ensure!(digits.len() == score.len(), "a frame of another length");
            frame[score.clone()].copy_from_slice(digits.as_bytes());
            writer.send(&frame)
        });
        let writes = latencies.await?.len();
        watchers.close().await;
        anyhow::Ok(writes)
    })?;
    Ok(per_hundred_thousand(writer.end()?, writes))
}

/// The process that writes; it is killed when dropped.
struct Writer {
    child: Child,
    address: SocketAddr,
    /// Closed at their end.
    frames: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Writer {
    fn start(bench: &Bench, sockets: usize, bytes: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([WRITER, &sockets.to_string(), &bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = bench.rig.cores.on_servers(|| command.spawn())??;
        let frames = child.stdin.take();
        let mut says = BufReader::new(child.stdout.take().context("its stdout is not a pipe")?);
        let address = line(&mut says)?.parse()?;
        Ok(Self { child, address, frames, says })
    }

    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        Ok(self.frames.as_mut().context("its stdin is not a pipe")?.write_all(frame)?)
    }

    /// The CPU time of its writes, which are over.
    fn end(mut self) -> anyhow::Result<Duration> {
        drop(self.frames.take());
        let nanoseconds = line(&mut self.says)?.parse()?;
        ensure!(self.child.wait()?.success(), "the process that writes has failed");
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(says: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    says.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// In the process that writes, does that and nothing else; `None` in any other.
pub fn run_if_told() -> Option<anyhow::Result<()>> {
    let mut args = std::env::args().skip(1);
    (args.next()? == WRITER).then(|| {
        let mut number = || anyhow::Ok(args.next().context("a number is missing")?.parse()?);
        write(number()?, number()?)
    })
}

/// Says where it listens, accepts these sockets, writes each frame that comes on stdin to all of them, and says the CPU
/// time of that.
fn write(sockets: usize, bytes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    let mut sockets = (0..sockets).map(|_| accept(&listener)).collect::<anyhow::Result<Vec<TcpStream>>>()?;
    let mut frames = std::io::stdin().lock();
    let mut frame = vec![0; bytes];
    let before = cpu();
    while frames.read_exact(&mut frame).is_ok() {
        for socket in &mut sockets {
            ensure!(socket.write(&frame)? == bytes, "a socket takes a part of a frame only");
        }
    }
    println!("{}", (cpu() - before).as_nanos());
    Ok(())
}

/// A socket like the server's.
fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The CPU time of this thread, in user and kernel mode.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
