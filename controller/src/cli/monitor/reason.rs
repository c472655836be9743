//! The answer to why a package is not building, laid out in rows. Decides where its lines break and how far it can be scrolled;
//! `keys` needs that to scroll, `draw` to show it.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::cli::screen::Screen as Plain;
use crate::cli::why;
use swarm_api::WhyAnswer;

/// Columns of the answer, at most.
pub const WHY_WIDTH: u16 = 114;

/// The answer in rows that fit into its frame on a screen of `size`; and how far it can be scrolled.
pub fn why_rows(answer: Option<&Result<WhyAnswer, String>>, size: (u16, u16)) -> (Vec<String>, usize) {
    let width = size.0.saturating_sub(2).min(WHY_WIDTH).saturating_sub(2);
    let text = match answer {
        None => "asking …".to_owned(),
        Some(Ok(answer)) => why::render(answer, &Plain { width: Some(width), ..Plain::default() }),
        Some(Err(problem)) => problem.clone(),
    };
    let rows: Vec<String> = text.lines().flat_map(|line| wrapped(line, usize::from(width).max(1))).collect();
    let most = rows.len().saturating_sub(usize::from(size.1.saturating_sub(4)));
    (rows, most)
}

/// A line in rows of `width` columns, broken between words where there are some; what follows stands a little further right.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    if line.width() <= width {
        return vec![line.to_owned()];
    }
    let margin = line.len() - line.trim_start().len();
    let further = " ".repeat((margin + 2).min(width / 2));
    let (mut rows, mut row) = (Vec::new(), String::new());
    for word in line.split_inclusive(' ') {
        if row.width() + word.trim_end().width() > width && !row.trim().is_empty() {
            rows.push(std::mem::replace(&mut row, further.clone()).trim_end().to_owned());
        }
        for c in word.chars() {
            if row.width() + c.width().unwrap_or(0) > width && c != ' ' {
                rows.push(std::mem::replace(&mut row, further.clone()).trim_end().to_owned());
            }
            row.push(c);
        }
    }
    rows.push(row.trim_end().to_owned());
    rows
}
