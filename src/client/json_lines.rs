//! Events as JSON lines, for programs.
//!
//! | line | when |
//! |---|---|
//! | `{"event":"connected"}` | a connection was established |
//! | `{"event":"current_leaderboard","leaderboard":[{"username","score"}, …]}` | at the start of each connection |
//! | `{"event":"update_leaderboard","leaderboard":[{"username","score"}, …]}` | on every change |
//! | `{"event":"disconnected","reason"}` | a connection was lost; attempts to reconnect follow |

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::board::Board;
use super::event_queue::{Event, EventQueue};
use super::sanitize::escape_json;

/// Between two checks for a closed pipe.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Writes each event as a line and flushes it, until the queue ends or the reader closes the pipe. Blocks the thread.
///
/// # Errors
/// If writing fails for another reason than a closed pipe.
pub fn print_json_lines(queue: &EventQueue, mut out: impl Write + AsFd) -> io::Result<()> {
    while has_reader(&out)
        && let Some(events) = queue.take(POLL_INTERVAL)
    {
        for line in events.iter().filter_map(line) {
            match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                result => result?,
            }
        }
    }
    Ok(())
}

/// Whether the other end of a pipe is open. Always true for other files.
fn has_reader(out: &impl AsFd) -> bool {
    let mut ends = [PollFd::new(out, PollFlags::empty())];
    let polled = poll(&mut ends, Some(&Timespec::default()));
    polled.is_err() || !ends[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaderboard: Option<&'a Board>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The line of an event with its line break; `None` for events that are not shown to programs.
fn line(event: &Event) -> Option<String> {
    let (event, leaderboard, reason) = match event {
        Event::Connected => ("connected", None, None),
        Event::Current(board) => ("current_leaderboard", Some(board), None),
        Event::Update(board) => ("update_leaderboard", Some(board), None),
        Event::Disconnected(reason) => ("disconnected", None, Some(reason.as_str())),
        Event::ReconnectFailed(..) => return None,
    };
    let json = serde_json::to_string(&Line { event, leaderboard, reason }).ok()?;
    Some(escape_json(&json) + "\n")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::json;

    use super::*;

    fn from_json(json: serde_json::Value) -> Board {
        Board::from_json(&json).unwrap()
    }

    #[test]
    fn each_event_is_a_line() {
        let queue = EventQueue::default();
        let board = from_json(json!([{ "score": 100, "username": "a\u{9b}b\n" }, { "username": "c", "score": 0.1 }]));
        for event in [
            Event::Connected,
            Event::Current(Board::default()),
            Event::Update(board),
            Event::Disconnected("the \"reason\"".to_owned()),
            Event::ReconnectFailed(1, "no".to_owned()),
        ] {
            queue.push(event);
        }
        queue.close();
        let (mut reader, writer) = io::pipe().unwrap();
        print_json_lines(&queue, writer).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            r#"{"event":"connected"}
{"event":"current_leaderboard","leaderboard":[]}
{"event":"update_leaderboard","leaderboard":[{"username":"a\u009bb\n","score":100},{"username":"c","score":0.1}]}
{"event":"disconnected","reason":"the \"reason\""}
"#
        );
    }

    #[test]
    fn a_closed_pipe_ends_it_without_events_too() {
        let queue = EventQueue::default();
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        print_json_lines(&queue, writer).unwrap();
    }
}
