//! Events as lines of JSON, for programs.
//!
//! | line | when |
//! |---|---|
//! | `{"event":"connected"}` | a connection is there, the first one or one after an outage |
//! | `{"event":"current_leaderboard","leaderboard":[{"username","score"}, …]}` | at the start of each connection |
//! | `{"event":"update_leaderboard","leaderboard":[{"username","score"}, …]}` | on every change |
//! | `{"event":"disconnected","reason"}` | a connection is gone; attempts to get it back go on until one succeeds |

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::board::Board;
use super::event_queue::{Event, EventQueue};
use super::sanitize::escape_json;

/// How soon it is noticed that nobody reads any more, while there is nothing to write.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Writes each event as one line, flushed, until the queue ends or nobody reads any more. It blocks the thread.
///
/// # Errors
/// When the lines cannot be written for another reason than a reader that went away.
pub fn print_json_lines(queue: &EventQueue, mut out: impl Write + AsFd) -> io::Result<()> {
    while is_read(&out)
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

/// Whether somebody may still read what is written; a pipe tells.
fn is_read(out: &impl AsFd) -> bool {
    let mut ends = [PollFd::new(out, PollFlags::empty())];
    let asked = poll(&mut ends, Some(&Timespec::default()));
    asked.is_err() || !ends[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaderboard: Option<&'a Board>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// An event's line, with its end; `None` for what programs need not know.
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
    fn a_reader_that_goes_away_ends_it_also_when_nothing_happens() {
        let queue = EventQueue::default();
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        print_json_lines(&queue, writer).unwrap();
    }
}
