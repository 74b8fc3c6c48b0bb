//! A line that says how far it has come, while somebody watches.

use std::time::{Duration, Instant};

use crate::output::Output;

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(100);
/// Columns of the bar.
const BAR: usize = 24;

/// The line. It goes away when this is dropped.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    output: &'a Output,
    live: bool,
    done: usize,
    all: usize,
}

impl<'a> Progress<'a> {
    /// For so many steps.
    pub(super) fn new(output: &'a Output, all: usize) -> Self {
        Self {
            output,
            live: output.is_live(),
            done: 0,
            all,
        }
    }

    /// Waits for the work of one step, of which `part` from 0 to 1 says how much is done; draws
    /// meanwhile.
    pub(super) async fn during<T>(
        &mut self,
        words: &str,
        part: impl Fn(Instant) -> f64,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.done += 1;
                    return done;
                }
                _ = ticks.tick(), if self.live => {
                    let columns = self.output.error_columns();
                    let line = line(self.done, self.all, part(Instant::now()), words, columns);
                    self.output.overwrite(line);
                }
            }
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.live {
            self.output.overwrite("");
        }
    }
}

/// At most one line of so many columns.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a few columns"
)]
fn line(done: usize, all: usize, part: f64, words: &str, columns: usize) -> String {
    let share = (done as f64 + part.clamp(0.0, 1.0)) / all.max(1) as f64;
    let share = share.clamp(0.0, 1.0);
    let full = (share * BAR as f64).round() as usize;
    let bar = "█".repeat(full) + &"░".repeat(BAR.saturating_sub(full));
    let text = format!("{bar} {:3.0} %  {words}", share * 100.0);
    // The last column stays free: a cursor behind it wraps in some terminals.
    text.chars().take(columns.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_share_and_fits() {
        let at = |done, part| line(done, 4, part, "calls", 80);
        assert_eq!(at(0, 0.0), format!("{}   0 %  calls", "░".repeat(24)));
        let half = format!("{}{}  50 %  calls", "█".repeat(12), "░".repeat(12));
        assert_eq!(at(1, 1.0), half);
        assert_eq!(at(1, 7.0), half);
        assert_eq!(at(4, 0.5), format!("{} 100 %  calls", "█".repeat(24)));
        assert_eq!(line(1, 2, 0.0, "calls", 10).chars().count(), 9);
    }
}
