//! Which bytes of a file a request wants: one `Range` of RFC 9110, nothing else. Pure.

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of it, 200: no range asked for, or one we may ignore (several ranges, another unit, nonsense).
    Whole,
    /// 206: from the first to the last byte, both included.
    Part(u64, u64),
    /// 416: nothing of it exists.
    Nothing,
}

/// Reads a `Range` header for a file of `size` bytes.
pub fn wanted(range: Option<&str>, size: u64) -> Wanted {
    range.and_then(|range| parse(range, size)).unwrap_or(Wanted::Whole)
}

fn parse(range: &str, size: u64) -> Option<Wanted> {
    let (unit, spec) = range.trim().split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (from, to) = spec.trim().split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(from) || !digits(to) || (from.is_empty() && to.is_empty()) {
        return None;
    }
    // a number too large for any file is as good as the largest
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    if from.is_empty() {
        let last = number(to).min(size);
        return Some(if last == 0 { Wanted::Nothing } else { Wanted::Part(size - last, size - 1) });
    }
    let from = number(from);
    let to = if to.is_empty() { u64::MAX } else { number(to) };
    if to < from {
        return None;
    }
    Some(if from >= size { Wanted::Nothing } else { Wanted::Part(from, to.min(size - 1)) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            ("bytes=0-0", 10, Wanted::Part(0, 0)),
            ("bytes=2-5", 10, Wanted::Part(2, 5)),
            ("bytes=2-", 10, Wanted::Part(2, 9)),
            ("bytes=2-99", 10, Wanted::Part(2, 9)),
            ("bytes=-3", 10, Wanted::Part(7, 9)),
            ("bytes=-99", 10, Wanted::Part(0, 9)),
            (" Bytes = 2-5", 10, Wanted::Part(2, 5)),
            ("bytes=0-99999999999999999999999", 10, Wanted::Part(0, 9)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=5-2", 10, Wanted::Whole),
            ("bytes=0-1,3-4", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("bytes=+1-2", 10, Wanted::Whole),
            ("items=0-1", 10, Wanted::Whole),
            ("nonsense", 10, Wanted::Whole),
        ];
        for (range, size, expected) in cases {
            assert_eq!(wanted(Some(range), size), expected, "{range} of {size}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(range in "bytes=[0-9]{0,21}-[0-9]{0,21}", size in 0u64..50) {
            if let Wanted::Part(from, to) = wanted(Some(&range), size) {
                prop_assert!(from <= to && to < size);
            }
        }
    }
}
