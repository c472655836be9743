//! How things look: colours unless unwanted, and the same said by weight and signs where there are none.

use ratatui::style::{Color, Modifier, Style};

/// Colours or none. Without colours nothing is lost: every state has its word, and what is chosen is reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// With colours.
    pub color: bool,
}

impl Theme {
    fn with(self, color: Color, plain: Modifier) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new().add_modifier(plain) }
    }

    /// Headings and what counts most.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there in case somebody looks for it.
    pub fn dim(self) -> Style {
        self.with(Color::DarkGray, Modifier::DIM)
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.with(Color::Green, Modifier::empty())
    }

    /// Something goes on.
    pub fn busy(self) -> Style {
        self.with(Color::Cyan, Modifier::empty())
    }

    /// Somebody wanted it so, or it is worth a look.
    pub fn warn(self) -> Style {
        self.with(Color::Yellow, Modifier::BOLD)
    }

    /// Broken.
    pub fn bad(self) -> Style {
        self.with(Color::Red, Modifier::BOLD)
    }

    /// The row that is chosen.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A message across the screen.
    pub fn alarm(self) -> Style {
        if self.color {
            Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
        }
    }

    /// The frame of a panel; the one with the focus stands out.
    pub fn frame(self, focused: bool) -> Style {
        if focused { self.with(Color::Cyan, Modifier::BOLD) } else { self.dim() }
    }

    /// A key to press.
    pub fn key(self) -> Style {
        self.with(Color::Cyan, Modifier::BOLD)
    }

    /// A state by its word.
    pub fn state(self, word: &str) -> Style {
        match word {
            "online" | "received" | "complete" | "register" => self.good(),
            "building" | "delegated" | "assign" => self.busy(),
            "paused" | "draining" | "drained" | "grounded" | "impaired" | "control" | "warn" | "return" | "reclaim"
            | "audit" => self.warn(),
            "offline" | "blocked" | "failed" | "fail" | "alert" => self.bad(),
            _ => Style::new(),
        }
    }
}
