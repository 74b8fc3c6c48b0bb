//! Numbers and times of the configuration file, whose errors say how one is written.

use std::{fmt, time::Duration};

use serde::{
    Deserializer,
    de::{Error, Unexpected, Visitor},
};

use crate::{settings::excerpt::quoted, values};

/// A time in quotes.
pub(super) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deserializer.deserialize_str(Time).map(Some)
}

/// How many of something, zero included.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let expected = "a whole number, for example 64";
    deserializer
        .deserialize_u64(Number { least: 0, expected })
        .map(Some)
}

/// How many of something that there must be.
pub(super) fn at_least_one<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    let expected = "a whole number from 1 up, for example 16";
    deserializer
        .deserialize_u64(Number { least: 1, expected })
        .map(Some)
}

/// A size.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let expected = "a whole number of bytes, for example 65536";
    deserializer
        .deserialize_u64(Number { least: 0, expected })
        .map(Some)
}

struct Time;

impl Visitor<'_> for Time {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time in quotes, for example \"1m 30s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        values::time(text).map_err(|error| E::custom(format!("{}: {error}", quoted(text))))
    }
}

struct Number {
    least: usize,
    expected: &'static str,
}

impl Visitor<'_> for Number {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
        let fits = usize::try_from(number).ok().filter(|n| *n >= self.least);
        fits.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<usize, E> {
        let fits = usize::try_from(number).ok().filter(|n| *n >= self.least);
        fits.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}
