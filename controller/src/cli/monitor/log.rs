//! The lines of a build log, as far as they are kept for looking at: the end of it, bounded, without what a terminal would
//! take for commands.

use std::collections::VecDeque;

/// Lines kept; earlier ones are forgotten.
const MAX_LINES: usize = 20_000;
/// Bytes kept.
const MAX_BYTES: usize = 4 << 20;
/// Bytes of one line.
const MAX_LINE: usize = 4 << 10;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Which {
    /// Number of the build.
    pub build: u64,
    /// Attempt.
    pub attempt: u32,
}

/// Lines that grow at their end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
    /// A line whose end has not come, and bytes of a character whose end has not come.
    begun: Vec<u8>,
    /// Lines that were there and are kept no more.
    pub forgotten: usize,
    /// Bytes before the first one that was read.
    pub skipped: u64,
    /// Nothing will come any more.
    pub ended: bool,
}

impl Lines {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= MAX_LINE {
                let line = clean(&std::mem::take(&mut self.begun));
                self.bytes += line.len();
                self.lines.push_back(line);
            }
        }
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(line) = self.lines.pop_front() else { return };
            self.bytes -= line.len();
            self.forgotten += 1;
        }
    }

    /// How many lines there are, the begun one counted.
    pub fn len(&self) -> usize {
        self.lines.len() + usize::from(!self.begun.is_empty())
    }

    /// `count` lines from number `from` on.
    pub fn from(&self, from: usize, count: usize) -> impl Iterator<Item = String> {
        let begun = (!self.begun.is_empty()).then(|| clean(&self.begun));
        self.lines.iter().cloned().chain(begun).skip(from).take(count)
    }
}

/// A line for looking at: what a carriage return would overwrite is gone, escape sequences and other control characters are
/// gone, tabs are spaces.
fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    let shown = text.rsplit('\r').next().unwrap_or_default();
    let mut clean = String::with_capacity(shown.len());
    let mut chars = shown.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\t' => {
                let column = clean.chars().count();
                clean.extend(std::iter::repeat_n(' ', 8 - column % 8));
            }
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// Takes the rest of an escape sequence: `[` parameters and a letter, `]` up to BEL or ESC `\`, or one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => drop(chars.find(|c| ('\x40'..='\x7e').contains(c))),
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\x07' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
                    return;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut log = Lines::default();
        pieces.iter().for_each(|piece| log.push(piece));
        log.from(0, usize::MAX).collect()
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces_are() {
        assert_eq!(lines(&[b"one\ntw", b"o\nthree"]), ["one", "two", "three"]);
        assert_eq!(lines(&["ä".as_bytes()[..1].as_ref(), &"ä".as_bytes()[1..], b"\n"]), ["ä"]);
        assert_eq!(lines(&[b""]), Vec::<String>::new());
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_in_them() {
        assert_eq!(lines(&[b"\x1b[32;01m * \x1b[39;49;00mok\x1b]2;title\x07!\n"]), [" * ok!"]);
        assert_eq!(lines(&[b"10%\r50%\r100%\r\n"]), ["100%"]);
        assert_eq!(lines(&[b"a\tb\x07\x00\n"]), ["a       b"]);
        assert_eq!(lines(&[b"\x1b[31"]), [""], "nor a sequence without an end");
    }

    #[test]
    fn they_are_bounded_and_count_what_was_forgotten() {
        let mut log = Lines::default();
        for n in 0..MAX_LINES + 7 {
            log.push(format!("{n}\n").as_bytes());
        }
        assert_eq!((log.len(), log.forgotten), (MAX_LINES, 7));
        assert_eq!(log.from(0, 1).next().as_deref(), Some("7"));
        log.push(&vec![b'x'; 3 * MAX_BYTES]);
        assert!(log.bytes <= MAX_BYTES && log.begun.len() <= MAX_LINE);
    }
}
