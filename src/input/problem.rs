//! What is wrong with an input: what, where, how to mend.

use std::fmt;

use super::tree::Origin;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// `file.toml:12:5`, or `--set key=value`.
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    pub fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}
