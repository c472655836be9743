//! Progress of long work: moving lines on a terminal, a line for each step elsewhere. On standard error, so that standard output
//! stays what was asked for.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use swarm_api::BuildProgress;

use super::screen::{self, Screen};

/// Between two movements.
const TICK: Duration = Duration::from_millis(120);

/// A style; a template that does not parse is a defect that shows as the usual bar.
pub fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("█▉▊▋▌▍▎▏·")
}

/// How long a build will take still, in words; nothing where that is not known.
pub fn left(progress: &BuildProgress) -> String {
    match (progress.eta_s, progress.estimated_s) {
        (Some(left), Some(usual)) if usual > progress.elapsed_s => format!(", about {} left", screen::duration(left)),
        (Some(_), Some(_)) => ", longer than usual".to_owned(),
        _ => String::new(),
    }
}

/// One line that says what goes on now.
pub struct Steps {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Steps {
    /// Moves where somebody looks; says each step in a line elsewhere, and nothing beside JSON.
    pub fn new(screen: &Screen) -> Self {
        let bar = screen.moves.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {wide_msg} {elapsed}"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, quiet: screen.json }
    }

    /// What is done now.
    pub fn now(&self, step: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(step.to_owned()),
            None if !self.quiet => eprintln!("{step}"),
            None => {}
        }
    }

    /// A detail of the step: shown while it moves, not told elsewhere.
    pub fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Gone.
    pub fn end(self) {}
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
