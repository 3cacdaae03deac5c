//! The examples below the help of a command, laid out for the width of the terminal.
//!
//! clap wraps every line that is too long. It would wrap a comment beside an example into the column of the commands,
//! and leave fragments of lines that are wrapped already: texts therefore have one line for each paragraph.

use std::io;

use rustix::termios::tcgetwinsize;

/// The widest help.
pub(super) const MAX_WIDTH: usize = 100;

/// An example and its comment are separated by at least this many spaces.
const GAP: &str = "   ";

/// Aligns the comments beside the examples; where they do not fit, puts each below its example.
pub(super) fn laid_out(text: &str) -> String {
    laid_out_at(text, width())
}

fn laid_out_at(text: &str, width: usize) -> String {
    let lines: Vec<_> = text.lines().map(split).collect();
    let commented = lines.iter().filter_map(|(command, comment)| comment.map(|comment| (*command, comment)));
    let column = commented.clone().map(|(command, _)| command.len() + GAP.len()).max().unwrap_or(0);
    let is_wide_enough = commented.map(|(_, comment)| column + comment.len()).max().unwrap_or(0) <= width;
    let line = |(command, comment): (&str, Option<&str>)| match comment {
        Some(comment) if is_wide_enough => format!("{command:column$}{comment}"),
        Some(comment) => format!("{command}\n      {comment}"),
        None => command.to_owned(),
    };
    lines.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The example and its comment, or any other line as it is.
fn split(line: &str) -> (&str, Option<&str>) {
    match line.strip_prefix("  ").and_then(|example| example.find(GAP)) {
        Some(at) => (&line[..at + 2], Some(line[at + 2..].trim_start())),
        None => (line, None),
    }
}

/// The width that clap wraps to.
fn width() -> usize {
    let columns = [tcgetwinsize(io::stdout()), tcgetwinsize(io::stderr()), tcgetwinsize(io::stdin())];
    let terminal = columns.into_iter().flatten().map(|size| usize::from(size.ws_col)).find(|columns| *columns > 0);
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(variable).unwrap_or(MAX_WIDTH).min(MAX_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Examples:\n  m3a3 up   run everything\n  m3a3 jobs list      list jobs\n  m3a3 x\n\nSome text.";

    #[test]
    fn comments_are_aligned_where_they_fit_and_below_the_examples_elsewhere() {
        let aligned =
            "Examples:\n  m3a3 up          run everything\n  m3a3 jobs list   list jobs\n  m3a3 x\n\nSome text.";
        assert_eq!(laid_out_at(TEXT, 33), aligned);
        let below =
            "Examples:\n  m3a3 up\n      run everything\n  m3a3 jobs list\n      list jobs\n  m3a3 x\n\nSome text.";
        assert_eq!(laid_out_at(TEXT, 32), below);
    }
}
