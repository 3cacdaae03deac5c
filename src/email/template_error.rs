//! What is wrong with a template, told so that it can be put right.

use std::error::Error;

use crate::config::ConfigError;

/// A template that does not work.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub(super) struct TemplateError {
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) problem: String,
}

impl TemplateError {
    /// What the engine says of the template of this name, or of one that it uses; `file` says where a template is from.
    pub(super) fn new(name: &str, error: &minijinja::Error, file: impl Fn(&str) -> String) -> Self {
        let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
        // The innermost knows the place, the others only who used it.
        let inner = causes.filter_map(|cause| cause.downcast_ref::<minijinja::Error>()).last().unwrap_or(error);
        let problem = inner.detail().map_or_else(|| inner.kind().to_string(), str::to_owned);
        Self { file: file(inner.name().unwrap_or(name)), line: inner.line().unwrap_or(1), problem }
    }
}

impl From<TemplateError> for ConfigError {
    fn from(TemplateError { file, line, problem }: TemplateError) -> Self {
        Self::Syntax { file, line, problem }
    }
}
