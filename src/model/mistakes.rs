//! What is wrong with a request, and what is odd about it: all of it at once.

use std::fmt;

/// How many mistakes are told at once. Further ones are counted.
const MISTAKES_MAX: usize = 20;
/// How many regular expressions one request may hold: each takes time and memory to read. Further ones are refused.
const EXPRESSIONS_MAX: usize = 100;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub path: String,
    /// What stands there and what was expected; it continues a sentence that begins with the place.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// What is wrong with a request, and what is odd about it.
#[derive(Debug, Default)]
pub struct Mistakes {
    found: Vec<Mistake>,
    more: usize,
    expressions: usize,
    /// What is odd, and no reason to refuse.
    pub warnings: Vec<String>,
}

impl Mistakes {
    /// Notes a mistake at a place.
    pub fn add(&mut self, path: &str, text: impl fmt::Display) {
        if self.found.len() == MISTAKES_MAX {
            self.more += 1;
        } else {
            self.found.push(Mistake { path: path.to_owned(), text: text.to_string() });
        }
    }

    /// Notes something odd at a place.
    pub fn warn(&mut self, path: &str, text: impl fmt::Display) {
        if self.warnings.len() < MISTAKES_MAX {
            let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
            self.warnings.push(format!("{place}{text}"));
        }
    }

    /// Counts a regular expression that is about to be read; notes a mistake if there are too many.
    pub fn note_expression(&mut self, path: &str) -> bool {
        self.expressions += 1;
        let is_allowed = self.expressions <= EXPRESSIONS_MAX;
        if !is_allowed {
            self.add(path, format_args!("is one expression too many, expected at most {EXPRESSIONS_MAX} at once"));
        }
        is_allowed
    }

    /// Whether further mistakes are only counted.
    pub fn is_full(&self) -> bool {
        self.found.len() == MISTAKES_MAX
    }

    /// Whether further oddities are left out.
    pub fn has_all_warnings(&self) -> bool {
        self.warnings.len() == MISTAKES_MAX
    }

    /// Whether there is no mistake.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The mistakes, in the order in which they were found.
    pub fn found(&self) -> &[Mistake] {
        &self.found
    }

    /// How many more there are, which are only counted.
    pub fn more(&self) -> usize {
        self.more
    }

    /// One line for each mistake.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self.found.iter().map(Mistake::to_string).collect();
        let mut text = lines.join("\n");
        if self.more > 0 {
            text.push_str(&format!("\nand {} more", self.more));
        }
        text
    }
}
