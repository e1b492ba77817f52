//! What is wrong with an input: what, where, how to mend.

use std::fmt;

use super::tree::Origin;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// `file.toml:12:5`, or `--set key=value`; empty of a warning.
    pub place: String,
    /// The line it stands in, if it stands in a file.
    pub line: Option<String>,
    /// `subnets[1].prefix_length`; empty for the file as a whole.
    pub key: String,
    /// A sentence.
    pub what: String,
    /// How to mend it, if that can be said.
    pub hint: Option<String>,
}

impl Problem {
    /// What would be no more than a warning if nothing else were wrong, told beside what is.
    pub fn warning(what: String) -> Problem {
        Problem { place: String::new(), line: None, key: String::new(), what, hint: None }
    }
    /// File, line and column, if it stands in a file.
    fn position(&self) -> Option<(&str, u32, u32)> {
        self.line.as_ref()?;
        let mut parts = self.place.rsplitn(3, ':');
        let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((parts.next()?, line, column))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            return writeln!(f, "warning: {}", self.what);
        }
        writeln!(f, "error: {}", self.what)?;
        match self.key.is_empty() {
            true => writeln!(f, "  --> {}", self.place)?,
            false => writeln!(f, "  --> {}, {}", self.place, self.key)?,
        }
        if let Some(line) = &self.line {
            writeln!(f, "   | {}", line.trim_end())?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// All that was found wrong so far, in the order found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub fn add(&mut self, origin: &Origin, key: &str, what: impl Into<String>, hint: Option<String>) {
        let (place, line) = (origin.place(), origin.line());
        let problem = Problem { place, line, key: key.to_string(), what: what.into(), hint };
        // A parser may stumble over one place again and again.
        self.extend([problem]);
    }
    /// Those found by somebody else, each once.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Problem>) {
        others.into_iter().for_each(|problem| {
            if !self.found.contains(&problem) {
                self.found.push(problem);
            }
        });
    }
    /// Is one of a key that is like this?
    pub fn any(&self, like: impl Fn(&str) -> bool) -> bool {
        self.found.iter().any(|problem| like(&problem.key))
    }
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
    /// Those of a file in the order in which it has them, file by file as they were found in; what was typed behind them.
    pub fn into_vec(self) -> Vec<Problem> {
        let mut files: Vec<String> = Vec::new();
        for (file, ..) in self.found.iter().filter_map(Problem::position) {
            if !files.iter().any(|known| known == file) {
                files.push(file.to_string());
            }
        }
        let mut found = self.found;
        found.sort_by_key(|problem| match problem.position() {
            Some((file, line, column)) => (files.iter().position(|known| known == file), line, column),
            None => (Some(files.len()), 0, 0),
        });
        found
    }
    /// The same, with warnings behind them.
    pub fn with_warnings(mut self, warnings: Vec<String>) -> Vec<Problem> {
        self.extend(warnings.into_iter().map(Problem::warning));
        self.into_vec()
    }
}
