//! What a command says: results on stdout, complaints on stderr, and no panic when nobody reads either.

pub(super) mod table;

use std::error::Error;
use std::io::{self, Write};

use anyhow::Context;

/// Writes a result to stdout. A reader that has gone away has seen enough: that is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to stdout"),
    }
}

/// Writes one line to stderr, after the program's name.
pub(crate) fn complain(text: &str) {
    // If stderr cannot be written, there is nowhere left to say so.
    let _ = writeln!(io::stderr(), "m3a3: {}", text.replace('\n', " "));
}

/// An error and its causes in one line; a cause that the text before it already tells is left out.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    join(error.as_ref())
}

/// As [`chain`], for any error.
pub(crate) fn join(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
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
    fn an_error_is_told_with_its_causes_each_once() {
        let error = anyhow!("connection refused").context("cannot reach redis").context("the bus failed");
        assert_eq!(chain(&error), "the bus failed: cannot reach redis: connection refused");
        let error = anyhow!("no such file").context("cannot read x: no such file");
        assert_eq!(chain(&error), "cannot read x: no such file");
    }
}
