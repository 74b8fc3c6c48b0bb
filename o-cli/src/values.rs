//! Numbers and times as users write them, and what they read about a wrong one.

use std::{
    fmt::Display,
    ops::{Bound, RangeBounds},
    str::FromStr,
    time::Duration,
};

use o_address::PeerId;

/// The longest time that can be given: what is added to a clock must not overflow it, and nobody
/// waits for longer.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Whom a node takes as children: `everybody`, `nobody`, or a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Everybody,
    Nobody,
    Peer(PeerId),
}

impl FromStr for Who {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "everybody" => Ok(Self::Everybody),
            "nobody" => Ok(Self::Nobody),
            peer => peer
                .parse()
                .map(Self::Peer)
                .map_err(|_| "write everybody, nobody or a peer id"),
        }
    }
}

/// A time like `1m 30s`, at most [`MAX_TIME`].
///
/// # Errors
/// How a time is written, or the longest one; not the text, which whoever asks knows.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text.trim())
        .map_err(|_| "write a number and its unit, for example 500ms, 30s or 1m 30s")?;
    match time > MAX_TIME {
        true => Err("at most 365 days, for example 24h".to_owned()),
        false => Ok(time),
    }
}

/// Reads whole numbers of a range.
///
/// # Errors
/// The reader's: what is expected, with `example`; not the text, which whoever asks knows.
pub(crate) fn number<T>(
    range: impl RangeBounds<T> + Clone,
    example: T,
) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let number = text.trim().parse().ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let from = match range.start_bound() {
                    Bound::Included(least) | Bound::Excluded(least) => format!(" from {least}"),
                    Bound::Unbounded => String::new(),
                };
                let to = match range.end_bound() {
                    Bound::Included(most) | Bound::Excluded(most) => format!(" to {most}"),
                    Bound::Unbounded if from.is_empty() => String::new(),
                    Bound::Unbounded => " up".to_owned(),
                };
                format!("write a whole number{from}{to}, for example {example}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        assert_eq!(time(" 1m 30s "), Ok(Duration::from_secs(90)));
        assert_eq!(time("365days"), Ok(MAX_TIME));
        for text in ["", "soon", "5", "-1s", "1s2", "99999999999999999999y"] {
            let error = time(text).unwrap_err();
            assert!(error.contains("for example 500ms"), "{text}: {error}");
        }
        for text in ["366days", "999y"] {
            let error = time(text).unwrap_err();
            assert!(error.starts_with("at most 365 days"), "{text}: {error}");
        }
    }

    #[test]
    fn a_number_is_in_its_range() {
        let any = number::<usize>(.., 16);
        assert_eq!(any(" 7 "), Ok(7));
        let error = "write a whole number, for example 16".to_owned();
        for text in ["", "x", "-1", "1.5", "4k", "99999999999999999999"] {
            assert_eq!(any(text), Err(error.clone()), "{text}");
        }
        let some = number::<u64>(1.., 10);
        let error = "write a whole number from 1 up, for example 10".to_owned();
        assert_eq!(some("0"), Err(error));
        let few = number::<u8>(1..=50, 5);
        let error = "write a whole number from 1 to 50, for example 5".to_owned();
        assert_eq!((few("50"), few("51")), (Ok(50), Err(error)));
    }
}
