//! Why an attempt failed, and whether the failure counts.

use std::error::Error;
use std::iter;

use crate::db::DbError;

/// The text of an error and of its causes, for an operator.
pub(crate) fn causes(error: &dyn Error) -> String {
    let causes = iter::successors(error.source(), |&error| error.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| match text.ends_with(&cause) {
        // Some errors contain the text of their source.
        true => text,
        false => format!("{text}: {cause}"),
    })
}

/// How the engine treats a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Counted. Another attempt may succeed.
    Retry,
    /// Permanent: the job is dead at once.
    Fail,
    /// Not counted: storage, the database or the system failed, and the job waits until it works again.
    Environment,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How it is treated.
    pub kind: FailureKind,
    /// The cause, for the operator.
    pub error: String,
    /// The cause, for the user whom the job is for. Contains no path and no text of a library.
    pub message: String,
}

impl Failure {
    /// A failure that may pass, such as a file that is still being written or a refused connection.
    pub fn retry(error: impl ToString, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Retry, error: error.to_string(), message: message.into() }
    }

    /// A permanent failure.
    pub fn fail(error: impl ToString, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Fail, error: error.to_string(), message: message.into() }
    }

    /// A failure that affects every job, such as a full disk, a missing mount or a locked database.
    pub fn environment(error: impl ToString, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Environment, error: error.to_string(), message: message.into() }
    }

    /// A database failure: of the environment, unless the statement itself is at fault.
    pub(crate) fn database(error: &DbError, message: impl Into<String>) -> Self {
        match error.is_environment() {
            true => Self::environment(error, message),
            false => Self::retry(error, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_causes_of_an_error_are_named_from_the_outermost_to_the_innermost() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file is damaged")]
        struct Damaged(#[source] io::Error);

        assert_eq!(causes(&Damaged(io::Error::other("bad code"))), "the file is damaged: bad code");
        assert_eq!(causes(&io::Error::other("bad code")), "bad code");
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read: {0}")]
        struct Repeated(#[source] io::Error);
        assert_eq!(causes(&Repeated(io::Error::other("bad code"))), "cannot read: bad code");
    }
}
