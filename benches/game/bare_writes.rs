//! The baseline of a broadcast: one write(2) of the same bytes to each socket, by one thread on the core of the server.
//!
//! Machines differ more than servers do, so the server is compared with this baseline from the same run, with the same
//! watchers. A separate process writes, because one process may not have enough open files for both ends of ten
//! thousand sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::time::{ClockId, clock_gettime};

use super::Bench;
use super::rounds::{per_hundred_thousand, rounds};
use super::watchers::{Watchers, score_at};

/// The first argument of the writer process. The others are the number of sockets and the bytes of a frame.
const WRITER: &str = "--bare-writes";

/// Writes this frame with a new score for each broadcast. Returns the CPU time in seconds of 100,000 writes.
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
    Ok(per_hundred_thousand(writer.finish()?, writes))
}

/// The writer process. Dropping this kills it.
struct Writer {
    child: Child,
    address: SocketAddr,
    /// Closed after the last frame.
    frames: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Writer {
    fn start(bench: &Bench, sockets: usize, bytes: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([WRITER, &sockets.to_string(), &bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = bench.rig.cores.on_servers(|| command.spawn())??;
        let frames = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().context("its stdout is not a pipe")?);
        let address = line(&mut output)?.parse()?;
        Ok(Self { child, address, frames, output })
    }

    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        Ok(self.frames.as_mut().context("its stdin is not a pipe")?.write_all(frame)?)
    }

    /// Ends the process, and returns the CPU time of its writes.
    fn finish(mut self) -> anyhow::Result<Duration> {
        drop(self.frames.take());
        let nanoseconds = line(&mut self.output)?.parse()?;
        ensure!(self.child.wait()?.success(), "the writer process has failed");
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(output: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Runs the writer, if this is the writer process.
pub fn run_if_writer() -> Option<anyhow::Result<()>> {
    let mut args = std::env::args().skip(1);
    (args.next()? == WRITER).then(|| {
        let mut number = || anyhow::Ok(args.next().context("a number is missing")?.parse()?);
        write(number()?, number()?)
    })
}

/// Prints the address of the listener, accepts the sockets, writes each frame from stdin to all of them, and prints the
/// CPU time of the writes.
fn write(sockets: usize, bytes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    let mut sockets = (0..sockets).map(|_| accept(&listener)).collect::<anyhow::Result<Vec<TcpStream>>>()?;
    let mut frames = std::io::stdin().lock();
    let mut frame = vec![0; bytes];
    let before = cpu();
    while frames.read_exact(&mut frame).is_ok() {
        for socket in &mut sockets {
            ensure!(socket.write(&frame)? == bytes, "a partial write");
        }
    }
    println!("{}", (cpu() - before).as_nanos());
    Ok(())
}

/// A socket with the options of the server.
fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The CPU time of this thread in user and kernel mode.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
