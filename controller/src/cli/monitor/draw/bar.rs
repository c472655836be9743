//! Progress bars, and text that fits.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A bar of `width` columns, `percent` of it full, in steps of an eighth of a column.
pub fn bar(percent: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let percent = if percent.is_finite() { percent.clamp(0.0, 100.0) } else { 0.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few columns"
    )]
    let eighths = (percent / 100.0 * width as f64 * 8.0).round() as usize;
    let (full, part) = (eighths / 8, PARTS[eighths % 8]);
    let rest = width - full - usize::from(!part.is_empty());
    format!("{}{part}{}", "█".repeat(full), "·".repeat(rest))
}

/// `text` in exactly `width` columns: filled with spaces, or cut with an ellipsis.
pub fn short(text: &str, width: usize) -> String {
    let has = text.width();
    if has <= width {
        return format!("{text}{}", " ".repeat(width - has));
    }
    let mut kept = String::new();
    let mut columns = 0;
    for c in text.chars() {
        let more = c.width().unwrap_or(0);
        if columns + more + 1 > width {
            break;
        }
        kept.push(c);
        columns += more;
    }
    if width == 0 {
        return kept;
    }
    format!("{kept}…{}", " ".repeat(width - columns - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_it_should_be() {
        assert_eq!(bar(0.0, 4), "····");
        assert_eq!(bar(50.0, 4), "██··");
        assert_eq!(bar(53.2, 4), "██▏·");
        assert_eq!(bar(100.0, 4), "████");
        for percent in [-5.0, 99.9, 250.0, f64::NAN] {
            assert_eq!(bar(percent, 7).width(), 7);
        }
        assert_eq!(bar(50.0, 0), "");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        assert_eq!(short("bee", 5), "bee  ");
        assert_eq!(short("beehive", 5), "beeh…");
        assert_eq!(short("蜂蜂蜂", 5), "蜂蜂…");
        assert_eq!(short("蜂蜂蜂", 4), "蜂… ");
        assert_eq!(short("bee", 0), "");
    }
}
