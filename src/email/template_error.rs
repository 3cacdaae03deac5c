//! Errors in templates, with file and line.

use std::error::Error;

use crate::config::ConfigError;

/// An error in a template.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub(super) struct TemplateError {
    pub(super) file: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) problem: String,
}

impl TemplateError {
    /// An error of the engine in the template of this name, or in one that it includes. `file` maps a template to its
    /// file.
    pub(super) fn new(name: &str, error: &minijinja::Error, file: impl Fn(&str) -> String) -> Self {
        let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
        // The innermost error has the location; the outer ones are of the including templates.
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
