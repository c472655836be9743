//! An error with its causes on one line: our errors say only what was attempted, and their sources why it failed.

use std::error::Error;

/// The error and its causes, parted by colons.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

/// The same, without a cause the text ends with already: some libraries say their source in their own words, too.
pub fn chain_once(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    text
}

fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Told(&'static str, Option<Box<Told>>);

    impl fmt::Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Told {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|told| told as &(dyn Error + 'static))
        }
    }

    fn told(words: &[&'static str]) -> Told {
        let (first, rest) = words.split_first().unwrap();
        Told(first, (!rest.is_empty()).then(|| Box::new(told(rest))))
    }

    #[test]
    fn every_cause_is_told_in_its_turn() {
        assert_eq!(chain(&told(&["write the index"])), "write the index");
        let full = told(&["write the index", "make /x", "no space left"]);
        assert_eq!(chain(&full), "write the index: make /x: no space left");
        assert_eq!(chain_once(&full), "write the index: make /x: no space left");
    }

    #[test]
    fn a_cause_said_already_is_left_out_where_that_is_wanted() {
        let twice = told(&["open /x: not found", "not found"]);
        assert_eq!(chain(&twice), "open /x: not found: not found");
        assert_eq!(chain_once(&twice), "open /x: not found");
    }
}
