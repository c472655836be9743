//! Reads Server-Sent Events: what `swarm events --follow` and `swarm log --follow` are told.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line taken; the façade's are below 2 MiB.
const MAX_LINE: u64 = 8 << 20;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Where the stream goes on after it.
    pub id: Option<u64>,
    /// Its kind; empty for the usual one.
    pub kind: String,
    /// What it says.
    pub data: String,
}

/// A stream of events.
pub struct Stream<R> {
    lines: BufReader<R>,
}

impl<R: Read> Stream<R> {
    /// The events that `from` carries.
    pub fn new(from: R) -> Self {
        Self { lines: BufReader::with_capacity(64 << 10, from) }
    }

    /// The next event; `None` at the end. Comments, which only show that the stream lives, are passed over.
    fn read(&mut self) -> io::Result<Option<Told>> {
        let (mut told, mut any) = (Told::default(), false);
        loop {
            let mut line = Vec::new();
            let read = (&mut self.lines).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                // half an event is none
                return Ok(None);
            }
            if !line.ends_with(b"\n") && read as u64 == MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of the stream is longer than 8 MiB"));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if any {
                    return Ok(Some(told));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => told.id = value.parse().ok(),
                "event" => value.clone_into(&mut told.kind),
                "data" => {
                    if any {
                        told.data.push('\n');
                    }
                    told.data.push_str(value);
                    any = true;
                }
                _ => {}
            }
        }
    }
}

impl<R: Read> Iterator for Stream<R> {
    type Item = io::Result<Told>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Told> {
        Stream::new(text.as_bytes()).map(Result::unwrap).collect()
    }

    #[test]
    fn events_are_read_and_comments_passed_over() {
        let told = all(": \n\nid: 3\ndata: {\"a\":1}\n\n:\n\nid:4\nevent: end\ndata: x\ndata:  y\n\n");
        assert_eq!(
            told,
            [
                Told { id: Some(3), kind: String::new(), data: "{\"a\":1}".to_owned() },
                Told { id: Some(4), kind: "end".to_owned(), data: "x\n y".to_owned() },
            ]
        );
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(all("id: 3\ndata: x\n"), []);
        assert_eq!(all(""), []);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = io::repeat(b'x');
        assert!(Stream::new(endless).next().unwrap().is_err());
    }
}
