//! Results on stdout, errors on stderr; a closed pipe on either does not panic.

pub(super) mod table;

use std::error::Error;
use std::io::{self, Write};

use anyhow::Context;

/// Prints a result to stdout. A closed pipe is not an error: the reader has seen enough.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to stdout"),
    }
}

/// Prints an error to stderr as one line, after the program's name.
pub(crate) fn print_error(text: &str) {
    // A failure to write to stderr cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "m3a3: {}", text.replace('\n', " "));
}

/// An error and its causes in one line; a cause that the text before it contains is left out.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    join(error.as_ref())
}

/// As [`chain`], for any error.
pub(crate) fn join(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_is_printed_with_each_of_its_causes_once() {
        let error = anyhow!("connection refused").context("cannot reach redis").context("the bus failed");
        assert_eq!(chain(&error), "the bus failed: cannot reach redis: connection refused");
        let error = anyhow!("no such file").context("cannot read x: no such file");
        assert_eq!(chain(&error), "cannot read x: no such file");
    }
}
