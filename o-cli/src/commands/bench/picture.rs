//! A histogram as text.

use o_node::Bar;

use super::report::time;

/// Columns where nobody says how many there are.
const COLUMNS: usize = 80;
/// Columns beyond which a bar says nothing more.
const MAX_COLUMNS: usize = 120;
/// Columns that a bar has at least, however narrow the terminal.
const MIN_BAR: usize = 8;
/// Eighths of a block, from one to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// One line for each bar: its bounds, the bar, its count. Blocks where `columns` of a terminal are
/// given, `#` otherwise; a bar that stands for anything has at least one mark.
pub(super) fn draw(bars: &[Bar], columns: Option<usize>) -> Vec<String> {
    let texts: Vec<_> = bars
        .iter()
        .map(|bar| (time(bar.from), time(bar.to), bar.count.to_string()))
        .collect();
    let widest = |part: fn(&(String, String, String)) -> &str| {
        let widths = texts.iter().map(|text| part(text).chars().count());
        widths.max().unwrap_or(0)
    };
    let (from, to) = (widest(|text| &text.0), widest(|text| &text.1));
    let count = widest(|text| &text.2);
    // Two spaces in front, three around the dash, two on each side of the bar.
    let beside = from + to + count + 9;
    let room = columns.unwrap_or(COLUMNS).min(MAX_COLUMNS);
    let room = room.saturating_sub(beside).max(MIN_BAR);
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    let lines = bars.iter().zip(&texts).map(|(bar, text)| {
        let marks = marks(bar.count, most, room, columns.is_some());
        let pad = room.saturating_sub(marks.chars().count());
        format!(
            "  {:>from$} - {:>to$}  {marks}{:pad$}  {:>count$}",
            text.0, text.1, "", text.2
        )
    });
    lines.collect()
}

fn marks(count: u64, most: u64, room: usize, blocks: bool) -> String {
    if count == 0 {
        return String::new();
    }
    let share = |parts: usize| {
        let parts = u128::try_from(parts).unwrap_or(0);
        let share = u128::from(count) * parts / u128::from(most);
        usize::try_from(share).unwrap_or(0).max(1)
    };
    if !blocks {
        return "#".repeat(share(room));
    }
    let eighths = share(room.saturating_mul(8));
    let mut marks = "█".repeat(eighths / 8);
    let rest = (eighths % 8).checked_sub(1);
    marks.extend(rest.and_then(|rest| EIGHTHS.get(rest)));
    marks
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use o_node::Samples;

    use super::*;

    fn bars() -> Vec<Bar> {
        let mut samples = Samples::new();
        let times = [(20, 1000), (21, 500), (40, 3), (900, 1)];
        for (micros, count) in times {
            (0..count).for_each(|_| samples.add(Duration::from_micros(micros), 0));
        }
        samples.bars(8)
    }

    #[test]
    fn the_longest_bar_fills_the_line_and_no_line_is_longer() {
        for columns in [40, 60, 80, 100] {
            let lines = draw(&bars(), Some(columns));
            let widths: Vec<_> = lines.iter().map(|line| line.chars().count()).collect();
            assert!(widths.iter().all(|width| *width == columns), "{widths:?}");
            let fullest = lines.iter().filter(|line| line.contains('█'));
            assert_eq!(fullest.count(), 1, "{lines:#?}");
        }
        let wide = draw(&bars(), Some(1000));
        assert!(wide.iter().all(|line| line.chars().count() == MAX_COLUMNS));
        // Too narrow for anything: the bars stay, the terminal wraps.
        assert!(draw(&bars(), Some(3)).iter().any(|line| line.contains('█')));
    }

    #[test]
    fn a_single_call_can_be_seen_and_no_call_cannot() {
        assert_eq!(marks(1, 1_000_000, 50, true), "▏");
        assert_eq!(marks(1, 1_000_000, 50, false), "#");
        assert_eq!(marks(0, 10, 50, true), "");
        assert_eq!(marks(10, 10, 4, true), "████");
        assert_eq!(marks(9, 16, 2, true), "█▏");
        assert_eq!(marks(5, 10, 4, false), "##");
        assert_eq!(marks(u64::MAX, u64::MAX, 4, true), "████");
    }

    #[test]
    fn without_a_terminal_it_is_plain_and_every_call_is_counted() {
        let lines = draw(&bars(), None);
        assert!(
            lines
                .iter()
                .all(|line| line.is_ascii() || line.contains('µ'))
        );
        assert!(lines.iter().all(|line| line.chars().count() == COLUMNS));
        let counts = lines
            .iter()
            .filter_map(|line| line.split_whitespace().last());
        let sum: u64 = counts.map(|count| count.parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 1504);
        assert_eq!(draw(&[], None), Vec::<String>::new());
    }
}
